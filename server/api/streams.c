/* Streams, what is stored of them, and what is missing. */
#include "server/api/api.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "server/api/api_inner.h"
#include "server/json/json.h"

#define NAME_LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

/* ---- streams ---- */

static int put_stream(struct srv_exchange *exchange, struct srv_api_list *list,
                      struct frag_stream *stream) {
    const char *name = frag_stream_name(stream);
    if (!srv_api_may(exchange, SRV_ACTION_LIST, name)) {
        return 0;
    }
    if (srv_api_list_full(list)) {
        return -ECANCELED;
    }
    json_t *row = NULL;
    int rc = srv_api_stream_show(srv_exchange_world(exchange), stream, &row);
    if (rc == -ENOENT) {
        return 0; /* deleted just now */
    }
    return rc < 0 ? rc : srv_api_list_add(list, row, "%s", name);
}

static void list_streams(struct srv_exchange *exchange) {
    struct frag_store *store = srv_exchange_world(exchange)->store;
    struct srv_api_list list;
    if (!SRV_API_ONLY(exchange, "limit", "after") || !srv_api_list_begin(exchange, &list)) {
        return;
    }
    if (strspn(list.after, NAME_LETTERS) != strlen(list.after)) {
        srv_api_list_refuse(exchange, &list);
        return;
    }
    int rc = 0;
    struct frag_stream *stream = frag_stream_next(store, list.after[0] == '\0' ? NULL : list.after);
    while (stream != NULL && rc == 0) {
        rc = put_stream(exchange, &list, stream);
        stream = frag_stream_next(store, frag_stream_name(stream));
    }
    srv_api_list_answer(exchange, &list, "streams", rc);
}

struct folder_search {
    uint16_t number;
    const char *path;
};

static int match_folder(const struct frag_folder_info *info, void *user) {
    struct folder_search *search = user;
    search->path = info->number == search->number ? info->path : search->path;
    return 0;
}

/* Where it is stored, which tells of the machine; null: the store chooses. */
static json_t *storage_json(struct frag_stream *stream) {
    struct frag_stream_info *info = malloc(sizeof(*info));
    struct folder_search search = {0};
    int rc = info == NULL ? -ENOMEM : frag_stream_describe(stream, info);
    bool any = rc < 0 || info->settings.folder == FRAG_FOLDER_ANY;
    search.number = any ? FRAG_FOLDER_ANY : info->settings.folder;
    free(info);
    if (rc < 0) {
        return NULL;
    }
    /* No answer of match_folder ends it. */
    (void)frag_store_folders(frag_stream_store(stream), match_folder, &search);
    return any || search.path == NULL ? json_null() : srv_json_text(search.path);
}

void srv_api_answer_stream(struct srv_exchange *exchange, int status, struct frag_stream *stream) {
    json_t *object = NULL;
    int rc = srv_api_stream_show(srv_exchange_world(exchange), stream, &object);
    if (rc == 0 && srv_api_may(exchange, SRV_ACTION_MANAGE, frag_stream_name(stream)) &&
        json_object_set_new(object, "storage", storage_json(stream)) < 0) {
        json_decref(object);
        rc = -ENOMEM;
    }
    if (rc == 0) {
        srv_answer_json(exchange, status, object);
    } else if (rc == -ENOENT) {
        srv_answer_error(exchange, 404, SRV_API_NOT_FOUND, "there is no such stream");
    } else {
        srv_answer_failure(exchange, rc, "describing the stream");
    }
}

static void show_stream(struct srv_exchange *exchange) {
    struct frag_stream *stream = NULL;
    if (SRV_API_ONLY(exchange, NULL) && (stream = srv_api_stream(exchange)) != NULL) {
        srv_api_answer_stream(exchange, 200, stream);
    }
}

/* ---- fragments ---- */

static json_t *fragment_json(const struct frag_entry *entry) {
    char number[FRAG_NUMBER_TEXT_BYTES];
    return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:b}", "number",
                     frag_number_format(entry->number, number), "sequence",
                     srv_json_u64(entry->number.sequence), "ordinal", srv_json_u64(entry->ordinal),
                     "discontinuities", srv_json_u64(entry->discontinuities), "producer",
                     srv_json_time(entry->producer), "server", srv_json_time(entry->server),
                     "duration", srv_json_duration(entry->duration_ns), "bytes",
                     srv_json_u64(entry->cluster_bytes), "discontinuity",
                     (entry->flags & FRAG_DISCONTINUITY) != 0, "key_start",
                     (entry->flags & FRAG_NO_KEY_START) == 0);
}

struct range {
    struct frag_stream *stream;
    enum frag_clock clock;
    struct kn_wall from, to;
    uint64_t after;
};

