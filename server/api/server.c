/* Who sends and reads now, and the server itself. */
#include "server/api/api.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/path.h"
#include "server/api/api_inner.h"
#include "server/events.h"
#include "server/json/json.h"
#include "server/live.h"
#include "server/server.h"

/* ---- live ---- */

struct live_list {
    struct srv_exchange *exchange;
    struct srv_api_list *list;
    const char *stream; /* NULL: all that may be listed */
    uint64_t after;
    json_t *producers, *consumers;
};

/* Who it is and from where is for those who manage the stream. */
static json_t *live_json(const struct srv_live_info *info, bool shows_peer) {
    return json_pack(
        "{s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "id", srv_json_u64(info->id), "protocol",
        info->protocol, "stream",
        info->stream[0] == '\0' ? json_null() : srv_json_text(info->stream), "peer",
        shows_peer ? srv_json_text(info->peer) : json_null(), "principal",
        shows_peer && info->principal[0] != '\0' ? srv_json_text(info->principal) : json_null(),
        "since", srv_json_time(info->since), "bytes", srv_json_u64(info->bytes), "fragments",
        srv_json_u64(info->fragments), "bytes_per_s", srv_json_u64(info->bytes_per_s));
}

static int put_live(const struct srv_live_info *info, void *user) {
    struct live_list *live = user;
    const char *stream = info->stream[0] == '\0' ? NULL : info->stream;
    if (info->id <= live->after ||
        (live->stream == NULL && !srv_api_may(live->exchange, SRV_ACTION_LIST, stream))) {
        return 0;
    }
    if (srv_api_list_full(live->list)) {
        return -ECANCELED;
    }
    json_t *row = live_json(info, srv_api_may(live->exchange, SRV_ACTION_MANAGE, stream));
    json_t *side = info->side == SRV_LIVE_PRODUCER ? live->producers : live->consumers;
    if (row == NULL || json_array_append(side, row) < 0) {
        json_decref(row);
        return -ENOMEM;
    }
    return srv_api_list_add(live->list, row, "%" PRIu64, info->id);
}

/* Both sides count into one list, whose rows are shared with the arrays that are shown. */
static void answer_live(struct srv_exchange *exchange, const char *stream) {
    struct srv_api_list list;
    if (!SRV_API_ONLY(exchange, "limit", "after") || !srv_api_list_begin(exchange, &list)) {
        return;
    }
    struct live_list live = {.exchange = exchange, .list = &list, .stream = stream};
    const char *at = list.after;
    if (*at != '\0' && (!srv_api_number(&at, &live.after) || *at != '\0')) {
        srv_api_list_refuse(exchange, &list);
        return;
    }
    live.producers = json_array();
    live.consumers = json_array();
    int rc = -ENOMEM;
    if (live.producers != NULL && live.consumers != NULL) {
        rc = srv_live_each(srv_exchange_world(exchange)->live, stream, put_live, &live);
    }
    if (rc < 0 && !list.more) {
        srv_answer_failure(exchange, rc, "listing");
    } else {
        srv_answer_json(exchange, 200,
                        json_pack("{s:O, s:O, s:o}", "producers", live.producers, "consumers",
                                  live.consumers, "next",
                                  list.more ? json_string(list.next) : json_null()));
    }
    json_decref(live.producers);
    json_decref(live.consumers);
    json_decref(list.rows);
}

static void list_live(struct srv_exchange *exchange) {
    answer_live(exchange, NULL);
}

static void list_stream_live(struct srv_exchange *exchange) {
    struct frag_stream *stream = srv_api_stream(exchange);
    if (stream != NULL) {
        answer_live(exchange, frag_stream_name(stream));
    }
}

/* ---- the server ---- */

struct disks {
    json_t *list;
    bool shows_paths;
};

static int put_disk(const struct frag_folder_info *info, void *user) {
    struct disks *disks = user;
    json_t *disk =
        json_pack("{s:i, s:o, s:b, s:b, s:o, s:o}", "number", (int)info->number, "path",
                  disks->shows_paths ? srv_json_text(info->path) : json_null(), "online",
                  info->online, "full", info->full, "free_bytes", srv_json_u64(info->free_bytes),
                  "total_bytes", srv_json_u64(info->total_bytes));
    return disk == NULL || json_array_append_new(disks->list, disk) < 0 ? -ENOMEM : 0;
}

static json_t *disks_json(struct frag_store *store, bool shows_paths) {
    struct disks disks = {.list = json_array(), .shows_paths = shows_paths};
    if (disks.list != NULL && frag_store_folders(store, put_disk, &disks) < 0) {
        json_decref(disks.list);
        return NULL;
    }
    return disks.list;
}

