#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/crc.h"
#include "base/error.h"
#include "fragments/store/values.h"
#include "tests/support/fail_alloc.h"

#define ROOM 32768u

static const char stream_id[] = "streamstreamstre";
static const char other_id[] = "otherotherothero";

/* ---- bytes written and read ---- */

struct bytes {
    uint8_t data[ROOM];
    size_t size;
};

static int finish(struct kn_writer *writer, struct bytes *bytes) {
    bytes->size = writer->size;
    if (writer->size > 0) {
        memcpy(bytes->data, writer->data, writer->size);
    }
    int rc = kn_writer_status(writer);
    kn_writer_finish(writer);
    return rc;
}

/* In a block of its own size, so that the address sanitizer sees a read over its end. */
static struct frag_catalog_value exact(const struct bytes *bytes, size_t size) {
    uint8_t *copy = malloc(size > 0 ? size : 1);
    assert_non_null(copy);
    memcpy(copy, bytes->data, size);
    return (struct frag_catalog_value){copy, size};
}

#define MAKE_PAIR(kind, type)                                                                      \
    static int encode_##kind(const type *value, struct bytes *bytes) {                             \
        struct kn_writer writer;                                                                   \
        kn_writer_init_growing(&writer, ROOM);                                                     \
        frag_value_write_##kind(&writer, value);                                                   \
        return finish(&writer, bytes);                                                             \
    }                                                                                              \
    static int decode_##kind(const struct bytes *bytes, size_t size, void *ret_value) {            \
        struct frag_catalog_value value = exact(bytes, size);                                      \
        int rc = frag_value_read_##kind(value, ret_value);                                         \
        free((void *)value.data);                                                                  \
        return rc;                                                                                 \
    }

MAKE_PAIR(folder, struct frag_value_folder)
MAKE_PAIR(mark, struct frag_value_mark)
MAKE_PAIR(stream, struct frag_value_stream)
MAKE_PAIR(hold, struct frag_value_hold)
MAKE_PAIR(gap, struct frag_gap_entry)
MAKE_PAIR(seal, struct frag_value_seal)

static int encode_u64(const uint64_t *value, struct bytes *bytes) {
    struct kn_writer writer;
    kn_writer_init_growing(&writer, ROOM);
    frag_value_write_u64(&writer, *value);
    return finish(&writer, bytes);
}

static int decode_u64(const struct bytes *bytes, size_t size, void *ret_value) {
    struct frag_catalog_value value = exact(bytes, size);
    int rc = frag_value_read_u64(value, ret_value);
    free((void *)value.data);
    return rc;
}

static int decode_gap_key(const struct bytes *bytes, size_t size, void *ret_value) {
    struct frag_catalog_value value = exact(bytes, size);
    int rc = frag_gap_key_read(value, ret_value);
    free((void *)value.data);
    return rc;
}

static int decode_identity(const struct bytes *bytes, size_t size, void *ret_value) {
    struct frag_catalog_value value = exact(bytes, size);
    int rc = frag_identity_read(value.data, value.size, ret_value);
    free((void *)value.data);
    return rc;
}

typedef int decoder(const struct bytes *bytes, size_t size, void *ret_value);

/* Good bytes, cut, lengthened and of another version: all refused, and nothing is given. */
static void check_edges(struct bytes *bytes, decoder *decode, size_t value_bytes) {
    uint8_t *untouched = malloc(value_bytes);
    uint8_t *room = malloc(value_bytes);
    assert_non_null(untouched);
    assert_non_null(room);
    memset(untouched, 0xa5, value_bytes);
    memset(room, 0xa5, value_bytes);
    for (size_t size = 0; size < bytes->size; size++) {
        assert_int_equal(decode(bytes, size, room), KN_E_TRUNCATED);
    }
    bytes->data[bytes->size] = 0;
    assert_int_equal(decode(bytes, bytes->size + 1, room), KN_E_MALFORMED);
    if (decode != decode_gap_key && decode != decode_identity) {
        bytes->data[1] = 2;
        assert_int_equal(decode(bytes, bytes->size, room), KN_E_UNSUPPORTED);
        bytes->data[1] = 0;
        assert_int_equal(decode(bytes, bytes->size, room), KN_E_MALFORMED);
        bytes->data[1] = 1;
    }
    assert_memory_equal(room, untouched, value_bytes);
    free(untouched);
    free(room);
}

