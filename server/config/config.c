#include "server/config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "server/config/config_inner.h"

/* The configuration first: a pointer to it is one to this. */
struct shared {
    struct srv_config config;
    atomic_size_t refs;
};

/* ---- life ---- */

const struct srv_config *srv_config_ref(const struct srv_config *config) {
    /* What is shared was made by us, and not const. */
    struct shared *shared = (struct shared *)config;
    atomic_fetch_add_explicit(&shared->refs, 1, memory_order_relaxed);
    return config;
}

static void finish_stream(struct srv_config_stream *stream) {
    srv_schema_finish(srv_stream_schema, stream);
    free(stream->name);
}

static void free_shared(struct shared *shared) {
    if (shared == NULL) {
        return;
    }
    for (size_t i = 0; i < shared->config.stream_count; i++) {
        finish_stream(&shared->config.streams[i]);
    }
    free(shared->config.streams);
    srv_schema_finish(srv_config_schema, &shared->config);
    free(shared->config.path);
    free(shared);
}

void srv_config_unref(const struct srv_config *config) {
    struct shared *shared = (struct shared *)config;
    if (shared != NULL && atomic_fetch_sub_explicit(&shared->refs, 1, memory_order_acq_rel) == 1) {
        free_shared(shared);
    }
}

/* ---- from the file ---- */

static int read_root(struct srv_making *making, const struct srv_yaml *root) {
    const struct srv_yaml *streams = NULL;
    making->place.line = root->line;
    making->place.column = root->column;
    if (srv_yaml_is_nothing(root)) {
        return 0;
    }
    if (root->kind != SRV_YAML_MAP) {
        return srv_making_tell(making, false, "a configuration is a map of keys");
    }
    int rc = srv_making_map(making, srv_config_schema, root, "streams", making->config);
    for (size_t i = 0; i < root->count && rc == 0; i += 2) {
        const struct srv_yaml *key = root->items[i];
        making->place.line = key->line;
        making->place.column = key->column;
        if (strcmp(key->text, "tls") == 0) {
            making->tls = making->place;
        }
        if (strcmp(key->text, "streams") == 0 && streams != NULL) {
            rc = srv_making_tell(making, false, "streams: the key is there twice");
        } else if (strcmp(key->text, "streams") == 0) {
            streams = root->items[i + 1];
        }
    }
    return rc < 0 || streams == NULL ? rc : srv_making_streams(making, streams);
}

static int read_text(struct srv_making *making, const char *text, size_t size) {
    struct srv_yaml *root = NULL;
    struct srv_yaml_fault fault;
    making->base = making->folder;
    making->expands = true;
    int rc = srv_yaml_parse(text, size, &root, &fault);
    if (rc == KN_E_MALFORMED) {
        making->place.line = fault.line;
        making->place.column = fault.column;
        return srv_making_tell(making, false, fault.text);
    }
    rc = rc < 0 || root == NULL ? rc : read_root(making, root);
    srv_yaml_free(root);
    return rc;
}

/* ---- together ---- */

static bool is_directory_of(const struct srv_config *config, const char *path) {
    bool is = strcmp(path, config->data) == 0;
    for (size_t i = 0; i < config->storage.count; i++) {
        is = is || strcmp(path, config->storage.items[i]) == 0;
    }
    return is;
}

/* What the stream does not say is the defaults', and named where it is named there. */
static int add_defaults(const struct srv_config *config, struct srv_config_stream *stream) {
    const struct srv_config_stream *defaults = &config->defaults;
    for (const struct srv_schema *row = srv_stream_schema; row->name != NULL; row++) {
        if (srv_schema_named(srv_stream_schema, row, stream)) {
            continue;
        }
        int rc = srv_schema_copy_row(row, defaults, stream);
        if (rc < 0) {
            return rc;
        }
        if (srv_schema_named(srv_stream_schema, row, defaults)) {
            srv_schema_name(srv_stream_schema, row, stream);
        }
    }
    return 0;
}

/* All of it would go before it is whole. */
static bool keeps_too_little(const struct srv_config_stream *stream) {
    return stream->retention_ns > 0 && stream->retention_ns < stream->target_ns;
}

static int tell_retention(struct srv_making *making) {
    return srv_making_tell(making, false,
                           "shorter than one fragment (target): such as 7d, or 0s for nothing on "
                           "disk");
}

/* Where it is not the defaults' own, which are told once. */
static int check_retention(struct srv_making *making, struct srv_made_stream *made) {
    const struct srv_config_stream *defaults = &making->config->defaults;
    const struct srv_config_stream *stream = &made->stream;
    if (!keeps_too_little(stream) || (stream->retention_ns == defaults->retention_ns &&
                                      stream->target_ns == defaults->target_ns)) {
        return 0;
    }
    making->place = made->place;
    size_t before = srv_making_enter(making, "streams");
    (void)srv_making_enter(making, stream->name);
    (void)srv_making_enter(making, srv_stream_schema[SRV_STREAM_RETENTION].name);
    int rc = tell_retention(making);
    srv_making_leave(making, before);
    return rc;
}

