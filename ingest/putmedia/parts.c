#include "ingest/putmedia/parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define HEADER_MAX (16u * 1024u * 1024u)
/* What a stored fragment may have around it, both sides together. */
#define AROUND_MAX (512u * 1024u)
/* Larger things than tags (Cues, Attachments) are of no use in the middle of a stream. */
#define OTHER_MAX (64u * 1024u)

static int stop(struct ing_parts *parts, enum ing_put_error error) {
    if (parts->error == 0) {
        parts->error = (int)error;
    }
    return -ECANCELED; /* the parser stops for good, whatever it is */
}

/* 0, or stops for a writer that failed. */
static int written(struct ing_parts *parts, const struct kn_writer *writer,
                   enum ing_put_error too_much) {
    int rc = kn_writer_status(writer);
    return rc == 0 ? 0 : stop(parts, rc == KN_E_LIMIT ? too_much : ING_PUT_INTERNAL);
}

struct kn_wall ing_parts_time(const struct ing_parts *parts, int64_t time_ns) {
    struct kn_wall time = {time_ns};
    if (parts->relative && !kn_i64_add(parts->producer_start.ns, time_ns, &time.ns)) {
        time.ns = INT64_MAX;
    }
    return time;
}

/* ---- the list ---- */

struct ing_part *ing_parts_open(const struct ing_parts *parts) {
    return parts->last != NULL && !parts->last->complete ? parts->last : NULL;
}

static void free_part(struct ing_part *part) {
    for (size_t i = 0; part->samples != NULL && i < part->fragment.sample_count; i++) {
        kn_sample_unref(&part->samples[i]);
    }
    free(part->samples);
    kn_buffer_unref(part->fragment.bytes);
    kn_tracks_unref(part->fragment.tracks);
    kn_writer_finish(&part->before);
    kn_writer_finish(&part->after);
    free(part);
}

void ing_parts_drop_first(struct ing_parts *parts) {
    struct ing_part *part = parts->first;
    parts->first = part->next;
    parts->last = parts->first == NULL ? NULL : parts->last;
    free_part(part);
}

void ing_parts_cut(struct ing_parts *parts) {
    struct ing_part *open = parts->last;
    if (open == NULL || open->sealed) {
        return;
    }
    struct ing_part *before = NULL;
    for (struct ing_part *part = parts->first; part != open; part = part->next) {
        before = part;
    }
    if (before == NULL) {
        parts->first = NULL;
    } else {
        before->next = NULL;
    }
    parts->last = before;
    free_part(open);
}

/* Moves what stands between clusters into a part. */
static void move_pending(struct ing_parts *parts, struct kn_writer *to) {
    *to = parts->pending;
    kn_writer_init_growing(&parts->pending, AROUND_MAX);
    parts->element_at = 0;
}

/* The part before takes what came behind it. */
static void seal_last(struct ing_parts *parts) {
    struct ing_part *last = parts->last;
    if (last != NULL && last->complete && !last->sealed) {
        move_pending(parts, &last->after);
        last->sealed = true;
    }
}

/* ---- what the reader tells ---- */

static int begin_cluster(struct ing_parts *parts) {
    parts->header_over = true;
    parts->tags = 0;
    parts->cluster_bytes = 0;
    seal_last(parts);
    struct ing_part *part = calloc(1, sizeof(*part));
    if (part == NULL) {
        return stop(parts, ING_PUT_INTERNAL);
    }
    part->server = parts->now;
    kn_writer_init_growing(&part->after, AROUND_MAX);
    move_pending(parts, &part->before);
    if (parts->last == NULL) {
        parts->first = part;
    } else {
        parts->last->next = part;
    }
    parts->last = part;
    return 0;
}

static int handle_begin(const struct frag_mkv_element *element, void *user) {
    struct ing_parts *parts = user;
    if (element->id == FRAG_MKV_CLUSTER) {
        return begin_cluster(parts);
    }
    parts->in_element = true;
    parts->in_tags = element->id == FRAG_MKV_TAGS;
    parts->end_of_fragment = false;
    parts->element_at = parts->pending.size;
    parts->kept = parts->in_tags || (parts->header_over && element->size <= OTHER_MAX);
    return 0;
}

static int handle_bytes(const uint8_t *data, size_t size, uint64_t offset, void *user) {
    struct ing_parts *parts = user;
    (void)offset;
    if (parts->in_element && parts->kept) {
        kn_write_bytes(&parts->pending, data, size);
        return written(parts, &parts->pending, ING_PUT_METADATA);
    }
    if (!parts->header_over) {
        kn_write_bytes(&parts->header, data, size);
        return written(parts, &parts->header, ING_PUT_INVALID);
    }
    return 0;
}

static int handle_end(const struct frag_mkv_element *element, uint64_t end_offset, void *user) {
    struct ing_parts *parts = user;
    (void)end_offset;
    if (element->id == FRAG_MKV_CLUSTER) {
        return 0;
    }
    parts->in_element = false;
    if (parts->in_tags && parts->end_of_fragment) {
        if (parts->last != NULL && parts->last->complete && !parts->last->sealed) {
            seal_last(parts);
        } else { /* what it ends has ended by itself, and it says nothing of the next one */
            parts->pending.size = parts->element_at;
        }
        parts->tags = 0;
    }
    return 0;
}

