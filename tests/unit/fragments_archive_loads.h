/* What the tests of loading share: a world, an archive of it, and any clip.
 *
 * Tests are set up with set_up and tear_down; the statics are one test program's. */
#ifndef TESTS_UNIT_FRAGMENTS_ARCHIVE_LOADS_H
#define TESTS_UNIT_FRAGMENTS_ARCHIVE_LOADS_H

#include <fcntl.h>

#include "tests/support/sample_media.h"
#include "tests/unit/fragments_archive_world.h"

static struct archive_world world;
static struct frag_archive *archive;
static uint8_t *clip; /* qr.mkv, for tests that need any */
static size_t clip_bytes;

static inline int set_up(void **state) {
    (void)state;
    archive_world_init(&world);
    clip = sample_load("qr.mkv", &clip_bytes);
    return frag_archive_open(&world.store, &archive);
}

static inline int tear_down(void **state) {
    (void)state;
    frag_archive_close(archive);
    free(clip);
    archive_world_finish(&world);
    return 0;
}

static inline struct frag_entry entry_of(const struct archive_session *session, size_t n) {
    struct frag_entry entry;
    assert_int_equal(
        frag_archive_find_number(archive, &world.stream, session->rows[n].number.sequence, &entry),
        0);
    return entry;
}

static inline void record_some(const struct archive_session_config *given,
                               struct archive_session_config *config,
                               struct archive_session *session) {
    *config = *given;
    config->clip = clip;
    config->size = clip_bytes;
    archive_world_record(&world, config, session);
}

/* Loads and frees. */
static inline int try_load(const struct frag_entry *entry) {
    struct frag_loaded *loaded = NULL;
    int rc = frag_archive_load(archive, entry, &loaded);
    assert_int_equal(loaded != NULL, rc == 0);
    frag_loaded_free(loaded);
    assert_int_equal(kn_budget_used(world.store.reading), 0);
    return rc;
}

static inline int open_file(const struct archive_session *session, char path[static 600]) {
    (void)snprintf(path, 600, "%s/%s", world.folder, session->path);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

#endif
