/* Opens a store as a start after a crash does, reads everything in it, compares every picture with
 * what a camera sends, and says what is there; tests compare that with what was promised. Closes
 * it and checks it once more with frag_store_check.
 *
 *     verify_store [--folder DIR] DATA
 *
 *     opening CREATED REBUILT RECOVERED_REELS RECOVERED_FRAGMENTS LOST FOREIGN DAMAGED OFFLINE
 *     stream NAME TAG_N BYTES_LIMIT
 *     fragment STREAM NUMBER PRODUCER_NS SERVER_NS DURATION_NS BYTES FIRST_PICTURE SEED
 *     away STREAM NUMBER PRODUCER_NS SERVER_NS DURATION_NS BYTES    (its directory is offline)
 *     gap STREAM FROM_NS TO_NS      hold STREAM FROM_NS TO_NS ID    put KEY VALUE
 *     problem ...
 *
 * Exit code: 0; 1 where the store could not be read or a problem was said; 2 usage. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "fragments/fragments.h"
#include "tests/support/camera.h"

struct verifier {
    struct frag_store *store;
    struct frag_archive *archive;
    bool away; /* a directory is offline */
    unsigned problems;
};

__attribute__((format(printf, 2, 3))) static void complain(struct verifier *verifier,
                                                           const char *format, ...) {
    va_list values;
    va_start(values, format);
    (void)printf("problem ");
    (void)vprintf(format, values);
    (void)printf("\n");
    va_end(values);
    verifier->problems++;
}

static void must(int rc, const char *what) {
    if (rc < 0) {
        (void)fprintf(stderr, "verify_store: %s: %s\n", what, kn_error_text(rc));
        exit(1);
    }
}

/* ---- fragments ---- */

static void check_entry(struct verifier *verifier, const char *stream,
                        const struct frag_entry *entry) {
    char number[FRAG_NUMBER_TEXT_BYTES];
    char about[256];
    struct frag_loaded *loaded = NULL;
    uint32_t seed = 0;
    uint32_t first = 0;
    int rc = frag_archive_load(verifier->archive, entry, &loaded);
    (void)snprintf(about, sizeof(about), "%s %s %" PRId64 " %" PRId64 " %" PRId64 " %" PRIu64,
                   stream, frag_number_format(entry->number, number), entry->producer.ns,
                   entry->server.ns, entry->duration_ns, entry->cluster_bytes);
    if (rc == -ENODEV && verifier->away) {
        (void)printf("away %s\n", about);
        return;
    }
    if (rc < 0) {
        complain(verifier, "fragment %s: %s", about, kn_error_text(rc));
        return;
    }
    const char *wrong = camera_check(loaded, &seed, &first);
    if (wrong != NULL) {
        complain(verifier, "fragment %s: %s", about, wrong);
    }
    (void)printf("fragment %s %" PRIu32 " %" PRIu32 "\n", about, first, seed);
    frag_loaded_free(loaded);
}

static void check_order(struct verifier *verifier, const char *stream,
                        const struct frag_entry *last, const struct frag_entry *entry) {
    if (frag_number_compare(last->number, entry->number) >= 0 || last->ordinal >= entry->ordinal ||
        last->discontinuities > entry->discontinuities) {
        complain(verifier,
                 "%s: after sequence %" PRIx64 ", ordinal %" PRIu64 ", discontinuities %" PRIu64
                 " comes %" PRIx64 ", %" PRIu64 ", %" PRIu64,
                 stream, last->number.sequence, last->ordinal, last->discontinuities,
                 entry->number.sequence, entry->ordinal, entry->discontinuities);
    }
}

static void check_fragments(struct verifier *verifier, struct frag_stream *stream) {
    static struct frag_entry entries[FRAG_ARCHIVE_RANGE_MAX];
    struct frag_entry last;
    bool has_last = false;
    int count = 0;
    do {
        count = frag_archive_range(verifier->archive, stream, FRAG_CLOCK_SERVER,
                                   (struct kn_wall){INT64_MIN}, (struct kn_wall){INT64_MAX},
                                   has_last ? last.number.sequence : 0, entries, KN_COUNT(entries));
        must(count, "range");
        for (int i = 0; i < count; i++) {
            if (has_last) {
                check_order(verifier, frag_stream_name(stream), &last, &entries[i]);
            }
            check_entry(verifier, frag_stream_name(stream), &entries[i]);
            last = entries[i];
            has_last = true;
        }
    } while (count > 0);
}

/* ---- what the journal has ---- */

static int say_gap(const struct frag_gap_entry *gap, void *user) {
    (void)printf("gap %s %" PRId64 " %" PRId64 "\n", (const char *)user, gap->gap.from.ns,
                 gap->gap.to.ns);
    return 0;
}