static void check_bytes(const struct bytes *bytes, const void *expected, size_t size) {
    assert_int_equal(bytes->size, size);
    assert_memory_equal(bytes->data, expected, size);
}

/* ---- the store's own ---- */

static void test_keys(void **state) {
    (void)state;
    uint8_t key[FRAG_KEY_BYTES_MAX];
    assert_int_equal(frag_key_of(FRAG_KEY_MARK, (const uint8_t *)stream_id, key), 20);
    assert_memory_equal(key, "markstreamstreamstre", 20);
    assert_int_equal(frag_key_of(FRAG_KEY_FOLDER, (const uint8_t *)stream_id, key), 22);
    assert_memory_equal(key, "folderstreamstreamstre", 22);
}

static void test_numbers(void **state) {
    (void)state;
    struct bytes bytes;
    uint64_t value = 0x1122334455667788u, again = 0;
    assert_int_equal(encode_u64(&value, &bytes), 0);
    check_bytes(&bytes, "\0\1\x11\x22\x33\x44\x55\x66\x77\x88", 10);
    assert_int_equal(decode_u64(&bytes, bytes.size, &again), 0);
    assert_true(again == value);
    check_edges(&bytes, decode_u64, sizeof(again));
}

static void test_folders(void **state) {
    (void)state;
    struct bytes bytes;
    struct frag_value_folder folder = {.number = 3, .path = "/mnt/b"}, again;
    assert_int_equal(encode_folder(&folder, &bytes), 0);
    check_bytes(&bytes, "\0\1\0\3\0\6/mnt/b", 12);
    assert_int_equal(decode_folder(&bytes, bytes.size, &again), 0);
    assert_int_equal(again.number, 3);
    assert_string_equal(again.path, "/mnt/b");
    check_edges(&bytes, decode_folder, sizeof(again));
    bytes.data[7] = 0; /* a NUL inside the path */
    assert_int_equal(decode_folder(&bytes, bytes.size, &again), KN_E_MALFORMED);

    folder = (struct frag_value_folder){.number = 0};
    assert_int_equal(encode_folder(&folder, &bytes), 0);
    check_bytes(&bytes, "\0\1\0\0\0\0", 6);
    assert_int_equal(decode_folder(&bytes, bytes.size, &again), 0);
    assert_string_equal(again.path, "");
}

static void test_folders_that_cannot_be(void **state) {
    (void)state;
    struct bytes bytes;
    struct frag_value_folder folder, again;
    const struct frag_value_folder wrong[] = {{.number = 0, .path = "/a"},
                                              {.number = 1, .path = "a"},
                                              {.number = 1, .path = ""},
                                              {.number = FRAG_FOLDER_ANY, .path = "/a"}};
    for (size_t i = 0; i < KN_COUNT(wrong); i++) {
        assert_int_equal(encode_folder(&wrong[i], &bytes), KN_E_MALFORMED);
        assert_int_equal(bytes.size, 0);
    }
    folder = (struct frag_value_folder){.number = FRAG_FOLDER_ANY - 1};
    memset(folder.path, '/', sizeof(folder.path));
    assert_int_equal(encode_folder(&folder, &bytes), KN_E_MALFORMED); /* no NUL */
    folder.path[sizeof(folder.path) - 1] = '\0';
    assert_int_equal(encode_folder(&folder, &bytes), 0);
    assert_int_equal(decode_folder(&bytes, bytes.size, &again), 0);
    assert_memory_equal(&again, &folder, sizeof(folder));
    /* One byte more than fits. */
    bytes.data[4] = 0x10;
    bytes.data[5] = 0;
    bytes.data[bytes.size++] = '/';
    assert_int_equal(decode_folder(&bytes, bytes.size, &again), KN_E_MALFORMED);
}