static int finish_one(struct srv_making *making, struct srv_made_stream *made) {
    int rc = add_defaults(making->config, &made->stream);
    if (rc == 0) {
        rc = check_retention(making, made);
    }
    if (rc == 0 && made->stream.storage != NULL &&
        !is_directory_of(making->config, made->stream.storage)) {
        making->place = made->storage;
        size_t streams = srv_making_enter(making, "streams");
        (void)srv_making_enter(making, made->stream.name);
        (void)srv_making_enter(making, srv_stream_schema[SRV_STREAM_STORAGE].name);
        rc = srv_making_tell(making, false, "a directory of `storage`, or `data`");
        srv_making_leave(making, streams);
    }
    return rc;
}

/* Streams move into the configuration. */
static int finish_streams(struct srv_making *making) {
    struct srv_config *config = making->config;
    int rc = 0;
    config->streams = calloc(making->stream_count + 1, sizeof(config->streams[0]));
    if (config->streams == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < making->stream_count && rc == 0; i++) {
        rc = finish_one(making, &making->streams[i]);
    }
    for (size_t i = 0; i < making->stream_count; i++) {
        config->streams[i] = making->streams[i].stream;
    }
    config->stream_count = making->stream_count;
    making->stream_count = 0;
    return rc;
}

static int check_whole(struct srv_making *making) {
    const struct srv_config *config = making->config;
    bool certificate = config->tls.certificate != NULL, key = config->tls.key != NULL;
    int rc = 0;
    making->place.line = making->place.column = 0; /* about the whole */
    if (config->listen.count + config->tls.listen.count == 0) {
        rc = srv_making_tell(making, false,
                             "listen: no address, nor one of tls.listen: it would "
                             "listen nowhere");
    }
    making->place = making->tls;
    if (rc < 0) {
        return rc;
    }
    if (certificate != key || (config->tls.listen.count > 0 && !certificate)) {
        rc = srv_making_tell(making, false, "tls: it needs both certificate and key");
    }
    if (rc == 0 && keeps_too_little(&config->defaults)) {
        making->place.line = making->place.column = 0;
        size_t before = srv_making_enter(making, "defaults.retention");
        rc = tell_retention(making);
        srv_making_leave(making, before);
    }
    if (rc == 0 && config->defaults.source != NULL) {
        rc = srv_making_tell(making, false, "defaults.source: a source belongs to one stream");
    }
    return rc;
}

static int make(struct srv_making *making, const char *text, size_t size,
                const struct srv_config_said *said) {
    const struct srv_place file = making->place;
    making->base = making->folder;
    int rc = srv_making_defaults(making, srv_config_schema, making->config);
    making->place = file;
    rc = rc < 0 ? rc : read_text(making, text, size);
    rc = rc < 0 ? rc : srv_making_environment(making);
    rc = rc < 0 ? rc : srv_making_said(making, said);
    making->place = file;
    rc = rc < 0 ? rc : finish_streams(making);
    return rc < 0 ? rc : check_whole(making);
}

struct from {
    const char *path; /* NULL: none */
    const char *folder, *cwd;
    char *const *environment;
    const struct srv_config_said *said;
    void (*tell)(const struct srv_config_problem *problem, void *user);
    void *user;
};

static int make_shared(const struct from *from, const char *text, size_t size,
                       struct srv_making *making, struct shared *shared) {
    const char *path = from->path == NULL ? "configuration" : from->path;
    *making = (struct srv_making){.config = &shared->config,
                                  .environment = from->environment,
                                  .folder = from->folder,
                                  .cwd = from->cwd,
                                  .place = {.path = path},
                                  .tls = {.path = path}};
    shared->config.path = from->path == NULL ? NULL : srv_text_copy(from->path);
    if (from->path != NULL && shared->config.path == NULL) {
        return -ENOMEM;
    }
    int rc = make(making, text, size, from->said);
    for (size_t i = 0; i < making->stream_count; i++) {
        finish_stream(&making->streams[i].stream);
    }
    free(making->streams);
    bool failed = making->failed;
    srv_making_tell_all(making, from->tell, from->user);
    return rc < 0 ? rc : failed ? KN_E_MALFORMED : 0;
}

static int parse(const struct from *from, const char *text, size_t size,
                 const struct srv_config **ret_config) {
    struct shared *shared = calloc(1, sizeof(*shared));
    struct srv_making *making = malloc(sizeof(*making)); /* large */
    int rc = -ENOMEM;
    if (shared != NULL && making != NULL) {
        atomic_init(&shared->refs, 1);
        rc = make_shared(from, text, size, making, shared);
    }
    free(making);
    if (rc < 0) {
        free_shared(shared);
        return rc;
    }
    *ret_config = &shared->config;
    return 0;
}

