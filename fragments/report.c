/* Lists of what is stored: streams, fragments, gaps, holds. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/quantity.h"
#include "fragments/fragment.h"
#include "fragments/json_text.h"
#include "fragments/report_inner.h"

#define PAGE_ENTRIES 256

static double seconds(int64_t ns) {
    return (double)ns / (double)KN_NS_PER_S;
}

/* ---- streams ---- */

static json_t *tags_json(const struct frag_stream_info *info) {
    json_t *tags = json_object();
    for (size_t i = 0; i < info->tag_count && tags != NULL; i++) {
        if (json_object_set_new(tags, info->tags[i].key, frag_json_text(info->tags[i].value)) < 0) {
            json_decref(tags);
            tags = NULL;
        }
    }
    return tags;
}

static json_t *stream_json(const struct frag_stream_info *info) {
    const struct frag_stream_settings *settings = &info->settings;
    const struct frag_stream_counters *counters = &info->counters;
    return json_pack(
        "{s:o, s:o, s:s, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "name",
        frag_json_text(info->name), "id", frag_report_id(info->id), "version", info->version,
        "records", settings->records, "created", frag_report_time(info->created), "retention_ns",
        settings->retention_ns == FRAG_RETAIN_FOREVER
            ? json_null()
            : frag_report_wide((uint64_t)settings->retention_ns),
        "retention_bytes",
        settings->retention_bytes == 0 ? json_null() : frag_report_wide(settings->retention_bytes),
        "target_ns", frag_report_wide((uint64_t)settings->target_ns), "media_type",
        frag_json_text(settings->media_type), "device_name", frag_json_text(settings->device_name),
        "tags", tags_json(info), "reels", frag_json_u64(counters->reels_on_disk), "fragments",
        frag_json_u64(counters->fragments_on_disk), "bytes", frag_json_u64(counters->bytes_on_disk),
        "last_fragment",
        counters->last_fragment.ns == 0 ? json_null() : frag_report_time(counters->last_fragment));
}

static int put_stream(struct frag_report *report, const struct frag_stream_info *info) {
    if (report->json) {
        return frag_report_row(report, stream_json(info));
    }
    if (report->rows == 0) {
        (void)fprintf(report->out, "%-20s %9s %8s %10s %14s  %s\n", "stream", "retention", "reels",
                      "fragments", "bytes", "last fragment");
    }
    const struct frag_stream_settings *settings = &info->settings;
    char room[FRAG_STREAM_NAME_BYTES], duration[KN_DURATION_TEXT_BYTES], last[KN_WALL_TEXT_BYTES];
    (void)fprintf(report->out, "%-20s %9s %8" PRIu64 " %10" PRIu64 " %14" PRIu64 "  %s",
                  frag_report_plain(info->name, room, sizeof(room)),
                  settings->retention_ns == FRAG_RETAIN_FOREVER
                      ? "forever"
                      : kn_duration_format(settings->retention_ns, duration),
                  info->counters.reels_on_disk, info->counters.fragments_on_disk,
                  info->counters.bytes_on_disk,
                  info->counters.last_fragment.ns == 0
                      ? "none"
                      : kn_wall_format(info->counters.last_fragment, last));
    if (settings->retention_bytes != 0) {
        (void)fprintf(report->out, "  at most %" PRIu64 " bytes", settings->retention_bytes);
    }
    (void)fputs(settings->records ? "  records\n" : "\n", report->out);
    return frag_report_printed(report);
}

int frag_report_streams(struct frag_store *store, bool json, FILE *out) {
    struct frag_report report = {.out = out, .json = json};
    struct frag_stream_info *info = malloc(sizeof(*info));
    if (info == NULL) {
        return -ENOMEM;
    }
    frag_report_begin(&report, "streams");
    int rc = 0;
    struct frag_stream *stream = frag_stream_next(store, NULL);
    for (; stream != NULL && rc == 0; stream = frag_stream_next(store, frag_stream_name(stream))) {
        rc = frag_stream_describe(stream, info);
        /* -ENOENT: deleted meanwhile. */
        rc = rc == 0 ? put_stream(&report, info) : rc == -ENOENT ? 0 : rc;
    }
    free(info);
    return frag_report_end(&report, NULL, rc);
}