static void test_marks(void **state) {
    (void)state;
    struct bytes bytes;
    struct frag_value_mark mark = {1, 2, 3}, again;
    assert_int_equal(encode_mark(&mark, &bytes), 0);
    check_bytes(&bytes, "\0\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\3", 26);
    assert_int_equal(decode_mark(&bytes, bytes.size, &again), 0);
    assert_memory_equal(&again, &mark, sizeof(mark));
    check_edges(&bytes, decode_mark, sizeof(again));
    memset(bytes.data + 2, 0xff, 8);
    assert_int_equal(decode_mark(&bytes, bytes.size, &again), KN_E_MALFORMED);
    mark.sequence = FRAG_NUMBER_SEQUENCE_MAX;
    assert_int_equal(encode_mark(&mark, &bytes), 0);
    assert_int_equal(decode_mark(&bytes, bytes.size, &again), 0);
    mark.sequence++;
    assert_int_equal(encode_mark(&mark, &bytes), KN_E_MALFORMED);
}

/* ---- streams ---- */

static struct frag_stream_tag plain_tags[] = {{"owner", "gate"}, {"place", "T\xc3\xbcr"}};

static const struct frag_stream_settings plain_settings = {.target_ns = 2 * KN_NS_PER_S,
                                                           .folder = FRAG_FOLDER_ANY};

static struct frag_value_stream plain_stream(void) {
    struct frag_value_stream stream = {.name = "front-door_1.sub",
                                       .version = "0123456789ABCDEFabcd",
                                       .created = {-5},
                                       .deleting = true,
                                       .settings = plain_settings,
                                       .tag_count = 2,
                                       .tags = plain_tags};
    stream.settings.retention_ns = 7;
    stream.settings.retention_bytes = 9;
    stream.settings.folder = 11;
    memcpy(stream.settings.media_type, "video/h264", 11);
    memcpy(stream.settings.device_name, "cam", 4);
    return stream;
}

static void check_same_stream(const struct frag_value_stream *a,
                              const struct frag_value_stream *b) {
    assert_string_equal(a->name, b->name);
    assert_string_equal(a->version, b->version);
    assert_int_equal(a->created.ns, b->created.ns);
    assert_int_equal(a->deleting, b->deleting);
    assert_int_equal(a->settings.retention_ns, b->settings.retention_ns);
    assert_int_equal(a->settings.retention_bytes, b->settings.retention_bytes);
    assert_int_equal(a->settings.target_ns, b->settings.target_ns);
    assert_int_equal(a->settings.folder, b->settings.folder);
    assert_int_equal(a->settings.records, b->settings.records);
    assert_string_equal(a->settings.media_type, b->settings.media_type);
    assert_string_equal(a->settings.device_name, b->settings.device_name);
    assert_int_equal(a->tag_count, b->tag_count);
    for (size_t i = 0; i < a->tag_count; i++) {
        assert_memory_equal(&a->tags[i], &b->tags[i], sizeof(a->tags[i]));
    }
}

static void test_streams(void **state) {
    (void)state;
    static const char expected[] = "\0\1\0\1"
                                   "0123456789ABCDEFabcd"
                                   "\xff\xff\xff\xff\xff\xff\xff\xfb"
                                   "\0\0\0\0\0\0\0\7"
                                   "\0\0\0\0\0\0\0\x9"
                                   "\0\0\0\0\x77\x35\x94\0"
                                   "\0\xb"
                                   "\0\x10"
                                   "front-door_1.sub"
                                   "\xa"
                                   "video/h264"
                                   "\3"
                                   "cam"
                                   "\2"
                                   "\5owner\0\4gate"
                                   "\5place\0\4T\xc3\xbcr";
    struct bytes bytes;
    struct frag_value_stream stream = plain_stream(), again;
    assert_int_equal(encode_stream(&stream, &bytes), 0);
    check_bytes(&bytes, expected, sizeof(expected) - 1);
    assert_int_equal(decode_stream(&bytes, bytes.size, &again), 0);
    check_same_stream(&stream, &again);
    free(again.tags);
    check_edges(&bytes, decode_stream, sizeof(again));

    stream.tag_count = 0;
    stream.deleting = false;
    stream.settings.records = true;
    assert_int_equal(encode_stream(&stream, &bytes), 0);
    assert_int_equal(decode_stream(&bytes, bytes.size, &again), 0);
    check_same_stream(&stream, &again);
    assert_null(again.tags);
    bytes.data[3] = 2;
    assert_int_equal(decode_stream(&bytes, bytes.size, &again), 0);
    assert_true(again.settings.records && !again.deleting);
    bytes.data[3] = 4; /* a flag that does not exist */
    assert_int_equal(decode_stream(&bytes, bytes.size, &again), KN_E_MALFORMED);
}

