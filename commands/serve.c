#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>

#include "base/error.h"
#include "base/log.h"
#include "commands/ask.h"
#include "commands/command.h"
#include "commands/configuration.h"
#include "commands/help.h"
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
    bool log_file; /* lines go to a file, not to standard error */
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

static int load(const struct cmd_arguments *arguments, FILE *out,
                const struct srv_config **ret_config) {
    return cmd_given(arguments, OPT_DEMO)
               ? cmd_config_demo(arguments, ret_config)
               : cmd_config_load(arguments, arguments->config, out, ret_config);
}

static const char *config_path(const struct serving *serving) {
    return serving->arguments->config == NULL ? "-" : serving->arguments->config;
}

/* To the log, and to who looks at the terminal: once, where they are the same. */
static void say(const struct serving *serving, enum kn_log_level level, const char *text) {
    kn_log_write(level, text, NULL, 0);
    if (serving->log_file) {
        fprintf(stderr, "kinora: %s\n", cmd_plain(text));
    }
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
        kn_log_error("the log stays where it was", kn_str("path", config->log.file),
                     kn_err("error", rc));
    } else {
        serving->log_file = config->log.file != NULL;
    }
    srv_reload(serving->server, config);
}

/* A line each; each has its newline. */
static void log_problems(char *problems) {
    char *end;
    for (char *at = problems; (end = strchr(at, '\n')) != NULL; at = end + 1) {
        *end = '\0';
        kn_log_error("the configuration is not taken", kn_str("problem", at));
    }
}

/* Its problems go to the log, wherever that is. */
static int load_again(struct serving *serving, const struct srv_config **ret_config) {
    char *problems = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&problems, &size);
    if (out == NULL) {
        kn_log_error("the configuration is not taken", kn_err("error", -ENOMEM));
        return EXIT_FAILED;
    }
    int code = load(serving->arguments, out, ret_config);
    if (fclose(out) == 0) {
        log_problems(problems);
    }
    free(problems);
    return code;
}

