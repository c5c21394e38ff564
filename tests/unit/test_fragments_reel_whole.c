/* Whole reels of the sample clips, walked as recovery does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/crc.h"
#include "base/error.h"
#include "fragments/matroska.h"
#include "fragments/store/reel_format.h"
#include "tests/support/reel_build.h"
#include "tests/support/sample_media.h"
#include "tests/unit/fragments_reels.h"

#define TABLE_MAX ((size_t)1 << 20)

/* From the first cluster, cluster and trailer in turns, to `end` or what is no good fragment. */
static size_t walk(const struct kn_writer *file, const struct frag_reel_identity *identity,
                   struct frag_reel_row *rows, uint64_t *ret_end) {
    struct frag_reel_body body;
    size_t count = 0;
    assert_int_equal(frag_reel_read_body(file->data + FRAG_REEL_BODY_AT,
                                         file->size - FRAG_REEL_BODY_AT, identity, NULL, &body),
                     0);
    uint64_t at = body.first_cluster_at;
    for (;;) {
        uint32_t id = 0;
        uint64_t bytes = 0;
        struct frag_reel_row *row = &rows[count];
        *ret_end = at;
        if (frag_reel_read_element(file->data + at, file->size - at, &id, &bytes) != 0 ||
            id != FRAG_MKV_CLUSTER || bytes > file->size - at) {
            return count;
        }
        uint64_t trailer_at = at + bytes;
        if (frag_reel_read_trailer(file->data + trailer_at, file->size - trailer_at, trailer_at,
                                   identity, row) != 0 ||
            row->cluster_at != at || kn_crc32c(0, file->data + at, bytes) != row->cluster_crc32c) {
            return count;
        }
        at = trailer_at + row->trailer_bytes;
        count++;
    }
}

static void check_walk(const struct reel_built *reel, uint64_t expected_end) {
    struct frag_reel_identity identity;
    struct frag_reel_row rows[REEL_BUILD_ROWS + 1];
    uint64_t end = 0;
    assert_int_equal(frag_reel_read_identity(reel->file.data, reel->file.size, &identity), 0);
    assert_same_identity(&identity, &reel->identity);
    assert_int_equal(walk(&reel->file, &identity, rows, &end), reel->count);
    for (size_t i = 0; i < reel->count; i++) {
        assert_same_row(&rows[i], &reel->rows[i]);
    }
    assert_int_equal(end, expected_end);
}

static void check_footer(const struct reel_built *reel) {
    struct frag_reel_places places;
    struct frag_reel_table table;
    struct frag_reel_row row;
    struct kn_writer packed;
    assert_int_equal(
        frag_reel_read_page(reel->file.data + FRAG_REEL_SEEK_AT, FRAG_REEL_SEEK_AT, &places), 1);
    assert_int_equal(places.table_at, reel->places.table_at);
    kn_writer_init_growing(&packed, TABLE_MAX);
    assert_int_equal(frag_reel_read_table_element(reel->file.data + places.table_at,
                                                  reel->file.size - places.table_at, &packed),
                     0);
    assert_int_equal(
        frag_reel_table_open(&table, packed.data, packed.size, reel->identity.number_low), 0);
    for (size_t i = 0; i < reel->count; i++) {
        assert_int_equal(frag_reel_table_next(&table, &row), 1);
        assert_same_table_row(&row, &reel->rows[i]);
    }
    assert_int_equal(frag_reel_table_next(&table, &row), 0);
    kn_writer_finish(&packed);
}

/* What our own parser makes of it, with every checksum looked at. */
struct told {
    size_t clusters, tags, bad;
};

static int handle_begin(const struct frag_mkv_element *element, void *user) {
    struct told *told = user;
    told->clusters += element->id == FRAG_MKV_CLUSTER;
    return 0;
}

static int handle_tag(const struct frag_mkv_tag *tag, void *user) {
    struct told *told = user;
    told->tags += strncmp(tag->name, "KINORA_", 7) == 0 && tag->track_uid == 0;
    return 0;
}

static int handle_bad_crc(const struct frag_mkv_element *element, void *user) {
    struct told *told = user;
    (void)element;
    told->bad++;
    return 0;
}

static void check_parses(const struct reel_built *reel, size_t footer_tags) {
    static const struct frag_mkv_handler handler = {
        .begin = handle_begin, .tag = handle_tag, .bad_crc = handle_bad_crc};
    struct told told = {0};
    const struct frag_mkv_parser_config config = {
        .handler = &handler, .user = &told, .verify_crc = true};
    struct frag_mkv_parser *parser = NULL;
    assert_int_equal(frag_mkv_parser_create(&config, &parser), 0);
    assert_int_equal(frag_mkv_parser_push(parser, reel->file.data, reel->file.size), 0);
    assert_int_equal(frag_mkv_parser_finish(parser), 0);
    assert_int_equal(told.clusters, reel->count);
    assert_int_equal(told.bad, 0);
    size_t around = reel->count < 2 ? reel->count : 2;
    /* reel, stream, header; a fragment each */
    assert_int_equal(told.tags, 3 + reel->count + around + footer_tags);
    frag_mkv_parser_destroy(parser);
}