static void fill(char *text, size_t size) {
    memset(text, 'x', size);
    text[size] = '\0';
}

static void test_the_largest_stream(void **state) {
    (void)state;
    struct bytes bytes;
    struct frag_value_stream stream = plain_stream(), again;
    struct frag_stream_tag tags[FRAG_STREAM_TAGS_MAX + 1] = {0};
    for (size_t i = 0; i < KN_COUNT(tags); i++) {
        fill(tags[i].key, 128);
        tags[i].key[0] = (char)('0' + i);
        fill(tags[i].value, i == 0 ? 0 : 256);
    }
    stream.tags = tags;
    stream.tag_count = FRAG_STREAM_TAGS_MAX;
    fill(stream.name, 256);
    fill(stream.settings.media_type, 128);
    fill(stream.settings.device_name, 128);
    stream.settings.retention_ns = FRAG_RETAIN_FOREVER;
    assert_int_equal(encode_stream(&stream, &bytes), 0);
    assert_int_equal(decode_stream(&bytes, bytes.size, &again), 0);
    check_same_stream(&stream, &again);
    free(again.tags);

    stream.tag_count++;
    assert_int_equal(encode_stream(&stream, &bytes), KN_E_MALFORMED);
}

static void refused(const struct frag_value_stream *stream) {
    struct bytes bytes;
    assert_int_equal(encode_stream(stream, &bytes), KN_E_MALFORMED);
    assert_int_equal(bytes.size, 0);
}

static void test_streams_that_cannot_be(void **state) {
    (void)state;
    struct frag_stream_tag tags[2] = {{"b", ""}, {"a", ""}};
    struct frag_value_stream stream = plain_stream();
    stream.tags = tags; /* in wrong order */
    refused(&stream);
    tags[1].key[0] = 'b'; /* twice */
    refused(&stream);
    tags[1].key[0] = '\0';
    refused(&stream);

    stream = plain_stream();
    stream.version[20] = 'x';
    refused(&stream);
    stream = plain_stream();
    stream.version[3] = '-';
    refused(&stream);
    stream = plain_stream();
    stream.name[0] = '/';
    refused(&stream);
    stream = plain_stream();
    stream.settings.retention_ns = -1;
    refused(&stream);
}

/* Bytes that an encoder never writes, one at a time in a good value. */
static void test_bent_streams(void **state) {
    (void)state;
    static const struct {
        size_t at;
        uint8_t byte;
    } bent[] = {
        {5, '-'},    /* version */
        {32, 0x80},  /* retention below 0 */
        {48, 1},     /* target over 20 s */
        {60, '/'},   /* name */
        {76, 0x81},  /* media type longer than its room */
        {80, '\n'},  /* inside it */
        {91, 51},    /* tags */
        {93, 0xff},  /* no UTF-8 */
        {104, 0x00}, /* an empty key */
        {105, 'a'},  /* keys fall */
    };
    struct bytes bytes;
    struct frag_value_stream stream = plain_stream(), again;
    for (size_t i = 0; i < KN_COUNT(bent); i++) {
        assert_int_equal(encode_stream(&stream, &bytes), 0);
        bytes.data[bent[i].at] = bent[i].byte;
        int rc = decode_stream(&bytes, bytes.size, &again);
        /* A length that leads too far looks like a cut. */
        assert_true(rc == KN_E_MALFORMED || rc == KN_E_TRUNCATED);
    }
}

static void test_out_of_memory(void **state) {
    (void)state;
    struct bytes bytes;
    struct frag_value_stream stream = plain_stream(), again;
    assert_int_equal(encode_stream(&stream, &bytes), 0);
    struct frag_catalog_value value = exact(&bytes, bytes.size);
    fail_alloc_at(1);
    int rc = frag_value_read_stream(value, &again);
    fail_alloc_stop();
    assert_int_equal(rc, -ENOMEM);
    free((void *)value.data);
}

