/* A stream as lists and events show it. */
#include <errno.h>
#include <stdlib.h>

#include "server/api/api_inner.h"
#include "server/json/json.h"
#include "server/live.h"
#include "server/sources.h"

/* A fragment is told once it is complete and durable, counts from its first byte on, and lasts
 * until a key frame comes: with a target of 2 s and a key frame each 10 s nothing is late yet. */
#define LATE_TARGETS 2
#define LATE_NS (20 * KN_NS_PER_S)

static const char *const source_states[] = {
    [ING_SOURCE_STARTING] = "starting",
    [ING_SOURCE_RUNNING] = "running",
    [ING_SOURCE_WAITING] = "waiting",
    [ING_SOURCE_STOPPED] = "stopped",
};

struct traffic {
    uint64_t producers, consumers;
};

static int count_traffic(const struct srv_live_info *info, void *user) {
    struct traffic *traffic = user;
    if (info->side == SRV_LIVE_PRODUCER) {
        traffic->producers++;
    } else {
        traffic->consumers++;
    }
    return 0;
}

static json_t *tags_json(const struct frag_stream_info *info) {
    json_t *tags = json_object();
    for (size_t i = 0; i < info->tag_count && tags != NULL; i++) {
        if (json_object_set_new(tags, info->tags[i].key, srv_json_text(info->tags[i].value)) < 0) {
            json_decref(tags);
            tags = NULL;
        }
    }
    return tags;
}

static json_t *causes_json(const struct frag_stream_counters *counters) {
    json_t *causes = json_object();
    for (unsigned i = 0; i < FRAG_GAP_CAUSES && causes != NULL; i++) {
        if (counters->gaps_by_cause[i] > 0 &&
            json_object_set_new(causes, frag_gap_cause_text((enum frag_gap_cause)i),
                                srv_json_u64(counters->gaps_by_cause[i])) < 0) {
            json_decref(causes);
            causes = NULL;
        }
    }
    return causes;
}

static json_t *counters_json(const struct frag_stream_counters *counters) {
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "fragments",
                     srv_json_u64(counters->fragments), "frames", srv_json_u64(counters->frames),
                     "bytes", srv_json_u64(counters->bytes), "failed",
                     srv_json_u64(counters->failed), "dropped_samples",
                     srv_json_u64(counters->dropped_samples), "gaps", srv_json_u64(counters->gaps),
                     "gaps_by_cause", causes_json(counters), "reels_on_disk",
                     srv_json_u64(counters->reels_on_disk), "bytes_on_disk",
                     srv_json_u64(counters->bytes_on_disk), "fragments_on_disk",
                     srv_json_u64(counters->fragments_on_disk));
}

static json_t *source_json(const struct ing_source_status *status) {
    return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "state", source_states[status->state],
                     "since", srv_json_time(status->since), "starts", srv_json_u64(status->starts),
                     "failures", srv_json_u64(status->failures), "bytes",
                     srv_json_u64(status->bytes), "samples", srv_json_u64(status->samples),
                     "problem", srv_json_text(status->problem));
}

/* Which of its rows are the file's; null where it is not in the file. */
static json_t *configured_json(struct srv_world *world, const char *name) {
    const struct srv_config *config = srv_world_config(world);
    json_t *rows = json_null();
    if (srv_config_stream_find(config, name) != NULL) {
        rows = json_array();
        for (unsigned i = 0; i < SRV_STREAM_ROWS && rows != NULL; i++) {
            if (srv_config_owns(config, name, (enum srv_stream_row)i) &&
                json_array_append_new(rows, json_string(srv_stream_schema[i].name)) < 0) {
                json_decref(rows);
                rows = NULL;
            }
        }
    }
    srv_config_unref(config);
    return rows;
}

static int64_t age_ns(const struct frag_stream_info *info, struct kn_wall now) {
    int64_t last_ns = info->counters.last_fragment.ns;
    return now.ns > last_ns ? now.ns - last_ns : 0;
}

static const char *health(const struct frag_stream_info *info, struct kn_wall now, bool has_input) {
    int64_t late_ns = LATE_TARGETS * info->settings.target_ns + LATE_NS;
    if (info->counters.last_fragment.ns != 0 && age_ns(info, now) <= late_ns) {
        return "recording";
    }
    return has_input ? "late" : "idle";
}

static json_t *age_json(const struct frag_stream_info *info, struct kn_wall now) {
    return info->counters.last_fragment.ns == 0
               ? json_null()
               : json_real((double)(age_ns(info, now) / KN_NS_PER_MS) / 1e3);
}

/* Under the names of the rows that change them (srv_stream_schema). */
static json_t *settings_json(const struct frag_stream_info *info) {
    const struct frag_stream_settings *settings = &info->settings;
    return json_pack(
        "{s:s, s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b}", "name", info->name, "id",
        srv_json_hex(info->id, sizeof(info->id)), "version", info->version, "created",
        srv_json_time(info->created), "retention", srv_json_duration(settings->retention_ns),
        "retention_bytes", srv_json_u64(settings->retention_bytes), "target",
        srv_json_duration(settings->target_ns), "media_type", srv_json_text(settings->media_type),
        "device_name", srv_json_text(settings->device_name), "tags", tags_json(info), "records",
        settings->records);
}

static json_t *state_json(struct srv_world *world, const struct frag_stream_info *info) {
    struct kn_wall now = world->clock->wall(world->clock);
    struct traffic traffic = {0};
    struct ing_source_status source;
    bool pulled = srv_sources_status(world->sources, info->name, &source) == 0;
    /* No answer of count_traffic ends it. */
    (void)srv_live_each(world->live, info->name, count_traffic, &traffic);
    return json_pack("{s:o, s:o, s:o, s:o, s:s, s:o, s:o, s:o}", "counters",
                     counters_json(&info->counters), "last_fragment",
                     srv_json_time(info->counters.last_fragment), "last_fragment_age_s",
                     age_json(info, now), "source", pulled ? source_json(&source) : json_null(),
                     "health", health(info, now, pulled || traffic.producers > 0), "producers",
                     srv_json_u64(traffic.producers), "consumers", srv_json_u64(traffic.consumers),
                     "configured", configured_json(world, info->name));
}

static json_t *stream_json(struct srv_world *world, const struct frag_stream_info *info) {
    json_t *object = settings_json(info);
    json_t *state = object == NULL ? NULL : state_json(world, info);
    if (state == NULL || json_object_update(object, state) < 0) {
        json_decref(object);
        object = NULL;
    }
    json_decref(state);
    return object;
}

int srv_api_stream_show(struct srv_world *world, struct frag_stream *stream, json_t **ret_object) {
    struct frag_stream_info *info = malloc(sizeof(*info));
    if (info == NULL) {
        return -ENOMEM;
    }
    int rc = frag_stream_describe(stream, info);
    if (rc == 0) {
        json_t *object = stream_json(world, info);
        rc = object == NULL ? -ENOMEM : 0;
        *ret_object = rc == 0 ? object : *ret_object;
    }
    free(info);
    return rc;
}

json_t *srv_api_stream_json(struct srv_world *world, struct frag_stream *stream) {
    json_t *object = NULL;
    return srv_api_stream_show(world, stream, &object) == 0 ? object : NULL;
}
