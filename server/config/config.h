/* The configuration: kinora.yml, KINORA_ variables, and what the command line said, in that order.
 *
 *     srv_config_load -> srv_config_unref
 *
 * A configuration never changes once it is made; a reload makes another one. Which keys there are,
 * their bounds and defaults: the tables in schema_rows.c, from which the commented file and the
 * documentation are printed. */
#ifndef SERVER_CONFIG_CONFIG_H
#define SERVER_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/attributes.h"
#include "fragments/fragments.h"
#include "server/config/schema.h"

enum srv_log_requests { SRV_LOG_NONE, SRV_LOG_FAILED, SRV_LOG_ALL };

/* A stream as the file has it; what it does not name (named.rows) is not the file's. */
struct srv_config_stream {
    struct srv_named named;
    char *name;           /* the key; no row */
    char *source;         /* "file:sample-media/box.mkv"; NULL: it is pushed */
    int64_t retention_ns; /* the defaults' are named here too, where the stream has none */
    uint64_t retention_bytes;
    int64_t target_ns;
    char *storage; /* a directory of `storage` */
    char *media_type, *device_name;
    struct srv_pairs tags;
};

/* Shared by the configuration's `streams` and `defaults`, and by the API's bodies. */
extern const struct srv_schema srv_stream_schema[];
enum srv_stream_row { /* places in it */
                      SRV_STREAM_SOURCE,
                      SRV_STREAM_RETENTION,
                      SRV_STREAM_RETENTION_BYTES,
                      SRV_STREAM_TARGET,
                      SRV_STREAM_STORAGE,
                      SRV_STREAM_MEDIA_TYPE,
                      SRV_STREAM_DEVICE_NAME,
                      SRV_STREAM_TAGS,
                      SRV_STREAM_ROWS
};

struct srv_config_http {
    struct srv_named named;
    uint64_t loops, workers, queue, connections, connections_per_address;
    int64_t head_ns, body_ns, write_ns, idle_ns, drain_ns;
    uint64_t body_bytes; /* of bodies of routes that say none */
    int64_t session_ns;
};

struct srv_config_tls {
    struct srv_named named;
    char *certificate, *key;
    struct srv_texts listen; /* addresses with TLS */
};

struct srv_config_log {
    struct srv_named named;
    int level;    /* enum kn_log_level */
    int requests; /* enum srv_log_requests */
    char *file;   /* NULL: standard error */
};

struct srv_config_aws {
    struct srv_named named;
    char *account; /* 12 digits */
};

struct srv_config {
    struct srv_named named;
    char *data;
    struct srv_texts storage;
    uint64_t min_free, memory;
    struct srv_texts listen;
    char *public_url;
    char *key_file; /* default: kinora.key in `data` */
    struct srv_config_tls tls;
    struct srv_config_http http;
    struct srv_config_log log;
    struct srv_config_aws aws;
    struct srv_config_stream defaults;
    /* No rows: */
    struct srv_config_stream *streams; /* in order of their names */
    size_t stream_count;
    char *path; /* the file it came from; NULL: none */
};

extern const struct srv_schema srv_config_schema[];

/* What is wrong with an address of `listen`; NULL: nothing. Pure. */
const char *srv_config_address_fault(const char *text);

/* What the command line says, over file and variables. NULL or 0: nothing. */
struct srv_config_said {
    const char *data;
    const char *const *listen;
    size_t listen_count;
    const char *const *storage;
    size_t storage_count;
    uint64_t min_free;
    bool has_min_free;
};

/* One of what is wrong, in order of lines. */
struct srv_config_problem {
    const char *path;    /* of the file, or the variable's name */
    size_t line, column; /* from 1 on; 0: about the whole */
    bool warning;        /* it works all the same: a variable that names no key */
    const char *text;    /* "streams.gate.retension: no such key; retention?" */
};

/* Reads a file of at most 4 MiB and 10,000 streams: YAML 1.1 without anchors, aliases, tags and
 * second documents; no key twice. ${NAME} and ${NAME:default} in any value are the environment's
 * ($$ is a dollar sign). KINORA_HTTP_WORKERS=8 sets http.workers, KINORA_STREAMS_GATE_RETENTION
 * that of the stream whose name is "gate" when letters are raised and what is neither letter nor
 * digit is
 * '_'; lists with commas. Relative paths (data, storage, key_file, tls, log.file, file: sources)
 * are from the file's folder; of variables and the command line from the working directory.
 *
 * `path` NULL: no file. `environment` as environ, NULL: none. All that is wrong is told, up to 100
 * problems. 0; KN_E_MALFORMED: told; -ENOMEM; the file's errno. Blocks. */
KN_MUST_CHECK int
srv_config_load(const char *path, char *const *environment, const struct srv_config_said *said,
                void (*tell)(const struct srv_config_problem *problem, void *user), void *user,
                const struct srv_config **ret_config);
/* The same of a text in memory, whose paths are from `folder`. Pure but for memory. */
KN_MUST_CHECK int srv_config_parse(const char *text, size_t size, const char *folder,
                                   char *const *environment, const struct srv_config_said *said,
                                   void (*tell)(const struct srv_config_problem *problem,
                                                void *user),
                                   void *user, const struct srv_config **ret_config);
/* Looks at the files it names: a certificate that does not load with its key, or no folder of the
 * log is told, as a start would be refused; a source's file that is not there as a warning. 0, or
 * KN_E_MALFORMED: told. Blocks. */
KN_MUST_CHECK int
srv_config_look(const struct srv_config *config,
                void (*tell)(const struct srv_config_problem *problem, void *user), void *user);
/* Any thread. */
const struct srv_config *srv_config_ref(const struct srv_config *config);
void srv_config_unref(const struct srv_config *config);

const struct srv_config_stream *srv_config_stream_find(const struct srv_config *config,
                                                       const char *name);
/* Whether the file has this row of a stream's: the API must not change it then. */
bool srv_config_owns(const struct srv_config *config, const char *stream, enum srv_stream_row row);
/* Of a stream that is made now, before srv_config_settings: the rows' defaults, where AWS keeps
 * nothing. `stream` is one of the configuration's, or its `defaults`. Pure. */
struct frag_stream_settings srv_config_new_settings(const struct srv_config_stream *stream);
/* The settings that `stream` names, over those it has already (`settings`; the rest stays).
 * -ENOENT: `storage` is no directory of the store's. Blocks. */
KN_MUST_CHECK int srv_config_settings(struct frag_store *store,
                                      const struct srv_config_stream *stream,
                                      struct frag_stream_settings *settings);
/* Names of keys marked `restart` in which two differ, one call each. */
void srv_config_compare(const struct srv_config *old, const struct srv_config *new,
                        void (*differs)(const char *key, void *user), void *user);

/* A commented file with every key and its default. */
void srv_config_print_default(FILE *out);
/* What is in effect, as YAML, secrets as ***. */
void srv_config_print(const struct srv_config *config, FILE *out);

#endif
