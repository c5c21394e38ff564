#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/crc.h"
#include "base/error.h"
#include "fragments/matroska.h"
#include "fragments/store/reel_format.h"
#include "tests/support/fail_alloc.h"
#include "tests/unit/fragments_reels.h"

#define PAGE 4096u
#define HEAD_MAX ((size_t)64 << 20)

static struct kn_tracks *some_tracks(size_t private_bytes) {
    static const uint8_t private[1000] = {1, 0x4d, 0x40, 0x1f};
    const struct kn_track items[] = {
        {.number = 1,
         .media = KN_MEDIA_VIDEO,
         .codec_id = "V_MPEG4/ISO/AVC",
         .codec_private = private,
         .codec_private_bytes = private_bytes,
         .width = 1920,
         .height = 1080},
        {.number = 2, .media = KN_MEDIA_AUDIO, .codec_id = "A_AAC", .sample_rate_hz = 48000},
    };
    struct kn_tracks *tracks = NULL;
    assert_int_equal(kn_tracks_create(items, KN_COUNT(items), &tracks), 0);
    return tracks;
}

static int make_head(struct kn_writer *head, const struct frag_reel_identity *identity,
                     const char *name, const uint8_t *producer_header) {
    struct kn_tracks *tracks = some_tracks(50);
    kn_writer_init_growing(head, HEAD_MAX);
    frag_reel_write_head(head, identity, name, tracks, producer_header);
    kn_tracks_unref(tracks);
    return kn_writer_status(head);
}

/* ---- identity ---- */

static void check_identity(const struct frag_reel_identity *identity, const char *name) {
    struct kn_writer head;
    struct frag_reel_identity found;
    static const uint8_t producer_header[100];
    assert_int_equal(make_head(&head, identity, name, producer_header), 0);
    uint8_t *page = exact_copy(head.data, PAGE);
    memset(&found, 0xa5, sizeof(found));
    assert_int_equal(frag_reel_read_identity(page, PAGE, &found), 0);
    assert_same_identity(identity, &found);
    free(page);
    kn_writer_finish(&head);
}

static void test_identity_comes_back(void **state) {
    (void)state;
    struct frag_reel_identity identity = plain_identity();
    check_identity(&identity, "gate");
    check_identity(&identity, "");
    identity = (struct frag_reel_identity){.timecode_scale_ns = 1};
    check_identity(&identity, "\xc3\xa9");
    memset(&identity, 0xff, sizeof(identity));
    identity.flags = FRAG_REEL_KEPT | FRAG_REEL_RECORDS | FRAG_REEL_RELATIVE;
    identity.opened.ns = INT64_MAX;
    identity.producer_start.ns = INT64_MIN;
    identity.timecode_scale_ns = INT64_MAX;
    identity.number_low = 0x0FFFFFFF;
    identity.producer_header_bytes = 100;
    check_identity(&identity, "all ones");
}

static void test_impossible_identities_are_not_written(void **state) {
    (void)state;
    struct frag_reel_identity bad[6];
    for (size_t i = 0; i < KN_COUNT(bad); i++) {
        bad[i] = plain_identity();
    }
    bad[0].flags = 8;
    bad[1].timecode_scale_ns = 0;
    bad[2].timecode_scale_ns = (uint64_t)INT64_MAX + 1;
    bad[3].number_low = 0x10000000;
    bad[4].producer_start.ns = 1; /* with absolute timecodes */
    bad[5].producer_header_bytes = FRAG_REEL_PRODUCER_HEADER_MAX + 1;
    for (size_t i = 0; i < KN_COUNT(bad); i++) {
        static const uint8_t never_read[1];
        struct kn_writer head;
        assert_int_equal(make_head(&head, &bad[i], "gate", never_read),
                         i == 5 ? KN_E_LIMIT : KN_E_MALFORMED);
        kn_writer_finish(&head);
    }
}

static void test_long_names(void **state) {
    (void)state;
    struct frag_reel_identity identity = plain_identity();
    size_t longest = 0;
    char *name = calloc(1, 70001);
    assert_non_null(name);
    for (size_t length = 3500; length < PAGE + 10; length++) {
        struct kn_writer head;
        memset(name, 'n', length);
        int rc = make_head(&head, &identity, name, NULL);
        if (rc == 0) {
            assert_int_equal(longest, length == 3500 ? 0 : length - 1);
            longest = length;
            assert_int_equal(frag_reel_read_identity(head.data, PAGE, &identity), 0);
        } else {
            assert_int_equal(rc, KN_E_LIMIT);
        }
        kn_writer_finish(&head);
    }
    assert_in_range(longest, 3700, PAGE);
    memset(name, 'n', 70000);
    struct kn_writer head;
    assert_int_equal(make_head(&head, &identity, name, NULL), KN_E_LIMIT);
    kn_writer_finish(&head);
    free(name);
}