static void test_names_settings_and_tags(void **state) {
    (void)state;
    char name[300];
    fill(name, 256);
    assert_true(frag_stream_name_valid(name));
    fill(name, 257);
    assert_false(frag_stream_name_valid(name));
    assert_true(frag_stream_name_valid("aZ09._-"));
    assert_false(frag_stream_name_valid(""));
    assert_false(frag_stream_name_valid("a b"));
    assert_false(frag_stream_name_valid("a/b"));
    assert_false(frag_stream_name_valid("."));
    assert_false(frag_stream_name_valid(".."));
    assert_true(frag_stream_name_valid("..."));
    assert_false(frag_stream_name_valid("T\xc3\xbcr"));

    struct frag_stream_settings settings = plain_settings;
    assert_true(frag_stream_settings_valid(&settings));
    settings.target_ns = 20 * KN_NS_PER_S;
    assert_true(frag_stream_settings_valid(&settings));
    settings.target_ns++;
    assert_false(frag_stream_settings_valid(&settings));
    settings.target_ns = KN_NS_PER_S;
    assert_true(frag_stream_settings_valid(&settings));
    settings.target_ns--;
    assert_false(frag_stream_settings_valid(&settings));
    settings = plain_settings;
    memset(settings.device_name, 'x', sizeof(settings.device_name));
    assert_false(frag_stream_settings_valid(&settings));
    settings = plain_settings;
    settings.media_type[0] = '\x1b';
    assert_false(frag_stream_settings_valid(&settings));

    struct frag_stream_tag tag = {"k", ""};
    assert_true(frag_stream_tag_valid(&tag));
    tag.value[0] = '\n';
    assert_false(frag_stream_tag_valid(&tag));
    tag = (struct frag_stream_tag){"", "v"};
    assert_false(frag_stream_tag_valid(&tag));
    memset(tag.key, 'x', sizeof(tag.key));
    assert_false(frag_stream_tag_valid(&tag));
}

/* ---- holds ---- */

static void test_holds(void **state) {
    (void)state;
    struct bytes bytes;
    struct frag_value_hold hold = {.clock = FRAG_CLOCK_SERVER,
                                   .from = {-1},
                                   .to = {1},
                                   .created = {2},
                                   .reason = "crash"},
                           again;
    memcpy(hold.stream, stream_id, FRAG_ID_BYTES);
    assert_int_equal(encode_hold(&hold, &bytes), 0);
    check_bytes(&bytes,
                "\0\1streamstreamstre\1\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0\0\0\0\1"
                "\0\0\0\0\0\0\0\2\0\5crash",
                50);
    assert_int_equal(decode_hold(&bytes, bytes.size, &again), 0);
    assert_memory_equal(&again.stream, stream_id, FRAG_ID_BYTES);
    assert_int_equal(again.clock, FRAG_CLOCK_SERVER);
    assert_int_equal(again.from.ns, -1);
    assert_int_equal(again.to.ns, 1);
    assert_int_equal(again.created.ns, 2);
    assert_string_equal(again.reason, "crash");
    check_edges(&bytes, decode_hold, sizeof(again));
    bytes.data[18] = 2;
    assert_int_equal(decode_hold(&bytes, bytes.size, &again), KN_E_MALFORMED);

    hold.from = hold.to;
    fill(hold.reason, 256);
    assert_int_equal(encode_hold(&hold, &bytes), 0);
    assert_int_equal(decode_hold(&bytes, bytes.size, &again), 0);
    assert_string_equal(again.reason, hold.reason);
    hold.from.ns++;
    assert_int_equal(encode_hold(&hold, &bytes), KN_E_MALFORMED);
    hold.from.ns--;
    hold.reason[256] = 'x';
    assert_int_equal(encode_hold(&hold, &bytes), KN_E_MALFORMED);
    memcpy(hold.reason, "a\nb", 4);
    assert_int_equal(encode_hold(&hold, &bytes), KN_E_MALFORMED);
}

/* ---- gaps ---- */