static void test_reels_of_all_clips(void **state) {
    (void)state;
    for (size_t i = 0; i < SAMPLE_CLIPS; i++) {
        struct reel_built open;
        struct reel_built closed;
        size_t size = 0;
        uint8_t *clip = sample_load(sample_clips[i], &size);
        reel_build(&open, clip, size, false);
        reel_build(&closed, clip, size, true);
        check_walk(&open, open.file.size);
        check_parses(&open, 0);
        check_walk(&closed, closed.places.cues_at);
        check_parses(&closed, 1);
        check_footer(&closed);
        /* Closing adds, and writes one page again. */
        assert_memory_equal(open.file.data, closed.file.data, FRAG_REEL_SEEK_AT);
        assert_memory_equal(open.file.data + FRAG_REEL_BODY_AT,
                            closed.file.data + FRAG_REEL_BODY_AT,
                            open.file.size - FRAG_REEL_BODY_AT);
        reel_built_free(&closed);
        reel_built_free(&open);
        free(clip);
    }
}

/* Whatever the last write left, the fragments before it are found and no other. */
static void test_torn_anywhere(void **state) {
    (void)state;
    struct reel_built reel;
    struct frag_reel_row rows[REEL_BUILD_ROWS + 1];
    uint64_t end = 0;
    size_t size = 0;
    uint8_t *clip = sample_load("qr.mkv", &size);
    reel_build(&reel, clip, size, false);
    size_t whole = reel.file.size;
    const struct frag_reel_row *last = &reel.rows[reel.count - 1];
    for (size_t cut = last->cluster_at; cut < whole; cut += cut + 1000 < whole ? 997 : 1) {
        reel.file.size = cut;
        assert_int_equal(walk(&reel.file, &reel.identity, rows, &end), reel.count - 1);
        assert_int_equal(end, last->cluster_at);
    }
    reel.file.size = whole;
    reel_built_free(&reel);
    free(clip);
}

/* A frame that holds a cluster and a trailer with this reel's own id and a right offset: nobody who
 * walks by lengths ever looks there, and one bit elsewhere in its cluster ends the walk before it.
 */
static void test_forged_inside_a_payload(void **state) {
    (void)state;
    struct reel_built reel;
    struct frag_reel_row rows[REEL_BUILD_ROWS + 1];
    struct kn_writer forged;
    uint64_t end = 0;
    size_t size = 0;
    uint8_t *clip = sample_load("qr.mkv", &size);
    reel_build(&reel, clip, size, false);
    struct frag_reel_row *second = &reel.rows[1];
    struct frag_reel_row inner = *second;
    inner.cluster_at = second->cluster_at + 200;
    inner.cluster_bytes = FRAG_REEL_CLUSTER_HEAD_BYTES;
    inner.received_width = 0, inner.received_unknown = 0;
    inner.after_bytes = 0;
    kn_writer_init(&forged, reel.file.data + inner.cluster_at, 400);
    kn_write_be32(&forged, FRAG_MKV_CLUSTER);
    kn_write_be64(&forged, UINT64_C(1) << 56);
    inner.cluster_crc32c = kn_crc32c(0, forged.data, forged.size);
    frag_reel_write_trailer(&forged, &inner, reel.identity.reel_id, NULL, NULL);
    assert_int_equal(kn_writer_status(&forged), 0);
    /* As it came from the producer: the store's trailer is right about it. */
    struct kn_writer trailer;
    uint64_t trailer_at = second->cluster_at + second->cluster_bytes;
    second->cluster_crc32c =
        kn_crc32c(0, reel.file.data + second->cluster_at, second->cluster_bytes);
    kn_writer_init(&trailer, reel.file.data + trailer_at, second->trailer_bytes);
    frag_reel_write_trailer(&trailer, second, reel.identity.reel_id, NULL,
                            (const uint8_t *)"\xec\x80");
    assert_int_equal(kn_writer_status(&trailer), 0);
    check_walk(&reel, reel.file.size);
    reel.file.data[second->cluster_at + 30] ^= 1;
    assert_int_equal(walk(&reel.file, &reel.identity, rows, &end), 1);
    assert_int_equal(end, second->cluster_at);
    reel_built_free(&reel);
    free(clip);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reels_of_all_clips),
        cmocka_unit_test(test_torn_anywhere),
        cmocka_unit_test(test_forged_inside_a_payload),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
