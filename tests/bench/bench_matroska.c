/* The parser, the sample reader and the writer beside libavformat's demuxer and muxer, on the same
 * bytes, in one run.
 *
 * The clip: 30 fragments of 2 s, 1080p-like: 60 H.264 pictures each, a key frame of 130 kB and 59
 * others of about 14.6 kB, 0.99 MB a fragment, as kinora writes them. It stands in memory; what is
 * measured is CPU time alone. libavformat runs without avformat_find_stream_info and without its
 * H.264 parser, as fast as it can. */
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <string.h>

#include "fragments/fragments.h"
#include "tests/bench/bench.h"
#include "tests/support/fail_alloc.h"

#define FRAGMENTS 30
#define FRAMES 60
#define KEY_BYTES 130000u
#define OTHER_BYTES 14600u
#define PUSH_BYTES 65536u
#define REPEATS 10 /* of the whole clip, a round */

/* Main profile 1920x1080, as an encoder wrote them. */
static const uint8_t avcc[] = {0x01, 0x4d, 0x40, 0x28, 0xff, 0xe1, 0x00, 0x16, 0x67, 0x4d,
                               0x40, 0x28, 0x96, 0x56, 0x03, 0xc0, 0x11, 0x3f, 0x2e, 0x02,
                               0xdc, 0x04, 0x04, 0x05, 0x00, 0x00, 0x03, 0x00, 0x01, 0x00,
                               0x00, 0x01, 0x00, 0x04, 0x68, 0xef, 0x3c, 0x80};

struct clip {
    struct kn_tracks *tracks;
    struct kn_sample samples[FRAGMENTS][FRAMES];
    uint8_t *payload;
    uint8_t *file;
    size_t file_bytes;
};

/* ---- the clip ---- */

static void fill_sample(struct kn_sample *sample, uint8_t *place, size_t size, int64_t pts_ns,
                        bool key) {
    uint32_t seed = (uint32_t)pts_ns + (uint32_t)size;
    for (size_t i = 0; i < size; i++) {
        seed = seed * 1664525u + 1013904223u;
        place[i] = (uint8_t)(seed >> 24 | 1);
    }
    uint32_t unit = (uint32_t)size - 4;
    const uint8_t head[] = {(uint8_t)(unit >> 24), (uint8_t)(unit >> 16), (uint8_t)(unit >> 8),
                            (uint8_t)unit, key ? 0x65 : 0x41};
    memcpy(place, head, sizeof(head));
    *sample = (struct kn_sample){
        .data = place, .size = size, .pts_ns = pts_ns, .flags = key ? KN_SAMPLE_KEY : 0};
}

static size_t flatten(const struct frag_mkv_cluster *cluster, uint8_t *room) {
    size_t at = 0;
    for (size_t i = 0; i < cluster->iov_count; i++) {
        memcpy(room + at, cluster->iov[i].iov_base, cluster->iov[i].iov_len);
        at += cluster->iov[i].iov_len;
    }
    return at;
}

static uint64_t fragment_ms(size_t fragment) {
    return (uint64_t)fragment * 2000;
}

static void make_clip(struct clip *clip) {
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
    size_t fragment_bytes = KEY_BYTES + (FRAMES - 1) * OTHER_BYTES;
    clip->payload = malloc(FRAGMENTS * fragment_bytes);
    clip->file = malloc(FRAGMENTS * (fragment_bytes + FRAMES * 64) + 4096);
    struct frag_mkv_packer *packer = NULL;
    if (clip->payload == NULL || clip->file == NULL ||
        kn_tracks_create(&track, 1, &clip->tracks) != 0 || frag_mkv_packer_create(&packer) != 0) {
        bench_die("out of memory");
    }
    struct kn_writer head;
    kn_writer_init(&head, clip->file, 4096);
    const struct frag_mkv_header header = {.tracks = clip->tracks, .duration_ns = -1};
    struct frag_mkv_layout layout;
    frag_mkv_write_header(&head, &header, &layout);
    clip->file_bytes = head.size;
    uint8_t *place = clip->payload;
    for (size_t i = 0; i < FRAGMENTS; i++) {
        for (size_t j = 0; j < FRAMES; j++) {
            size_t size = j == 0 ? KEY_BYTES : OTHER_BYTES;
            fill_sample(&clip->samples[i][j], place, size, (int64_t)j * 2000 / FRAMES * 1000000,
                        j == 0);
            place += size;
        }
        struct frag_mkv_cluster cluster;
        if (frag_mkv_pack_cluster(packer, clip->tracks, 0, fragment_ms(i), clip->samples[i], FRAMES,
                                  &cluster) != 0) {
            bench_die("the clip could not be packed");
        }
        clip->file_bytes += flatten(&cluster, clip->file + clip->file_bytes);
    }
    frag_mkv_packer_destroy(packer);
}

