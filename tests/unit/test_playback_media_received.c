/* Clusters as they were received come back byte by byte: what is expected is put together here,
 * from the clip's own bytes. */
#include "tests/unit/playback_media_world.h"

#include "tests/support/sample_media.h"

static struct document documents[DOCUMENTS_MAX];

static const uint8_t before_bytes[] = {0xEC, 0x81, 0x00};
static const uint8_t after_bytes[] = {0xEC, 0x82, 0x01, 0x02};

/* A clip, and where its elements stand. */
struct clip {
    uint8_t *data;
    size_t size;
    size_t segment_size_at, segment_size_width, header_bytes;
    struct kn_buffer *clusters[128];
    size_t count;
    struct frag_writer *writer;
};

static void find_header(struct clip *clip) {
    const uint8_t *end = clip->data + clip->size;
    struct element ebml = element_at(clip->data, end);
    size_t at = ebml.head + (size_t)ebml.size;
    struct element segment = element_at(clip->data + at, end);
    assert_int_equal(segment.id, 0x18538067);
    clip->segment_size_at = at + 4;
    clip->segment_size_width = segment.size_width;
    at += segment.head;
    for (;;) {
        struct element element = element_at(clip->data + at, end);
        if (element.id == 0x1F43B675) {
            break;
        }
        at += element.head + (size_t)element.size;
    }
    clip->header_bytes = at;
}

static int take_cluster(const struct frag_mkv_fragment *fragment, void *user) {
    struct clip *clip = user;
    size_t i = clip->count++;
    assert_true(i < KN_COUNT(clip->clusters));
    clip->clusters[i] = kn_buffer_ref(fragment->bytes);
    const struct frag_received received = {
        .fragment = fragment,
        .duration_ns = KN_NS_PER_S,
        .before = before_bytes,
        .before_bytes = i % 2 == 1 ? sizeof(before_bytes) : 0,
        .after = after_bytes,
        .after_bytes = i % 3 == 1 ? sizeof(after_bytes) : 0,
        .server = {WORLD_START + (int64_t)(i + 1) * KN_NS_PER_S}};
    return frag_writer_received(clip->writer, &received);
}

static void receive(struct frag_stream *stream, const char *name, struct clip *clip) {
    static const struct frag_mkv_reader_handler handler = {.fragment = take_cluster};
    const struct frag_mkv_reader_config config = {.handler = &handler, .user = clip};
    struct frag_mkv_reader *reader = NULL;
    *clip = (struct clip){.data = NULL};
    clip->data = sample_load(name, &clip->size);
    find_header(clip);
    const struct frag_writer_config writer = {.header = clip->data,
                                              .header_bytes = clip->header_bytes,
                                              .relative = true,
                                              .producer_start = {WORLD_START + 7 * KN_NS_PER_MS}};
    assert_int_equal(frag_writer_open(stream, &writer, &clip->writer), 0);
    assert_int_equal(frag_mkv_reader_create(&config, &reader), 0);
    assert_int_equal(frag_mkv_reader_push(reader, clip->data, clip->size), 0);
    assert_int_equal(frag_mkv_reader_finish(reader), 0);
    frag_mkv_reader_destroy(reader);
    frag_writer_close(clip->writer, FRAG_GAP_PRODUCER_AWAY);
}

static void forget(struct clip *clip) {
    for (size_t i = 0; i < clip->count; i++) {
        kn_buffer_unref(clip->clusters[i]);
    }
    free(clip->data);
}

/* ---- what has to come ---- */

struct text {
    uint8_t data[8192];
    size_t size;
};

static void put(struct text *text, const void *data, size_t size) {
    assert_true(size <= sizeof(text->data) - text->size);
    memcpy(text->data + text->size, data, size);
    text->size += size;
}

/* An id and a size in four bytes. */
static void put_head(struct text *text, uint32_t id, size_t id_bytes, size_t size) {
    for (size_t i = id_bytes; i-- > 0;) {
        put(text, &(uint8_t){(uint8_t)(id >> 8 * i)}, 1);
    }
    put(text,
        (uint8_t[]){(uint8_t)(0x10 | size >> 24), (uint8_t)(size >> 16), (uint8_t)(size >> 8),
                    (uint8_t)size},
        4);
}

static void put_tags(struct text *text, const char *const (*tags)[2], size_t count) {
    size_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += 6 + 6 + strlen(tags[i][0]) + 6 + strlen(tags[i][1]);
    }
    put_head(text, 0x1254C367, 4, sum + 6);
    put_head(text, 0x7373, 2, sum);
    for (size_t i = 0; i < count; i++) {
        put_head(text, 0x67C8, 2, 12 + strlen(tags[i][0]) + strlen(tags[i][1]));
        put_head(text, 0x45A3, 2, strlen(tags[i][0]));
        put(text, tags[i][0], strlen(tags[i][0]));
        put_head(text, 0x4487, 2, strlen(tags[i][1]));
        put(text, tags[i][1], strlen(tags[i][1]));
    }
}

