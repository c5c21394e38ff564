#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

#include <systemd/sd-daemon.h>

#include "base/error.h"
#include "base/log.h"
#include "commands/command.h"
#include "commands/configuration.h"
#include "commands/log_file.h"
#include "commands/place.h"
#include "commands/tell.h"
#include "fragments/fragments.h"
#include "server/server.h"

/* libwebsockets has 16 bytes a loop for each that there may be, and takes a limit that is far
 * beyond reason, as containers have it, for one of 2,560. */
#define DESCRIPTORS_MAX 131072u

/* What a running server is, here. */
struct serving {
    const struct cmd_arguments *arguments;
    sigset_t signals;     /* that are waited for; blocked on all threads */
    struct timespec beat; /* how often the watchdog hears of it */
    bool watched;
    struct srv_server *server;
};

/* ---- before it starts ---- */

/* A connection or a reel each; what cannot be raised shows when it is needed. */
static void settle_descriptors(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max < DESCRIPTORS_MAX ? limit.rlim_max : DESCRIPTORS_MAX;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* Before any thread starts, so that none of them is interrupted. */
static void hold_signals(struct serving *serving) {
    (void)sigemptyset(&serving->signals);
    (void)sigaddset(&serving->signals, SIGTERM);
    (void)sigaddset(&serving->signals, SIGINT);
    (void)sigaddset(&serving->signals, SIGHUP);
    (void)pthread_sigmask(SIG_BLOCK, &serving->signals, NULL); /* cannot fail for these */
}

static int load(const struct cmd_arguments *arguments, const struct srv_config **ret_config) {
    return cmd_given(arguments, OPT_DEMO)
               ? cmd_config_demo(arguments, ret_config)
               : cmd_config_load(arguments, arguments->config, stderr, ret_config);
}

/* ---- while it runs ---- */

static void find_beat(struct serving *serving) {
    uint64_t period_us = 0;
    serving->watched = sd_watchdog_enabled(0, &period_us) > 0;
    period_us /= 2;
    serving->beat = (struct timespec){
        .tv_sec = (time_t)(period_us / 1000000),
        .tv_nsec = (long)(period_us % 1000000) * 1000,
    };
}

/* The next signal; the watchdog hears meanwhile that everything moves, or hears nothing. */
static int wait_for_signal(struct serving *serving) {
    for (;;) {
        int number = serving->watched ? sigtimedwait(&serving->signals, NULL, &serving->beat)
                                      : sigwaitinfo(&serving->signals, NULL);
        if (number > 0) {
            return number;
        }
        if (serving->watched && errno == EAGAIN && srv_server_alive(serving->server)) {
            (void)sd_notify(0, "WATCHDOG=1");
        }
    }
}

static void take_again(struct serving *serving, const struct srv_config *config) {
    int rc = cmd_log_file_take(config);
    if (rc != 0) {
        kn_log_error("the log stays where it was", kn_err("error", rc));
    }
    if (srv_reload(serving->server, config) != 0) {
        fprintf(stderr, "kinora: the certificate stays as it was\n");
    }
}

/* A file that is wrong leaves everything as it is. */
static void reload(struct serving *serving) {
    const struct kn_clock *clock = kn_clock_system();
    const struct srv_config *config = NULL;
    (void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRId64,
                     clock->mono(clock).ns / KN_NS_PER_US);
    if (load(serving->arguments, &config) != EXIT_FINE) {
        fprintf(stderr, "kinora: the configuration stays as it was\n");
    } else {
        take_again(serving, config);
    }
    srv_config_unref(config);
    (void)sd_notify(0, "READY=1");
}

/* A second signal ends the program at once: no clean end is worth being stuck in. */
static void let_signals_kill(const struct serving *serving) {
    (void)signal(SIGTERM, SIG_DFL);
    (void)signal(SIGINT, SIG_DFL);
    (void)pthread_sigmask(SIG_UNBLOCK, &serving->signals, NULL);
}

/* ---- what it says ---- */

static void tell_started(const struct serving *serving) {
    for (size_t i = 0; srv_server_url(serving->server, i)[0] != '\0'; i++) {
        printf("kinora listens on %s\n", srv_server_url(serving->server, i));
    }
    (void)fflush(stdout); /* who waits for it, may read it through a pipe */
    if (srv_server_is_open(serving->server)) {
        fprintf(stderr,
                "kinora: nobody has credentials: whoever is on this machine may do everything. "
                "kinora user add NAME --grant admin --data %s makes the first\n",
                cmd_plain(serving->arguments->data));
    }
    (void)sd_notifyf(0, "READY=1\nSTATUS=Listens on %s", srv_server_url(serving->server, 0));
}

/* ---- all of it ---- */

static void serve(struct serving *serving) {
    find_beat(serving);
    tell_started(serving);
    for (;;) {
        int number = wait_for_signal(serving);
        if (number != SIGHUP) {
            break;
        }
        reload(serving);
    }
    (void)sd_notify(0, "STOPPING=1");
    let_signals_kill(serving);
    srv_stop(serving->server);
}

static int start(struct serving *serving, const struct srv_config *config, struct frag_store *store,
                 const struct frag_store_opening *opening) {
    char problem[SRV_SERVE_PROBLEM_BYTES] = "";
    const struct srv_serve_config how = {.config = config, .store = store, .opening = opening};
    if (srv_serve(&how, &serving->server, problem) != 0) {
        fprintf(stderr, "kinora: %s\n", cmd_plain(problem));
        return EXIT_FAILED;
    }
    serve(serving);
    return EXIT_FINE;
}

static int serve_store(struct serving *serving, const struct srv_config *config) {
    struct cmd_place place;
    struct frag_store_opening opening = {0};
    struct frag_store *store = NULL;
    int code = EXIT_FAILED;
    int rc = cmd_place_find(serving->arguments, FRAG_STORE_WRITE, &place);
    if (rc == 0) {
        rc = frag_store_open(&place.config, &store, &opening);
        if (rc != 0) {
            cmd_place_refused(&place, &opening, rc);
        }
    }
    if (rc == 0) {
        cmd_place_tell(&place, &opening);
        code = start(serving, config, store, &opening);
    }
    frag_store_close(store);
    cmd_place_finish(&place);
    return code;
}

static int run_serve(const struct cmd_arguments *arguments) {
    struct cmd_arguments there = *arguments;
    struct serving serving = {.arguments = &there};
    const struct srv_config *config = NULL;
    hold_signals(&serving);
    settle_descriptors();
    int code = load(arguments, &config);
    if (code != EXIT_FINE) {
        return code;
    }
    code = cmd_config_take(&there, config);
    int rc = cmd_log_file_take(config);
    if (rc != 0) {
        code = cmd_refused(config->log.file, rc);
    }
    if (code == EXIT_FINE) {
        code = serve_store(&serving, config);
    }
    srv_config_unref(config);
    return code;
}

const struct cmd_command cmd_serve = {
    .name = "serve",
    .usage = "[-c FILE] [--data DIR] [--listen ADDRESS:PORT]... [OPTION]...",
    .summary = "Run the server: HTTP, sources, recording, retention.",
    .help = "Without a file it keeps its store in ./" DATA_DEFAULT " and listens on\n"
            "127.0.0.1:5466. As long as nobody has credentials, whoever is on this machine may do\n"
            "everything, and it does not start on other addresses: kinora user add makes the\n"
            "first. What the command line says goes before KINORA_ variables, and these before\n"
            "the file; kinora config default prints all keys.\n\n"
            "SIGTERM and Ctrl-C end it: requests end, what was recorded becomes durable; a second\n"
            "one ends it at once. SIGHUP reads the file again; one with mistakes changes nothing.\n"
            "It tells systemd when it is ready and, by its watchdog, that everything still moves.\n"
            "Exit code 1: the configuration has mistakes; 3: it could not start.\n\n",
    .options =
        WITH(CONFIG) | WITH(DATA) | WITH(LISTEN) | WITH(STORAGE) | WITH(MIN_FREE) | WITH(DEMO),
    .run = run_serve,
    .reads_config = true,
};