static int say_hold(const struct frag_hold *hold, void *user) {
    (void)user;
    (void)printf("hold %s %" PRId64 " %" PRId64 " ", hold->stream, hold->from.ns, hold->to.ns);
    for (size_t i = 0; i < FRAG_ID_BYTES; i++) {
        (void)printf("%02x", hold->id[i]);
    }
    (void)printf("\n");
    return 0;
}

static void say_stream(struct frag_stream *stream) {
    static struct frag_stream_info info;
    must(frag_stream_describe(stream, &info), "describe");
    (void)printf("stream %s %s %" PRIu64 "\n", info.name,
                 info.tag_count > 0 ? info.tags[0].value : "0", info.settings.retention_bytes);
    must(frag_gap_each(stream, (struct kn_wall){INT64_MIN}, (struct kn_wall){INT64_MAX}, say_gap,
                       info.name),
         "gaps");
}

static void say_values(struct frag_store *store) {
    for (unsigned i = 0; i < 20; i++) {
        char key[16];
        uint8_t *value = NULL;
        size_t size = 0;
        (void)snprintf(key, sizeof(key), "k%u", i);
        int rc = frag_store_get(store, FRAG_STORE_KIND_SERVER, key, strlen(key), &value, &size);
        if (rc == 0) {
            (void)printf("put %s %.*s\n", key, (int)size, (const char *)value);
            free(value);
        } else if (rc != -ENOENT) {
            must(rc, "get");
        }
    }
}

static void read_all(struct verifier *verifier, const struct frag_store_config *config) {
    struct frag_store_opening opening;
    int rc = frag_store_open(config, &verifier->store, &opening);
    if (rc < 0) {
        (void)fprintf(stderr, "verify_store: %s\n", opening.problem);
    }
    must(rc, "open");
    (void)printf("opening %d %d %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64
                 " %" PRIu64 "\n",
                 opening.created, opening.index_rebuilt, opening.recovered_reels,
                 opening.recovered_fragments, opening.lost_files, opening.foreign_files,
                 opening.damaged_files, opening.offline_folders);
    verifier->away = opening.offline_folders > 0;
    must(frag_archive_open(verifier->store, &verifier->archive), "archive");
    struct frag_stream *stream = frag_stream_next(verifier->store, NULL);
    for (; stream != NULL; stream = frag_stream_next(verifier->store, frag_stream_name(stream))) {
        say_stream(stream);
        check_fragments(verifier, stream);
    }
    must(frag_hold_each(verifier->store, say_hold, NULL), "holds");
    say_values(verifier->store);
    frag_archive_close(verifier->archive);
    frag_store_close(verifier->store);
}

/* ---- the check ---- */

static int take_finding(const struct frag_check_finding *finding, void *user) {
    struct verifier *verifier = user;
    /* Part of the runs take one away. */
    static const char away[] = "the storage directory is not there";
    bool expected = strncmp(finding->what, away, sizeof(away) - 1) == 0;
    if (finding->severity != FRAG_CHECK_NOTE && !expected) {
        complain(verifier, "check, %s: %s [%" PRIu64 ", %" PRIu64 ") of %s: %s",
                 finding->severity == FRAG_CHECK_DAMAGE ? "damage" : "repair", finding->path,
                 finding->from, finding->to, finding->stream, finding->what);
    }
    return 0;
}

static void check_all(struct verifier *verifier, const struct frag_store_config *config) {
    static const struct frag_check_handler handler = {.finding = take_finding};
    struct frag_store_config reading = *config;
    struct frag_check_report report;
    reading.mode = FRAG_STORE_READ;
    must(frag_store_check(&reading, &handler, verifier, &report), "check");
}

int main(int argc, char **argv) {
    static const struct option options[] = {{"folder", required_argument, NULL, 'f'},
                                            {NULL, 0, NULL, 0}};
    struct frag_store_config config = frag_store_config_defaults();
    struct verifier verifier = {0};
    const char *folder = NULL;
    int option = 0;
    while ((option = getopt_long(argc, argv, "", options, NULL)) == 'f') {
        folder = optarg;
    }
    if (option != -1 || argc - optind != 1) {
        (void)fprintf(stderr, "usage: verify_store [--folder DIR] DATA\n");
        return 2;
    }
    kn_log_set_level(KN_LOG_WARN);
    config.data = argv[optind];
    config.folders = &folder;
    config.folder_count = folder != NULL ? 1 : 0;
    config.min_free_bytes = 0;
    config.threads = false;
    read_all(&verifier, &config);
    check_all(&verifier, &config);
    return verifier.problems > 0 ? 1 : 0;
}