static bool read_after(const char *text, uint64_t *ret_after) {
    *ret_after = 0;
    return *text == '\0' || (srv_api_number(&text, ret_after) && *text == '\0');
}

static int put_fragments(struct frag_archive *archive, struct srv_api_list *list,
                         const struct range *range, struct frag_entry *entries) {
    int rc = frag_archive_range(archive, range->stream, range->clock, range->from, range->to,
                                range->after, entries, list->limit);
    int count = rc;
    uint64_t last = count > 0 ? entries[count - 1].number.sequence : 0;
    for (int i = 0; i < count && rc >= 0; i++) {
        rc = srv_api_list_add(list, fragment_json(&entries[i]), "%" PRIu64,
                              entries[i].number.sequence);
    }
    if (rc < 0 || (size_t)count < list->limit) {
        return rc;
    }
    rc = frag_archive_range(archive, range->stream, range->clock, range->from, range->to, last,
                            entries, 1);
    list->more = rc > 0;
    return rc;
}

static void answer_fragments(struct srv_exchange *exchange, struct srv_api_list *list,
                             const struct range *range) {
    struct frag_archive *archive = srv_exchange_archive(exchange);
    struct frag_entry *entries = calloc(list->limit, sizeof(*entries));
    int rc = -ENOMEM;
    if (archive != NULL && entries != NULL) {
        rc = put_fragments(archive, list, range, entries);
    }
    free(entries);
    srv_api_list_answer(exchange, list, "fragments", rc);
}

static void list_fragments(struct srv_exchange *exchange) {
    struct srv_api_list list;
    struct range range;
    if (!SRV_API_ONLY(exchange, "from", "to", "clock", "limit", "after") ||
        (range.stream = srv_api_stream(exchange)) == NULL ||
        !srv_api_range(exchange, &range.from, &range.to) ||
        !srv_api_clock(exchange, &range.clock) || !srv_api_list_begin(exchange, &list)) {
        return;
    }
    if (read_after(list.after, &range.after)) {
        answer_fragments(exchange, &list, &range);
    } else {
        srv_api_list_refuse(exchange, &list);
    }
}

/* ---- gaps ---- */

/* Gaps have no names: how many with this beginning are behind us tells where to go on. */
struct gap_place {
    int64_t from_ns;
    uint64_t passed;
};

struct gap_list {
    struct srv_api_list *list;
    const char *stream;
    struct gap_place after; /* the request's; `passed` 0: from the beginning */
    struct gap_place at;
};

static json_t *gap_json(const char *stream, const struct frag_gap_entry *gap) {
    return json_pack("{s:s, s:o, s:o, s:s, s:b, s:o, s:o}", "stream", stream, "from",
                     srv_json_time(gap->gap.from), "to",
                     gap->open ? json_null() : srv_json_time(gap->gap.to), "cause",
                     frag_gap_cause_text(gap->gap.cause), "open", gap->open, "ordinal",
                     gap->ordinals == 0 ? json_null() : srv_json_u64(gap->ordinal), "ordinals",
                     srv_json_u64(gap->ordinals));
}

static bool is_passed(const struct gap_list *gaps) {
    return gaps->after.passed > 0 &&
           (gaps->at.from_ns < gaps->after.from_ns ||
            (gaps->at.from_ns == gaps->after.from_ns && gaps->at.passed <= gaps->after.passed));
}

static int put_gap(const struct frag_gap_entry *gap, void *user) {
    struct gap_list *gaps = user;
    bool same = gaps->at.passed > 0 && gaps->at.from_ns == gap->gap.from.ns;
    gaps->at = (struct gap_place){gap->gap.from.ns, same ? gaps->at.passed + 1 : 1};
    if (is_passed(gaps)) {
        return 0;
    }
    if (srv_api_list_full(gaps->list)) {
        return -ECANCELED;
    }
    return srv_api_list_add(gaps->list, gap_json(gaps->stream, gap), "%s:%" PRIu64 ":%" PRIu64,
                            gaps->stream, (uint64_t)gaps->at.from_ns, gaps->at.passed);
}

/* "name:from:passed"; a name has no colon. Empty: from the first on. */
static bool read_gap_place(char *after, const char **ret_stream, struct gap_place *ret_place) {
    *ret_stream = NULL;
    *ret_place = (struct gap_place){0};
    if (*after == '\0') {
        return true;
    }
    char *colon = strchr(after, ':');
    if (colon == NULL) {
        return false;
    }
    const char *at = colon + 1;
    uint64_t from = 0;
    if (!srv_api_number(&at, &from) || *at++ != ':' || !srv_api_number(&at, &ret_place->passed) ||
        *at != '\0' || ret_place->passed == 0) {
        return false;
    }
    ret_place->from_ns = (int64_t)from;
    *colon = '\0';
    *ret_stream = after;
    return true;
}

