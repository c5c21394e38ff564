#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <errno.h>

#include "tests/support/ebml_build.h"
#include "tests/support/fail_alloc.h"
#include "tests/support/mkv_watch.h"

#define NS_PER_MS INT64_C(1000000)
#define ROOM ((size_t)1 << 16)

/* The bytes are those of a document in the language of ebml_build.h. */
static void assert_bytes(const struct kn_writer *writer, const char *text) {
    struct ebml_document document;

    assert_int_equal(kn_writer_status(writer), 0);
    ebml_build(&document, text);
    if (writer->size != document.size) {
        print_error("%zu bytes, expected %zu\n", writer->size, document.size);
    }
    for (size_t i = 0; i < writer->size && i < document.size; i++) {
        if (writer->data[i] != document.data[i]) {
            fail_msg("byte %zu is %02x, expected %02x", i, writer->data[i], document.data[i]);
        }
    }
    assert_int_equal(writer->size, document.size);
    ebml_free(&document);
}

static struct kn_tracks *make_tracks(const struct kn_track *items, size_t count) {
    struct kn_tracks *tracks = NULL;
    assert_int_equal(kn_tracks_create(items, count, &tracks), 0);
    return tracks;
}

static const struct kn_track two_tracks[] = {
    {.number = 1,
     .uid = 77,
     .media = KN_MEDIA_VIDEO,
     .codec_id = "V_VP8",
     .name = "front",
     .language = "de",
     .codec_private = (const uint8_t *)"priv",
     .codec_private_bytes = 4,
     .default_duration_ns = 40000000,
     .width = 640,
     .height = 360,
     .display_width = 1280,
     .display_height = 720},
    {.number = 300,
     .media = KN_MEDIA_AUDIO,
     .codec_id = "A_OPUS",
     .codec_delay_ns = 6500000,
     .seek_preroll_ns = 80000000,
     .sample_rate_hz = 48000,
     .channels = 2,
     .bits_per_sample = 16},
};

#define EBML_TEXT                                                                                  \
    "EBML{#4286=1 EBMLReadVersion=1 EBMLMaxIDLength=4 EBMLMaxSizeLength=8 DocType='matroska' "     \
    "DocTypeVersion=4 DocTypeReadVersion=2} "
#define TRACKS_TEXT                                                                                \
    "Tracks:8{Crc Entry:8{Number=1 TrackUID=77 Type=1 #9C=0 Name='front' Language='de' "           \
    "Codec='V_VP8' Private='priv' DefaultDuration=40000000 Video:8{Width=640 Height=360 "          \
    "DisplayWidth=1280 DisplayHeight=720}} Entry:8{Number=300 TrackUID=300 Type=2 #9C=0 "          \
    "Codec='A_OPUS' Delay=6500000 Preroll=80000000 Audio:8{Rate=f48000 "                           \
    "Channels=2 BitDepth=16}}} "

/* ---- header ---- */