/* ---- reading ---- */

static size_t frames_seen;

static int count_frame(const struct frag_mkv_frame *frame, void *user) {
    (void)frame;
    (void)user;
    frames_seen++;
    return 0;
}

static int count_fragment(const struct frag_mkv_fragment *fragment, void *user) {
    (void)user;
    frames_seen += fragment->sample_count;
    return 0;
}

static void run_parser(const struct clip *clip) {
    static const struct frag_mkv_handler handler = {.frame = count_frame};
    const struct frag_mkv_parser_config config = {.handler = &handler};
    struct frag_mkv_parser *parser = NULL;
    if (frag_mkv_parser_create(&config, &parser) != 0) {
        bench_die("out of memory");
    }
    for (size_t at = 0; at < clip->file_bytes; at += PUSH_BYTES) {
        size_t left = clip->file_bytes - at;
        if (frag_mkv_parser_push(parser, clip->file + at, left < PUSH_BYTES ? left : PUSH_BYTES)) {
            bench_die(frag_mkv_parser_error(parser)->text);
        }
    }
    frag_mkv_parser_destroy(parser);
}

static void run_reader(const struct clip *clip) {
    static const struct frag_mkv_reader_handler handler = {.fragment = count_fragment};
    const struct frag_mkv_reader_config config = {.handler = &handler};
    struct frag_mkv_reader *reader = NULL;
    if (frag_mkv_reader_create(&config, &reader) != 0) {
        bench_die("out of memory");
    }
    for (size_t at = 0; at < clip->file_bytes; at += PUSH_BYTES) {
        size_t left = clip->file_bytes - at;
        if (frag_mkv_reader_push(reader, clip->file + at, left < PUSH_BYTES ? left : PUSH_BYTES)) {
            bench_die(frag_mkv_reader_error(reader)->text);
        }
    }
    if (frag_mkv_reader_finish(reader) != 0) {
        bench_die(frag_mkv_reader_error(reader)->text);
    }
    frag_mkv_reader_destroy(reader);
}

struct memory {
    const uint8_t *data;
    size_t size, at;
};

static int memory_read(void *user, uint8_t *room, int size) {
    struct memory *memory = user;
    size_t left = memory->size - memory->at;
    size_t take = left < (size_t)size ? left : (size_t)size;
    if (take == 0) {
        return AVERROR_EOF;
    }
    memcpy(room, memory->data + memory->at, take);
    memory->at += take;
    return (int)take;
}

static void run_libavformat_demuxer(const struct clip *clip) {
    struct memory memory = {.data = clip->file, .size = clip->file_bytes};
    AVFormatContext *context = avformat_alloc_context();
    uint8_t *room = av_malloc(PUSH_BYTES);
    context->pb = avio_alloc_context(room, PUSH_BYTES, 0, &memory, memory_read, NULL, NULL);
    context->flags |= AVFMT_FLAG_NOPARSE | AVFMT_FLAG_NOFILLIN;
    AVIOContext *io = context->pb;
    if (avformat_open_input(&context, NULL, av_find_input_format("matroska"), NULL) < 0) {
        bench_die("libavformat does not open the clip");
    }
    AVPacket *packet = av_packet_alloc();
    while (av_read_frame(context, packet) >= 0) {
        frames_seen++;
        av_packet_unref(packet);
    }
    av_packet_free(&packet);
    avformat_close_input(&context);
    av_freep(&io->buffer);
    avio_context_free(&io);
}

/* ---- writing ---- */

static uint8_t *sink;
static size_t sink_bytes;