static int put_gaps(struct srv_api_list *list, struct frag_stream *stream, struct gap_place after,
                    const struct range *range) {
    struct gap_list gaps = {.list = list, .stream = frag_stream_name(stream), .after = after};
    return frag_gap_each(stream, range->from, range->to, put_gap, &gaps);
}

static void list_stream_gaps(struct srv_exchange *exchange) {
    struct srv_api_list list;
    struct range range;
    struct gap_place after;
    const char *name = NULL;
    if (!SRV_API_ONLY(exchange, "from", "to", "limit", "after") ||
        (range.stream = srv_api_stream(exchange)) == NULL ||
        !srv_api_range(exchange, &range.from, &range.to) || !srv_api_list_begin(exchange, &list)) {
        return;
    }
    if (!read_gap_place(list.after, &name, &after) ||
        (name != NULL && strcmp(name, frag_stream_name(range.stream)) != 0)) {
        srv_api_list_refuse(exchange, &list);
        return;
    }
    srv_api_list_answer(exchange, &list, "gaps", put_gaps(&list, range.stream, after, &range));
}

static int put_all_gaps(struct srv_exchange *exchange, struct srv_api_list *list,
                        const struct range *range, const char *first, struct gap_place after) {
    struct frag_store *store = srv_exchange_world(exchange)->store;
    struct frag_stream *stream = first == NULL ? NULL : frag_stream_find(store, first);
    int rc = 0;
    if (stream == NULL) { /* none was passed, or that one was deleted meanwhile */
        after = (struct gap_place){0};
        stream = frag_stream_next(store, first);
    }
    while (stream != NULL && rc == 0) {
        if (srv_api_may(exchange, SRV_ACTION_LIST, frag_stream_name(stream))) {
            rc = put_gaps(list, stream, after, range);
        }
        after = (struct gap_place){0};
        stream = frag_stream_next(store, frag_stream_name(stream));
    }
    return rc;
}

static void list_gaps(struct srv_exchange *exchange) {
    struct srv_api_list list;
    struct range range;
    struct gap_place after;
    const char *first = NULL;
    if (!SRV_API_ONLY(exchange, "from", "to", "limit", "after") ||
        !srv_api_range(exchange, &range.from, &range.to) || !srv_api_list_begin(exchange, &list)) {
        return;
    }
    if (!read_gap_place(list.after, &first, &after)) {
        srv_api_list_refuse(exchange, &list);
        return;
    }
    srv_api_list_answer(exchange, &list, "gaps",
                        put_all_gaps(exchange, &list, &range, first, after));
}

/* ---- the table ---- */

static const struct srv_route rows[] = {
    {.name = "ListStreams",
     .method = SRV_HTTP_GET,
     .path = "/api/v1/streams",
     .access = SRV_SIGNED_IN,
     .handle = list_streams},
    {.name = "CreateStream",
     .method = SRV_HTTP_POST,
     .path = "/api/v1/streams",
     .access = SRV_SIGNED_IN,
     .body = SRV_BODY_JSON,
     .handle = srv_api_create_stream},
    {.name = "DescribeStream",
     .method = SRV_HTTP_GET,
     .path = "/api/v1/streams/{stream}",
     .access = SRV_ON_STREAM,
     .action = SRV_ACTION_LIST,
     .handle = show_stream},
    {.name = "UpdateStream",
     .method = SRV_HTTP_PATCH,
     .path = "/api/v1/streams/{stream}",
     .access = SRV_ON_STREAM,
     .action = SRV_ACTION_MANAGE,
     .body = SRV_BODY_JSON,
     .handle = srv_api_change_stream},
    {.name = "DeleteStream",
     .method = SRV_HTTP_DELETE,
     .path = "/api/v1/streams/{stream}",
     .access = SRV_ON_STREAM,
     .action = SRV_ACTION_MANAGE,
     .handle = srv_api_delete_stream},
    {.name = "ListFragments",
     .method = SRV_HTTP_GET,
     .path = "/api/v1/streams/{stream}/fragments",
     .access = SRV_ON_STREAM,
     .action = SRV_ACTION_READ,
     .handle = list_fragments},
    {.name = "ListStreamGaps",
     .method = SRV_HTTP_GET,
     .path = "/api/v1/streams/{stream}/gaps",
     .access = SRV_ON_STREAM,
     .action = SRV_ACTION_LIST,
     .handle = list_stream_gaps},
    {.name = "ListGaps",
     .method = SRV_HTTP_GET,
     .path = "/api/v1/gaps",
     .access = SRV_SIGNED_IN,
     .handle = list_gaps},
};

const struct srv_routes srv_api_streams_routes = {.rows = rows, .count = KN_COUNT(rows)};
