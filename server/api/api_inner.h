/* Inner: what the handlers of the API share. Those that answer false, or NULL, have answered the
 * request. */
#ifndef SERVER_API_API_INNER_H
#define SERVER_API_API_INNER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/log.h"
#include "fragments/fragments.h"
#include "server/api/api.h"
#include "server/config/schema.h"
#include "server/exchange/exchange.h"
#include "server/world.h"

#define SRV_API_INVALID "InvalidArgumentException"
#define SRV_API_DENIED "AccessDeniedException"
#define SRV_API_NOT_FOUND "ResourceNotFoundException"
#define SRV_API_CONFLICT "ConflictException"

/* ---- what was asked: ask.c ---- */

/* The query has no other members than these and those of a signature: one that is misspelt must not
 * count as one that is not there. */
bool srv_api_query_only(struct srv_exchange *exchange, const char *const *names);
#define SRV_API_ONLY(exchange, ...)                                                                \
    srv_api_query_only((exchange), (const char *const[]){__VA_ARGS__, NULL})

/* As kn_when_parse reads it, of the query's `name`; `fallback` where it is not there. */
bool srv_api_when(struct srv_exchange *exchange, const char *name, struct kn_wall fallback,
                  struct kn_wall *ret_when);
/* "until", which lies ahead: 7d too. */
bool srv_api_until(struct srv_exchange *exchange, struct kn_wall fallback,
                   struct kn_wall *ret_until);
/* The query's `from` and `to`; all times where they are not there. */
bool srv_api_range(struct srv_exchange *exchange, struct kn_wall *ret_from, struct kn_wall *ret_to);
/* The query's `clock`, "producer" where it is not there. */
bool srv_api_clock(struct srv_exchange *exchange, enum frag_clock *ret_clock);
/* The body by a table into `target`, which has its defaults. srv_schema_finish it, whatever the
 * answer. */
bool srv_api_body(struct srv_exchange *exchange, const struct srv_schema *table, void *target);
/* What stands at {stream}. */
struct frag_stream *srv_api_stream(struct srv_exchange *exchange);
bool srv_api_may(const struct srv_exchange *exchange, enum srv_action action, const char *stream);
struct kn_wall srv_api_now(const struct srv_exchange *exchange);

extern const char *const srv_api_clock_names[]; /* by enum frag_clock; ends in NULL */

/* ---- lists: list.c ---- */

#define SRV_API_LIST_DEFAULT 100u
#define SRV_API_LIST_MAX 1000u
#define SRV_API_AFTER_BYTES 400u

/* {"streams": [...], "next": "..."}: at most `limit` rows from behind `after` on.
 *
 *     srv_api_list_begin -> srv_api_list_full, srv_api_list_add ... -> srv_api_list_answer */
struct srv_api_list {
    json_t *rows;
    size_t limit;
    bool more;                       /* there are rows behind the last one */
    char after[SRV_API_AFTER_BYTES]; /* the query's; "": from the first row on */
    char next[SRV_API_AFTER_BYTES];
};

/* Reads `limit` and `after`. */
bool srv_api_list_begin(struct srv_exchange *exchange, struct srv_api_list *list);
/* Ask when there is another row: true says that it has no place, and the answer will have `next`.
 */
bool srv_api_list_full(struct srv_api_list *list);
/* Takes the reference. `format` is what `after` will be to go on behind this row. 0 or -ENOMEM. */
KN_MUST_CHECK int srv_api_list_add(struct srv_api_list *list, json_t *row, const char *format, ...)
    KN_PRINTF(3, 4);
/* `error` below 0: the list failed, unless it was ended because it is full. Frees it. */
void srv_api_list_answer(struct srv_exchange *exchange, struct srv_api_list *list, const char *name,
                         int error);
/* The same with what else belongs to the answer, whose reference it takes; NULL: no memory. */
void srv_api_list_answer_with(struct srv_exchange *exchange, struct srv_api_list *list,
                              const char *name, json_t *other, int error);
/* Digits at *text, which then stands behind them: strtoull would take signs and spaces. */
KN_MUST_CHECK bool srv_api_number(const char **text, uint64_t *ret_number);
/* `after` is none that this server gave. */
void srv_api_list_refuse(struct srv_exchange *exchange, struct srv_api_list *list);

/* ---- audit: audit.c ---- */

/* A line in the log of what was changed, by whom and from where; at least one field of which object
 * it was. */
void srv_api_audit_write(const struct srv_exchange *exchange, const char *what,
                         const struct kn_field *fields, size_t count);
#define srv_api_audit(exchange, what, ...)                                                         \
    srv_api_audit_write((exchange), (what), KN_LOG_FIELDS(__VA_ARGS__))

/* ---- objects ---- */

/* stream_json.c: 0, -ENOENT (it was deleted meanwhile), -ENOMEM. */
KN_MUST_CHECK int srv_api_stream_show(struct srv_world *world, struct frag_stream *stream,
                                      json_t **ret_object);
/* stream_change.c */
void srv_api_create_stream(struct srv_exchange *exchange);
void srv_api_change_stream(struct srv_exchange *exchange);
void srv_api_delete_stream(struct srv_exchange *exchange);
/* streams.c: the stream with what only those see who may manage it. */
void srv_api_answer_stream(struct srv_exchange *exchange, int status, struct frag_stream *stream);

/* principal_json.c: without secrets. NULL: no memory. */
json_t *srv_api_principal_json(const struct srv_principal *principal);
/* "key", "user", "token" or "anyone". */
const char *srv_api_kind_name(const struct srv_principal *principal);
json_t *srv_api_grants_json(const struct srv_principal *principal);

/* sessions.c */
#define SRV_API_SESSION_BODY_MAX 8192u
void srv_api_sign_in(struct srv_exchange *exchange);
void srv_api_sign_out(struct srv_exchange *exchange);
void srv_api_who(struct srv_exchange *exchange);

/* openapi.json as it stands beside this; made at build time. */
extern const char srv_api_openapi[];

#endif