/* ---- fragments ---- */

static json_t *fragment_json(const struct frag_entry *entry) {
    char number[FRAG_NUMBER_TEXT_BYTES];
    return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:b}", "number",
                     frag_number_format(entry->number, number), "sequence",
                     frag_report_wide(entry->number.sequence), "ordinal",
                     frag_json_u64(entry->ordinal), "discontinuities",
                     frag_json_u64(entry->discontinuities), "producer",
                     frag_report_time(entry->producer), "server", frag_report_time(entry->server),
                     "duration_ns", frag_report_wide((uint64_t)entry->duration_ns), "bytes",
                     frag_json_u64(entry->cluster_bytes), "discontinuity",
                     (entry->flags & FRAG_DISCONTINUITY) != 0, "key_start",
                     (entry->flags & FRAG_NO_KEY_START) == 0);
}

static int put_fragment(struct frag_report *report, const struct frag_entry *entry) {
    if (report->json) {
        return frag_report_row(report, fragment_json(entry));
    }
    if (report->rows == 0) {
        (void)fprintf(report->out, "%-47s  %-24s  %-24s  %8s %10s\n", "number", "producer time",
                      "server time", "lasts s", "bytes");
    }
    char number[FRAG_NUMBER_TEXT_BYTES], producer[KN_WALL_TEXT_BYTES], server[KN_WALL_TEXT_BYTES];
    (void)fprintf(report->out, "%s  %s  %s  %8.3f %10" PRIu64 "%s%s\n",
                  frag_number_format(entry->number, number),
                  kn_wall_format(entry->producer, producer), kn_wall_format(entry->server, server),
                  seconds(entry->duration_ns), entry->cluster_bytes,
                  (entry->flags & FRAG_DISCONTINUITY) != 0 ? "  discontinuity" : "",
                  (entry->flags & FRAG_NO_KEY_START) != 0 ? "  no key frame first" : "");
    return frag_report_printed(report);
}

int frag_report_fragments(struct frag_archive *archive, struct frag_stream *stream,
                          enum frag_clock clock, struct kn_wall from, struct kn_wall to, bool json,
                          FILE *out) {
    struct frag_report report = {.out = out, .json = json};
    struct frag_entry *entries = calloc(PAGE_ENTRIES, sizeof(*entries));
    if (entries == NULL) {
        return -ENOMEM;
    }
    frag_report_begin(&report, "fragments");
    uint64_t after = 0;
    int rc;
    do {
        rc = frag_archive_range(archive, stream, clock, from, to, after, entries, PAGE_ENTRIES);
        int count = rc;
        for (int i = 0; i < count && rc >= 0; i++) {
            rc = put_fragment(&report, &entries[i]);
            after = entries[i].number.sequence;
        }
        rc = rc < 0 ? rc : count;
    } while (rc > 0);
    free(entries);
    return frag_report_end(&report, NULL, rc);
}

/* ---- gaps ---- */

struct gaps {
    struct frag_report report;
    const char *stream;
};

static json_t *gap_json(const char *stream, const struct frag_gap_entry *gap) {
    return json_pack("{s:o, s:o, s:o, s:s, s:b, s:o, s:o}", "stream", frag_json_text(stream),
                     "from", frag_report_time(gap->gap.from), "to",
                     gap->open ? json_null() : frag_report_time(gap->gap.to), "cause",
                     frag_gap_cause_text(gap->gap.cause), "open", gap->open, "ordinal",
                     gap->ordinals == 0 ? json_null() : frag_json_u64(gap->ordinal), "ordinals",
                     frag_json_u64(gap->ordinals));
}

