/* A parser under watch: every event is checked against the handler's contract as it comes, and goes
 * into a digest (and, when asked for, a line of text). The same document in other cuts must give
 * the same digest.
 *
 *     struct mkv_watch watch = {.input = data, .size = size, .verify_crc = true};
 *     struct mkv_outcome outcome;
 *     mkv_watch_start(&watch) -> mkv_watch_push(&watch, n)... -> mkv_watch_end(&watch, &outcome)
 *
 * Broken contracts end the program. Payload is not hashed: a piece that points into the input at
 * its place is right by that, any other is compared. All static: fuzz targets are one file. */
#ifndef TESTS_SUPPORT_MKV_WATCH_H
#define TESTS_SUPPORT_MKV_WATCH_H

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc.h"
#include "base/error.h"
#include "fragments/matroska.h"

struct mkv_watch {
    const uint8_t *input;
    size_t size;
    bool verify_crc;
    bool copies; /* push copies of exactly their size, so that a read past a push is seen */
    char *log;   /* NULL: none */
    size_t log_room;
    uint64_t stop_at_event; /* this event (from 1) answers stop_result; 0: none */
    int stop_result;
    struct kn_tracks *cluster_mode; /* as in the parser's configuration */

    struct frag_mkv_parser *parser;
    size_t pushed;
    uint64_t told; /* bytes events cover the input up to here */
    uint64_t digest, events, frames;
    size_t log_used, track_count;
    struct frag_mkv_element level1;
    bool in_level1, ebml_told, segment_told, stopped;
    int result;
};

struct mkv_outcome {
    uint64_t digest, events, frames, told;
    int result;
    struct frag_mkv_error error;
};

/* ---- digest and text ---- */

static inline void mkv_watch_mix(struct mkv_watch *watch, uint64_t value) {
    watch->digest = (watch->digest ^ value) * UINT64_C(0x9E3779B97F4A7C15);
    watch->digest ^= watch->digest >> 29;
}

static inline void mkv_watch_mix_bytes(struct mkv_watch *watch, const void *data, size_t size) {
    const uint8_t *bytes = data;
    mkv_watch_mix(watch, size);
    for (size_t i = 0; i < size; i++) {
        mkv_watch_mix(watch, bytes[i]);
    }
}

static inline void mkv_watch_mix_text(struct mkv_watch *watch, const char *text) {
    mkv_watch_mix_bytes(watch, text, strlen(text));
}

KN_PRINTF(2, 3) static inline void mkv_watch_log(struct mkv_watch *watch, const char *format, ...) {
    if (watch->log == NULL) {
        return;
    }
    va_list args;
    va_start(args, format);
    int length =
        vsnprintf(watch->log + watch->log_used, watch->log_room - watch->log_used, format, args);
    va_end(args);
    KN_ASSERT(length >= 0 && (size_t)length < watch->log_room - watch->log_used);
    watch->log_used += (size_t)length;
}

/* Every event but `bytes`. */
static inline int mkv_watch_event(struct mkv_watch *watch, uint64_t kind) {
    KN_ASSERT(!watch->stopped);
    watch->events++;
    mkv_watch_mix(watch, kind);
    if (watch->events == watch->stop_at_event) {
        watch->stopped = true;
        return watch->stop_result;
    }
    return 0;
}

/* ---- events ---- */

static inline int mkv_watch_ebml(const struct frag_mkv_ebml *ebml, void *user) {
    struct mkv_watch *watch = user;
    KN_ASSERT(!watch->ebml_told && !watch->segment_told);
    watch->ebml_told = true;
    mkv_watch_mix_text(watch, ebml->doc_type);
    mkv_watch_mix(watch, ebml->doc_type_version);
    mkv_watch_mix(watch, ebml->doc_type_read_version);
    mkv_watch_log(watch, "ebml(%s) ", ebml->doc_type);
    return mkv_watch_event(watch, 1);
}

static inline int mkv_watch_segment(const struct frag_mkv_element *element, void *user) {
    struct mkv_watch *watch = user;
    KN_ASSERT(watch->ebml_told && !watch->segment_told && element->id == FRAG_MKV_SEGMENT);
    watch->segment_told = true;
    mkv_watch_mix(watch, element->offset);
    mkv_watch_mix(watch, element->size);
    mkv_watch_log(watch, "segment ");
    return mkv_watch_event(watch, 2);
}

