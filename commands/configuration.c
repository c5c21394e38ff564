#include "commands/configuration.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "commands/tell.h"
#include "server/server.h"

/* "kinora.yml:3:7: streams.gate.retension: no such key; retention?", as compilers do. */
void cmd_config_tell(const struct srv_config_problem *problem, void *user) {
    FILE *out = user;
    (void)fprintf(out, "%s", cmd_plain(problem->path));
    if (problem->line > 0) {
        (void)fprintf(out, ":%zu:%zu", problem->line, problem->column);
    }
    (void)fprintf(out, ": %s%s\n", problem->warning ? "warning: " : "", cmd_plain(problem->text));
}

static struct srv_config_said said_by(const struct cmd_arguments *arguments) {
    return (struct srv_config_said){
        .data = cmd_given(arguments, OPT_DATA) ? arguments->data : NULL,
        .listen = arguments->listen,
        .listen_count = arguments->listen_count,
        .storage = arguments->storage,
        .storage_count = arguments->storage_count,
        .min_free = arguments->min_free_bytes,
        .has_min_free = cmd_given(arguments, OPT_MIN_FREE),
    };
}

/* What could not be read is no output of a command, but of a log that is being written. */
static int loaded(const char *path, int rc, FILE *out) {
    if (rc == KN_E_MALFORMED) {
        return EXIT_FINDINGS; /* which were told */
    }
    if (rc != 0) {
        (void)fprintf(out == stdout ? stderr : out, "kinora: %s: %s\n",
                      cmd_plain(path == NULL ? "the configuration" : path), kn_error_text(rc));
        return EXIT_FAILED;
    }
    return EXIT_FINE;
}

int cmd_config_load(const struct cmd_arguments *arguments, const char *path, FILE *out,
                    const struct srv_config **ret_config) {
    const struct srv_config_said said = said_by(arguments);
    return loaded(path, srv_config_load(path, environ, &said, cmd_config_tell, out, ret_config),
                  out);
}

/* Warnings are the server's, or config check's. */
static void tell_mistake(const struct srv_config_problem *problem, void *user) {
    if (!problem->warning) {
        cmd_config_tell(problem, user);
    }
}

int cmd_config_load_place(const struct cmd_arguments *arguments,
                          const struct srv_config **ret_config) {
    const struct srv_config_said said = said_by(arguments);
    int code =
        loaded(arguments->config,
               srv_config_load(arguments->config, environ, &said, tell_mistake, stderr, ret_config),
               stderr);
    return code == EXIT_FINDINGS ? EXIT_FAILED : code; /* 1 is for what the command finds */
}

/* ---- a demonstration ---- */

/* Where it is installed, and where it is in the sources; from the program's own place. */
static const char *const clips[] = {
    "/../share/kinora/demo.mkv",
    "/../../sample-media/box.mkv",
};

/* `clip` is where it should be installed, where it is nowhere. */
static int find_clip(char clip[static PATH_MAX]) {
    char program[PATH_MAX], path[2 * PATH_MAX];
    ssize_t size = readlink("/proc/self/exe", program, sizeof(program) - 1);
    if (size < 0) {
        return -errno;
    }
    program[size] = '\0';
    char *slash = strrchr(program, '/');
    if (slash != NULL) {
        *slash = '\0';
    }
    for (size_t i = 0; i < KN_COUNT(clips); i++) {
        (void)snprintf(path, sizeof(path), "%s%s", program, clips[i]); /* fits */
        if (realpath(path, clip) != NULL && access(clip, R_OK) == 0) {
            return 0;
        }
    }
    int length = snprintf(path, sizeof(path), "%s%s", program, clips[0]);
    (void)snprintf(clip, PATH_MAX, "%.*s", length < PATH_MAX ? length : PATH_MAX - 1, path);
    return -ENOENT;
}

/* In YAML's single quotes, where only these mean anything, and without variables. */
static void put_quoted(const char *text, FILE *out) {
    for (; *text != '\0'; text++) {
        (void)fprintf(out, *text == '\'' || *text == '$' ? "%c%c" : "%c", *text, *text);
    }
}

/* NULL: no memory. */
static char *demo_text(const char *clip, size_t *ret_size) {
    char *text = NULL;
    FILE *out = open_memstream(&text, ret_size);
    if (out == NULL) {
        return NULL;
    }
    (void)fprintf(out, "data: kinora-demo\nmin_free: 100M\nstreams:\n  demo:\n"
                       "    retention: 1h\n    source: 'file:");
    put_quoted(clip, out);
    (void)fprintf(out, "'\n");
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

int cmd_config_demo(const struct cmd_arguments *arguments, const struct srv_config **ret_config) {
    char clip[PATH_MAX] = "";
    const struct srv_config_said said = said_by(arguments);
    size_t size = 0;
    if (find_clip(clip) != 0) {
        fprintf(stderr, "kinora: the sample that --demo plays is not there: %s\n", cmd_plain(clip));
        return EXIT_FAILED;
    }
    char *text = demo_text(clip, &size);
    int rc = text == NULL ? -ENOMEM
                          : srv_config_parse(text, size, ".", environ, &said, cmd_config_tell,
                                             stderr, ret_config);
    free(text);
    return loaded(NULL, rc, stderr);
}

/* ---- its store ---- */

int cmd_config_take(struct cmd_arguments *arguments, const struct srv_config *config) {
    if (config->storage.count > KN_COUNT(arguments->storage)) {
        fprintf(stderr, "kinora: a store has at most %zu storage directories\n",
                KN_COUNT(arguments->storage));
        return EXIT_FAILED;
    }
    for (size_t i = 0; i < config->storage.count; i++) {
        arguments->storage[i] = config->storage.items[i];
    }
    arguments->storage_count = config->storage.count;
    arguments->data = config->data;
    arguments->min_free_bytes = config->min_free;
    arguments->memory_bytes = config->memory;
    arguments->key_file = config->key_file;
    return EXIT_FINE;
}
