/* What retention will do, and what a check finds. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>

#include "fragments/json_text.h"
#include "fragments/report_inner.h"

#define WORDS_BYTES 1024

/* ---- retention ---- */

static const char *const cause_names[] = {
    [FRAG_RETENTION_AGE] = "age",
    [FRAG_RETENTION_BYTES] = "bytes",
    [FRAG_RETENTION_FREE_SPACE] = "free space",
};

static json_t *item_json(const struct frag_retention_item *item) {
    return json_pack("{s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "when",
                     frag_report_time(item->when), "cause", cause_names[item->cause], "stream",
                     frag_json_text(item->stream), "path", frag_json_text(item->path), "from",
                     frag_report_time(item->from), "to", frag_report_time(item->to), "bytes",
                     frag_json_u64(item->bytes), "fragments", frag_json_u64(item->fragments),
                     "held_fragments", frag_json_u64(item->held_fragments));
}

static int put_item(const struct frag_retention_item *item, void *user) {
    struct frag_report *report = user;
    if (report->json) {
        return frag_report_row(report, item_json(item));
    }
    if (report->rows == 0) {
        (void)fprintf(report->out, "%-24s  %-10s  %-20s %14s %10s %8s  %s\n", "goes", "because of",
                      "stream", "bytes", "fragments", "held", "file");
    }
    char when[KN_WALL_TEXT_BYTES], stream[FRAG_STREAM_NAME_BYTES], path[PATH_MAX];
    (void)fprintf(report->out, "%s  %-10s  %-20s %14" PRIu64 " %10" PRIu64 " %8" PRIu64 "  %s\n",
                  kn_wall_format(item->when, when), cause_names[item->cause],
                  frag_report_plain(item->stream, stream, sizeof(stream)), item->bytes,
                  item->fragments, item->held_fragments,
                  frag_report_plain(item->path, path, sizeof(path)));
    return frag_report_printed(report);
}

static json_t *summary_json(const struct frag_retention_summary *summary, struct kn_wall until) {
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:b, s:o, s:o}", "until", frag_report_time(until),
                     "reels", frag_json_u64(summary->reels), "bytes", frag_json_u64(summary->bytes),
                     "held_bytes", frag_json_u64(summary->held_bytes), "bytes_per_day",
                     frag_json_u64(summary->bytes_per_day), "clock_in_doubt",
                     summary->clock_in_doubt, "doubt",
                     summary->doubt == NULL ? json_null() : frag_json_text(summary->doubt),
                     "full_at", summary->fills ? frag_report_time(summary->full_at) : json_null());
}

static void print_summary(FILE *out, const struct frag_retention_summary *summary,
                          struct kn_wall until) {
    char text[KN_WALL_TEXT_BYTES], words[WORDS_BYTES];
    if (summary->reels == 0) {
        (void)fprintf(out, "Nothing goes until %s.\n", kn_wall_format(until, text));
    } else {
        (void)fprintf(out, "Until %s go: %" PRIu64 " reel%s, %" PRIu64 " bytes.\n",
                      kn_wall_format(until, text), summary->reels, summary->reels == 1 ? "" : "s",
                      summary->bytes);
    }
    if (summary->held_bytes > 0) {
        (void)fprintf(out, "Holds keep %" PRIu64 " bytes longer.\n", summary->held_bytes);
    }
    if (summary->clock_in_doubt) {
        (void)fprintf(out, "The clock is in doubt, so nothing goes by age: %s.\n",
                      summary->doubt == NULL
                          ? "no reason known"
                          : frag_report_plain(summary->doubt, words, sizeof(words)));
    }
    (void)fprintf(out, "Written in the last 24 h: %" PRIu64 " bytes.\n", summary->bytes_per_day);
    if (summary->fills) {
        (void)fprintf(out, "At this rate a disk is full at %s, with nothing left to delete.\n",
                      kn_wall_format(summary->full_at, text));
    }
}

int frag_report_plan(struct frag_store *store, struct kn_wall until, bool json, FILE *out) {
    struct frag_report report = {.out = out, .json = json};
    struct frag_retention_summary summary = {0};
    frag_report_begin(&report, "reels");
    int rc = frag_retention_plan(store, until, put_item, &report, &summary);
    if (rc == 0 && !json) {
        print_summary(out, &summary, until);
    }
    json_t *told = rc == 0 && json ? summary_json(&summary, until) : NULL;
    rc = rc == 0 && json && told == NULL ? -ENOMEM : rc;
    return frag_report_end(&report, told, rc);
}

/* ---- check ---- */