static json_t *store_json(struct frag_store *store, bool shows_paths) {
    struct frag_store_stats stats = frag_store_stats(store);
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "streams",
                     srv_json_u64(stats.streams), "reels", srv_json_u64(stats.reels), "fragments",
                     srv_json_u64(stats.fragments), "bytes", srv_json_u64(stats.bytes),
                     "deleted_reels", srv_json_u64(stats.deleted_reels), "deleted_bytes",
                     srv_json_u64(stats.deleted_bytes), "memory_used_bytes",
                     srv_json_u64(stats.memory_used), "memory_max_bytes",
                     srv_json_u64(stats.memory_max), "disks", disks_json(store, shows_paths));
}

static json_t *place_json(const struct srv_config *config) {
    char path[PATH_MAX];
    bool has_file = config->path != NULL && kn_path_absolute(config->path, path) == 0;
    return json_pack("{s:o, s:o}", "data", srv_json_text(config->data), "file",
                     has_file ? srv_json_text(path) : json_null());
}

/* Everybody sees whether it works; what is stored as a whole, those who may list all; where, the
 * admin. */
static json_t *server_json(struct srv_exchange *exchange, const struct srv_config *config) {
    struct srv_world *world = srv_exchange_world(exchange);
    struct frag_store_stats stats = frag_store_stats(world->store);
    bool lists = srv_api_may(exchange, SRV_ACTION_LIST, NULL);
    bool administers = srv_api_may(exchange, SRV_ACTION_ADMIN, NULL);
    return json_pack(
        "{s:s, s:o, s:o, s:s, s:b, s:b, s:o, s:o, s:o}", "version", KINORA_VERSION, "started",
        srv_json_time(world->started), "now", srv_json_time(srv_api_now(exchange)), "health",
        srv_events_health(world->events)->word, "clock_in_doubt", stats.clock_in_doubt, "open_mode",
        srv_gate_is_open(world->gate), "url", srv_json_text(srv_exchange_base_url(exchange)),
        "store", lists ? store_json(world->store, administers) : json_null(), "place",
        administers ? place_json(config) : json_null());
}

static void show_server(struct srv_exchange *exchange) {
    if (SRV_API_ONLY(exchange, NULL)) {
        const struct srv_config *config = srv_world_config(srv_exchange_world(exchange));
        srv_answer_json(exchange, 200, server_json(exchange, config));
        srv_config_unref(config);
    }
}

static void answer_config(struct srv_exchange *exchange, const struct srv_config *config) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (out == NULL) {
        srv_answer_failure(exchange, -ENOMEM, "printing the configuration");
        return;
    }
    srv_config_print(config, out);
    bool whole = ferror(out) == 0;
    if (fclose(out) != 0 || !whole) {
        srv_answer_failure(exchange, -ENOMEM, "printing the configuration");
    } else {
        srv_answer(exchange, 200, "application/yaml", text, size);
    }
    free(text);
}

static void show_config(struct srv_exchange *exchange) {
    if (SRV_API_ONLY(exchange, NULL)) {
        const struct srv_config *config = srv_world_config(srv_exchange_world(exchange));
        answer_config(exchange, config);
        srv_config_unref(config);
    }
}

const char *srv_openapi(void) {
    return srv_api_openapi;
}

static void show_openapi(struct srv_exchange *exchange) {
    if (SRV_API_ONLY(exchange, NULL)) {
        srv_answer(exchange, 200, "application/json", srv_api_openapi, strlen(srv_api_openapi));
    }
}

/* ---- the table ---- */

static const struct srv_route rows[] = {
    {.name = "ListLive",
     .method = SRV_HTTP_GET,
     .path = "/api/v1/live",
     .access = SRV_SIGNED_IN,
     .handle = list_live},
    {.name = "ListStreamLive",
     .method = SRV_HTTP_GET,
     .path = "/api/v1/streams/{stream}/live",
     .access = SRV_ON_STREAM,
     .action = SRV_ACTION_LIST,
     .handle = list_stream_live},
    {.name = "DescribeServer",
     .method = SRV_HTTP_GET,
     .path = "/api/v1/server",
     .access = SRV_SIGNED_IN,
     .handle = show_server},
    {.name = "ShowConfiguration",
     .method = SRV_HTTP_GET,
     .path = "/api/v1/config",
     .access = SRV_ON_ALL,
     .action = SRV_ACTION_ADMIN,
     .handle = show_config},
    {.name = "ShowOpenApi",
     .method = SRV_HTTP_GET,
     .path = "/api/v1/openapi.json",
     .access = SRV_OPEN,
     .handle = show_openapi},
};

const struct srv_routes srv_api_server_routes = {.rows = rows, .count = KN_COUNT(rows)};