int srv_config_parse(const char *text, size_t size, const char *folder, char *const *environment,
                     const struct srv_config_said *said,
                     void (*tell)(const struct srv_config_problem *problem, void *user), void *user,
                     const struct srv_config **ret_config) {
    const struct from from = {
        .folder = folder, .environment = environment, .said = said, .tell = tell, .user = user};
    return parse(&from, text, size, ret_config);
}

/* ---- the file itself ---- */

/* One byte more than may be, so that it is seen. */
static int read_whole(int fd, char *text, size_t *ret_size) {
    size_t size = 0;
    while (size <= SRV_YAML_BYTES_MAX) {
        ssize_t got = read(fd, text + size, SRV_YAML_BYTES_MAX + 1 - size);
        if (got == 0) {
            break;
        }
        if (got < 0 && errno != EINTR) {
            return -errno;
        }
        size += got < 0 ? 0 : (size_t)got;
    }
    *ret_size = size;
    return 0;
}

static int read_file(const char *path, char **ret_text, size_t *ret_size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    char *text = malloc(SRV_YAML_BYTES_MAX + 1);
    int rc = text == NULL ? -ENOMEM : read_whole(fd, text, ret_size);
    (void)close(fd); /* it was only read */
    if (rc < 0) {
        free(text);
        return rc;
    }
    *ret_text = text;
    return 0;
}

/* The folder a path is in, from the root. */
static int folder_of(const char *path, const char *cwd, char folder[static PATH_MAX]) {
    const char *slash = strrchr(path, '/');
    size_t size = slash == NULL ? 0 : slash == path ? 1 : (size_t)(slash - path);
    const char *before = path[0] == '/' ? "" : cwd;
    const char *between = path[0] == '/' || size == 0 || strcmp(cwd, "/") == 0 ? "" : "/";
    int length = snprintf(folder, PATH_MAX, "%s%s%.*s", before, between, (int)size, path);
    return length < 0 || length >= PATH_MAX ? -ENAMETOOLONG : 0;
}

int srv_config_load(const char *path, char *const *environment, const struct srv_config_said *said,
                    void (*tell)(const struct srv_config_problem *problem, void *user), void *user,
                    const struct srv_config **ret_config) {
    char cwd[PATH_MAX], folder[PATH_MAX];
    char *text = NULL;
    size_t size = 0;
    if (getcwd(cwd, sizeof(cwd)) == NULL) {
        return -errno;
    }
    int rc = folder_of(path == NULL ? "" : path, cwd, folder);
    rc = rc < 0 || path == NULL ? rc : read_file(path, &text, &size);
    if (rc < 0) {
        return rc;
    }
    const struct from from = {.path = path,
                              .folder = folder,
                              .cwd = cwd,
                              .environment = environment,
                              .said = said,
                              .tell = tell,
                              .user = user};
    rc = parse(&from, text == NULL ? "" : text, size, ret_config);
    free(text);
    return rc;
}

/* ---- looking into it ---- */

static int compare_name(const void *key, const void *member) {
    const struct srv_config_stream *stream = member;
    return strcmp(key, stream->name);
}

const struct srv_config_stream *srv_config_stream_find(const struct srv_config *config,
                                                       const char *name) {
    return config->stream_count == 0 ? NULL
                                     : bsearch(name, config->streams, config->stream_count,
                                               sizeof(config->streams[0]), compare_name);
}

bool srv_config_owns(const struct srv_config *config, const char *stream, enum srv_stream_row row) {
    const struct srv_config_stream *found = srv_config_stream_find(config, stream);
    return found != NULL && (found->named.rows >> row & 1) != 0;
}

// NOLINTNEXTLINE(misc-no-recursion): tables are two deep
static void compare_table(const struct srv_schema *table, const void *old, const void *new,
                          const char *before, void (*differs)(const char *key, void *user),
                          void *user) {
    for (const struct srv_schema *row = table; row->name != NULL; row++) {
        char name[SRV_CONFIG_NAME_BYTES];
        (void)snprintf(name, sizeof(name), "%s%s%s", before, before[0] == '\0' ? "" : ".",
                       row->name);
        if (row->kind == SRV_KIND_TABLE) {
            compare_table(row->table, srv_schema_at_const(row, old), srv_schema_at_const(row, new),
                          name, differs, user);
        } else if (row->restart && !srv_schema_same(row, old, new)) {
            differs(name, user);
        }
    }
}

void srv_config_compare(const struct srv_config *old, const struct srv_config *new,
                        void (*differs)(const char *key, void *user), void *user) {
    compare_table(srv_config_schema, old, new, "", differs, user);
}
