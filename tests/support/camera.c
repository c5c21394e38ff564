#include "tests/support/camera.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc.h"

#define HEAD_BYTES 20u /* "KNC1", seed, picture, size, crc32c of all but itself */

static void must(bool good, const char *what) {
    if (!good) {
        fprintf(stderr, "camera: %s\n", what);
        abort();
    }
}

void camera_init(struct camera *camera, uint32_t seed, struct kn_wall start) {
    *camera = (struct camera){.seed = seed, .start = start, .gop = 50, .picture_bytes = 600};
    const struct kn_track track = {.number = 1,
                                   .uid = 1,
                                   .media = KN_MEDIA_VIDEO,
                                   .codec = KN_CODEC_VP8,
                                   .codec_id = "V_VP8",
                                   .default_duration_ns = CAMERA_FRAME_NS,
                                   .width = 320,
                                   .height = 180};
    must(kn_tracks_create(&track, 1, &camera->tracks) == 0, "tracks");
}

void camera_finish(struct camera *camera) {
    kn_tracks_unref(camera->tracks);
}

/* Sizes and bytes follow from seed and picture. */
static size_t size_of(const struct camera *camera, uint32_t picture) {
    return HEAD_BYTES + camera->picture_bytes +
           (picture * 7919u + camera->seed * 31u) % (camera->picture_bytes / 2 + 1);
}

static void put_be32(uint8_t *to, uint32_t value) {
    for (int i = 0; i < 4; i++) {
        to[i] = (uint8_t)(value >> (24 - 8 * i));
    }
}

static uint32_t get_be32(const uint8_t *from) {
    return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3];
}

static void fill(uint8_t *room, size_t size, uint32_t seed, uint32_t picture) {
    uint32_t state = seed * 2654435761u ^ picture * 40503u ^ 0x5bd1e995u;
    for (size_t i = HEAD_BYTES; i < size; i++) {
        state = state * 1664525u + 1013904223u;
        room[i] = (uint8_t)(state >> 24);
    }
    memcpy(room, "KNC1", 4);
    put_be32(room + 4, seed);
    put_be32(room + 8, picture);
    put_be32(room + 12, (uint32_t)size);
    uint32_t crc = kn_crc32c(0, room, 16);
    put_be32(room + 16, kn_crc32c(crc, room + HEAD_BYTES, size - HEAD_BYTES));
}

void camera_shoot(struct camera *camera, struct kn_sample *ret_sample) {
    size_t size = size_of(camera, camera->next);
    uint8_t *room = NULL;
    struct kn_buffer *buffer = NULL;
    must(kn_buffer_alloc(NULL, size, &room, &buffer) == 0, "no memory");
    fill(room, size, camera->seed, camera->next);
    *ret_sample = (struct kn_sample){
        .buffer = buffer,
        .data = buffer->data,
        .size = size,
        .pts_ns = (int64_t)camera->next * CAMERA_FRAME_NS,
        .duration_ns = CAMERA_FRAME_NS,
        .flags = camera->next % camera->gop == 0 ? KN_SAMPLE_KEY : 0,
    };
    camera->next++;
}

void camera_send(struct camera *camera, struct frag_writer *writer, unsigned count) {
    must(frag_writer_tracks(writer, camera->tracks) == 0, "tracks refused");
    for (unsigned i = 0; i < count; i++) {
        struct kn_sample sample;
        camera_shoot(camera, &sample);
        if (camera->advance != NULL) {
            camera->advance((struct kn_wall){camera->start.ns + sample.pts_ns}, camera->user);
        }
        must(frag_writer_sample(writer, camera->start, &sample) == 0, "sample refused");
        kn_buffer_unref(sample.buffer);
    }
}

/* ---- as received ---- */

struct delivery {
    struct frag_writer *writer;
    int64_t duration_ns;
    bool around;
};