static inline const char *mkv_watch_name(const struct frag_mkv_element *element) {
    return strcmp(frag_mkv_id_name(element->id), "unknown element") == 0
               ? "?"
               : frag_mkv_id_name(element->id);
}

static inline int mkv_watch_begin(const struct frag_mkv_element *element, void *user) {
    struct mkv_watch *watch = user;
    KN_ASSERT(watch->segment_told && !watch->in_level1 && watch->told == element->offset);
    watch->level1 = *element;
    watch->in_level1 = true;
    mkv_watch_mix(watch, element->id);
    mkv_watch_mix(watch, element->offset);
    mkv_watch_mix(watch, element->size);
    mkv_watch_mix(watch, element->header_bytes);
    mkv_watch_log(watch, "<%s ", mkv_watch_name(element));
    return mkv_watch_event(watch, 3);
}

static inline int mkv_watch_end_event(const struct frag_mkv_element *element, uint64_t end_offset,
                                      void *user) {
    struct mkv_watch *watch = user;
    uint64_t body = element->offset + element->header_bytes;
    KN_ASSERT(watch->in_level1 && element->id == watch->level1.id &&
              element->offset == watch->level1.offset && element->size == watch->level1.size);
    KN_ASSERT(watch->told == end_offset && end_offset >= body);
    KN_ASSERT(element->size == FRAG_MKV_UNKNOWN_SIZE || end_offset == body + element->size);
    watch->in_level1 = false;
    mkv_watch_mix(watch, end_offset);
    mkv_watch_log(watch, ">%s ", mkv_watch_name(element));
    return mkv_watch_event(watch, 4);
}

static inline int mkv_watch_info(const struct frag_mkv_info *info, void *user) {
    struct mkv_watch *watch = user;
    KN_ASSERT(watch->in_level1 && watch->level1.id == FRAG_MKV_INFO);
    KN_ASSERT(info->timecode_scale_ns > 0 && info->duration_ns >= 0);
    mkv_watch_mix(watch, info->timecode_scale_ns);
    mkv_watch_mix(watch, (uint64_t)info->duration_ns);
    mkv_watch_mix(watch, info->has_date ? (uint64_t)info->date_ns : 1);
    mkv_watch_mix_text(watch, info->title);
    mkv_watch_mix_text(watch, info->muxing_app);
    mkv_watch_mix_text(watch, info->writing_app);
    mkv_watch_mix_bytes(watch, info->segment_uid, sizeof(info->segment_uid));
    mkv_watch_log(watch, "info(%" PRIu64 ",%" PRId64 ",%s) ", info->timecode_scale_ns,
                  info->duration_ns, info->title);
    return mkv_watch_event(watch, 5);
}

static inline int mkv_watch_tracks(struct kn_tracks *tracks, void *user) {
    struct mkv_watch *watch = user;
    KN_ASSERT(watch->in_level1 && watch->level1.id == FRAG_MKV_TRACKS && watch->track_count == 0);
    KN_ASSERT(tracks->count > 0 && tracks->count <= KN_TRACKS_MAX);
    watch->track_count = tracks->count;
    for (size_t i = 0; i < tracks->count; i++) {
        const struct kn_track *track = &tracks->items[i];
        KN_ASSERT(track->number > 0 && track->codec_private_bytes <= KN_TRACK_PRIVATE_MAX);
        mkv_watch_mix(watch, track->number);
        mkv_watch_mix(watch, track->uid);
        mkv_watch_mix(watch, (uint64_t)track->media << 32 | (uint64_t)track->codec);
        mkv_watch_mix(watch, (uint64_t)track->default_duration_ns);
        mkv_watch_mix(watch, (uint64_t)track->codec_delay_ns);
        mkv_watch_mix(watch, (uint64_t)track->seek_preroll_ns);
        mkv_watch_mix(watch, (uint64_t)track->width << 32 | track->height);
        mkv_watch_mix(watch, (uint64_t)track->display_width << 32 | track->display_height);
        mkv_watch_mix(watch, (uint64_t)track->sample_rate_hz << 32 | track->channels);
        mkv_watch_mix(watch, track->bits_per_sample);
        mkv_watch_mix_text(watch, track->codec_id);
        mkv_watch_mix_text(watch, track->name);
        mkv_watch_mix_text(watch, track->language);
        mkv_watch_mix(watch, kn_crc32(0, track->codec_private, track->codec_private_bytes));
    }
    mkv_watch_log(watch, "tracks(%zu) ", tracks->count);
    return mkv_watch_event(watch, 6);
}

