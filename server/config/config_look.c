/* Whether what a configuration names is there. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "server/config/config.h"
#include "server/transport/transport.h"

#define FILE_SCHEME "file:"
#define TEXT_BYTES (PATH_MAX + 512)

struct look {
    const struct srv_config *config;
    void (*tell)(const struct srv_config_problem *problem, void *user);
    void *user;
    bool failed;
};

static void say(struct look *look, bool warning, const char *text) {
    const char *path = look->config->path == NULL ? "configuration" : look->config->path;
    const struct srv_config_problem problem = {.path = path, .warning = warning, .text = text};
    look->tell(&problem, look->user);
    look->failed = look->failed || !warning;
}

static void look_at_certificate(struct look *look) {
    const struct srv_config_tls *tls = &look->config->tls;
    char problem[SRV_PROBLEM_BYTES] = "", text[TEXT_BYTES];
    if (tls->certificate != NULL && tls->key != NULL &&
        srv_transport_check_certificate(tls->certificate, tls->key, problem) < 0) {
        (void)snprintf(text, sizeof(text), "tls: %s", problem);
        say(look, false, text);
    }
}

/* It is made at the start, in a folder that is there. */
static void look_at_log(struct look *look) {
    const char *file = look->config->log.file;
    const char *slash = file == NULL ? NULL : strrchr(file, '/');
    char folder[PATH_MAX], text[TEXT_BYTES];
    if (slash == NULL || slash == file || (size_t)(slash - file) >= sizeof(folder)) {
        return;
    }
    (void)snprintf(folder, sizeof(folder), "%.*s", (int)(slash - file), file);
    if (access(folder, F_OK) != 0) {
        (void)snprintf(text, sizeof(text), "log.file: %s: %s", folder, kn_error_text(-errno));
        say(look, false, text);
    }
}

/* It is tried again until it is there. */
static void look_at_source(struct look *look, const struct srv_config_stream *stream) {
    const char *path = stream->source;
    char text[TEXT_BYTES];
    if (path == NULL || strncmp(path, FILE_SCHEME, strlen(FILE_SCHEME)) != 0) {
        return;
    }
    path += strlen(FILE_SCHEME);
    if (access(path, R_OK) != 0) {
        (void)snprintf(text, sizeof(text), "streams.%s.source: %s: %s", stream->name, path,
                       kn_error_text(-errno));
        say(look, true, text);
    }
}

int srv_config_look(const struct srv_config *config,
                    void (*tell)(const struct srv_config_problem *problem, void *user),
                    void *user) {
    struct look look = {.config = config, .tell = tell, .user = user};
    look_at_certificate(&look);
    look_at_log(&look);
    for (size_t i = 0; i < config->stream_count; i++) {
        look_at_source(&look, &config->streams[i]);
    }
    return look.failed ? KN_E_MALFORMED : 0;
}