/* A file that is wrong leaves everything as it is. */
static void reload(struct serving *serving) {
    const struct kn_clock *clock = kn_clock_system();
    const struct srv_config *config = NULL;
    (void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRId64,
                     clock->mono(clock).ns / KN_NS_PER_US);
    if (load_again(serving, &config) != EXIT_FINE) {
        kn_log_error("the configuration stays as it was", kn_str("path", config_path(serving)));
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

static void tell_starting(const struct serving *serving) {
    kn_log_info("kinora starts", kn_str("version", KINORA_VERSION), kn_int("pid", getpid()),
                kn_str("configuration", config_path(serving)),
                kn_str("data", serving->arguments->data));
}

static void tell_open(const struct serving *serving) {
    char text[512];
    (void)snprintf(text, sizeof(text),
                   "nobody has credentials: whoever is on this machine may do everything. "
                   "kinora user add NAME --grant admin --data %s makes the first",
                   cmd_plain(serving->arguments->data)); /* cut is fine */
    say(serving, KN_LOG_WARN, text);
}

static void tell_started(const struct serving *serving) {
    for (size_t i = 0; srv_server_url(serving->server, i)[0] != '\0'; i++) {
        const char *url = srv_server_url(serving->server, i);
        printf("kinora listens on %s\n", url);
        kn_log_info("kinora listens", kn_str("address", url));
    }
    (void)fflush(stdout); /* who waits for it, may read it through a pipe */
    if (srv_server_is_open(serving->server)) {
        tell_open(serving);
    }
    (void)sd_notifyf(0, "READY=1\nSTATUS=Listens on %s", srv_server_url(serving->server, 0));
}

/* What opening found, where there is anything to say. */
static void tell_opening(const struct serving *serving, const struct cmd_place *place,
                         const struct frag_store_opening *opening) {
    char text[FRAG_REPORT_OPENING_BYTES];
    if (frag_report_opening(opening, place->data, text)[0] != '\0') {
        say(serving, KN_LOG_INFO, text);
    }
}

/* ---- all of it ---- */

static void serve(struct serving *serving) {
    find_beat(serving);
    tell_started(serving);
    int number;
    while ((number = wait_for_signal(serving)) == SIGHUP) {
        reload(serving);
    }
    (void)sd_notify(0, "STOPPING=1");
    kn_log_info("kinora ends", kn_str("signal", number == SIGINT ? "SIGINT" : "SIGTERM"));
    let_signals_kill(serving);
    srv_stop(serving->server);
}

/* Whoever started it was told on standard error. */
static void log_refused(const struct serving *serving, const char *problem) {
    if (serving->log_file) {
        kn_log_error("kinora does not start", kn_str("reason", problem));
    }
}

static int start(struct serving *serving, const struct srv_config *config, struct frag_store *store,
                 const struct frag_store_opening *opening) {
    char problem[SRV_SERVE_PROBLEM_BYTES] = "";
    const struct srv_serve_config how = {.config = config, .store = store, .opening = opening};
    if (srv_serve(&how, &serving->server, problem) != 0) {
        fprintf(stderr, "kinora: %s\n", cmd_plain(problem));
        log_refused(serving, problem);
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
        if (rc != 0 && !(rc == -EBUSY && cmd_ask_in_the_way(&place, "stop it first"))) {
            cmd_place_refused(&place, &opening, rc);
            log_refused(serving, opening.problem[0] != '\0' ? opening.problem : kn_error_text(rc));
        }
    }
    if (rc == 0) {
        tell_opening(serving, &place, &opening);
        code = start(serving, config, store, &opening);
    }
    frag_store_close(store);
    kn_log_info("kinora has ended", kn_int("exit", code));
    cmd_place_finish(&place);
    return code;
}

static int run_serve(const struct cmd_arguments *arguments) {
    struct cmd_arguments there = *arguments;
    struct serving serving = {.arguments = &there};
    const struct srv_config *config = NULL;
    if (cmd_given(arguments, OPT_DEMO) && cmd_given(arguments, OPT_CONFIG)) {
        fprintf(stderr, "kinora serve: --demo has a configuration of its own: without --config\n");
        return cmd_wrong_usage(arguments->command);
    }
    hold_signals(&serving);
    settle_descriptors();
    int code = load(arguments, stderr, &config);
    if (code != EXIT_FINE) {
        return code;
    }
    code = cmd_config_take(&there, config);
    int rc = cmd_log_file_take(config);
    if (rc != 0) {
        code = cmd_refused(config->log.file, rc);
    }
    if (code == EXIT_FINE) {
        serving.log_file = config->log.file != NULL;
        tell_starting(&serving);
        code = serve_store(&serving, config);
    }
    srv_config_unref(config);
    return code;
}

const struct cmd_command cmd_serve = {
    .name = "serve",
    .usage = "[-c FILE] [--data DIR] [--listen ADDRESS:PORT]... [OPTION]...",
    .summary = "Run the server: HTTP, sources, recording, retention.",
    .help =
        "Without a file it keeps its store in ./" DATA_DEFAULT " and listens on\n"
        "127.0.0.1:5466. As long as nobody has credentials, whoever is on this machine may do\n"
        "everything, and it does not start on other addresses: kinora user add makes the\n"
        "first. What the command line says goes before KINORA_ variables, and these before\n"
        "the file; kinora config default prints all keys.\n\n"
        "SIGTERM and Ctrl-C end it: requests end, what was recorded becomes durable; a second\n"
        "one ends it at once. SIGHUP reads the file again; one with mistakes changes nothing.\n"
        "It tells systemd when it is ready and, by its watchdog, that everything still moves.\n\n",
    .options =
        WITH(CONFIG) | WITH(DATA) | WITH(LISTEN) | WITH(STORAGE) | WITH(MIN_FREE) | WITH(DEMO),
    .run = run_serve,
    .reads_config = true,
    .findings = "the configuration has mistakes",
};