static int compare_keys(const char *a_id, int64_t a_ns, uint32_t a, const char *b_id, int64_t b_ns,
                        uint32_t b) {
    uint8_t rooms[2][FRAG_GAP_KEY_BYTES];
    struct frag_gap_key keys[2] = {{.from = {a_ns}, .number = a}, {.from = {b_ns}, .number = b}};
    memcpy(keys[0].stream, a_id, FRAG_ID_BYTES);
    memcpy(keys[1].stream, b_id, FRAG_ID_BYTES);
    frag_gap_key_write(&keys[0], rooms[0]);
    frag_gap_key_write(&keys[1], rooms[1]);
    return memcmp(rooms[0], rooms[1], FRAG_GAP_KEY_BYTES);
}

static void test_gap_keys(void **state) {
    (void)state;
    struct frag_gap_key key = {.from = {-2}, .number = 5}, again;
    struct bytes bytes = {.size = FRAG_GAP_KEY_BYTES};
    memcpy(key.stream, stream_id, FRAG_ID_BYTES);
    frag_gap_key_write(&key, bytes.data);
    check_bytes(&bytes, "streamstreamstre\x7f\xff\xff\xff\xff\xff\xff\xfe\0\0\0\5", 28);
    assert_int_equal(decode_gap_key(&bytes, bytes.size, &again), 0);
    assert_memory_equal(again.stream, stream_id, FRAG_ID_BYTES);
    assert_int_equal(again.from.ns, -2);
    assert_int_equal(again.number, 5);
    check_edges(&bytes, decode_gap_key, sizeof(again));

    assert_true(compare_keys(stream_id, -1, 0, stream_id, 0, 0) < 0);
    assert_true(compare_keys(stream_id, INT64_MIN, 9, stream_id, -1, 0) < 0);
    assert_true(compare_keys(stream_id, 0, 9, stream_id, INT64_MAX, 0) < 0);
    assert_true(compare_keys(stream_id, 7, 255, stream_id, 7, 256) < 0);
    assert_true(compare_keys(other_id, 9, 9, stream_id, 0, 0) < 0);
}

static void test_gaps(void **state) {
    (void)state;
    struct bytes bytes;
    struct frag_gap_entry gap = {.gap = {.from = {9}, .to = {3}, .cause = FRAG_GAP_SHUTDOWN},
                                 .open = true,
                                 .ordinal = 4,
                                 .ordinals = 1},
                          again;
    assert_int_equal(encode_gap(&gap, &bytes), 0);
    check_bytes(&bytes, "\0\1\xd\1\0\0\0\0\0\0\0\3\0\0\0\0\0\0\0\4\0\0\0\1", 24);
    assert_int_equal(decode_gap(&bytes, bytes.size, &again), 0);
    assert_int_equal(again.gap.from.ns, 0); /* it is in the key */
    assert_int_equal(again.gap.to.ns, 3);
    assert_int_equal(again.gap.cause, FRAG_GAP_SHUTDOWN);
    assert_true(again.open);
    assert_int_equal(again.ordinal, 4);
    assert_int_equal(again.ordinals, 1);
    check_edges(&bytes, decode_gap, sizeof(again));
    bytes.data[3] = 2;
    assert_int_equal(decode_gap(&bytes, bytes.size, &again), KN_E_MALFORMED);
    bytes.data[3] = 0;
    bytes.data[2] = 14; /* a cause that does not exist */
    assert_int_equal(decode_gap(&bytes, bytes.size, &again), KN_E_MALFORMED);

    gap.ordinal = UINT64_MAX;
    assert_int_equal(encode_gap(&gap, &bytes), KN_E_MALFORMED);
    gap.ordinals = 0;
    assert_int_equal(encode_gap(&gap, &bytes), 0);
    gap.gap.cause = (enum frag_gap_cause)(FRAG_GAP_SHUTDOWN + 1);
    assert_int_equal(encode_gap(&gap, &bytes), KN_E_MALFORMED);
}

/* ---- seals and identities ---- */

