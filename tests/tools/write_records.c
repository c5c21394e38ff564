/* Writes records into a new store, for the flow tests to show its reel to other programs.
 *
 *     write_records closed DATA
 *     write_records open DATA      as a kill leaves it
 */
#include <stdio.h>
#include <string.h>

#include "fragments/fragments.h"

#define COUNT 500u

static int add_all(struct frag_records *records) {
    static uint8_t data[3000];
    int rc = 0;
    for (uint64_t n = 0; n < COUNT && rc == 0; n++) {
        memset(data, (int)n, sizeof(data));
        const struct frag_record record = {
            .time = {INT64_C(1795209820) * KN_NS_PER_S + (int64_t)n * 40 * KN_NS_PER_MS},
            .key_mask = 3,
            .keys = {n, n % 7},
            .data = data,
            .bytes = n * 6,
        };
        rc = frag_records_add(records, &record);
        rc = rc == 0 && n % 25 == 24 ? frag_records_commit(records) : rc;
    }
    return rc;
}

static int write_records(struct frag_store *store) {
    struct frag_stream_settings settings = frag_stream_settings_defaults();
    const struct frag_records_config config = {0};
    struct frag_stream *stream = NULL;
    struct frag_records *records = NULL;
    settings.retention_ns = FRAG_RETAIN_FOREVER;
    settings.records = true;
    int rc = frag_stream_create(store, "results", &settings, NULL, 0, &stream);
    rc = rc < 0 ? rc : frag_records_open(stream, &config, &records);
    rc = rc < 0 ? rc : add_all(records);
    rc = rc < 0 ? rc : frag_store_flush(store); /* the reel is open now, and synced */
    frag_records_close(records, FRAG_GAP_SHUTDOWN);
    return rc;
}

int main(int argc, char **argv) {
    struct frag_store_config config = frag_store_config_defaults();
    struct frag_store *store = NULL;
    if (argc != 3) {
        (void)fprintf(stderr, "usage: write_records open|closed DATA\n");
        return 2;
    }
    config.data = argv[2];
    config.threads = false;
    config.seed = 1;
    config.min_free_bytes = 0;
    int rc = frag_store_open(&config, &store, NULL);
    rc = rc < 0 ? rc : write_records(store);
    if (strcmp(argv[1], "open") == 0) {
        frag_store_abandon(store);
    } else {
        frag_store_close(store);
    }
    return rc == 0 ? 0 : 1;
}
