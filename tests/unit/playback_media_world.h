/* For tests of media: a reader that is pulled on a loop, its work done by the test's thread, and a
 * strict reader of what it gives, which shares nothing with the code under test. */
#ifndef TESTS_UNIT_PLAYBACK_MEDIA_WORLD_H
#define TESTS_UNIT_PLAYBACK_MEDIA_WORLD_H

#include <stdatomic.h>

#include "tests/unit/fragments_store_world.h"

#include "base/loop.h"
#include "playback/playback.h"

/* ---- a reader ---- */

struct pull {
    struct play_media_config config;
    struct kn_loop *loop;
    struct frag_archive *archive;
    struct play_media *media;
    uint8_t *bytes;
    size_t size, room;
    int rc; /* what play_media_next said last */
    int created;
    atomic_uint wakes;
};

static inline void pull_woken(void *user) {
    struct pull *pull = user;
    atomic_fetch_add(&pull->wakes, 1);
}

static inline void pull_create(void *user, int status) {
    struct pull *pull = user;
    (void)status;
    pull->created = play_media_create(&pull->config, &pull->media);
}

static inline void pull_destroy(void *user, int status) {
    struct pull *pull = user;
    (void)status;
    play_media_destroy(pull->media);
    pull->media = NULL;
}

static inline void pull_keep(struct pull *pull, struct kn_buffer *bytes) {
    if (pull->size + bytes->size > pull->room) {
        pull->room = (pull->size + bytes->size) * 2;
        pull->bytes = realloc(pull->bytes, pull->room);
        assert_non_null(pull->bytes);
    }
    memcpy(pull->bytes + pull->size, bytes->data, bytes->size);
    pull->size += bytes->size;
    kn_buffer_unref(bytes);
}

static inline void pull_on_loop(void *user, int status) {
    struct pull *pull = user;
    struct kn_buffer *bytes = NULL;
    (void)status;
    while ((pull->rc = play_media_next(pull->media, &bytes)) == PLAY_MEDIA_BYTES) {
        pull_keep(pull, bytes);
    }
}

static inline void pull_nothing(void *user, int status) {
    (void)user;
    (void)status;
}

/* What the tail has told by now has been heard. */
static inline void pull_hear(struct pull *pull) {
    for (int i = 0; i < 8; i++) {
        assert_int_equal(kn_loop_call(pull->loop, pull_nothing, NULL), 0);
    }
}

/* Until it waits, or ends. */
static inline int pull_all(struct pull *pull) {
    for (;;) {
        unsigned wakes = pull->wakes;
        assert_int_equal(kn_loop_call(pull->loop, pull_on_loop, pull), 0);
        if (pull->rc == PLAY_MEDIA_WORK) {
            play_media_work(pull->media, pull->archive);
        } else if (pull->rc == PLAY_MEDIA_WAIT) {
            pull_hear(pull);
            if (pull->wakes == wakes) {
                return pull->rc;
            }
        } else {
            return pull->rc;
        }
    }
}

static inline int pull_open(struct pull *pull, struct world *world, struct frag_stream *stream,
                            const struct play_media_config *config) {
    struct kn_loop_config loop = kn_loop_config_defaults();
    *pull = (struct pull){.config = *config};
    assert_int_equal(kn_loop_create(&loop, &pull->loop), 0);
    assert_int_equal(kn_loop_start(pull->loop), 0);
    assert_int_equal(frag_archive_open(world->store, &pull->archive), 0);
    pull->config.stream = stream;
    pull->config.loop = pull->loop;
    pull->config.handle_wake = pull_woken;
    pull->config.user = pull;
    assert_int_equal(kn_loop_call(pull->loop, pull_create, pull), 0);
    return pull->created;
}

static inline void pull_close(struct pull *pull) {
    assert_int_equal(kn_loop_call(pull->loop, pull_destroy, pull), 0);
    kn_loop_destroy(pull->loop);
    frag_archive_close(pull->archive);
    free(pull->bytes);
}

/* ---- what it gave, strictly ---- */

#define DOCUMENTS_MAX 512u
#define FRAMES_MAX 2000u

struct document {
    const uint8_t *header; /* EBML to the first inserted Tags */
    size_t header_bytes;
    const uint8_t *cluster; /* its whole element */
    size_t cluster_bytes;
    bool unknown, ended;
    char number[64], server[32], producer[32], behind[32], token[64], error_id[16], code[64];
    uint64_t timecode;
    size_t frames;
    int64_t times[FRAMES_MAX]; /* ms, of all tracks, as they stand */
};

static inline uint64_t vint(const uint8_t *at, const uint8_t *end, size_t *ret_width) {
    size_t width = 1;
    assert_true(at < end && at[0] != 0);
    while ((at[0] & 0x80u >> (width - 1)) == 0) {
        width++;
    }
    assert_true(width <= (size_t)(end - at));
    uint64_t value = at[0] & (0xFFu >> width);
    for (size_t i = 1; i < width; i++) {
        value = value << 8 | at[i];
    }
    *ret_width = width;
    return value;
}

struct element {
    uint32_t id;
    size_t head, size_width;
    uint64_t size;
    bool unknown;
};