static void run_writer(const struct clip *clip) {
    struct frag_mkv_packer *packer = NULL;
    if (frag_mkv_packer_create(&packer) != 0) {
        bench_die("out of memory");
    }
    for (size_t i = 0; i < FRAGMENTS; i++) {
        struct frag_mkv_cluster cluster;
        if (frag_mkv_pack_cluster(packer, clip->tracks, 0, fragment_ms(i), clip->samples[i], FRAMES,
                                  &cluster) != 0) {
            bench_die("pack");
        }
        sink_bytes += flatten(&cluster, sink);
    }
    frag_mkv_packer_destroy(packer);
}

/* As for writev: nothing is copied. */
static void run_packer(const struct clip *clip) {
    struct frag_mkv_packer *packer = NULL;
    if (frag_mkv_packer_create(&packer) != 0) {
        bench_die("out of memory");
    }
    for (size_t i = 0; i < FRAGMENTS; i++) {
        struct frag_mkv_cluster cluster;
        if (frag_mkv_pack_cluster(packer, clip->tracks, 0, fragment_ms(i), clip->samples[i], FRAMES,
                                  &cluster) != 0) {
            bench_die("pack");
        }
        sink_bytes += cluster.bytes;
    }
    frag_mkv_packer_destroy(packer);
}

static int sink_write(void *user, uint8_t *data, int size) {
    (void)user;
    memcpy(sink, data, (size_t)size);
    sink_bytes += (size_t)size;
    return size;
}

static void mux_fragments(AVFormatContext *context, const struct clip *clip) {
    AVPacket *packet = av_packet_alloc();
    for (size_t i = 0; i < FRAGMENTS; i++) {
        for (size_t j = 0; j < FRAMES; j++) {
            const struct kn_sample *sample = &clip->samples[i][j];
            packet->data = (uint8_t *)(uintptr_t)sample->data;
            packet->size = (int)sample->size;
            packet->pts = (int64_t)fragment_ms(i) + sample->pts_ns / 1000000;
            packet->dts = packet->pts;
            packet->flags = j == 0 ? AV_PKT_FLAG_KEY : 0;
            if (av_write_frame(context, packet) < 0) {
                bench_die("libavformat does not take a packet");
            }
        }
    }
    packet->data = NULL;
    packet->size = 0;
    av_packet_free(&packet);
}

static void run_libavformat_muxer(const struct clip *clip) {
    AVFormatContext *context = NULL;
    if (avformat_alloc_output_context2(&context, NULL, "matroska", NULL) < 0) {
        bench_die("libavformat has no Matroska muxer");
    }
    uint8_t *room = av_malloc(PUSH_BYTES);
    context->pb = avio_alloc_context(room, PUSH_BYTES, 1, NULL, NULL, sink_write, NULL);
    AVStream *stream = avformat_new_stream(context, NULL);
    stream->time_base = (AVRational){1, 1000};
    AVCodecParameters *params = stream->codecpar;
    params->codec_type = AVMEDIA_TYPE_VIDEO;
    params->codec_id = AV_CODEC_ID_H264;
    params->width = 1920;
    params->height = 1080;
    params->extradata = av_mallocz(sizeof(avcc) + AV_INPUT_BUFFER_PADDING_SIZE);
    params->extradata_size = (int)sizeof(avcc);
    memcpy(params->extradata, avcc, sizeof(avcc));
    if (avformat_write_header(context, NULL) < 0) {
        bench_die("libavformat does not write a header");
    }
    mux_fragments(context, clip);
    av_write_trailer(context);
    AVIOContext *io = context->pb;
    avformat_free_context(context);
    av_freep(&io->buffer);
    avio_context_free(&io);
}

/* ---- */

static double cpu_of(void (*run)(const struct clip *), const struct clip *clip) {
    double before = bench_cpu_s();
    for (int i = 0; i < REPEATS; i++) {
        run(clip);
    }
    return (bench_cpu_s() - before) / REPEATS;
}

enum { PARSER, READER, DEMUXER, WRITER, PACKER, MUXER, RUNS };