static void test_header_bytes(void **state) {
    static const uint8_t uid[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    struct kn_tracks *tracks = make_tracks(two_tracks, 2);
    struct frag_mkv_header header = {.tracks = tracks,
                                     .seek_head_room = 100,
                                     .title = "door",
                                     .writing_app = "test",
                                     .segment_uid = uid,
                                     .has_date = true,
                                     .date_ns = (INT64_C(978307200) + 1) * 1000000000};
    struct frag_mkv_layout layout;
    struct kn_writer writer;

    (void)state;
    kn_writer_init_growing(&writer, ROOM);
    frag_mkv_write_header(&writer, &header, &layout);
    assert_bytes(&writer, EBML_TEXT "Segment:8?{Void<00*98> Info:8{Crc Scale=1000000 SegmentUID<"
                                    "0102030405060708090A0B0C0D0E0F10> Void<00*9> "
                                    "Date<000000003B9ACA00> Title='door' MuxingApp='Kinora' "
                                    "WritingApp='test'} " TRACKS_TEXT "}");
    assert_memory_equal(writer.data + layout.segment_data_at - 12, "\x18\x53\x80\x67\x01", 5);
    assert_int_equal(layout.seek_head_at, layout.segment_data_at);
    assert_int_equal(layout.info_at, layout.seek_head_at + 100);
    assert_memory_equal(writer.data + layout.info_at, "\x15\x49\xA9\x66", 4);
    assert_memory_equal(writer.data + layout.tracks_at, "\x16\x54\xAE\x6B", 4);
    assert_int_equal(layout.end, writer.size);

    /* The least, behind something else. */
    struct frag_mkv_layout least;
    kn_writer_clear(&writer);
    kn_write_zeros(&writer, 5);
    header = (struct frag_mkv_header){
        .tracks = tracks, .timecode_scale_ns = 1000, .duration_ns = -1, .segment_bytes = 9};
    frag_mkv_write_header(&writer, &header, &least);
    assert_int_equal(least.end, writer.size - 5);
    assert_int_equal(least.info_at, least.segment_data_at);
    assert_bytes(&writer,
                 "<00*5> " EBML_TEXT "Segment:8~9{Info:8{Crc Scale=1000 MuxingApp='Kinora' "
                 "WritingApp='Kinora'} " TRACKS_TEXT "}");
    kn_writer_finish(&writer);
    kn_tracks_unref(tracks);
}

/* What is only known at the end takes the place that was left for it. */
static void test_header_again(void **state) {
    static const size_t rooms[] = {0, 2, 3, 100, 127, 128, 129, 130, 131, 300};
    struct kn_tracks *tracks = make_tracks(two_tracks, 2);

    (void)state;
    for (size_t i = 0; i < KN_COUNT(rooms); i++) {
        struct frag_mkv_header header = {.tracks = tracks, .seek_head_room = rooms[i]};
        struct frag_mkv_layout before, after;
        struct kn_writer first, second;
        kn_writer_init_growing(&first, ROOM);
        kn_writer_init_growing(&second, ROOM);
        frag_mkv_write_header(&first, &header, &before);
        header.duration_ns = 1500 * NS_PER_MS;
        header.segment_bytes = UINT64_C(5000000000);
        frag_mkv_write_header(&second, &header, &after);
        assert_int_equal(first.size, second.size);
        assert_memory_equal(&before, &after, sizeof(before));
        assert_int_equal(before.info_at - before.seek_head_at, rooms[i]);
        assert_memory_equal(second.data + after.segment_data_at - 8, "\x01\0\0\x01\x2A\x05\xF2\0",
                            8);
        struct mkv_watch watch = {.input = second.data, .size = second.size, .verify_crc = true};
        char log[1024];
        struct mkv_outcome outcome;
        watch.log = log;
        watch.log_room = sizeof(log);
        assert_int_equal(mkv_watch_start(&watch), 0);
        mkv_watch_push_rest(&watch, 7);
        assert_int_equal(watch.result, 0);
        mkv_watch_end(&watch, &outcome);
        assert_int_equal(outcome.error.fault, FRAG_MKV_TRUNCATED); /* its clusters are missing */
        assert_non_null(strstr(log, "info(1000000,1500000000,) >Info"));
        assert_null(strstr(log, "badcrc"));
        kn_writer_finish(&first);
        kn_writer_finish(&second);
    }
    kn_tracks_unref(tracks);
}

/* Tracks come back as they were given. */
static int handle_tracks(struct kn_tracks *tracks, void *user) {
    *(struct kn_tracks **)user = kn_tracks_ref(tracks);
    return 0;
}

static void test_tracks_come_back(void **state) {
    static const struct frag_mkv_handler handler = {.tracks = handle_tracks};
    struct kn_track items[KN_TRACKS_MAX] = {0};
    struct kn_tracks *back = NULL;
    struct kn_writer writer;
    struct frag_mkv_layout layout;

    (void)state;
    for (size_t i = 0; i < KN_TRACKS_MAX; i++) {
        items[i] = two_tracks[i % 2];
        items[i].number = i + 1;
        items[i].uid = i + 100;
        items[i].codec = kn_codec_from_matroska(items[i].codec_id, NULL, 0);
    }
    items[3].media = KN_MEDIA_TEXT;
    items[3].sample_rate_hz = items[3].channels = items[3].bits_per_sample = 0;
    items[5].number = (UINT64_C(1) << 56) - 2;
    items[5].default_duration_ns = 1;
    struct kn_tracks *tracks = make_tracks(items, KN_TRACKS_MAX);
    struct frag_mkv_header header = {.tracks = tracks};
    kn_writer_init_growing(&writer, ROOM);
    frag_mkv_write_header(&writer, &header, &layout);
    assert_int_equal(kn_writer_status(&writer), 0);

    struct frag_mkv_parser_config config = {.handler = &handler, .user = &back};
    struct frag_mkv_parser *parser = NULL;
    assert_int_equal(frag_mkv_parser_create(&config, &parser), 0);
    assert_int_equal(frag_mkv_parser_push(parser, writer.data, writer.size), 0);
    assert_true(kn_tracks_equal(tracks, back));
    frag_mkv_parser_destroy(parser);
    kn_tracks_unref(back);
    kn_tracks_unref(tracks);
    kn_writer_finish(&writer);
}

static void test_header_without_room(void **state) {
    struct kn_tracks *tracks = make_tracks(two_tracks, 2);
    struct frag_mkv_header header = {.tracks = tracks, .seek_head_room = 100, .title = "t"};
    struct frag_mkv_layout layout;
    struct kn_writer writer;
    uint8_t room[700];

    (void)state;
    kn_writer_init(&writer, room, sizeof(room));
    frag_mkv_write_header(&writer, &header, &layout);
    assert_int_equal(kn_writer_status(&writer), 0);
    size_t whole = writer.size;
    for (size_t size = 0; size < whole; size++) {
        uint8_t *exact = malloc(size > 0 ? size : 1);
        assert_non_null(exact);
        kn_writer_init(&writer, exact, size);
        frag_mkv_write_header(&writer, &header, &layout);
        assert_int_equal(kn_writer_status(&writer), KN_E_LIMIT);
        free(exact);
    }
    for (unsigned long k = 1; k < 4; k++) {
        kn_writer_init_growing(&writer, ROOM);
        fail_alloc_at(k);
        frag_mkv_write_header(&writer, &header, &layout);
        bool reached = fail_alloc_count() >= k;
        fail_alloc_stop();
        assert_int_equal(kn_writer_status(&writer), reached ? -ENOMEM : 0);
        assert_true(k > 1 || reached);
        kn_writer_finish(&writer);
    }
    kn_tracks_unref(tracks);
}

/* ---- seek head, cues, tags ---- */

static void test_seek_head(void **state) {
    static const struct frag_mkv_seek seeks[] = {{FRAG_MKV_INFO, 5}, {FRAG_MKV_CUES, 0x12345}};
    const size_t needed = 18 + 14 + 16;
    struct kn_writer writer;

    (void)state;
    kn_writer_init_growing(&writer, ROOM);
#define SEEK_TEXT "SeekHead:8{Crc Seek{#53AB<1549A966> #53AC=5} Seek{#53AB<1C53BB6B> #53AC=74565}} "
    assert_int_equal(frag_mkv_write_seek_head(&writer, seeks, 2, needed), 0);
    assert_bytes(&writer, SEEK_TEXT);
    for (size_t room = 0; room < needed; room++) {
        assert_int_equal(frag_mkv_write_seek_head(&writer, seeks, 2, room), KN_E_LIMIT);
    }
    assert_int_equal(frag_mkv_write_seek_head(&writer, seeks, 2, needed + 1), KN_E_LIMIT);
    assert_int_equal(writer.size, needed);
    for (size_t more = 2; more < 300; more++) {
        kn_writer_clear(&writer);
        assert_int_equal(frag_mkv_write_seek_head(&writer, seeks, 2, needed + more), 0);
        assert_int_equal(writer.size, needed + more);
    }
    kn_writer_clear(&writer);
    assert_int_equal(frag_mkv_write_seek_head(&writer, seeks, 2, needed + 2), 0);
    assert_bytes(&writer, SEEK_TEXT "Void{}");
    kn_writer_clear(&writer);
    assert_int_equal(frag_mkv_write_seek_head(&writer, seeks, 2, needed + 200), 0);
    assert_bytes(&writer, SEEK_TEXT "Void:8<00*191>");
    kn_writer_clear(&writer);
    assert_int_equal(frag_mkv_write_seek_head(&writer, NULL, 0, 18), 0);
    assert_bytes(&writer, "SeekHead:8{Crc}");
    kn_writer_finish(&writer);

    uint8_t room[10];
    kn_writer_init(&writer, room, sizeof(room));
    assert_int_equal(frag_mkv_write_seek_head(&writer, seeks, 2, needed), KN_E_LIMIT);
}

static void test_cues(void **state) {
    static const struct frag_mkv_cue cues[] = {
        {.timecode = 0, .track = 1, .cluster_position = 500, .relative_position = 3},
        {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX},
    };
    struct kn_writer writer;

    (void)state;
    kn_writer_init_growing(&writer, ROOM);
    frag_mkv_write_cues(&writer, cues, 2);
    assert_bytes(&writer, "Cues:8{Crc CuePoint{#B3=0 #B7{#F7=1 #F1=500 #F0=3}} "
                          "CuePoint{#B3=18446744073709551615 #B7{#F7=18446744073709551615 "
                          "#F1=18446744073709551615 #F0=18446744073709551615}}}");
    kn_writer_clear(&writer);
    frag_mkv_write_cues(&writer, NULL, 0);
    assert_bytes(&writer, "Cues:8{Crc}");
    kn_writer_finish(&writer);
}

static void test_tags(void **state) {
    static const uint8_t value[] = "value";
    static const struct frag_mkv_tag tags[] = {
        {.name = "a", .value = value, .value_bytes = 5, .has_value = true, .track_uid = 9},
        {.name = "b", .value = value, .value_bytes = 2, .has_value = true, .binary = true},
        {.name = "c", .value = value, .value_bytes = 5, .group = 1},
        {.name = "", .has_value = true, .group = 0},
    };
    struct kn_writer writer;

    (void)state;
    kn_writer_init_growing(&writer, ROOM);
    frag_mkv_write_tags(&writer, tags, 4, (struct frag_mkv_tags_form){0});
    assert_bytes(&writer, "Tags:4{Tag:4{SimpleTag:4{TagName:4='a' TagString:4='value'} "
                          "SimpleTag:4{TagName:4='b' TagBinary:4='va'}} Tag:4{SimpleTag:4{"
                          "TagName:4='c'}} Tag:4{SimpleTag:4{TagName:4 TagString:4}}}");
    kn_writer_clear(&writer);
    frag_mkv_write_tags(&writer, tags, 3,
                        (struct frag_mkv_tags_form){.crc = true, .targets = true});
    assert_bytes(&writer, "Tags:4{Crc Tag:4{Targets:4{TagTrackUID=9} SimpleTag:4{TagName:4='a' "
                          "TagString:4='value'} SimpleTag:4{TagName:4='b' TagBinary:4='va'}} "
                          "Tag:4{Targets:4 SimpleTag:4{TagName:4='c'}}}");
    kn_writer_clear(&writer);
    frag_mkv_write_tags(&writer, NULL, 0, (struct frag_mkv_tags_form){0});
    assert_bytes(&writer, "Tags:4{}");
    kn_writer_finish(&writer);
}

/* ---- clusters ---- */

static struct frag_mkv_packer *make_packer(void) {
    struct frag_mkv_packer *packer = NULL;
    assert_int_equal(frag_mkv_packer_create(&packer), 0);
    return packer;
}

/* The slices one behind the other. */
static void flatten(const struct frag_mkv_cluster *cluster, struct kn_writer *writer) {
    kn_writer_init_growing(writer, (size_t)64 << 20);
    for (size_t i = 0; i < cluster->iov_count; i++) {
        assert_true(cluster->iov[i].iov_len > 0);
        kn_write_bytes(writer, cluster->iov[i].iov_base, cluster->iov[i].iov_len);
    }
    assert_int_equal(kn_writer_status(writer), 0);
    assert_int_equal(writer->size, cluster->bytes);
}

static struct kn_sample sample_of(const char *bytes, int64_t pts_ms, unsigned flags,
                                  uint8_t track) {
    return (struct kn_sample){.data = (const uint8_t *)bytes,
                              .size = strlen(bytes),
                              .pts_ns = pts_ms * NS_PER_MS,
                              .flags = (uint16_t)flags,
                              .track = track};
}

static void assert_cluster(const struct frag_mkv_cluster *cluster, const char *text) {
    struct kn_writer writer;
    flatten(cluster, &writer);
    assert_bytes(&writer, text);
    kn_writer_finish(&writer);
}

static void test_simple_blocks(void **state) {
    struct kn_tracks *tracks = make_tracks(two_tracks, 2);
    struct frag_mkv_packer *packer = make_packer();
    struct frag_mkv_cluster cluster;
    struct kn_sample samples[] = {
        sample_of("audio", -3, KN_SAMPLE_KEY, 1),
        sample_of("picture", 0, KN_SAMPLE_KEY, 0),
        sample_of("", 40, KN_SAMPLE_DISPOSABLE | KN_SAMPLE_DISCONT | KN_SAMPLE_MALFORMED, 0),
        sample_of("next", 32767, KN_SAMPLE_INVISIBLE, 0),
        sample_of("last", -32768, KN_SAMPLE_KEY, 0),
    };

    (void)state;
    samples[3].duration_ns = 40000000; /* the track's default */
    assert_int_equal(
        frag_mkv_pack_cluster(packer, tracks, 0, 1000, samples, KN_COUNT(samples), &cluster), 0);
    assert_cluster(&cluster,
                   "Cluster:8{Time=1000 Simple<412C FFFD 80 'audio'> Simple<81 0000 80 'picture'> "
                   "Simple<81 0028 01> Simple<81 7FFF 08 'next'> Simple<81 8000 80 'last'>}");
    assert_int_equal(cluster.first_key_at, 4 + 2 + 2 + 3 + 5);
    /* Payload is not copied: heads and samples take turns. */
    assert_int_equal(cluster.iov_count, 9);
    assert_ptr_equal(cluster.iov[1].iov_base, samples[0].data);
    assert_ptr_equal(cluster.iov[3].iov_base, samples[1].data);
    assert_ptr_equal(cluster.iov[6].iov_base, samples[3].data);
    assert_ptr_equal(cluster.iov[8].iov_base, samples[4].data);

    assert_int_equal(frag_mkv_pack_cluster(packer, tracks, 0, 0, samples, 1, &cluster), 0);
    assert_int_equal(cluster.first_key_at, SIZE_MAX);
    assert_int_equal(frag_mkv_pack_cluster(packer, tracks, 0, UINT64_MAX, NULL, 0, &cluster), 0);
    assert_cluster(&cluster, "Cluster:8{Time=18446744073709551615}");
    assert_int_equal(cluster.iov_count, 1);
    frag_mkv_packer_destroy(packer);
    frag_mkv_packer_destroy(NULL);
    kn_tracks_unref(tracks);
}

static void test_block_groups(void **state) {
    struct kn_tracks *tracks = make_tracks(two_tracks, 2);
    struct frag_mkv_packer *packer = make_packer();
    struct frag_mkv_cluster cluster;
    struct kn_sample samples[] = {
        sample_of("a", 0, KN_SAMPLE_KEY, 0),
        sample_of("b", 40, KN_SAMPLE_INVISIBLE, 0),
        sample_of("c", -40, 0, 0),
        sample_of("d", -40, 0, 0),
        sample_of("e", 7, 0, 1),
        sample_of("f", 9, KN_SAMPLE_KEY, 1),
    };

    (void)state;
    for (size_t i = 0; i < KN_COUNT(samples); i++) {
        samples[i].duration_ns = (int64_t)(i + 1) * 100 * NS_PER_MS;
    }
    samples[5].duration_ns = NS_PER_MS / 2 - 1; /* rounds to none */
    assert_int_equal(
        frag_mkv_pack_cluster(packer, tracks, 0, 5, samples, KN_COUNT(samples), &cluster), 0);
    assert_cluster(&cluster, "Cluster:8{Time=5 Group{Block<81 0000 00 'a'> BlockDuration=100} "
                             "Group{Block<81 0028 08 'b'> BlockDuration=200 Reference<FFFFFFD8>} "
                             "Group{Block<81 FFD8 00 'c'> BlockDuration=300 Reference<00000050>} "
                             "Group{Block<81 FFD8 00 'd'> BlockDuration=400 Reference<FFFFFFFF>} "
                             "Group{Block<412C 0007 00 'e'> BlockDuration=500 Reference<FFFFFFFF>} "
                             "Simple<412C 0009 80 'f'>}");
    assert_int_equal(cluster.first_key_at, 3);
    frag_mkv_packer_destroy(packer);
    kn_tracks_unref(tracks);
}

/* Sound to discard needs a group, with its duration only where that is said. */
static void test_sound_to_discard(void **state) {
    struct kn_tracks *tracks = make_tracks(two_tracks, 2);
    struct frag_mkv_packer *packer = make_packer();
    struct frag_mkv_cluster cluster;
    struct kn_sample samples[] = {
        sample_of("a", 0, KN_SAMPLE_KEY, 1),
        sample_of("b", 20, KN_SAMPLE_KEY, 1),
        sample_of("c", 40, 0, 1),
    };

    (void)state;
    samples[0].discard_ns = 6500000;
    samples[1].discard_ns = INT64_MIN;
    samples[1].duration_ns = 7 * NS_PER_MS;
    samples[2].discard_ns = -1;
    assert_int_equal(
        frag_mkv_pack_cluster(packer, tracks, 0, 5, samples, KN_COUNT(samples), &cluster), 0);
    assert_cluster(&cluster,
                   "Cluster:8{Time=5 Group{Block<412C 0000 00 'a'> Discard<0000000000632EA0>} "
                   "Group{Block<412C 0014 00 'b'> BlockDuration=7 Discard<8000000000000000>} "
                   "Group{Block<412C 0028 00 'c'> Reference<FFFFFFEC> Discard<FFFFFFFFFFFFFFFF>}}");
    frag_mkv_packer_destroy(packer);
    kn_tracks_unref(tracks);
}

/* One sample of these nanoseconds; its ticks, or the failure. */
static int pack_one(struct frag_mkv_packer *packer, const struct kn_tracks *tracks,
                    uint64_t scale_ns, int64_t pts_ns, int *ret_ticks) {
    struct kn_sample sample = sample_of("x", 0, 0, 0);
    struct frag_mkv_cluster cluster;

    sample.pts_ns = pts_ns;
    int rc = frag_mkv_pack_cluster(packer, tracks, scale_ns, 0, &sample, 1, &cluster);
    if (rc == 0) {
        const uint8_t *head = cluster.iov[0].iov_base;
        size_t size = cluster.iov[0].iov_len;
        *ret_ticks = (int16_t)(uint16_t)(head[size - 3] << 8 | head[size - 2]);
    }
    return rc;
}

struct tick_case {
    uint64_t scale_ns;
    int64_t pts_ns;
    int result, ticks;
};

static void test_ticks(void **state) {
    static const struct tick_case cases[] = {
        {0, 0, 0, 0},
        {0, 499999, 0, 0},
        {0, 500000, 0, 1},
        {0, -499999, 0, 0},
        {0, -500000, 0, -1},
        {0, 1499999, 0, 1},
        {0, -1500000, 0, -2},
        {1, 32767, 0, 32767},
        {1, -32768, 0, -32768},
        {1, 32768, -ERANGE, 0},
        {1, -32769, -ERANGE, 0},
        {3, 1, 0, 0},
        {3, 2, 0, 1},
        {3, -2, 0, -1},
        {0, 32767499999, 0, 32767},
        {0, 32767500000, -ERANGE, 0},
        {0, -32768499999, 0, -32768},
        {0, -32768500000, -ERANGE, 0},
        {0, INT64_MAX, -ERANGE, 0},
        {0, INT64_MIN, -ERANGE, 0},
        {(uint64_t)INT64_MAX, INT64_MAX, 0, 1},
        {(uint64_t)INT64_MAX, INT64_MIN, 0, -1},
        {UINT64_C(1) << 62, INT64_MAX, 0, 2},
        {UINT64_C(1) << 62, INT64_MIN, 0, -2},
    };
    struct kn_tracks *tracks = make_tracks(two_tracks, 2);
    struct frag_mkv_packer *packer = make_packer();

    (void)state;
    for (size_t i = 0; i < KN_COUNT(cases); i++) {
        int ticks = 0;
        assert_int_equal(pack_one(packer, tracks, cases[i].scale_ns, cases[i].pts_ns, &ticks),
                         cases[i].result);
        assert_int_equal(ticks, cases[i].ticks);
    }
    frag_mkv_packer_destroy(packer);
    kn_tracks_unref(tracks);
}

static void test_large_track_numbers(void **state) {
    static const uint64_t numbers[] = {1,
                                       126,
                                       127,
                                       128,
                                       16382,
                                       16383,
                                       UINT64_C(0xFFFFFFFF),
                                       (UINT64_C(1) << 49) - 1,
                                       (UINT64_C(1) << 56) - 2,
                                       (UINT64_C(1) << 56) - 1};
    struct frag_mkv_packer *packer = make_packer();
    struct kn_sample sample = sample_of("x", 1, KN_SAMPLE_KEY, 0);
    struct frag_mkv_cluster cluster;

    (void)state;
    for (size_t i = 0; i < KN_COUNT(numbers); i++) {
        for (int64_t duration_ns = 0; duration_ns <= NS_PER_MS; duration_ns += NS_PER_MS) {
            struct kn_track item = {.number = numbers[i], .media = KN_MEDIA_VIDEO};
            struct kn_tracks *tracks = make_tracks(&item, 1);
            struct mkv_outcome outcome;
            struct kn_writer writer;
            sample.duration_ns = duration_ns;
            sample.discard_ns = -duration_ns;
            assert_int_equal(frag_mkv_pack_cluster(packer, tracks, 0, 0, &sample, 1, &cluster), 0);
            flatten(&cluster, &writer);
            struct mkv_watch watch = {
                .input = writer.data, .size = writer.size, .cluster_mode = tracks};
            assert_int_equal(mkv_watch_start(&watch), 0);
            mkv_watch_push_rest(&watch, 1);
            mkv_watch_end(&watch, &outcome);
            assert_int_equal(outcome.result, 0);
            assert_int_equal(outcome.frames, 1);
            kn_writer_finish(&writer);
            kn_tracks_unref(tracks);
        }
    }
    struct kn_track item = {.number = UINT64_C(1) << 56, .media = KN_MEDIA_VIDEO};
    struct kn_tracks *tracks = make_tracks(&item, 1);
    assert_int_equal(frag_mkv_pack_cluster(packer, tracks, 0, 0, &sample, 1, &cluster), -EINVAL);
    kn_tracks_unref(tracks);
    frag_mkv_packer_destroy(packer);
}

static void test_no_such_track(void **state) {
    struct kn_tracks *tracks = make_tracks(two_tracks, 2);
    struct frag_mkv_packer *packer = make_packer();
    struct kn_sample sample = sample_of("x", 1, 0, 2);
    struct frag_mkv_cluster cluster = {.bytes = 99};

    (void)state;
    assert_int_equal(frag_mkv_pack_cluster(packer, tracks, 0, 0, &sample, 1, &cluster), -EINVAL);
    assert_int_equal(cluster.bytes, 99);
    frag_mkv_packer_destroy(packer);
    kn_tracks_unref(tracks);
}

/* ---- and back ---- */

struct back {
    const struct kn_sample *samples;
    size_t count;
    bool came;
};

static int handle_fragment(const struct frag_mkv_fragment *fragment, void *user) {
    struct back *back = user;

    assert_false(back->came);
    back->came = true;
    assert_int_equal(fragment->sample_count, back->count);
    for (size_t i = 0; i < back->count; i++) {
        const struct kn_sample *a = &back->samples[i];
        const struct kn_sample *b = &fragment->samples[i];
        if (a->size != b->size || memcmp(a->data, b->data, a->size) != 0 ||
            a->pts_ns != b->pts_ns || a->duration_ns != b->duration_ns || a->flags != b->flags ||
            a->track != b->track) {
            fail_msg("sample %zu is another", i);
        }
    }
    return 0;
}

static void read_back(struct back *back, const struct frag_mkv_cluster *cluster,
                      struct kn_tracks *tracks) {
    static const struct frag_mkv_reader_handler handler = {.fragment = handle_fragment};
    struct frag_mkv_reader_config config = {.handler = &handler, .user = back, .tracks = tracks};
    struct frag_mkv_reader *reader = NULL;

    assert_int_equal(frag_mkv_reader_create(&config, &reader), 0);
    for (size_t i = 0; i < cluster->iov_count; i++) {
        assert_int_equal(
            frag_mkv_reader_push(reader, cluster->iov[i].iov_base, cluster->iov[i].iov_len), 0);
    }
    assert_true(back->came);
    assert_int_equal(frag_mkv_reader_finish(reader), 0);
    frag_mkv_reader_destroy(reader);
}

/* Every part of a head at its largest, in every sample: room for heads is reckoned beforehand. */
static void test_largest_heads(void **state) {
    struct kn_track item = {.number = (UINT64_C(1) << 56) - 1, .media = KN_MEDIA_AUDIO};
    struct kn_tracks *tracks = make_tracks(&item, 1);
    struct frag_mkv_packer *packer = make_packer();
    struct kn_sample samples[100];
    struct frag_mkv_cluster cluster;

    (void)state;
    for (size_t i = 0; i < KN_COUNT(samples); i++) {
        /* A size that needs 8 bytes; the payload is not looked at. */
        samples[i] = (struct kn_sample){.data = (const uint8_t *)"x",
                                        .size = (size_t)1 << 50,
                                        .duration_ns = INT64_MAX,
                                        .discard_ns = INT64_MIN};
    }
    assert_int_equal(
        frag_mkv_pack_cluster(packer, tracks, 1, UINT64_MAX, samples, KN_COUNT(samples), &cluster),
        0);
    assert_int_equal(cluster.iov_count, 2 * KN_COUNT(samples) + 1);
    frag_mkv_packer_destroy(packer);
    kn_tracks_unref(tracks);
}

/* As many samples as a cluster may hold; the packer keeps its memory. */
static void test_65536_samples(void **state) {
    static const char payload[] = "0123456789abcdef";
    size_t count = FRAG_MAX_SAMPLES;
    struct kn_sample *samples = calloc(count, sizeof(*samples));
    struct kn_tracks *tracks = make_tracks(two_tracks, 2);
    struct frag_mkv_packer *packer = make_packer();
    struct frag_mkv_cluster cluster;

    (void)state;
    assert_non_null(samples);
    for (size_t i = 0; i < count; i++) {
        samples[i] =
            sample_of(payload + i % 17, (int64_t)i - 32768, i % 3 == 0 ? KN_SAMPLE_KEY : 0, 0);
        samples[i].duration_ns = i % 5 == 0 ? NS_PER_MS * 9 : 40000000;
    }
    assert_int_equal(frag_mkv_pack_cluster(packer, tracks, 0, 32768, samples, count, &cluster), 0);
    struct back back = {.samples = samples, .count = count};
    read_back(&back, &cluster, tracks);
    unsigned long before = fail_alloc_count();
    assert_int_equal(frag_mkv_pack_cluster(packer, tracks, 0, 7, samples, count, &cluster), 0);
    assert_int_equal(fail_alloc_count(), before);
    frag_mkv_packer_destroy(packer);
    kn_tracks_unref(tracks);
    free(samples);
}

static void test_a_large_sample(void **state) {
    size_t size = (size_t)3 << 20;
    char *payload = malloc(size);
    struct kn_tracks *tracks = make_tracks(two_tracks, 2);
    struct frag_mkv_packer *packer = make_packer();
    struct frag_mkv_cluster cluster;

    (void)state;
    assert_non_null(payload);
    for (size_t i = 0; i < size; i++) {
        payload[i] = (char)(i * 31 >> 3);
    }
    struct kn_sample sample = {.data = (uint8_t *)payload,
                               .size = size,
                               .duration_ns = 80 * NS_PER_MS,
                               .flags = KN_SAMPLE_KEY};
    assert_int_equal(frag_mkv_pack_cluster(packer, tracks, 0, 1, &sample, 1, &cluster), 0);
    struct back back = {.samples = &sample, .count = 1};
    read_back(&back, &cluster, tracks);
    frag_mkv_packer_destroy(packer);
    kn_tracks_unref(tracks);
    free(payload);
}

static void test_out_of_memory(void **state) {
    struct kn_tracks *tracks = make_tracks(two_tracks, 2);
    struct kn_sample samples[] = {sample_of("abc", 1, 0, 0), sample_of("de", 2, 0, 1)};
    struct frag_mkv_cluster cluster;
    unsigned long k = 0;
    int rc = -ENOMEM;

    (void)state;
    while (rc != 0) {
        struct frag_mkv_packer *packer = NULL;
        fail_alloc_at(++k);
        rc = frag_mkv_packer_create(&packer);
        if (rc == 0) {
            rc = frag_mkv_pack_cluster(packer, tracks, 0, 1, samples, 2, &cluster);
        }
        fail_alloc_stop();
        assert_true(rc == 0 || rc == -ENOMEM);
        assert_true(k < 10);
        if (packer != NULL) {
            assert_int_equal(frag_mkv_pack_cluster(packer, tracks, 0, 1, samples, 2, &cluster), 0);
        }
        frag_mkv_packer_destroy(packer);
    }
    assert_int_equal(k, 4);
    kn_tracks_unref(tracks);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_header_bytes),
        cmocka_unit_test(test_header_again),
        cmocka_unit_test(test_tracks_come_back),
        cmocka_unit_test(test_header_without_room),
        cmocka_unit_test(test_seek_head),
        cmocka_unit_test(test_cues),
        cmocka_unit_test(test_tags),
        cmocka_unit_test(test_simple_blocks),
        cmocka_unit_test(test_block_groups),
        cmocka_unit_test(test_sound_to_discard),
        cmocka_unit_test(test_ticks),
        cmocka_unit_test(test_large_track_numbers),
        cmocka_unit_test(test_no_such_track),
        cmocka_unit_test(test_largest_heads),
        cmocka_unit_test(test_65536_samples),
        cmocka_unit_test(test_a_large_sample),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests_name("fragments mkv writer", tests, NULL, NULL);
}