static void test_seals(void **state) {
    (void)state;
    struct bytes bytes;
    struct frag_value_seal seal = {.bytes = INT64_MAX}, again;
    memcpy(seal.stream, stream_id, FRAG_ID_BYTES);
    assert_int_equal(encode_seal(&seal, &bytes), 0);
    check_bytes(&bytes, "\0\1streamstreamstre\x7f\xff\xff\xff\xff\xff\xff\xff", 26);
    assert_int_equal(decode_seal(&bytes, bytes.size, &again), 0);
    assert_memory_equal(again.stream, stream_id, FRAG_ID_BYTES);
    assert_int_equal(again.bytes, INT64_MAX);
    check_edges(&bytes, decode_seal, sizeof(again));
    bytes.data[18] = 0x80;
    assert_int_equal(decode_seal(&bytes, bytes.size, &again), KN_E_MALFORMED);
    seal.bytes++;
    assert_int_equal(encode_seal(&seal, &bytes), KN_E_MALFORMED);
}

static void seal_identity(struct bytes *bytes) {
    uint32_t crc = kn_crc32c(0, bytes->data, FRAG_IDENTITY_BYTES - 4);
    for (size_t i = 0; i < 4; i++) {
        bytes->data[FRAG_IDENTITY_BYTES - 4 + i] = (uint8_t)(crc >> (24 - 8 * i));
    }
}

static void test_identities(void **state) {
    (void)state;
    struct bytes bytes = {.size = FRAG_IDENTITY_BYTES};
    struct frag_folder_identity identity = {.main = true}, again;
    memcpy(identity.store_id, stream_id, FRAG_ID_BYTES);
    memcpy(identity.folder_id, other_id, FRAG_ID_BYTES);
    frag_identity_write(&identity, bytes.data);
    assert_memory_equal(bytes.data, "KNS1\0\1\0\1streamstreamstreotherotherothero\0\0\0\0", 44);
    assert_int_equal(decode_identity(&bytes, bytes.size, &again), 0);
    assert_memory_equal(&again, &identity, sizeof(again));
    check_edges(&bytes, decode_identity, sizeof(again));
    for (size_t i = 0; i < FRAG_IDENTITY_BYTES; i++) {
        bytes.data[i] ^= 0x10;
        assert_int_equal(decode_identity(&bytes, bytes.size, &again), KN_E_MALFORMED);
        bytes.data[i] ^= 0x10;
    }
}

static void test_identities_that_are_well_checked(void **state) {
    (void)state;
    static const struct {
        size_t at;
        uint8_t byte;
        int answer;
    } bent[] = {{0, 'X', KN_E_MALFORMED},
                {5, 0, KN_E_MALFORMED},
                {5, 2, KN_E_UNSUPPORTED},
                {7, 2, KN_E_MALFORMED},
                {43, 1, KN_E_MALFORMED}};
    for (size_t i = 0; i < KN_COUNT(bent); i++) {
        struct bytes bytes = {.size = FRAG_IDENTITY_BYTES};
        struct frag_folder_identity identity = {.main = false}, again;
        frag_identity_write(&identity, bytes.data);
        bytes.data[bent[i].at] = bent[i].byte;
        seal_identity(&bytes);
        assert_int_equal(decode_identity(&bytes, bytes.size, &again), bent[i].answer);
    }
}

static void test_a_failed_writer_stays_failed(void **state) {
    (void)state;
    struct frag_value_seal seal = {.bytes = UINT64_MAX};
    struct kn_writer writer;
    uint8_t room[4];
    kn_writer_init(&writer, room, sizeof(room));
    frag_value_write_u64(&writer, 1);
    assert_int_equal(kn_writer_status(&writer), KN_E_LIMIT);
    frag_value_write_seal(&writer, &seal);
    assert_int_equal(kn_writer_status(&writer), KN_E_LIMIT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_folders),
        cmocka_unit_test(test_folders_that_cannot_be),
        cmocka_unit_test(test_marks),
        cmocka_unit_test(test_streams),
        cmocka_unit_test(test_the_largest_stream),
        cmocka_unit_test(test_streams_that_cannot_be),
        cmocka_unit_test(test_bent_streams),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_names_settings_and_tags),
        cmocka_unit_test(test_holds),
        cmocka_unit_test(test_gap_keys),
        cmocka_unit_test(test_gaps),
        cmocka_unit_test(test_seals),
        cmocka_unit_test(test_identities),
        cmocka_unit_test(test_identities_that_are_well_checked),
        cmocka_unit_test(test_a_failed_writer_stays_failed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