static const uint8_t *expect(const uint8_t *at, const uint8_t *end, const void *data, size_t size) {
    assert_true(size <= (size_t)(end - at));
    assert_memory_equal(at, data, size);
    return at + size;
}

static const uint8_t *expect_text(const uint8_t *at, const uint8_t *end, struct text *text) {
    at = expect(at, end, text->data, text->size);
    text->size = 0;
    return at;
}

/* The document of cluster `i`; number and producer time are taken from what came. */
static const uint8_t *expect_document(const uint8_t *at, const uint8_t *end,
                                      const struct clip *clip, size_t i) {
    static struct text text;
    char server[32];
    const struct document *document = &documents[i];
    text.size = 0;
    put(&text, clip->data, clip->segment_size_at);
    put(&text, "\x01\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 8);
    size_t rest = clip->segment_size_at + clip->segment_size_width;
    put(&text, clip->data + rest, clip->header_bytes - rest);
    (void)snprintf(server, sizeof(server), "%lld.000",
                   (long long)(WORLD_START / KN_NS_PER_S + (int64_t)i + 1));
    const char *const first[3][2] = {{"AWS_KINESISVIDEO_FRAGMENT_NUMBER", document->number},
                                     {"AWS_KINESISVIDEO_SERVER_TIMESTAMP", server},
                                     {"AWS_KINESISVIDEO_PRODUCER_TIMESTAMP", document->producer}};
    put_tags(&text, first, 3);
    put(&text, before_bytes, i % 2 == 1 ? sizeof(before_bytes) : 0);
    at = expect_text(at, end, &text);
    at = expect(at, end, clip->clusters[i]->data, clip->clusters[i]->size);
    put(&text, after_bytes, i % 3 == 1 ? sizeof(after_bytes) : 0);
    const char *const last[2][2] = {{"AWS_KINESISVIDEO_MILLIS_BEHIND_NOW", document->behind},
                                    {"AWS_KINESISVIDEO_CONTINUATION_TOKEN", document->number}};
    put_tags(&text, last, 2);
    return expect_text(at, end, &text);
}

static void check(const struct pull *pull, const struct clip *clip) {
    assert_int_equal(read_documents(pull->bytes, pull->size, documents), clip->count);
    const uint8_t *at = pull->bytes;
    const uint8_t *end = pull->bytes + pull->size;
    for (size_t i = 0; i < clip->count; i++) {
        at = expect_document(at, end, clip, i);
        char wanted[32];
        int64_t ms = WORLD_START / KN_NS_PER_MS + 7 + (int64_t)documents[i].timecode;
        (void)snprintf(wanted, sizeof(wanted), "%lld.%03d", (long long)(ms / 1000),
                       (int)(ms % 1000));
        assert_string_equal(documents[i].producer, wanted);
    }
    assert_ptr_equal(at, end);
    assert_string_equal(documents[clip->count - 1].behind, "0");
}

static struct frag_stream *make_stream(struct world *world, const char *name, int64_t retention) {
    struct frag_stream_settings settings = frag_stream_settings_defaults();
    struct frag_stream *stream = NULL;
    settings.retention_ns = retention;
    assert_int_equal(frag_stream_create(world->store, name, &settings, NULL, 0, &stream), 0);
    return stream;
}

/* From the store, from what the tail keeps, and as it comes: the same bytes. */
static void bytes_come_back_as_they_came(void **state) {
    static const char *const names[] = {"aws-sdk.mkv", "box.mkv", "annexb.mkv", "laced.mkv",
                                        "h265-bframes.mkv"};
    static const struct play_media_config earliest = {.start = PLAY_MEDIA_EARLIEST};
    static const struct play_media_config now = {.start = PLAY_MEDIA_NOW};
    struct world *world = *state;
    world_open(world);
    for (size_t n = 0; n < KN_COUNT(names) * 3; n++) {
        char name[64];
        struct clip clip;
        struct pull pull;
        bool live = n % 3 == 2;
        (void)snprintf(name, sizeof(name), "%zu-%s", n % 3, names[n / 3]);
        struct frag_stream *stream = make_stream(world, name, n % 3 == 1 ? 0 : FRAG_RETAIN_FOREVER);
        assert_int_equal(pull_open(&pull, world, stream, live ? &now : &earliest), 0);
        if (live) {
            assert_int_equal(pull_all(&pull), PLAY_MEDIA_WAIT);
        }
        receive(stream, names[n / 3], &clip);
        if (n % 3 == 0) {
            assert_int_equal(frag_store_flush(world->store), 0);
        }
        assert_int_equal(pull_all(&pull), PLAY_MEDIA_WAIT);
        check(&pull, &clip);
        forget(&clip);
        pull_close(&pull);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(bytes_come_back_as_they_came, world_setup, world_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
