/* Export: how many MB of a stream become a file in one CPU second, kernel included.
 *
 * 300 fragments of 2 s, 1080p-like: 60 H.264 pictures each, 0.99 MB a fragment. They stand in
 * memory, so reading the store is not in it; the new file is synced, but waiting costs no CPU. */
#include <string.h>
#include <unistd.h>

#include "playback/export_inner.h"
#include "tests/bench/bench.h"

#define FRAGMENTS 300
#define FRAMES 60
#define KEY_BYTES 130000u
#define OTHER_BYTES 14600u
#define FRAGMENT_BYTES (KEY_BYTES + (FRAMES - 1) * OTHER_BYTES)
#define ROUNDS 5

/* Main profile 1920x1080, as an encoder wrote them. */
static const uint8_t avcc[] = {0x01, 0x4d, 0x40, 0x28, 0xff, 0xe1, 0x00, 0x16, 0x67, 0x4d,
                               0x40, 0x28, 0x96, 0x56, 0x03, 0xc0, 0x11, 0x3f, 0x2e, 0x02,
                               0xdc, 0x04, 0x04, 0x05, 0x00, 0x00, 0x03, 0x00, 0x01, 0x00,
                               0x00, 0x01, 0x00, 0x04, 0x68, 0xef, 0x3c, 0x80};

struct camera {
    struct kn_sample samples[FRAMES];
    struct frag_loaded loaded;
    uint64_t given;
};

static void make_camera(struct camera *camera) {
    const struct kn_track track = {
        .number = 1,
        .media = KN_MEDIA_VIDEO,
        .codec = KN_CODEC_H264,
        .codec_id = "V_MPEG4/ISO/AVC",
        .codec_private = avcc,
        .codec_private_bytes = sizeof(avcc),
        .width = 1920,
        .height = 1080,
    };
    uint8_t *payload = malloc(FRAGMENT_BYTES);
    if (payload == NULL || kn_tracks_create(&track, 1, &camera->loaded.tracks) != 0) {
        bench_die("out of memory");
    }
    memset(payload, 0x55, FRAGMENT_BYTES);
    for (size_t i = 0; i < FRAMES; i++) {
        int64_t pts_ns = (int64_t)i * 2000 / FRAMES * KN_NS_PER_MS;
        camera->samples[i] = (struct kn_sample){
            .data = i == 0 ? payload : payload + KEY_BYTES + (i - 1) * OTHER_BYTES,
            .size = i == 0 ? KEY_BYTES : OTHER_BYTES,
            .pts_ns = pts_ns,
            .dts_ns = pts_ns,
            .flags = i == 0 ? KN_SAMPLE_KEY : 0,
        };
    }
    camera->loaded.samples = camera->samples;
    camera->loaded.sample_count = FRAMES;
}

static int next(void *user, struct frag_loaded **ret_loaded) {
    struct camera *camera = user;
    if (camera->given == FRAGMENTS) {
        return PLAY_NEXT_END;
    }
    camera->loaded.entry.producer.ns = (int64_t)camera->given * 2 * KN_NS_PER_S;
    camera->loaded.entry.number.sequence = ++camera->given;
    *ret_loaded = &camera->loaded;
    return PLAY_NEXT_FRAGMENT;
}

static void give_back(void *user, struct frag_loaded *loaded) {
    (void)user;
    (void)loaded;
}

static double run(struct camera *camera, enum play_format format, bool index_in_front,
                  const char *path) {
    const struct play_export_config config = {.format = format, .path = path, .replace = true};
    const struct play_source source = {
        .next = next,
        .give_back = give_back,
        .user = camera,
        .stream_name = "bench",
        .expected_bytes = index_in_front ? 0 : UINT64_MAX,
    };
    struct play_export_result result;
    camera->given = 0;
    double from = bench_cpu_s();
    if (play_export_from(&config, &source, &result) != 0) {
        bench_die(path);
    }
    return (double)FRAGMENT_BYTES * FRAGMENTS / 1e6 / (bench_cpu_s() - from);
}

int main(void) {
    static struct camera camera;
    char path[] = "/tmp/kinora-bench-XXXXXX";
    double mkv[ROUNDS];
    double mp4[ROUNDS];
    double front[ROUNDS];
    int fd = mkstemp(path);
    if (fd < 0) {
        bench_die(path);
    }
    (void)close(fd);
    make_camera(&camera);
    for (size_t i = 0; i < ROUNDS; i++) {
        mkv[i] = run(&camera, PLAY_MKV, false, path);
        mp4[i] = run(&camera, PLAY_MP4, false, path);
        front[i] = run(&camera, PLAY_MP4, true, path);
    }
    (void)unlink(path);
    printf("{\"bench\": \"export\", \"mb_per_cpu_second\": {\"mkv\": %.0f, \"mp4\": %.0f, "
           "\"mp4_index_in_front\": %.0f}}\n",
           bench_median(mkv, ROUNDS), bench_median(mp4, ROUNDS), bench_median(front, ROUNDS));
    return 0;
}