static inline int mkv_watch_time(uint64_t timecode, int64_t time_ns, void *user) {
    struct mkv_watch *watch = user;
    KN_ASSERT(watch->in_level1 && watch->level1.id == FRAG_MKV_CLUSTER);
    mkv_watch_mix(watch, timecode);
    mkv_watch_mix(watch, (uint64_t)time_ns);
    mkv_watch_log(watch, "time(%" PRIu64 ") ", timecode);
    return mkv_watch_event(watch, 7);
}

static inline int mkv_watch_frame(const struct frag_mkv_frame *frame, void *user) {
    struct mkv_watch *watch = user;
    KN_ASSERT(watch->in_level1 && watch->level1.id == FRAG_MKV_CLUSTER);
    KN_ASSERT(frame->track < watch->track_count && frame->duration_ns >= 0);
    KN_ASSERT(frame->offset >= watch->level1.offset + watch->level1.header_bytes);
    KN_ASSERT(frame->offset <= watch->told && frame->size <= watch->told - frame->offset);
    watch->frames++;
    mkv_watch_mix(watch, frame->offset);
    mkv_watch_mix(watch, frame->size);
    mkv_watch_mix(watch, (uint64_t)frame->time_ns);
    mkv_watch_mix(watch, (uint64_t)frame->duration_ns);
    mkv_watch_mix(watch, (uint64_t)frame->discard_ns);
    mkv_watch_mix(watch, (uint64_t)frame->track << 4 | (frame->key ? 1u : 0u) |
                             (frame->invisible ? 2u : 0u) | (frame->disposable ? 4u : 0u) |
                             (frame->laced ? 8u : 0u));
    mkv_watch_log(watch, "frame(%u,%" PRId64 ",%" PRId64 ",%" PRIu64 ",%s%s%s%s) ", frame->track,
                  frame->time_ns, frame->duration_ns, frame->size, frame->key ? "k" : "",
                  frame->invisible ? "i" : "", frame->disposable ? "d" : "",
                  frame->laced ? "l" : "");
    if (frame->discard_ns != 0) {
        mkv_watch_log(watch, "discard(%" PRId64 ") ", frame->discard_ns);
    }
    return mkv_watch_event(watch, 8);
}

static inline int mkv_watch_tag(const struct frag_mkv_tag *tag, void *user) {
    struct mkv_watch *watch = user;
    KN_ASSERT(watch->in_level1 && watch->level1.id == FRAG_MKV_TAGS && tag->value != NULL);
    KN_ASSERT(tag->has_value || tag->value_bytes == 0);
    mkv_watch_mix_text(watch, tag->name);
    mkv_watch_mix_bytes(watch, tag->value, tag->value_bytes);
    mkv_watch_mix(watch, (uint64_t)tag->group << 32 | tag->depth);
    mkv_watch_mix(watch, tag->track_uid);
    mkv_watch_mix(watch, tag->offset);
    mkv_watch_mix(watch, (tag->binary ? 1u : 0u) | (tag->has_value ? 2u : 0u));
    if (watch->log != NULL) {
        mkv_watch_log(watch, "tag(%u.%u.%" PRIu64 " %s%s%.*s) ", tag->group, tag->depth,
                      tag->track_uid, tag->name,
                      !tag->has_value ? ""
                      : tag->binary   ? "~"
                                      : "=",
                      (int)tag->value_bytes, (const char *)tag->value);
    }
    return mkv_watch_event(watch, 9);
}

static inline int mkv_watch_bad_crc(const struct frag_mkv_element *element, void *user) {
    struct mkv_watch *watch = user;
    KN_ASSERT(watch->verify_crc && watch->in_level1 && element->id == watch->level1.id);
    mkv_watch_log(watch, "badcrc(%s) ", mkv_watch_name(element));
    return mkv_watch_event(watch, 10);
}

static inline int mkv_watch_bytes(const uint8_t *data, size_t size, uint64_t offset, void *user) {
    struct mkv_watch *watch = user;
    KN_ASSERT(!watch->stopped && offset == watch->told && size > 0);
    KN_ASSERT(offset <= watch->pushed && size <= watch->pushed - offset);
    if (data != watch->input + offset) {
        KN_ASSERT(memcmp(data, watch->input + offset, size) == 0);
    }
    watch->told += size;
    return 0;
}

/* ---- driving ---- */

