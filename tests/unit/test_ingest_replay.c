/* Files through the replay into a sink: every container, time, faults and refusals. */
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/error.h"
#include "ingest/replay/pace.h"
#include "tests/support/fail_alloc.h"
#include "tests/support/remux.h"
#include "tests/support/sample_media.h"
#include "tests/unit/ingest_tape.h"

#define MS KN_NS_PER_MS
#define S KN_NS_PER_S
#define START (1800000000 * S)

/* ---- a folder of the test's own ---- */

static char folder[64];

static const char *in_folder(const char *name) {
    static char paths[4][128];
    static size_t next;
    char *path = paths[next++ % KN_COUNT(paths)];
    (void)snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

static int make_folder(void **state) {
    const char *where = getenv("TMPDIR");
    (void)state;
    (void)snprintf(folder, sizeof(folder), "%.40s/ingest-XXXXXX", where == NULL ? "/tmp" : where);
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int drop_entry(const char *path, const struct stat *status, int kind, struct FTW *where) {
    (void)status, (void)kind, (void)where;
    return remove(path);
}

static int drop_folder(void **state) {
    (void)state;
    return nftw(folder, drop_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static void write_file(const char *name, const void *data, size_t size) {
    FILE *file = fopen(in_folder(name), "wbe");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void append_file(const char *name, const char *source) {
    static uint8_t data[1 << 20];
    FILE *from = fopen(source, "rbe"), *to = fopen(in_folder(name), "abe");
    assert_true(from != NULL && to != NULL);
    size_t size = fread(data, 1, sizeof(data), from);
    assert_true(size > 0 && size < sizeof(data));
    assert_int_equal(fwrite(data, 1, size, to), size);
    (void)fclose(from);
    assert_int_equal(fclose(to), 0);
}

/* ---- one replay ---- */

/* By the replay's own clock, once, as fast as can be, unless `config` says otherwise. */
static int replay_with(struct ing_replay_config config, struct tape *tape,
                       struct ing_replay_result *ret_result) {
    struct ing_clock *clock = NULL;
    assert_int_equal(ing_clock_create((struct kn_wall){START}, &clock), 0);
    config.clock = clock;
    config.loops = config.loops == 0 ? 1 : config.loops;
    config.stop = &tape->stop;
    tape->clock = ing_clock_face(clock);
    int rc = ing_replay_to(&config, &tape_sink, tape, ret_result);
    tape->clock = NULL;
    assert_false(tape->open);
    ing_clock_destroy(clock);
    return rc;
}

static struct tape *replay(const char *path, const char *faults) {
    struct ing_replay_config config = {.path = path};
    struct ing_replay_result result;
    struct tape *tape = tape_create();
    if (faults != NULL) {
        assert_int_equal(ing_faults_parse(faults, &config.faults), 0);
    }
    assert_int_equal(replay_with(config, tape, &result), 0);
    assert_int_equal(result.samples, tape->count);
    assert_int_equal(result.files, 1);
    assert_string_equal(result.problem, "");
    return tape;
}

/* ---- the sample clips, as our own reader has them ---- */

struct clip {
    struct tape_sample samples[TAPE_SAMPLES];
    size_t count;
    int64_t reorder_ns; /* from the first dts to the first pts */
};

static int keep_fragment(const struct frag_mkv_fragment *fragment, void *user) {
    struct clip *clip = user;
    for (size_t i = 0; i < fragment->sample_count; i++) {
        const struct kn_sample *sample = &fragment->samples[i];
        if (clip->count == 0) {
            clip->reorder_ns = sample->pts_ns - sample->dts_ns;
        }
        clip->samples[clip->count++] = (struct tape_sample){
            .pts_ns = fragment->time_ns + sample->pts_ns,
            .size = sample->size,
            .crc32c = kn_crc32c(0, sample->data, sample->size),
            .flags = sample->flags,
            .track = sample->track,
        };
    }
    return 0;
}

static struct clip *read_clip(const char *name) {
    static const struct frag_mkv_reader_handler handler = {.fragment = keep_fragment};
    struct clip *clip = calloc(1, sizeof(*clip));
    struct frag_mkv_reader *reader = NULL;
    const struct frag_mkv_reader_config config = {.handler = &handler, .user = clip};
    size_t size;
    uint8_t *data = sample_load(name, &size);
    assert_non_null(clip);
    assert_int_equal(frag_mkv_reader_create(&config, &reader), 0);
    assert_int_equal(frag_mkv_reader_push(reader, data, size), 0);
    (void)frag_mkv_reader_finish(reader); /* one of them is truncated */
    frag_mkv_reader_destroy(reader);
    free(data);
    return clip;
}

static void check_near(int64_t a, int64_t b, int64_t most) {
    assert_in_range(a - b + most, 0, 2 * most);
}

static bool is_h26x(const struct kn_track *track) {
    return track->codec == KN_CODEC_H264 || track->codec == KN_CODEC_H265;
}

/* Each sample of the clip, in its order, with its bytes, time and flags. A cut clip has some more
 * at its end, which our reader does not give out. */
static void check_as_read(const struct tape *tape, const struct clip *clip, bool cut) {
    const uint16_t compared = KN_SAMPLE_KEY | KN_SAMPLE_INVISIBLE;
    assert_true(cut ? tape->count > clip->count : tape->count == clip->count);
    assert_int_equal(tape->samples[0].pts_ns, clip->reorder_ns);
    for (size_t i = 0; i < clip->count; i++) {
        const struct tape_sample *ours = &tape->samples[i], *theirs = &clip->samples[i];
        assert_int_equal(ours->track, theirs->track);
        assert_int_equal(ours->size, theirs->size);
        assert_int_equal(ours->crc32c, theirs->crc32c);
        assert_int_equal(ours->flags & compared, theirs->flags & compared);
        /* Within a lace, times are counted from durations in whole ticks. */
        check_near(ours->pts_ns - clip->reorder_ns, theirs->pts_ns - clip->samples[0].pts_ns, MS);
    }
}

static void test_sample_clips(void **state) {
    (void)state;
    for (size_t i = 0; i < SAMPLE_CLIPS; i++) {
        const char *name = sample_clips[i];
        struct clip *clip = read_clip(name);
        struct tape *tape = replay(sample_path(name), NULL);
        print_message("# %s\n", name);
        check_as_read(tape, clip, strcmp(name, "truncated.mkv") == 0);
        for (size_t t = 0; t < tape->tracks[0]->count; t++) {
            const struct kn_track *track = &tape->tracks[0]->items[t];
            assert_int_equal(track->codec,
                             kn_codec_from_matroska(track->codec_id, track->codec_private,
                                                    track->codec_private_bytes));
            assert_true(!is_h26x(track) || track->codec_private_bytes > 20);
        }
        tape_destroy(tape);
        free(clip);
    }
}

static void test_other_setup_in_the_middle(void **state) {
    struct tape *tape = replay(sample_path("resolution-change.mkv"), NULL);
    (void)state;
    assert_int_equal(tape->sessions, 1);
    assert_int_equal(tape->tracks_count, 2);
    assert_int_equal(tape->tracks[0]->items[0].width, 320);
    assert_int_equal(tape->tracks[0]->items[0].height, 180);
    assert_int_equal(tape->tracks[1]->items[0].width, 480);
    assert_int_equal(tape->tracks[1]->items[0].height, 270);
    for (size_t i = 0; i < tape->count; i++) {
        bool second = tape->samples[i].pts_ns >= 4 * S;
        assert_int_equal(tape->samples[i].tracks, second ? 2 : 1);
    }
    tape_destroy(tape);
}

/* ---- other containers ---- */

static size_t count_of(const struct tape *tape, uint8_t track) {
    size_t count = 0;
    for (size_t i = 0; i < tape->count; i++) {
        count += tape->samples[i].track == track ? 1 : 0;
    }
    return count;
}

static const struct tape_sample *nth_of(const struct tape *tape, uint8_t track, size_t n) {
    size_t at = 0;
    while (tape->samples[at].track != track || n-- > 0) {
        at++;
        KN_ASSERT(at < tape->count);
    }
    return &tape->samples[at];
}

/* Track for track the same pictures and sound at the same time. */
static void check_same(const struct tape *tape, const struct tape *original, uint8_t track,
                       uint8_t original_track, bool same_bytes) {
    int64_t from = nth_of(tape, track, 0)->pts_ns;
    int64_t original_from = nth_of(original, original_track, 0)->pts_ns;
    size_t count = count_of(original, original_track);
    assert_int_equal(count_of(tape, track), count);
    for (size_t i = 0; i < count; i++) {
        const struct tape_sample *ours = nth_of(tape, track, i);
        const struct tape_sample *theirs = nth_of(original, original_track, i);
        check_near(ours->pts_ns - from, theirs->pts_ns - original_from, MS);
        assert_int_equal(ours->flags & KN_SAMPLE_KEY, theirs->flags & KN_SAMPLE_KEY);
        assert_true(!same_bytes || ours->crc32c == theirs->crc32c);
        assert_true(same_bytes || ours->size >= theirs->size);
    }
    assert_int_equal(tape->tracks[0]->items[track].codec,
                     original->tracks[0]->items[original_track].codec);
}

/* `same_bytes`: no parameter sets and delimiters are added. */
static void check_remuxed(const char *clip, const char *container, const char *name, char media,
                          bool same_bytes) {
    remux(sample_path(clip), in_folder(name), container, media, 0);
    struct tape *original = replay(sample_path(clip), NULL);
    struct tape *tape = replay(in_folder(name), NULL);
    print_message("# %s as %s\n", clip, container);
    assert_int_equal(tape->tracks_count, 1);
    for (size_t i = 0; i < tape->tracks[0]->count; i++) {
        const struct kn_track *track = &tape->tracks[0]->items[i];
        check_same(tape, original, (uint8_t)i, (uint8_t)(media == 'a' ? 1 : i),
                   same_bytes || track->media == KN_MEDIA_AUDIO);
        assert_true(!is_h26x(track) || track->codec_private[0] == 1);
        assert_true(track->codec != KN_CODEC_AAC || track->codec_private_bytes >= 2);
    }
    assert_int_equal(tape->tracks[0]->count, media == 0 ? original->tracks[0]->count : 1);
    tape_destroy(tape);
    tape_destroy(original);
}

static void test_containers(void **state) {
    (void)state;
    check_remuxed("box.mkv", "mp4", "box.mp4", 0, true);
    check_remuxed("bframes.mkv", "mp4", "bframes.mp4", 0, true);
    check_remuxed("h265-bframes.mkv", "mov", "h265.mov", 0, true);
    check_remuxed("box.mkv", "flv", "box.flv", 0, true);
    check_remuxed("box.mkv", "mpegts", "box.ts", 0, false);
    check_remuxed("bframes.mkv", "mpegts", "bframes.ts", 0, false);
    check_remuxed("open-gop.mkv", "mpegts", "open-gop.ts", 0, false);
    check_remuxed("h265-bframes.mkv", "mpegts", "h265.ts", 0, false);
    check_remuxed("box.mkv", "adts", "box.aac", 'a', true);
    check_remuxed("vp8-opus.webm", "ogg", "opus.ogg", 'a', true);
    check_remuxed("vp8-opus.webm", "ivf", "vp8.ivf", 'v', true);
}

/* Packets are cut anew, and the sound is the same. */
static void test_wav(void **state) {
    (void)state;
    remux(sample_path("g711.mkv"), in_folder("g711.wav"), "wav", 'a', 0);
    struct tape *tape = replay(in_folder("g711.wav"), NULL);
    const struct kn_track *track = &tape->tracks[0]->items[0];
    const struct tape_sample *last = &tape->samples[tape->count - 1];
    size_t bytes = 0;
    assert_int_equal(tape->tracks[0]->count, 1);
    assert_int_equal(track->codec, KN_CODEC_PCMA);
    assert_int_equal(track->sample_rate_hz, 8000);
    assert_int_equal(track->codec_private_bytes, 18);
    for (size_t i = 0; i < tape->count; i++) {
        assert_int_equal(tape->samples[i].pts_ns, (int64_t)bytes * (S / 8000));
        assert_int_equal(tape->samples[i].flags, KN_SAMPLE_KEY);
        bytes += tape->samples[i].size;
    }
    assert_int_equal(bytes, 8 * 8000);
    assert_int_equal(last->pts_ns + last->duration_ns, 8 * S);
    tape_destroy(tape);
}

/* Nothing says when their pictures are shown but the pictures. */
static void test_raw_video(void **state) {
    (void)state;
    check_remuxed("box.mkv", "h264", "box.h264", 'v', false);
    check_remuxed("bframes.mkv", "h264", "bframes.h264", 'v', false);
    check_remuxed("open-gop.mkv", "h264", "open-gop.h264", 'v', false);
    check_remuxed("h265.mkv", "hevc", "h265.h265", 'v', false);
    check_remuxed("h265-bframes.mkv", "hevc", "h265-bframes.h265", 'v', false);
    struct tape *tape = replay(in_folder("bframes.h264"), NULL);
    assert_int_equal(tape->tracks[0]->items[0].width, 320);
    assert_int_equal(tape->tracks[0]->items[0].default_duration_ns, 40 * MS);
    for (size_t i = 1; i < tape->count; i++) {
        assert_true(tape->samples[i].pts_ns >= tape->samples[i].dts_ns);
        assert_int_equal(tape->samples[i].dts_ns - tape->samples[i - 1].dts_ns, 40 * MS);
    }
    tape_destroy(tape);
}

/* A pack of MPEG-PS times one of the pictures that begin in it. */
static void test_program_stream(void **state) {
    (void)state;
    remux(sample_path("bframes.mkv"), in_folder("program.ts"), "mpegts", 0, 0);
    remux(in_folder("program.ts"), in_folder("program.mpg"), "mpeg", 0, 0);
    struct tape *original = replay(sample_path("bframes.mkv"), NULL);
    struct tape *tape = replay(in_folder("program.mpg"), NULL);
    size_t odd = 0;
    assert_int_equal(tape->count, original->count);
    for (size_t i = 0; i < tape->count; i++) {
        int64_t apart_ns = tape->samples[i].pts_ns - original->samples[i].pts_ns;
        odd += apart_ns < -MS || apart_ns > MS ? 1 : 0;
        check_near(apart_ns, 0, 41 * MS); /* a picture at most */
        assert_int_equal(tape->samples[i].flags & KN_SAMPLE_KEY,
                         original->samples[i].flags & KN_SAMPLE_KEY);
    }
    assert_in_range(odd, 0, 4);
    tape_destroy(tape);
    tape_destroy(original);
}

/* The 33 bits of MPEG-TS go round in the middle; two files of one camera stand one behind the
 * other. */
static void test_broken_time_lines(void **state) {
    (void)state;
    struct tape *original = replay(sample_path("box.mkv"), NULL);
    remux(sample_path("box.mkv"), in_folder("wraps.ts"), "mpegts", 0, 95439 * S);
    struct tape *wraps = replay(in_folder("wraps.ts"), NULL);
    for (uint8_t i = 0; i < 2; i++) {
        check_same(wraps, original, i, i, false);
    }
    assert_int_equal(wraps->breaks, 0);
    append_file("twice.ts", in_folder("wraps.ts"));
    append_file("twice.ts", in_folder("wraps.ts"));
    struct tape *twice = replay(in_folder("twice.ts"), NULL);
    assert_int_equal(twice->count, 2 * original->count);
    assert_int_equal(twice->sessions, 1);
    assert_int_equal(twice->breaks, 1);
    int64_t last[2] = {-1, -1};
    for (size_t i = 0; i < twice->count; i++) {
        const struct tape_sample *sample = &twice->samples[i];
        assert_true(sample->dts_ns >= last[sample->track]);
        assert_true(sample->dts_ns - last[sample->track] < 200 * MS);
        last[sample->track] = sample->dts_ns;
    }
    check_near(last[0], 2 * 10 * S, 200 * MS);
    tape_destroy(twice);
    tape_destroy(wraps);
    tape_destroy(original);
}

/* ---- time ---- */

static void test_clock_goes_with_the_video(void **state) {
    struct tape *tape = replay(sample_path("bframes.mkv"), NULL);
    (void)state;
    for (size_t i = 0; i < tape->count; i++) {
        assert_int_equal(tape->samples[i].arrival.ns, START + tape->samples[i].dts_ns);
        assert_int_equal(tape->samples[i].time.ns, START + tape->samples[i].pts_ns);
        assert_int_equal(tape->samples[i].dts_ns, (int64_t)i * 40 * MS);
    }
    tape_destroy(tape);
}

static void count_progress(const struct ing_replay_progress *progress, void *user) {
    size_t *calls = user;
    assert_true(progress->file < progress->files);
    assert_non_null(progress->path);
    (*calls)++;
}

/* Two files, each twice: four sessions on one time line. */
static void test_folder_in_a_loop(void **state) {
    struct ing_replay_result result;
    struct tape *tape = tape_create();
    size_t calls = 0;
    (void)state;
    assert_int_equal(mkdir(in_folder("films"), 0700), 0);
    assert_int_equal(mkdir(in_folder("films/a"), 0700), 0);
    append_file("films/a/box.mkv", sample_path("box.mkv"));
    append_file("films/.hidden.mkv", sample_path("box.mkv"));
    append_file("films/Z.mkv", sample_path("h265.mkv"));
    append_file("films/b.mkv", sample_path("bframes.mkv"));
    write_file("films/notes.txt", "nothing to see", 14);
    const struct ing_replay_config config = {
        .path = in_folder("films"), .loops = 2, .handle_progress = count_progress, .user = &calls};
    assert_int_equal(replay_with(config, tape, &result), 0);
    assert_int_equal(result.files, 2);
    assert_int_equal(result.skipped_files, 1);
    assert_non_null(strstr(result.problem, "notes.txt"));
    assert_false(result.stopped);
    assert_int_equal(tape->sessions, 4);
    assert_int_equal(tape->count, 2 * (358 + 200));
    assert_int_equal(result.duration_ns, 2 * (10112 + 8080) * MS);
    assert_true(calls >= 4);
    /* By bytes, "Z" stands before "b". */
    static const int64_t starts[] = {0, 10112 * MS, 18192 * MS, 28304 * MS};
    for (size_t i = 0; i < tape->count; i++) {
        const struct tape_sample *sample = &tape->samples[i];
        assert_int_equal(sample->time.ns, START + starts[sample->session - 1] + sample->pts_ns);
    }
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(tape->ends[i], FRAG_GAP_PRODUCER_AWAY);
        assert_int_equal(tape->tracks[i]->items[0].codec,
                         i % 2 == 0 ? KN_CODEC_H265 : KN_CODEC_H264);
    }
    tape_destroy(tape);
}

/* On the machine's clock a fast replay ends about now. */
static void test_machine_clock(void **state) {
    struct tape *tape = tape_create();
    struct ing_replay_result result;
    const struct kn_clock *machine = kn_clock_system();
    const struct ing_replay_config config = {.path = sample_path("box.mkv"), .loops = 2};
    (void)state;
    int64_t before = machine->wall(machine).ns;
    assert_int_equal(ing_replay_to(&config, &tape_sink, tape, &result), 0);
    int64_t after = machine->wall(machine).ns;
    assert_int_equal(tape->count, 2 * 358);
    int64_t last = tape->samples[tape->count - 1].time.ns;
    assert_true(last <= after && last >= before - 1 * S);
    tape_destroy(tape);
}

static void test_pace(void **state) {
    const struct kn_clock *machine = kn_clock_system();
    struct ing_replay_config config = {.path = sample_path("box.mkv"), .paced = true, .loops = 1};
    struct ing_replay_result result;
    struct tape *tape = tape_create();
    atomic_bool stop = true;
    (void)state;
    tape->stop_after = 12; /* 300 ms */
    config.stop = &tape->stop;
    tape->clock = machine;
    struct kn_mono before = machine->mono(machine);
    assert_int_equal(ing_replay_to(&config, &tape_sink, tape, &result), 0);
    int64_t took = machine->mono(machine).ns - before.ns;
    assert_int_equal(tape->count, 12);
    assert_true(took >= tape->samples[11].dts_ns && tape->samples[11].dts_ns >= 250 * MS);
    for (size_t i = 0; i < tape->count; i++) {
        /* Producer times begin with the replay, and nothing comes before its time. */
        assert_true(tape->samples[i].arrival.ns >= tape->samples[i].time.ns - MS);
    }
    assert_true(result.stopped);
    tape_destroy(tape);
    /* A stop ends the wait, however long. */
    before = machine->mono(machine);
    ing_pace_until((struct kn_mono){before.ns + 3600 * S}, &stop);
    assert_true(machine->mono(machine).ns - before.ns < 10 * S);
}

static void test_stop(void **state) {
    struct tape *tape = tape_create();
    struct ing_replay_result result;
    const struct ing_replay_config config = {.path = sample_path("box.mkv"), .loops = 1000000};
    (void)state;
    tape->stop_after = 500;
    assert_int_equal(replay_with(config, tape, &result), 0);
    assert_true(result.stopped);
    assert_int_equal(tape->count, 500);
    assert_int_equal(tape->sessions, 2);
    assert_int_equal(tape->ends[1], FRAG_GAP_SHUTDOWN);
    tape_destroy(tape);
}

/* ---- faults ---- */

static void check_same_tape(const struct tape *a, const struct tape *b) {
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->gap_count, b->gap_count);
    assert_memory_equal(a->samples, b->samples, a->count * sizeof(a->samples[0]));
    assert_memory_equal(a->gaps, b->gaps, a->gap_count * sizeof(a->gaps[0]));
}

static void test_loss(void **state) {
    struct tape *tape = replay(sample_path("qr.mkv"), "loss=3%,seed=5");
    struct tape *again = replay(sample_path("qr.mkv"), "seed=5,loss=3%");
    struct tape *other = replay(sample_path("qr.mkv"), "loss=3%");
    (void)state;
    check_same_tape(tape, again);
    assert_true(tape->count < 308 && tape->gap_count > 0 && tape->breaks == tape->gap_count);
    assert_true(other->count != tape->count || other->gap_count != tape->gap_count);
    int64_t last = -1;
    for (size_t i = 0, gap = 0; i < tape->count; i++) {
        const struct tape_sample *sample = &tape->samples[i];
        if (sample->track != 0) {
            continue;
        }
        bool missing = sample->pts_ns - last > 100 * MS;
        /* All of them refer to the one before, so a loss lasts to the next key frame. */
        assert_int_equal((sample->flags & KN_SAMPLE_DISCONT) != 0, missing && last >= 0);
        assert_true(!missing || (sample->flags & KN_SAMPLE_KEY) != 0);
        if (missing && last >= 0) {
            assert_int_equal(tape->gaps[gap].to.ns, sample->arrival.ns);
            check_near(tape->gaps[gap].from.ns, START + last + 67 * MS, 2 * MS);
            assert_int_equal(tape->gaps[gap++].cause, FRAG_GAP_PACKET_LOSS);
        }
        last = sample->pts_ns;
    }
    tape_destroy(tape);
    tape_destroy(again);
    tape_destroy(other);
}

/* A lost picture that no other refers to is missed alone. */
static void test_loss_of_disposables(void **state) {
    struct ing_replay_config config = {.path = sample_path("bframes.mkv")};
    struct ing_replay_result result;
    bool alone = false;
    (void)state;
    for (uint64_t seed = 1; seed < 40 && !alone; seed++) {
        struct tape *tape = tape_create();
        config.faults = (struct ing_faults){.loss = 0.005, .seed = seed};
        assert_int_equal(replay_with(config, tape, &result), 0);
        assert_int_equal(result.lost_samples + tape->count, 200);
        alone = result.lost_samples == 1 && tape->gap_count == 0;
        tape_destroy(tape);
    }
    assert_true(alone);
}

static void test_loss_of_all(void **state) {
    struct tape *tape = tape_create();
    struct ing_replay_result result;
    struct ing_replay_config config = {.path = sample_path("box.mkv"), .faults = {.loss = 1}};
    (void)state;
    assert_int_equal(replay_with(config, tape, &result), 0);
    assert_int_equal(result.lost_samples, 358);
    assert_int_equal(result.samples, 0);
    assert_int_equal(result.files, 1);
    tape_destroy(tape);
}

static void test_jump(void **state) {
    struct tape *tape = replay(sample_path("box.mkv"), "jump=-9800s@3s");
    (void)state;
    assert_int_equal(tape->count, 358);
    for (size_t i = 0; i < tape->count; i++) {
        const struct tape_sample *sample = &tape->samples[i];
        int64_t jump = sample->dts_ns >= 3 * S ? -9800 * S : 0;
        assert_int_equal(sample->time.ns, START + sample->pts_ns + jump);
        assert_int_equal(sample->arrival.ns, START + sample->dts_ns);
    }
    tape_destroy(tape);
}

static void test_flap(void **state) {
    struct tape *tape = replay(sample_path("box.mkv"), "flap=3s");
    (void)state;
    assert_int_equal(tape->count, 358);
    assert_int_equal(tape->sessions, 4);
    assert_int_equal(tape->tracks_count, 4);
    for (size_t i = 0; i < tape->count; i++) {
        const struct tape_sample *sample = &tape->samples[i];
        assert_true(sample->session <= 1 + (size_t)(sample->dts_ns / (3 * S)));
        assert_true(sample->session + 1 >= 1 + (size_t)(sample->dts_ns / (3 * S)));
    }
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(tape->ends[i], i < 3 ? FRAG_GAP_NETWORK : FRAG_GAP_PRODUCER_AWAY);
    }
    tape_destroy(tape);
}

/* As the file that was cut there. */
static void test_truncate(void **state) {
    size_t size;
    uint8_t *data = sample_load("box.mkv", &size);
    (void)state;
    write_file("cut.mkv", data, 200000);
    free(data);
    struct tape *cut = replay(in_folder("cut.mkv"), NULL);
    struct tape *tape = replay(sample_path("box.mkv"), "truncate@200000");
    assert_in_range(tape->count, 100, 250);
    check_same_tape(tape, cut);
    struct tape *whole = replay(sample_path("box.mkv"), "truncate@99999999");
    assert_int_equal(whole->count, 358);
    tape_destroy(whole);
    tape_destroy(tape);
    tape_destroy(cut);

    /* An index at the end is gone then. */
    struct ing_replay_config config = {.path = in_folder("box.mp4"),
                                       .faults = {.truncate = 200000}};
    struct ing_replay_result result;
    struct tape *none = tape_create();
    remux(sample_path("box.mkv"), config.path, "mp4", 0, 0);
    assert_int_equal(replay_with(config, none, &result), KN_E_MALFORMED);
    assert_int_equal(result.skipped_files, 1);
    assert_int_equal(none->sessions, 0);
    tape_destroy(none);
}

/* ---- refusals ---- */

static void check_refused(const char *path, int expected) {
    struct tape *tape = tape_create();
    struct ing_replay_result result;
    const struct ing_replay_config config = {.path = path, .loops = 3};
    assert_int_equal(replay_with(config, tape, &result), expected);
    assert_int_equal(tape->sessions, 0);
    assert_int_equal(result.files, 0);
    assert_true(strlen(result.problem) > strlen(path));
    tape_destroy(tape);
}

static void test_refusals(void **state) {
    static const char concat[] = "ffconcat version 1.0\nfile good.mkv\n";
    static const char list[] = "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\ngood.ts\n"
                               "#EXT-X-ENDLIST\n";
    static const char sdp[] = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\n"
                              "t=0 0\r\nm=video 5004 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n";
    uint8_t noise[4096];
    (void)state;
    append_file("good.mkv", sample_path("box.mkv"));
    remux(sample_path("box.mkv"), in_folder("good.ts"), "mpegts", 0, 0);
    write_file("list.ffconcat", concat, sizeof(concat) - 1);
    write_file("list.m3u8", list, sizeof(list) - 1);
    write_file("stream.sdp", sdp, sizeof(sdp) - 1);
    write_file("empty.mkv", "", 0);
    for (size_t i = 0; i < sizeof(noise); i++) {
        noise[i] = (uint8_t)(i * i * 31 + i / 7);
    }
    write_file("noise.mp4", noise, sizeof(noise));
    check_refused(in_folder("list.ffconcat"), KN_E_MALFORMED);
    check_refused(in_folder("list.m3u8"), KN_E_MALFORMED);
    check_refused(in_folder("stream.sdp"), KN_E_MALFORMED);
    check_refused(in_folder("empty.mkv"), KN_E_MALFORMED);
    check_refused(in_folder("noise.mp4"), KN_E_MALFORMED);
    check_refused(in_folder("nothing there"), -ENOENT);
    check_refused("/dev/null", -EINVAL);
    assert_int_equal(mkdir(in_folder("bare"), 0700), 0);
    check_refused(in_folder("bare"), KN_E_MALFORMED);
    assert_int_equal(mkfifo(in_folder("bare/pipe"), 0600), 0);
    check_refused(in_folder("bare"), KN_E_MALFORMED);
    check_refused(in_folder("bare/pipe"), -EINVAL);
    check_refused("concat:/dev/null", -ENOENT);
    /* PCM of 24 bits is sound that is not recorded. */
    uint8_t wave[1044] = "RIFF\x0c\x04\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x40\x1f\0\0\xc0\x5d\0\0\3\0"
                         "\x18\0data\xe8\3\0";
    write_file("deep.wav", wave, sizeof(wave));
    check_refused(in_folder("deep.wav"), KN_E_MALFORMED);
}

/* Terminals get no control characters from names of files. */
static void test_problem_is_plain(void **state) {
    struct tape *tape = tape_create();
    struct ing_replay_result result;
    const struct ing_replay_config config = {.path = in_folder("bad\033[31m")};
    (void)state;
    write_file("bad\033[31m", "x", 1);
    assert_int_equal(replay_with(config, tape, &result), KN_E_MALFORMED);
    assert_null(strchr(result.problem, '\033'));
    assert_non_null(strstr(result.problem, "bad?[31m"));
    tape_destroy(tape);
}

static void test_sink_fails(void **state) {
    const struct ing_replay_config config = {.path = sample_path("box.mkv"), .loops = 5};
    struct ing_replay_result result;
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct tape *tape = tape_create();
        tape->fail_open = i == 0 ? -EROFS : 0;
        tape->fail_tracks = i == 1 ? -ENOMEM : 0;
        tape->fail_sample = i == 2 ? KN_E_CLOSED : 0;
        static const int expected[] = {-EROFS, -ENOMEM, KN_E_CLOSED};
        assert_int_equal(replay_with(config, tape, &result), expected[i]);
        assert_true(tape->count <= 1 && tape->sessions <= 1);
        tape_destroy(tape);
    }
}

static void test_no_memory(void **state) {
    struct ing_replay_config config = {.path = in_folder("bframes.h264"),
                                       .faults = {.truncate = 20000}};
    struct ing_replay_result result;
    bool reached = true;
    (void)state;
    remux(sample_path("bframes.mkv"), config.path, "h264", 'v', 0);
    for (unsigned long k = 1; reached; k++) {
        struct tape *tape = tape_create();
        struct ing_clock *clock = NULL;
        assert_int_equal(ing_clock_create((struct kn_wall){START}, &clock), 0);
        config.clock = clock;
        config.loops = 1;
        fail_alloc_at(k);
        int rc = ing_replay_to(&config, &tape_sink, tape, &result);
        reached = fail_alloc_count() >= k;
        fail_alloc_stop();
        assert_int_equal(rc, reached ? -ENOMEM : 0);
        assert_false(tape->open);
        ing_clock_destroy(clock);
        tape_destroy(tape);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sample_clips),
        cmocka_unit_test(test_other_setup_in_the_middle),
        cmocka_unit_test(test_containers),
        cmocka_unit_test(test_wav),
        cmocka_unit_test(test_raw_video),
        cmocka_unit_test(test_program_stream),
        cmocka_unit_test(test_broken_time_lines),
        cmocka_unit_test(test_clock_goes_with_the_video),
        cmocka_unit_test(test_folder_in_a_loop),
        cmocka_unit_test(test_machine_clock),
        cmocka_unit_test(test_pace),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_loss),
        cmocka_unit_test(test_loss_of_disposables),
        cmocka_unit_test(test_loss_of_all),
        cmocka_unit_test(test_jump),
        cmocka_unit_test(test_flap),
        cmocka_unit_test(test_truncate),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_problem_is_plain),
        cmocka_unit_test(test_sink_fails),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