static int put_gap(const struct frag_gap_entry *gap, void *user) {
    struct gaps *gaps = user;
    struct frag_report *report = &gaps->report;
    if (report->json) {
        return frag_report_row(report, gap_json(gaps->stream, gap));
    }
    if (report->rows == 0) {
        (void)fprintf(report->out, "%-20s %-24s  %-24s  %10s  %s\n", "stream", "from", "to",
                      "lasts s", "cause");
    }
    char room[FRAG_STREAM_NAME_BYTES], from[KN_WALL_TEXT_BYTES], to[KN_WALL_TEXT_BYTES];
    (void)fprintf(report->out, "%-20s %-24s  ", frag_report_plain(gaps->stream, room, sizeof(room)),
                  kn_wall_format(gap->gap.from, from));
    if (gap->open) {
        (void)fprintf(report->out, "%-24s  %10s", "still open", "");
    } else {
        (void)fprintf(report->out, "%-24s  %10.3f", kn_wall_format(gap->gap.to, to),
                      seconds(gap->gap.to.ns) - seconds(gap->gap.from.ns));
    }
    (void)fprintf(report->out, "  %s\n", frag_gap_cause_text(gap->gap.cause));
    return frag_report_printed(report);
}

int frag_report_gaps(struct frag_store *store, struct frag_stream *stream, struct kn_wall from,
                     struct kn_wall to, bool json, FILE *out) {
    struct gaps gaps = {.report = {.out = out, .json = json}};
    frag_report_begin(&gaps.report, "gaps");
    int rc = 0;
    struct frag_stream *at = stream != NULL ? stream : frag_stream_next(store, NULL);
    while (at != NULL && rc == 0) {
        gaps.stream = frag_stream_name(at);
        rc = frag_gap_each(at, from, to, put_gap, &gaps);
        at = stream != NULL ? NULL : frag_stream_next(store, gaps.stream);
    }
    return frag_report_end(&gaps.report, NULL, rc);
}

/* ---- holds ---- */

static const char *clock_name(enum frag_clock clock) {
    return clock == FRAG_CLOCK_PRODUCER ? "producer" : "server";
}

static json_t *hold_json(const struct frag_hold *hold) {
    return json_pack("{s:o, s:o, s:s, s:o, s:o, s:o, s:o}", "id", frag_report_id(hold->id),
                     "stream", frag_json_text(hold->stream), "clock", clock_name(hold->clock),
                     "from", frag_report_time(hold->from), "to", frag_report_time(hold->to),
                     "created", frag_report_time(hold->created), "reason",
                     frag_json_text(hold->reason));
}

static int put_hold(const struct frag_hold *hold, void *user) {
    struct frag_report *report = user;
    if (report->json) {
        return frag_report_row(report, hold_json(hold));
    }
    if (report->rows == 0) {
        (void)fprintf(report->out, "%-32s  %-20s %-8s  %-24s  %-24s  %s\n", "hold", "stream",
                      "clock", "from", "to", "reason");
    }
    char id[FRAG_REPORT_ID_BYTES], stream[FRAG_STREAM_NAME_BYTES], reason[FRAG_HOLD_REASON_BYTES];
    char from[KN_WALL_TEXT_BYTES], to[KN_WALL_TEXT_BYTES];
    (void)fprintf(report->out, "%s  %-20s %-8s  %s  %s  %s\n", frag_report_id_text(hold->id, id),
                  frag_report_plain(hold->stream, stream, sizeof(stream)), clock_name(hold->clock),
                  kn_wall_format(hold->from, from), kn_wall_format(hold->to, to),
                  frag_report_plain(hold->reason, reason, sizeof(reason)));
    return frag_report_printed(report);
}

int frag_report_holds(struct frag_store *store, bool json, FILE *out) {
    struct frag_report report = {.out = out, .json = json};
    frag_report_begin(&report, "holds");
    int rc = frag_hold_each(store, put_hold, &report);
    return frag_report_end(&report, NULL, rc);
}