static void test_identity_cut_short(void **state) {
    (void)state;
    struct frag_reel_identity identity = plain_identity();
    struct kn_writer head;
    assert_int_equal(make_head(&head, &identity, "gate", NULL), 0);
    for (size_t size = 0; size < PAGE; size++) {
        uint8_t *page = exact_copy(head.data, size);
        assert_int_equal(frag_reel_read_identity(page, size, &identity), KN_E_TRUNCATED);
        free(page);
    }
    kn_writer_finish(&head);
}

static void test_identity_with_any_bit_flipped(void **state) {
    (void)state;
    struct frag_reel_identity identity = plain_identity();
    struct frag_reel_identity found = identity;
    struct kn_writer head;
    assert_int_equal(make_head(&head, &identity, "gate", NULL), 0);
    uint8_t *page = exact_copy(head.data, PAGE);
    for (size_t bit = 0; bit < (size_t)PAGE * 8; bit++) {
        page[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(frag_reel_read_identity(page, PAGE, &found), KN_E_MALFORMED);
        page[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_same_identity(&identity, &found);
    assert_int_equal(frag_reel_read_identity(page, PAGE, &found), 0);
    free(page);
    kn_writer_finish(&head);
}

static size_t find_text(const uint8_t *data, size_t size, const char *text) {
    size_t length = strlen(text);
    for (size_t at = 0; at + length <= size; at++) {
        if (memcmp(data + at, text, length) == 0) {
            return at;
        }
    }
    fail();
    return 0;
}

static void put_be32(uint8_t *place, uint32_t value) {
    struct kn_writer writer;
    kn_writer_init(&writer, place, 4);
    kn_write_be32(&writer, value);
}

/* Both checksums of a first page whose identity was changed. */
static void seal_identity(uint8_t *page) {
    size_t payload = find_text(page, PAGE, "KINORA_REEL") + 11 + 6;
    struct kn_reader reader;
    struct kn_writer writer;
    put_be32(page + payload + 108, kn_crc32c(0, page + payload, 108));
    kn_reader_init(&reader, page + FRAG_REEL_SEGMENT_AT + 4, 4);
    size_t body = kn_read_be32(&reader) & 0x0FFFFFFF;
    uint8_t *tags = page + FRAG_REEL_SEGMENT_AT + FRAG_REEL_TAGS_HEAD_BYTES;
    kn_writer_init(&writer, tags + 2, 4);
    kn_write_le32(&writer, kn_crc32(0, tags + 6, body - 6));
}

static void test_well_checked_identities_that_cannot_be(void **state) {
    static const struct {
        size_t at;
        uint8_t value;
        int result;
    } changes[] = {
        {0, 0x00, 0},                /* nothing changed */
        {1, 2, KN_E_UNSUPPORTED},    /* version */
        {0, 1, KN_E_UNSUPPORTED},    /* version 257 */
        {1, 0, KN_E_MALFORMED},      /* version 0 */
        {3, 8, KN_E_MALFORMED},      /* flags */
        {84, 1, KN_E_MALFORMED},     /* producer start, absolute */
        {92, 0x80, KN_E_MALFORMED},  /* scale */
        {100, 0x10, KN_E_MALFORMED}, /* low */
        {104, 0x80, KN_E_MALFORMED}, /* producer's header */
    };
    (void)state;
    struct frag_reel_identity identity = plain_identity();
    struct kn_writer head;
    assert_int_equal(make_head(&head, &identity, "gate", NULL), 0);
    size_t payload = find_text(head.data, PAGE, "KINORA_REEL") + 11 + 6;
    for (size_t i = 0; i < KN_COUNT(changes); i++) {
        uint8_t *page = exact_copy(head.data, PAGE);
        page[payload + changes[i].at] = changes[i].value;
        seal_identity(page);
        assert_int_equal(frag_reel_read_identity(page, PAGE, &identity), changes[i].result);
        free(page);
    }
    kn_writer_finish(&head);
}

/* The first bytes are the format's own; other programs read them too. */
static void test_begins_as_the_matroska_writer_would(void **state) {
    (void)state;
    struct frag_reel_identity identity = plain_identity();
    struct kn_writer head;
    struct kn_writer other;
    struct frag_mkv_layout layout;
    struct kn_tracks *tracks = some_tracks(50);
    const struct frag_mkv_header header = {.tracks = tracks};
    assert_int_equal(make_head(&head, &identity, "gate", NULL), 0);
    kn_writer_init_growing(&other, HEAD_MAX);
    frag_mkv_write_header(&other, &header, &layout);
    assert_int_equal(layout.segment_data_at, FRAG_REEL_SEGMENT_AT);
    assert_memory_equal(head.data, other.data, FRAG_REEL_SEGMENT_AT);
    kn_writer_finish(&other);
    kn_writer_finish(&head);
    kn_tracks_unref(tracks);
}

/* ---- body ---- */

static uint8_t *patterned(size_t size) {
    uint8_t *data = malloc(size > 0 ? size : 1);
    assert_non_null(data);
    for (size_t i = 0; i < size; i++) {
        data[i] = (uint8_t)(i * 7 + i / 256);
    }
    return data;
}

static void check_producer_header(uint32_t bytes) {
    struct frag_reel_identity identity = plain_identity();
    struct kn_writer head;
    struct kn_writer found;
    struct frag_reel_body body;
    uint8_t *header = patterned(bytes);
    identity.producer_header_bytes = bytes;
    assert_int_equal(make_head(&head, &identity, "gate", header), 0);
    kn_writer_init_growing(&found, HEAD_MAX);
    assert_int_equal(frag_reel_read_body(head.data + FRAG_REEL_BODY_AT,
                                         head.size - FRAG_REEL_BODY_AT, &identity, &found, &body),
                     0);
    assert_int_equal(body.first_cluster_at, head.size);
    assert_memory_equal(head.data + body.tracks_at, "\x16\x54\xae\x6b", 4);
    assert_int_equal(found.size, bytes);
    assert_memory_equal(bytes == 0 ? header : found.data, header, bytes);
    assert_int_equal(frag_reel_read_body(head.data + FRAG_REEL_BODY_AT,
                                         head.size - FRAG_REEL_BODY_AT, &identity, NULL, &body),
                     0);
    /* Another length than the identity says. */
    identity.producer_header_bytes = bytes + 1;
    assert_true(frag_reel_read_body(head.data + FRAG_REEL_BODY_AT, head.size - FRAG_REEL_BODY_AT,
                                    &identity, NULL, &body) < 0);
    kn_writer_finish(&found);
    kn_writer_finish(&head);
    free(header);
}

static void test_producer_header_comes_back(void **state) {
    static const uint32_t sizes[] = {
        0,
        1,
        300,
        FRAG_REEL_PIECE_BYTES - 1,
        FRAG_REEL_PIECE_BYTES,
        FRAG_REEL_PIECE_BYTES + 1,
        3 * FRAG_REEL_PIECE_BYTES,
        FRAG_REEL_PRODUCER_HEADER_MAX,
    };
    (void)state;
    for (size_t i = 0; i < KN_COUNT(sizes); i++) {
        check_producer_header(sizes[i]);
    }
}

static void test_body_cut_short_or_flipped(void **state) {
    (void)state;
    struct frag_reel_identity identity = plain_identity();
    struct kn_writer head;
    struct frag_reel_body body;
    uint8_t *header = patterned(200);
    identity.producer_header_bytes = 200;
    assert_int_equal(make_head(&head, &identity, "gate", header), 0);
    size_t size = head.size - FRAG_REEL_BODY_AT;
    for (size_t cut = 0; cut < size; cut++) {
        uint8_t *data = exact_copy(head.data + FRAG_REEL_BODY_AT, cut);
        assert_int_equal(frag_reel_read_body(data, cut, &identity, NULL, &body), KN_E_TRUNCATED);
        free(data);
    }
    uint8_t *data = exact_copy(head.data + FRAG_REEL_BODY_AT, size);
    for (size_t bit = 0; bit < size * 8; bit++) {
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_true(frag_reel_read_body(data, size, &identity, NULL, &body) < 0);
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_int_equal(frag_reel_read_body(data, size, &identity, NULL, &body), 0);
    free(data);
    free(header);
    kn_writer_finish(&head);
}

/* ---- the page that closes ---- */

static void test_page_of_an_open_reel(void **state) {
    (void)state;
    struct frag_reel_identity identity = plain_identity();
    struct frag_reel_places places;
    struct kn_writer head;
    assert_int_equal(make_head(&head, &identity, "gate", NULL), 0);
    assert_memory_equal(head.data + PAGE, "\xec\x01\0\0\0\0\0\x0f\xf7", 9);
    uint8_t *page = exact_copy(head.data + PAGE, PAGE);
    assert_int_equal(frag_reel_read_page(page, PAGE, &places), 0);
    for (size_t bit = 0; bit < (size_t)PAGE * 8; bit++) {
        page[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(frag_reel_read_page(page, PAGE, &places), KN_E_MALFORMED);
        page[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    free(page);
    kn_writer_finish(&head);
}

static void check_page(struct frag_reel_places places) {
    struct frag_reel_places found;
    uint8_t room[PAGE];
    struct kn_writer writer;
    kn_writer_init(&writer, room, sizeof(room));
    frag_reel_close_page(&writer, &places);
    assert_int_equal(kn_writer_status(&writer), 0);
    assert_int_equal(writer.size, PAGE);
    uint8_t *page = exact_copy(room, PAGE);
    assert_int_equal(frag_reel_read_page(page, PAGE, &found), 1);
    assert_true(found.tracks_at == places.tracks_at && found.cues_at == places.cues_at);
    assert_true(found.table_at == places.table_at);
    for (size_t bit = 0; bit < (size_t)PAGE * 8; bit++) {
        page[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(frag_reel_read_page(page, PAGE, &found), KN_E_MALFORMED);
        page[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    free(page);
    for (size_t size = 0; size < PAGE; size += 61) {
        page = exact_copy(room, size);
        assert_int_equal(frag_reel_read_page(page, size, &found), KN_E_TRUNCATED);
        free(page);
    }
    kn_writer_init(&writer, room, PAGE - 1);
    frag_reel_close_page(&writer, &places);
    assert_int_equal(kn_writer_status(&writer), KN_E_LIMIT);
}

static void test_page_of_a_closed_reel(void **state) {
    (void)state;
    check_page((struct frag_reel_places){8300, 1000000, 2000000});
    check_page((struct frag_reel_places){8300, 0, 9000});
    check_page((struct frag_reel_places){INT64_MAX - 2, INT64_MAX - 1, INT64_MAX});
}

static void test_impossible_places(void **state) {
    static const struct frag_reel_places bad[] = {
        {0, 9000, 10000},
        {8192, 9000, 10000},
        {8300, 8300, 10000},
        {8300, 9000, 9000},
        {8300, 9000, 8000},
        {8300, 0, 8300},
        {8300, 9000, (uint64_t)INT64_MAX + 1},
        {8300, UINT64_MAX, 9000},
    };
    (void)state;
    for (size_t i = 0; i < KN_COUNT(bad); i++) {
        uint8_t room[PAGE];
        struct kn_writer writer;
        kn_writer_init(&writer, room, sizeof(room));
        frag_reel_close_page(&writer, &bad[i]);
        assert_int_equal(kn_writer_status(&writer), KN_E_MALFORMED);
    }
}

/* ---- memory ---- */

static void test_out_of_memory(void **state) {
    (void)state;
    struct frag_reel_identity identity = plain_identity();
    struct kn_tracks *tracks = some_tracks(1000);
    uint8_t *header = patterned(130000);
    struct kn_writer head;
    struct kn_writer found;
    struct frag_reel_body body;
    identity.producer_header_bytes = 130000;
    int rc = -ENOMEM;
    unsigned long n = 0;
    while (rc == -ENOMEM) {
        kn_writer_init_growing(&head, HEAD_MAX);
        fail_alloc_at(++n);
        frag_reel_write_head(&head, &identity, "gate", tracks, header);
        fail_alloc_stop();
        rc = kn_writer_status(&head);
        assert_true(rc == 0 || rc == -ENOMEM);
        if (rc != 0) {
            kn_writer_finish(&head);
        }
    }
    assert_true(n > 5);
    for (rc = -ENOMEM, n = 0; rc == -ENOMEM;) {
        kn_writer_init_growing(&found, HEAD_MAX);
        fail_alloc_at(++n);
        rc = frag_reel_read_body(head.data + FRAG_REEL_BODY_AT, head.size - FRAG_REEL_BODY_AT,
                                 &identity, &found, &body);
        fail_alloc_stop();
        assert_true(rc == 0 || rc == -ENOMEM);
        kn_writer_finish(&found);
    }
    assert_true(n > 2);
    kn_writer_init_growing(&found, 1000);
    assert_int_equal(frag_reel_read_body(head.data + FRAG_REEL_BODY_AT,
                                         head.size - FRAG_REEL_BODY_AT, &identity, &found, &body),
                     KN_E_LIMIT);
    kn_writer_finish(&found);
    kn_writer_finish(&head);
    free(header);
    kn_tracks_unref(tracks);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_identity_comes_back),
        cmocka_unit_test(test_impossible_identities_are_not_written),
        cmocka_unit_test(test_long_names),
        cmocka_unit_test(test_identity_cut_short),
        cmocka_unit_test(test_identity_with_any_bit_flipped),
        cmocka_unit_test(test_well_checked_identities_that_cannot_be),
        cmocka_unit_test(test_begins_as_the_matroska_writer_would),
        cmocka_unit_test(test_producer_header_comes_back),
        cmocka_unit_test(test_body_cut_short_or_flipped),
        cmocka_unit_test(test_page_of_an_open_reel),
        cmocka_unit_test(test_page_of_a_closed_reel),
        cmocka_unit_test(test_impossible_places),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