static const struct frag_mkv_handler mkv_watch_handler = {
    .ebml = mkv_watch_ebml,
    .segment = mkv_watch_segment,
    .begin = mkv_watch_begin,
    .end = mkv_watch_end_event,
    .info = mkv_watch_info,
    .tracks = mkv_watch_tracks,
    .cluster_time = mkv_watch_time,
    .frame = mkv_watch_frame,
    .tag = mkv_watch_tag,
    .bad_crc = mkv_watch_bad_crc,
    .bytes = mkv_watch_bytes,
};

/* 0 or -ENOMEM. */
KN_MUST_CHECK static inline int mkv_watch_start(struct mkv_watch *watch) {
    struct frag_mkv_parser_config config = {.handler = &mkv_watch_handler,
                                            .user = watch,
                                            .verify_crc = watch->verify_crc,
                                            .tracks = watch->cluster_mode};
    if (watch->cluster_mode != NULL) {
        watch->ebml_told = true;
        watch->segment_told = true;
        watch->track_count = watch->cluster_mode->count;
    }
    return frag_mkv_parser_create(&config, &watch->parser);
}

/* After an error nothing comes and the error stays. */
static inline void mkv_watch_settle(struct mkv_watch *watch, int result) {
    const struct frag_mkv_error *error = frag_mkv_parser_error(watch->parser);
    KN_ASSERT(result <= 0 && (watch->result == 0 || watch->result == result));
    KN_ASSERT((error->fault == FRAG_MKV_FINE) == (result == 0) && error->result == result);
    KN_ASSERT((result == 0) == (error->text[0] == '\0'));
    watch->stopped = result != 0;
    watch->result = result;
}

/* The next `size` bytes of the input. */
static inline void mkv_watch_push(struct mkv_watch *watch, size_t size) {
    const uint8_t *data = size > 0 ? watch->input + watch->pushed : NULL;
    uint8_t *copy = NULL;
    if (watch->copies && size > 0) {
        copy = malloc(size);
        if (copy != NULL) { /* NULL where the replay makes allocations fail: do without */
            memcpy(copy, data, size);
            data = copy;
        }
    }
    bool failed = watch->result != 0;
    uint64_t events = watch->events;
    watch->pushed += size;
    mkv_watch_settle(watch, frag_mkv_parser_push(watch->parser, data, size));
    KN_ASSERT(!failed || watch->events == events);
    KN_ASSERT(watch->result != 0 || frag_mkv_parser_offset(watch->parser) == watch->pushed);
    /* No more than an incomplete header is held back. */
    KN_ASSERT(watch->result != 0 || watch->told + 12 > watch->pushed);
    free(copy);
}

/* Pushes what is left in pieces of `piece` bytes. */
static inline void mkv_watch_push_rest(struct mkv_watch *watch, size_t piece) {
    while (watch->pushed < watch->size) {
        size_t left = watch->size - watch->pushed;
        mkv_watch_push(watch, left < piece ? left : piece);
    }
}

static inline void mkv_watch_end(struct mkv_watch *watch, struct mkv_outcome *ret_outcome) {
    uint64_t events = watch->events;
    bool failed = watch->result != 0;
    mkv_watch_settle(watch, frag_mkv_parser_finish(watch->parser));
    KN_ASSERT(!failed || watch->events == events);
    if (watch->result == 0) {
        KN_ASSERT(watch->told == watch->pushed && !watch->in_level1);
    }
    *ret_outcome = (struct mkv_outcome){.digest = watch->digest,
                                        .events = watch->events,
                                        .frames = watch->frames,
                                        .told = watch->told,
                                        .result = watch->result,
                                        .error = *frag_mkv_parser_error(watch->parser)};
    if (ret_outcome->error.fault != FRAG_MKV_STOPPED &&
        ret_outcome->error.fault != FRAG_MKV_NO_MEMORY) {
        /* What stands before the fault has been told. */
        KN_ASSERT(watch->told >= ret_outcome->error.offset);
    }
    frag_mkv_parser_destroy(watch->parser);
    watch->parser = NULL;
}

/* How many bytes were told at a fault depends on the cut; nothing else may. */
static inline bool mkv_outcome_equal(const struct mkv_outcome *a, const struct mkv_outcome *b) {
    return a->digest == b->digest && a->events == b->events && a->result == b->result &&
           a->error.fault == b->error.fault && a->error.offset == b->error.offset &&
           strcmp(a->error.text, b->error.text) == 0;
}

#endif
