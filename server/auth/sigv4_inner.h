/* How the parts of sigv4.h see each other: what a request claims, its canonical form, and the
 * derived keys. All but the keys is pure. */
#ifndef SERVER_AUTH_SIGV4_INNER_H
#define SERVER_AUTH_SIGV4_INNER_H

#include "base/bytes.h"
#include "server/auth/sigv4.h"

#define SRV_SIGV4_TIME_BYTES 17u /* "20261120T212340Z" and a NUL */
#define SRV_SIGV4_DATE_CHARS 8u

/* ---- what a request claims ---- */

struct srv_sigv4_claim {
    enum srv_sigv4_form form;
    char access_key[SRV_ACCESS_KEY_BYTES];
    char date[SRV_SIGV4_DATE_CHARS + 1]; /* of the scope, which is that of `time` too */
    char region[SRV_REGION_BYTES];
    char time[SRV_SIGV4_TIME_BYTES];
    struct kn_wall when; /* the same */
    int64_t expires_s;   /* of a query */
    char signature[SRV_SHA256_HEX_BYTES];
    char signed_list[4096]; /* names with ';' between them, as it came */
    struct srv_http_text signed_names[SRV_SIGV4_SIGNED_MAX];
    size_t signed_count;
    char session[SRV_SIGV4_TOKEN_MAX + 1];
    size_t session_bytes; /* 0: none */
};

/* Reads it into `claim`. 0; -EACCES with `outcome` saying why. */
KN_MUST_CHECK int srv_sigv4_read_claim(const struct srv_sigv4_request *request,
                                       struct srv_sigv4_claim *claim,
                                       struct srv_sigv4_outcome *outcome);
/* -EACCES, always. */
int srv_sigv4_refuse(struct srv_sigv4_outcome *outcome, enum srv_auth_error error,
                     const char *format, ...) KN_PRINTF(3, 4);
/* As AWS writes times. */
void srv_sigv4_time_text(struct kn_wall wall, char text[static SRV_SIGV4_TIME_BYTES]);

/* A member of a query that is not empty; whether another follows, perhaps of no bytes. A name
 * without '=' has an empty value. */
bool srv_sigv4_query_take(struct srv_http_text *query, struct srv_http_text *ret_name,
                          struct srv_http_text *ret_value);

/* Whether anything in it begins a signature, a good one or not. */
bool srv_sigv4_query_is_signed(struct srv_http_text query);

/* ---- canonical form ---- */

/* Writers report in their status. Percent-encoding is of everything but A-Z a-z 0-9 - . _ ~. */

/* Without dot segments and empty ones, and encoded: of what came encoded, twice. */
void srv_canonical_path(struct kn_writer *writer, struct srv_http_text path);

enum srv_canonical_query {
    SRV_QUERY_NORMAL, /* decoded ('+' is a space), encoded again */
    SRV_QUERY_AS_SENT /* nothing but sorted, as botocore signs */
};

/* The members but X-Amz-Signature, in order of their encoded names and values. `scratch` holds them
 * unsorted. KN_E_LIMIT: more than SRV_SIGV4_QUERY_MAX. */
KN_MUST_CHECK int srv_canonical_query(struct kn_writer *writer, struct kn_writer *scratch,
                                      struct srv_http_text query, enum srv_canonical_query how);

/* Spaces and tabs trimmed at both ends, one space for several inside. */
void srv_canonical_value(struct kn_writer *writer, struct srv_http_text value);

/* The text with its escapes decoded; a '%' that begins none stands for itself. */
void srv_percent_decode(struct kn_writer *writer, struct srv_http_text text, bool plus_is_space);

/* What the canonical form of a request is built in. It keeps its memory from one to the next. */
#define SRV_SIGV4_QUERIES 2u
struct srv_sigv4_room {
    struct kn_writer text, scratch, queries[SRV_SIGV4_QUERIES];
};
void srv_sigv4_room_init(struct srv_sigv4_room *room);
void srv_sigv4_room_finish(struct srv_sigv4_room *room);

/* A request as it may have been signed: any of its hosts, queries and payloads. In order:
 * `begin`, a query, `before_host`, a host, `after_host`, a payload. */
struct srv_sigv4_canonical {
    struct srv_bytes begin, before_host, after_host;
    struct srv_http_text hosts[2], queries[SRV_SIGV4_QUERIES], payloads[2];
    size_t host_count, query_count, payload_count;
    char other_host[300];
    char body_hex[SRV_SHA256_HEX_BYTES];
};

/* Into a zeroed `canonical`, which borrows from the room and points into itself. 0; -EACCES with
 * `outcome` saying why; -ENOMEM. */
KN_MUST_CHECK int srv_sigv4_canonical(const struct srv_sigv4_request *request,
                                      const struct srv_sigv4_claim *claim,
                                      struct srv_sigv4_room *room,
                                      struct srv_sigv4_canonical *canonical,
                                      struct srv_sigv4_outcome *outcome);

/* ---- derived keys ---- */

struct srv_sigv4_keys;

/* What a key is derived from. */
struct srv_sigv4_scope {
    const char *access_key, *date, *region;
    const char *secret; /* not NUL-terminated */
    size_t secret_bytes;
};

KN_MUST_CHECK int srv_sigv4_keys_create(size_t entries, struct srv_sigv4_keys **ret_keys);
void srv_sigv4_keys_destroy(struct srv_sigv4_keys *keys);
bool srv_sigv4_keys_find(struct srv_sigv4_keys *keys, const struct srv_sigv4_scope *scope,
                         uint8_t ret_key[SRV_SHA256_BYTES]);
void srv_sigv4_keys_add(struct srv_sigv4_keys *keys, const struct srv_sigv4_scope *scope,
                        const uint8_t key[static SRV_SHA256_BYTES]);
size_t srv_sigv4_keys_count(const struct srv_sigv4_keys *keys);

#endif