int main(void) {
    static const struct {
        void (*run)(const struct clip *);
        bool reads;
    } runs[RUNS] = {
        [PARSER] = {run_parser, true},
        [READER] = {run_reader, true},
        [DEMUXER] = {run_libavformat_demuxer, true},
        [WRITER] = {run_writer, false},
        [PACKER] = {run_packer, false},
        [MUXER] = {run_libavformat_muxer, false},
    };
    static struct clip clip;
    make_clip(&clip);
    sink = malloc(FRAGMENTS * 1100000u);
    if (sink == NULL) {
        bench_die("out of memory");
    }
    double cpu_s[RUNS][BENCH_ROUNDS];
    double parser_ratio[BENCH_ROUNDS], reader_ratio[BENCH_ROUNDS], writer_ratio[BENCH_ROUNDS];
    for (int round = -1; round < BENCH_ROUNDS; round++) {
        for (int i = 0; i < RUNS; i++) {
            frames_seen = 0;
            sink_bytes = 0;
            double seconds = cpu_of(runs[i].run, &clip);
            if (runs[i].reads && frames_seen != (size_t)FRAGMENTS * FRAMES * REPEATS) {
                bench_die("frames are missing");
            }
            if (!runs[i].reads && sink_bytes < REPEATS * (clip.file_bytes - 4096)) {
                bench_die("bytes are missing");
            }
            if (round >= 0) { /* the first one warms up */
                cpu_s[i][round] = seconds;
            }
        }
        if (round >= 0) {
            parser_ratio[round] = cpu_s[DEMUXER][round] / cpu_s[PARSER][round];
            reader_ratio[round] = cpu_s[DEMUXER][round] / cpu_s[READER][round];
            writer_ratio[round] = cpu_s[MUXER][round] / cpu_s[WRITER][round];
        }
    }
    /* A short and a long document cost the same allocations: none is made for a block. */
    struct clip one = clip;
    one.file_bytes = clip.file_bytes / FRAGMENTS;
    size_t before = fail_alloc_count();
    run_parser(&one);
    size_t short_allocs = fail_alloc_count() - before;
    before = fail_alloc_count();
    run_parser(&clip);
    size_t long_allocs = fail_alloc_count() - before;

    double mb = (double)clip.file_bytes / 1e6;
    double per_fragment = 1e6 / FRAGMENTS;
    printf("{\"bench\": \"matroska\", \"clip_mb\": %.1f, \"push_bytes\": %u, \"rounds\": %d,\n"
           " \"parser_mb_per_cpu_s\": %.0f, \"reader_mb_per_cpu_s\": %.0f, "
           "\"libavformat_demuxer_mb_per_cpu_s\": %.0f,\n"
           " \"parser_ns_per_frame\": %.1f, \"parser_times_libavformat\": %.1f, "
           "\"reader_times_libavformat\": %.2f,\n"
           " \"writer_us_per_fragment\": %.1f, \"packer_only_us_per_fragment\": %.1f, "
           "\"libavformat_muxer_us_per_fragment\": %.1f, \"writer_times_libavformat\": %.1f,\n"
           " \"parser_allocations_1_fragment\": %zu, \"parser_allocations_%d_fragments\": %zu}\n",
           mb, PUSH_BYTES, BENCH_ROUNDS, mb / bench_median(cpu_s[PARSER], BENCH_ROUNDS),
           mb / bench_median(cpu_s[READER], BENCH_ROUNDS),
           mb / bench_median(cpu_s[DEMUXER], BENCH_ROUNDS),
           bench_median(cpu_s[PARSER], BENCH_ROUNDS) * 1e9 / (FRAGMENTS * FRAMES),
           bench_median(parser_ratio, BENCH_ROUNDS), bench_median(reader_ratio, BENCH_ROUNDS),
           bench_median(cpu_s[WRITER], BENCH_ROUNDS) * per_fragment,
           bench_median(cpu_s[PACKER], BENCH_ROUNDS) * per_fragment,
           bench_median(cpu_s[MUXER], BENCH_ROUNDS) * per_fragment,
           bench_median(writer_ratio, BENCH_ROUNDS), short_allocs, FRAGMENTS, long_allocs);
    kn_tracks_unref(clip.tracks);
    free(clip.payload);
    free(clip.file);
    free(sink);
    return 0;
}