static const char *const severity_names[] = {
    [FRAG_CHECK_NOTE] = "note",
    [FRAG_CHECK_REPAIR] = "repair",
    [FRAG_CHECK_DAMAGE] = "damage",
};

struct checking {
    struct frag_report report;
    bool shown; /* a line of progress */
    struct kn_mono told;
};

static void clear_progress(struct checking *checking) {
    if (checking->shown) {
        (void)fputs("\r\033[K", stderr);
    }
    checking->shown = false;
}

static json_t *finding_json(const struct frag_check_finding *finding) {
    bool part = finding->from != 0 || finding->to != 0;
    return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o}", "severity",
                     severity_names[finding->severity], "path", frag_json_text(finding->path),
                     "from", part ? frag_json_u64(finding->from) : json_null(), "to",
                     part ? frag_json_u64(finding->to) : json_null(), "stream",
                     frag_json_text(finding->stream), "what", frag_json_text(finding->what));
}

static int put_finding(const struct frag_check_finding *finding, void *user) {
    struct checking *checking = user;
    struct frag_report *report = &checking->report;
    clear_progress(checking);
    if (report->json) {
        return frag_report_row(report, finding_json(finding));
    }
    char path[PATH_MAX], stream[FRAG_STREAM_NAME_BYTES], what[WORDS_BYTES];
    (void)fprintf(report->out, "%-6s  %s", severity_names[finding->severity],
                  finding->path[0] == '\0' ? "the store"
                                           : frag_report_plain(finding->path, path, sizeof(path)));
    if (finding->from != 0 || finding->to != 0) {
        (void)fprintf(report->out, ", bytes %" PRIu64 " to %" PRIu64, finding->from, finding->to);
    }
    if (finding->stream[0] != '\0') {
        (void)fprintf(report->out, " (stream %s)",
                      frag_report_plain(finding->stream, stream, sizeof(stream)));
    }
    (void)fprintf(report->out, ": %s\n", frag_report_plain(finding->what, what, sizeof(what)));
    return frag_report_printed(report);
}

static int show_progress(const struct frag_check_progress *progress, void *user) {
    struct checking *checking = user;
    const struct kn_clock *clock = kn_clock_system();
    struct kn_mono now = clock->mono(clock);
    if (now.ns - checking->told.ns < KN_NS_PER_S / 2) {
        return 0;
    }
    checking->told = now;
    checking->shown = true;
    (void)fprintf(stderr, "\r%" PRIu64 " of %" PRIu64 " files, %" PRIu64 " of %" PRIu64 " MB\033[K",
                  progress->files, progress->files_all, progress->bytes / 1000000,
                  progress->bytes_all / 1000000);
    return 0;
}

static json_t *checked_json(const struct frag_check_report *checked) {
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "files", frag_json_u64(checked->files),
                     "bytes", frag_json_u64(checked->bytes), "fragments",
                     frag_json_u64(checked->fragments), "notes", frag_json_u64(checked->notes),
                     "repairs", frag_json_u64(checked->repairs), "damages",
                     frag_json_u64(checked->damages));
}

static void print_checked(FILE *out, const struct frag_check_report *checked) {
    (void)fprintf(out, "%" PRIu64 " files, %" PRIu64 " bytes, %" PRIu64 " fragments read: ",
                  checked->files, checked->bytes, checked->fragments);
    if (checked->damages == 0 && checked->repairs == 0) {
        (void)fputs("all is as it was written", out);
    } else {
        (void)fprintf(out, "%" PRIu64 " damaged, %" PRIu64 " to repair", checked->damages,
                      checked->repairs);
    }
    if (checked->notes > 0) {
        (void)fprintf(out, ", %" PRIu64 " note%s", checked->notes, checked->notes == 1 ? "" : "s");
    }
    (void)fputs(".\n", out);
}

int frag_report_check(const struct frag_store_config *config, bool json, bool progress, FILE *out,
                      struct frag_check_report *ret_report) {
    const struct kn_clock *clock = kn_clock_system();
    struct checking checking = {.report = {.out = out, .json = json}, .told = clock->mono(clock)};
    const struct frag_check_handler handler = {
        .finding = put_finding,
        .progress = progress ? show_progress : NULL,
    };
    struct frag_check_report checked = {0};
    frag_report_begin(&checking.report, "findings");
    int rc = frag_store_check(config, &handler, &checking, &checked);
    clear_progress(&checking);
    if (rc == 0 && !json) {
        print_checked(out, &checked);
    }
    json_t *told = rc == 0 && json ? checked_json(&checked) : NULL;
    rc = rc == 0 && json && told == NULL ? -ENOMEM : rc;
    *ret_report = checked;
    return frag_report_end(&checking.report, told, rc);
}