static int deliver(const struct frag_mkv_fragment *fragment, void *user) {
    static const uint8_t empty[] = {0xEC, 0x81, 0x00}; /* a Void */
    const struct delivery *delivery = user;
    const struct frag_received received = {.fragment = fragment,
                                           .duration_ns = delivery->duration_ns,
                                           .before = empty,
                                           .before_bytes = delivery->around ? sizeof(empty) : 0};
    return frag_writer_received(delivery->writer, &received);
}

static void read_cluster(const struct camera *camera, const struct frag_mkv_cluster *cluster,
                         struct delivery *delivery) {
    static const struct frag_mkv_reader_handler handler = {.fragment = deliver};
    const struct frag_mkv_reader_config config = {
        .handler = &handler, .user = delivery, .tracks = camera->tracks};
    struct frag_mkv_reader *reader = NULL;
    must(frag_mkv_reader_create(&config, &reader) == 0, "no reader");
    for (size_t i = 0; i < cluster->iov_count; i++) {
        must(frag_mkv_reader_push(reader, cluster->iov[i].iov_base, cluster->iov[i].iov_len) == 0,
             "cluster refused");
    }
    must(frag_mkv_reader_finish(reader) == 0, "cluster refused");
    frag_mkv_reader_destroy(reader);
}

void camera_send_cluster(struct camera *camera, struct frag_writer *writer, struct kn_wall from,
                         unsigned count, bool around) {
    struct frag_mkv_packer *packer = NULL;
    struct frag_mkv_cluster cluster;
    struct kn_sample *samples = calloc(count, sizeof(*samples));
    int64_t first_ns = (int64_t)camera->next * CAMERA_FRAME_NS;
    struct delivery delivery = {
        .writer = writer, .duration_ns = count * CAMERA_FRAME_NS, .around = around};
    must(samples != NULL && frag_mkv_packer_create(&packer) == 0, "no memory");
    for (unsigned i = 0; i < count; i++) {
        camera_shoot(camera, &samples[i]);
        samples[i].pts_ns -= first_ns;
    }
    must(frag_mkv_pack_cluster(packer, camera->tracks, KN_NS_PER_MS,
                               (uint64_t)((from.ns + first_ns) / KN_NS_PER_MS), samples, count,
                               &cluster) == 0,
         "no cluster");
    read_cluster(camera, &cluster, &delivery);
    for (unsigned i = 0; i < count; i++) {
        kn_sample_unref(&samples[i]);
    }
    free(samples);
    frag_mkv_packer_destroy(packer);
}

const char *camera_check(const struct frag_loaded *loaded, uint32_t *ret_seed,
                         uint32_t *ret_first) {
    uint8_t *expected = malloc(1u << 20);
    const char *wrong = expected == NULL ? "no memory" : NULL;
    uint32_t first = 0;
    uint32_t seed = 0;
    for (size_t i = 0; i < loaded->sample_count && wrong == NULL; i++) {
        const struct kn_sample *sample = &loaded->samples[i];
        if (sample->size < HEAD_BYTES || sample->size > 1u << 20 ||
            memcmp(sample->data, "KNC1", 4) != 0) {
            wrong = "no picture of a camera";
            break;
        }
        uint32_t picture = get_be32(sample->data + 8);
        seed = i == 0 ? get_be32(sample->data + 4) : seed;
        first = i == 0 ? picture : first;
        fill(expected, sample->size, seed, picture);
        if (memcmp(expected, sample->data, sample->size) != 0) {
            wrong = "a picture's bytes are not as they were sent";
        } else if (picture != first + i) {
            wrong = "a picture is missing";
        } else if (sample->pts_ns != (int64_t)i * CAMERA_FRAME_NS) {
            wrong = "a picture's time is wrong";
        }
    }
    free(expected);
    if (wrong == NULL && loaded->sample_count == 0) {
        wrong = "no pictures";
    }
    *ret_seed = seed;
    *ret_first = first;
    return wrong;
}