static int handle_info(const struct frag_mkv_info *info, void *user) {
    ((struct ing_parts *)user)->timecode_scale_ns = info->timecode_scale_ns;
    return 0;
}

static int handle_tracks(struct kn_tracks *tracks, void *user) {
    struct ing_parts *parts = user;
    return tracks->count > ING_PUT_TRACKS_MAX ? stop(parts, ING_PUT_TRACKS) : 0;
}

static int handle_cluster_time(uint64_t timecode, int64_t time_ns, void *user) {
    struct ing_parts *parts = user;
    struct ing_part *part = parts->last;
    part->has_timecode = true;
    part->timecode = timecode;
    part->time_ns = time_ns;
    int64_t latest_ns = 0;
    if (kn_i64_add(parts->now.ns, ING_PUT_AHEAD_NS, &latest_ns) &&
        ing_parts_time(parts, time_ns).ns > latest_ns) {
        return stop(parts, ING_PUT_TIME);
    }
    return 0;
}

static int copy_fragment(struct ing_part *part, const struct frag_mkv_fragment *fragment) {
    part->samples = calloc(fragment->sample_count + 1, sizeof(*part->samples));
    if (part->samples == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < fragment->sample_count; i++) {
        part->samples[i] = kn_sample_ref(&fragment->samples[i]);
    }
    part->fragment = *fragment;
    part->fragment.samples = part->samples;
    part->fragment.bytes = kn_buffer_ref(fragment->bytes);
    part->fragment.tracks = kn_tracks_ref(fragment->tracks);
    return 0;
}

static int handle_fragment(const struct frag_mkv_fragment *fragment, void *user) {
    struct ing_parts *parts = user;
    struct ing_part *part = parts->last;
    if (!part->has_timecode) { /* of nothing but Voids */
        return stop(parts, ING_PUT_INVALID);
    }
    int wrong = ing_put_check(fragment, &parts->before);
    if (wrong != 0) {
        return stop(parts, (enum ing_put_error)wrong);
    }
    if (copy_fragment(part, fragment) < 0) {
        return stop(parts, ING_PUT_INTERNAL);
    }
    part->complete = true;
    part->sealed = fragment->cluster.size != FRAG_MKV_UNKNOWN_SIZE;
    return 0;
}

static int handle_tag(const struct frag_mkv_tag *tag, void *user) {
    struct ing_parts *parts = user;
    if (strcmp(tag->name, "AWS_KINESISVIDEO_END_OF_FRAGMENT") == 0) {
        parts->end_of_fragment = true;
    }
    /* Muxers tell much of the file as a whole before its first cluster; and names of the service
     * are orders, which are not counted. */
    if (!parts->header_over || strncmp(tag->name, "AWS", 3) == 0) {
        return 0;
    }
    bool fits = ++parts->tags <= ING_PUT_TAGS_MAX && strlen(tag->name) <= ING_PUT_TAG_NAME_MAX &&
                tag->value_bytes <= ING_PUT_TAG_VALUE_MAX;
    return fits ? 0 : stop(parts, ING_PUT_METADATA);
}

static const struct frag_mkv_reader_handler handler = {
    .begin = handle_begin,
    .end = handle_end,
    .info = handle_info,
    .tracks = handle_tracks,
    .cluster_time = handle_cluster_time,
    .fragment = handle_fragment,
    .tag = handle_tag,
    .bytes = handle_bytes,
};

/* ---- face ---- */

int ing_parts_init(struct ing_parts *parts, struct kn_budget *budget) {
    *parts = (struct ing_parts){.timecode_scale_ns = FRAG_MKV_DEFAULT_SCALE_NS};
    kn_writer_init_growing(&parts->header, HEADER_MAX);
    kn_writer_init_growing(&parts->pending, AROUND_MAX);
    const struct frag_mkv_reader_config config = {
        .handler = &handler,
        .user = parts,
        .max_cluster_bytes = FRAG_MAX_BYTES,
        .budget = budget,
    };
    return frag_mkv_reader_create(&config, &parts->reader);
}

void ing_parts_finish(struct ing_parts *parts) {
    while (parts->first != NULL) {
        ing_parts_drop_first(parts);
    }
    frag_mkv_reader_destroy(parts->reader);
    kn_writer_finish(&parts->header);
    kn_writer_finish(&parts->pending);
}

/* The fragment before stands, without the piece of something behind it. */
static void take_fault(struct ing_parts *parts) {
    if (parts->error == 0) {
        bool in_cluster = ing_parts_open(parts) != NULL;
        parts->error = (int)ing_put_fault(frag_mkv_reader_error(parts->reader), in_cluster);
    }
    if (parts->in_element) {
        parts->pending.size = parts->element_at;
    }
    seal_last(parts);
}

void ing_parts_push(struct ing_parts *parts, const void *data, size_t size) {
    if (parts->error == 0 && frag_mkv_reader_push(parts->reader, data, size) < 0) {
        take_fault(parts);
    }
    parts->cluster_bytes += ing_parts_open(parts) != NULL ? size : 0;
}

void ing_parts_end(struct ing_parts *parts) {
    if (parts->error == 0 && frag_mkv_reader_finish(parts->reader) < 0) {
        take_fault(parts);
    }
    seal_last(parts);
}