static inline struct element element_at(const uint8_t *at, const uint8_t *end) {
    struct element element = {0};
    size_t id_width = 1;
    assert_true(at < end && at[0] != 0);
    while ((at[0] & 0x80u >> (id_width - 1)) == 0) {
        id_width++;
    }
    assert_true(id_width <= 4 && id_width < (size_t)(end - at));
    for (size_t i = 0; i < id_width; i++) {
        element.id = element.id << 8 | at[i];
    }
    element.size = vint(at + id_width, end, &element.size_width);
    element.head = id_width + element.size_width;
    element.unknown = element.size == (UINT64_C(1) << 7 * element.size_width) - 1;
    assert_true(element.unknown || element.size <= (uint64_t)(end - at) - element.head);
    return element;
}

static inline void take_tag(struct document *document, const char *name, const char *value,
                            size_t size) {
    const struct {
        const char *name;
        char *room;
        size_t bytes;
    } known[] = {
        {"AWS_KINESISVIDEO_FRAGMENT_NUMBER", document->number, sizeof(document->number)},
        {"AWS_KINESISVIDEO_SERVER_TIMESTAMP", document->server, sizeof(document->server)},
        {"AWS_KINESISVIDEO_PRODUCER_TIMESTAMP", document->producer, sizeof(document->producer)},
        {"AWS_KINESISVIDEO_MILLIS_BEHIND_NOW", document->behind, sizeof(document->behind)},
        {"AWS_KINESISVIDEO_CONTINUATION_TOKEN", document->token, sizeof(document->token)},
        {"AWS_KINESISVIDEO_ERROR_ID", document->error_id, sizeof(document->error_id)},
        {"AWS_KINESISVIDEO_ERROR_CODE", document->code, sizeof(document->code)},
        {"AWS_KINESISVIDEO_EXCEPTION_ERROR_CODE", document->error_id, sizeof(document->error_id)},
        {"AWS_KINESISVIDEO_EXCEPTION_MESSAGE", document->code, sizeof(document->code)},
    };
    for (size_t i = 0; i < KN_COUNT(known); i++) {
        if (strcmp(known[i].name, name) == 0) {
            assert_true(known[i].room[0] == '\0' && size > 0 && size < known[i].bytes);
            memcpy(known[i].room, value, size);
        }
    }
}

/* One Tag of SimpleTags with 4-byte sizes and no Targets, or what the producer sent. */
static inline void take_tags(struct document *document, const uint8_t *at, const uint8_t *end) {
    while (at < end) {
        struct element element = element_at(at, end);
        const uint8_t *body = at + element.head;
        if (element.id == 0x67C8) {
            struct element name = element_at(body, body + element.size);
            const uint8_t *behind = body + name.head + name.size;
            struct element value = element_at(behind, body + element.size);
            char text[64] = "";
            assert_true(name.size < sizeof(text));
            memcpy(text, body + name.head, name.size);
            take_tag(document, text, (const char *)behind + value.head, value.size);
        } else if (element.id == 0x7373) {
            take_tags(document, body, body + element.size);
        }
        at = body + element.size;
    }
}

/* Until an element that is none of a cluster's, where its size is not known. Where it ends. */
static inline const uint8_t *take_blocks(struct document *document, const uint8_t *at,
                                         const uint8_t *end) {
    while (at < end) {
        struct element element = element_at(at, end);
        const uint8_t *body = at + element.head;
        size_t width = 0;
        if (element.id == 0xE7) {
            for (size_t i = 0; i < element.size; i++) {
                document->timecode = document->timecode << 8 | body[i];
            }
        } else if (element.id == 0xA3) {
            (void)vint(body, end, &width);
            assert_true(document->frames < FRAMES_MAX);
            document->times[document->frames++] =
                (int64_t)document->timecode + (int16_t)(body[width] << 8 | body[width + 1]);
        } else if (element.id == 0xA0) {
            document->frames++;
        } else if (element.id != 0xA7 && element.id != 0xAB && element.id != 0xBF) {
            break;
        }
        at = body + element.size;
    }
    return at;
}

/* All documents of what was given: how many. `documents` is cleared. */
static inline size_t read_documents(const uint8_t *data, size_t size, struct document *documents) {
    const uint8_t *end = size > 0 ? data + size : data;
    struct document *document = NULL;
    size_t count = 0;
    for (const uint8_t *at = data; at < end;) {
        struct element element = element_at(at, end);
        const uint8_t *body = at + element.head;
        switch (element.id) {
        case 0x1A45DFA3:
            assert_true(count < DOCUMENTS_MAX);
            document = &documents[count++];
            *document = (struct document){.header = at};
            at = body + element.size;
            break;
        case 0x18538067:
            assert_memory_equal(at + 4, "\x01\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 8);
            at = body;
            break;
        case 0x1254C367:
            if (document->header_bytes == 0) {
                document->header_bytes = (size_t)(at - document->header);
            }
            take_tags(document, body, body + element.size);
            document->ended = document->token[0] != '\0';
            at = body + element.size;
            break;
        case 0x1F43B675:
            document->cluster = at;
            document->unknown = element.unknown;
            at = take_blocks(document, body, element.unknown ? end : body + element.size);
            document->cluster_bytes = (size_t)(at - document->cluster);
            break;
        default:
            assert_false(element.unknown);
            at = body + element.size;
            break;
        }
    }
    return count;
}

#endif
