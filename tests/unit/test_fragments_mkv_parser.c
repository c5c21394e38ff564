#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include <errno.h>

#include "tests/support/ebml_build.h"
#include "tests/support/fail_alloc.h"
#include "tests/support/mkv_watch.h"
#include "tests/unit/fragments_mkv_documents.h"

static char log_room[1 << 16];

/* One push of an exact copy, then the end. */
static struct mkv_outcome run(const struct ebml_document *document, struct mkv_watch watch) {
    struct mkv_outcome outcome;

    watch.input = document->data;
    watch.size = document->size;
    watch.copies = true;
    assert_int_equal(mkv_watch_start(&watch), 0);
    mkv_watch_push(&watch, watch.size);
    mkv_watch_end(&watch, &outcome);
    return outcome;
}

static struct mkv_outcome run_text(const char *text, struct mkv_watch watch) {
    struct ebml_document document;
    struct mkv_outcome outcome;

    ebml_build(&document, text);
    outcome = run(&document, watch);
    ebml_free(&document);
    return outcome;
}

/* The events of a document that is taken, with a NUL behind them. */
static const char *events_of(const char *text, bool verify_crc) {
    log_room[0] = '\0';
    struct mkv_outcome outcome = run_text(text, (struct mkv_watch){.log = log_room,
                                                                   .log_room = sizeof(log_room),
                                                                   .verify_crc = verify_crc});
    if (outcome.result != 0) {
        print_error("%s\n", outcome.error.text);
    }
    assert_int_equal(outcome.result, 0);
    return log_room;
}

/* ---- tables ---- */

static int result_of(enum frag_mkv_fault fault) {
    switch (fault) {
    case FRAG_MKV_TRUNCATED:
        return KN_E_TRUNCATED;
    case FRAG_MKV_TOO_LARGE:
    case FRAG_MKV_TOO_DEEP:
        return KN_E_LIMIT;
    case FRAG_MKV_COMPRESSED:
    case FRAG_MKV_SIZE_UNKNOWN:
    case FRAG_MKV_SECOND_SEGMENT:
        return KN_E_UNSUPPORTED;
    default:
        return KN_E_MALFORMED;
    }
}

static void test_refused(void **state) {
    bool seen[FRAG_MKV_NO_MEMORY + 1] = {false};

    (void)state;
    for (size_t i = 0; i < KN_COUNT(mkv_refused); i++) {
        const struct mkv_refused *c = &mkv_refused[i];
        struct ebml_document document;
        ebml_build(&document, c->text);
        uint64_t offset = document.mark == UINT64_MAX ? c->offset_if_none : document.mark;
        for (int verify = 0; verify < 2; verify++) {
            struct mkv_outcome outcome =
                run(&document, (struct mkv_watch){.verify_crc = verify == 1});
            if (outcome.error.fault != c->fault || outcome.error.offset != offset ||
                strstr(outcome.error.text, c->says) == NULL) {
                fail_msg("%s: fault %d at %" PRIu64 " (expected %d at %" PRIu64 "): %s", c->name,
                         (int)outcome.error.fault, outcome.error.offset, (int)c->fault, offset,
                         outcome.error.text);
            }
            assert_int_equal(outcome.result, result_of(c->fault));
        }
        seen[c->fault] = true;
        ebml_free(&document);
    }
    for (int fault = FRAG_MKV_NOT_MATROSKA; fault < FRAG_MKV_STOPPED; fault++) {
        assert_true(seen[fault]);
    }
}

static void test_taken(void **state) {
    (void)state;
    for (size_t i = 0; i < KN_COUNT(mkv_taken); i++) {
        const char *events = events_of(mkv_taken[i].text, mkv_taken[i].verify_crc);
        if (strcmp(events, mkv_taken[i].events) != 0) {
            fail_msg("%s:\n%s\nexpected:\n%s", mkv_taken[i].name, events, mkv_taken[i].events);
        }
    }
}

/* ---- values ---- */

struct kept {
    struct frag_mkv_info info;
    struct frag_mkv_ebml ebml;
    struct kn_tracks *tracks;
};

static int handle_info(const struct frag_mkv_info *info, void *user) {
    ((struct kept *)user)->info = *info;
    return 0;
}

static int handle_ebml(const struct frag_mkv_ebml *ebml, void *user) {
    ((struct kept *)user)->ebml = *ebml;
    return 0;
}

static int handle_tracks(struct kn_tracks *tracks, void *user) {
    ((struct kept *)user)->tracks = kn_tracks_ref(tracks);
    return 0;
}

static void read_values(const char *text, struct kept *ret_kept) {
    static const struct frag_mkv_handler handler = {
        .info = handle_info, .ebml = handle_ebml, .tracks = handle_tracks};
    struct frag_mkv_parser_config config = {.handler = &handler, .user = ret_kept};
    struct frag_mkv_parser *parser = NULL;
    struct ebml_document document;

    ebml_build(&document, text);
    *ret_kept = (struct kept){0};
    assert_int_equal(frag_mkv_parser_create(&config, &parser), 0);
    assert_int_equal(frag_mkv_parser_push(parser, document.data, document.size), 0);
    assert_int_equal(frag_mkv_parser_finish(parser), 0);
    assert_int_equal(frag_mkv_parser_finish(parser), 0);
    frag_mkv_parser_destroy(parser);
    ebml_free(&document);
}

static void test_info(void **state) {
    static const uint8_t uid[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    static const uint8_t no_uid[16];
    struct kept kept;

    (void)state;
    read_values("EBML{DocType='matroska' DocTypeVersion=4 DocTypeReadVersion=2} Segment:?{Info{"
                "Scale=500 Duration=f12 Date<0000000000000000> Title<'ti' 00 'x'> MuxingApp='m' "
                "WritingApp<'w' 00*50> SegmentUID<01020304 05060708 090A0B0C 0D0E0F10>}}",
                &kept);
    assert_int_equal(kept.ebml.doc_type_version, 4);
    assert_int_equal(kept.ebml.doc_type_read_version, 2);
    assert_int_equal(kept.info.timecode_scale_ns, 500);
    assert_int_equal(kept.info.duration_ns, 6000);
    assert_true(kept.info.has_date);
    assert_true(kept.info.date_ns == INT64_C(978307200) * 1000000000);
    assert_string_equal(kept.info.title, "ti");
    assert_string_equal(kept.info.muxing_app, "m");
    assert_string_equal(kept.info.writing_app, "w");
    assert_memory_equal(kept.info.segment_uid, uid, 16);

    /* A cut never splits a character: 127 bytes of room, the last two-byte one does not fit. */
    read_values(DOC_EBML "Segment:?{Info{Title<'a' C3A4*100> Date<00> SegmentUID<01> }}", &kept);
    assert_int_equal(strlen(kept.info.title), 127);
    read_values(DOC_EBML "Segment:?{Info{Title<C3A4*100> Date<7FFFFFFFFFFFFFFF>}}", &kept);
    assert_int_equal(strlen(kept.info.title), 126);
    assert_false(kept.info.has_date);
    assert_memory_equal(kept.info.segment_uid, no_uid, 16);
}

static void test_track_values(void **state) {
    struct kept kept;

    (void)state;
    read_values(
        DOC_EBML
        "Segment:?{Tracks{Entry{Number=7 TrackUID=18446744073709551615 Type=1 Name='front' "
        "Language<'de' 00> Codec<'V_MPEG4/ISO/AVC' 00 00> Private<01> Private<01 64 00> "
        "Delay=5 Preroll=6 DefaultDuration=40000000 Video{Width=640 Height=480 "
        "DisplayWidth=4294967296 DisplayHeight=360}} "
        "Entry{Type=2 Codec='A_OPUS' Audio{Rate<473B8000> Channels=2 BitDepth=16} Number=8} "
        "Entry{Number=9 Type=17 Private<01> Private{} Codec<'x'*63>} "
        "Entry{Number=10 Type=2} "
        "Entry{Number=11 Type=1 Video{DisplayWidth=4 DisplayHeight=3 DisplayUnit=3} "
        "DefaultDuration=18446744073709551615} Entry{Number=12 Type=32 Audio{Rate=f1e12}}}}",
        &kept);
    const struct kn_track *track = kept.tracks->items;
    assert_int_equal(kept.tracks->count, 6);
    assert_int_equal(track[0].number, 7);
    assert_true(track[0].uid == UINT64_MAX);
    assert_int_equal(track[0].media, KN_MEDIA_VIDEO);
    assert_int_equal(track[0].codec, KN_CODEC_H264);
    assert_string_equal(track[0].name, "front");
    assert_string_equal(track[0].language, "de");
    assert_string_equal(track[0].codec_id, "V_MPEG4/ISO/AVC");
    assert_int_equal(track[0].codec_private_bytes, 3);
    assert_memory_equal(track[0].codec_private, "\x01\x64\x00", 3);
    assert_int_equal(track[0].codec_delay_ns, 5);
    assert_int_equal(track[0].seek_preroll_ns, 6);
    assert_int_equal(track[0].default_duration_ns, 40000000);
    assert_int_equal(track[0].width, 640);
    assert_int_equal(track[0].height, 480);
    assert_int_equal(track[0].display_width, UINT32_MAX);
    assert_int_equal(track[0].display_height, 360);
    assert_int_equal(track[1].media, KN_MEDIA_AUDIO);
    assert_int_equal(track[1].sample_rate_hz, 48000);
    assert_int_equal(track[1].channels, 2);
    assert_int_equal(track[1].bits_per_sample, 16);
    assert_int_equal(track[2].media, KN_MEDIA_TEXT);
    assert_int_equal(track[2].codec_private_bytes, 0);
    assert_int_equal(strlen(track[2].codec_id), 63);
    assert_int_equal(track[3].sample_rate_hz, 8000);
    assert_int_equal(track[3].channels, 1);
    assert_int_equal(track[4].display_width, 0);
    assert_int_equal(track[4].display_height, 0);
    assert_int_equal(track[4].default_duration_ns, 0);
    assert_int_equal(track[5].media, KN_MEDIA_OTHER);
    assert_int_equal(track[5].sample_rate_hz, 0);
    kn_tracks_unref(kept.tracks);
}

static void test_private_of_one_mebibyte(void **state) {
    struct kept kept;

    (void)state;
    read_values(DOC_EBML "Segment:?{Tracks{Entry{Number=1 Private<'p'*1048576>}}}", &kept);
    assert_int_equal(kept.tracks->items[0].codec_private_bytes, 1048576);
    kn_tracks_unref(kept.tracks);
}

static void test_id_names(void **state) {
    (void)state;
    assert_string_equal(frag_mkv_id_name(FRAG_MKV_CLUSTER), "Cluster");
    assert_string_equal(frag_mkv_id_name(FRAG_MKV_ATTACHMENTS), "Attachments");
    assert_string_equal(frag_mkv_id_name(0), "unknown element");
}

/* ---- when events come ---- */

/* A cluster of known size ends with its last byte, not with what follows. */
static void test_end_comes_with_the_last_byte(void **state) {
    struct ebml_document document;
    struct mkv_outcome outcome;

    (void)state;
    ebml_build(&document, DOC_HEAD DOC_CLUSTER "!Cluster{Time=2}}");
    struct mkv_watch watch = {.input = document.data, .size = document.size};
    assert_int_equal(mkv_watch_start(&watch), 0);
    mkv_watch_push(&watch, (size_t)document.mark - 1);
    assert_true(watch.in_level1);
    assert_int_equal(watch.frames, 0);
    mkv_watch_push(&watch, 1);
    assert_false(watch.in_level1);
    assert_int_equal(watch.frames, 1);
    assert_int_equal(watch.told, document.mark);
    mkv_watch_push_rest(&watch, 1);
    mkv_watch_end(&watch, &outcome);
    assert_int_equal(outcome.result, 0);
    ebml_free(&document);
}

/* One of unknown size ends with the header of the next. */
static void test_unknown_end_comes_with_the_next_header(void **state) {
    struct ebml_document document;
    struct mkv_outcome outcome;

    (void)state;
    ebml_build(&document, DOC_HEAD "Cluster:?{Time=1 " DOC_FRAME "} !Tags{}}");
    struct mkv_watch watch = {.input = document.data, .size = document.size};
    assert_int_equal(mkv_watch_start(&watch), 0);
    mkv_watch_push(&watch, (size_t)document.mark);
    assert_int_equal(watch.frames, 1);
    mkv_watch_push(&watch, 4);
    assert_true(watch.in_level1 && watch.level1.id == FRAG_MKV_CLUSTER);
    assert_int_equal(watch.told, document.mark);
    mkv_watch_push(&watch, 1);
    assert_false(watch.in_level1);
    assert_int_equal(watch.level1.id, FRAG_MKV_TAGS);
    assert_int_equal(watch.told, watch.size);
    mkv_watch_end(&watch, &outcome);
    assert_int_equal(outcome.result, 0);
    ebml_free(&document);
}

static void test_a_group_is_told_when_it_is_whole(void **state) {
    struct ebml_document document;
    struct mkv_outcome outcome;

    (void)state;
    ebml_build(&document,
               DOC_HEAD "Cluster:?{Time=1 Group{Block<81 0000 00 'abc'> !Reference<FF>}}}");
    struct mkv_watch watch = {.input = document.data, .size = document.size};
    assert_int_equal(mkv_watch_start(&watch), 0);
    mkv_watch_push(&watch, (size_t)document.mark + 2);
    assert_int_equal(watch.frames, 0);
    mkv_watch_push(&watch, 1);
    assert_int_equal(watch.frames, 1);
    mkv_watch_end(&watch, &outcome);
    assert_int_equal(outcome.result, 0);
    ebml_free(&document);
}

/* Before the fault everything is told, bytes too, and behind it nothing. */
static void test_events_before_a_fault_stand(void **state) {
    struct ebml_document document;

    (void)state;
    ebml_build(&document, DOC_HEAD DOC_CLUSTER "Cluster:?{Time=2 " DOC_FRAME
                                               "!Simple<83 0000 80> " DOC_FRAME "} Tags{}}");
    struct mkv_outcome outcome =
        run(&document, (struct mkv_watch){.log = log_room, .log_room = sizeof(log_room)});
    assert_int_equal(outcome.error.fault, FRAG_MKV_NO_SUCH_TRACK);
    assert_int_equal(outcome.frames, 2);
    assert_true(outcome.told == document.mark);
    assert_string_equal(log_room, LOG_START "<Cluster time(1) frame(0,1000000,0,5,k) >Cluster "
                                            "<Cluster time(2) frame(0,2000000,0,5,k) ");
    ebml_free(&document);
}

static const char all_events[] =
    DOC_HEAD "Cluster{BadCrc Time=1 Group{Block<81 0000 00>} Simple<82 0000 84 01 'ab'>} "
             "Tags{BadCrc Tag{SimpleTag{TagName='n' TagString='v' SimpleTag{TagName='m'}}}} "
             "Cluster:?{Time=2 " DOC_FRAME "} Cues{BadCrc}}";

static void test_a_callback_stops_the_parser(void **state) {
    struct ebml_document document;
    static const int answers[] = {-EIO, KN_E_CLOSED, KN_E_LIMIT, -ENOMEM};

    (void)state;
    ebml_build(&document, all_events);
    uint64_t events = run(&document, (struct mkv_watch){.verify_crc = true}).events;
    assert_true(events > 20);
    for (uint64_t at = 1; at <= events; at++) {
        for (size_t a = 0; a < KN_COUNT(answers); a++) {
            struct mkv_outcome outcome = run(
                &document, (struct mkv_watch){
                               .verify_crc = true, .stop_at_event = at, .stop_result = answers[a]});
            assert_int_equal(outcome.events, at);
            assert_int_equal(outcome.result, answers[a]);
            assert_int_equal(outcome.error.fault,
                             answers[a] == -ENOMEM ? FRAG_MKV_NO_MEMORY : FRAG_MKV_STOPPED);
        }
    }
    ebml_free(&document);
}

struct bytes_stop {
    uint64_t calls, stop_at;
    int answer;
};

static int stop_bytes(const uint8_t *data, size_t size, uint64_t offset, void *user) {
    struct bytes_stop *stop = user;

    (void)data;
    (void)size;
    (void)offset;
    assert_true(stop->calls < stop->stop_at); /* never again after its refusal */
    return ++stop->calls == stop->stop_at ? stop->answer : 0;
}

static void test_bytes_may_stop_the_parser(void **state) {
    static const struct frag_mkv_handler handler = {.bytes = stop_bytes};
    static const int answers[] = {-EIO, -ENOMEM};
    struct ebml_document document;

    (void)state;
    ebml_build(&document, all_events);
    for (uint64_t at = 1; at < 40; at++) {
        for (size_t a = 0; a < KN_COUNT(answers); a++) {
            struct bytes_stop stop = {.stop_at = at, .answer = answers[a]};
            struct frag_mkv_parser_config config = {.handler = &handler, .user = &stop};
            struct frag_mkv_parser *parser = NULL;
            int rc = 0;

            assert_int_equal(frag_mkv_parser_create(&config, &parser), 0);
            for (size_t from = 0; from < document.size; from += 3) {
                size_t left = document.size - from;
                rc = frag_mkv_parser_push(parser, document.data + from, left < 3 ? left : 3);
                assert_int_equal(rc, stop.calls == at ? answers[a] : 0);
            }
            assert_int_equal(rc, answers[a]);
            assert_int_equal(frag_mkv_parser_finish(parser), answers[a]);
            frag_mkv_parser_destroy(parser);
        }
    }
    ebml_free(&document);
}

/* The first error stays although a callback fails over the bytes before it. */
static void test_the_first_error_stays(void **state) {
    static const struct frag_mkv_handler handler = {.bytes = stop_bytes};
    struct bytes_stop stop = {.stop_at = 1, .answer = -EIO};
    struct frag_mkv_parser_config config = {.handler = &handler, .user = &stop};
    struct frag_mkv_parser *parser = NULL;
    struct ebml_document document;

    (void)state;
    ebml_build(&document, DOC_EBML "!Cluster{}");
    assert_int_equal(frag_mkv_parser_create(&config, &parser), 0);
    assert_int_equal(frag_mkv_parser_push(parser, document.data, document.size), KN_E_MALFORMED);
    assert_int_equal(stop.calls, 1);
    assert_int_equal(frag_mkv_parser_push(parser, document.data, document.size), KN_E_MALFORMED);
    assert_int_equal(frag_mkv_parser_finish(parser), KN_E_MALFORMED);
    assert_int_equal(frag_mkv_parser_error(parser)->result, KN_E_MALFORMED);
    assert_int_equal(frag_mkv_parser_error(parser)->fault, FRAG_MKV_BAD_ELEMENT);
    frag_mkv_parser_destroy(parser);
    ebml_free(&document);
}

static void test_nobody_listens(void **state) {
    static const struct frag_mkv_handler nobody;
    struct frag_mkv_parser_config config = {.handler = &nobody, .verify_crc = true};
    struct frag_mkv_parser *parser = NULL;
    struct ebml_document document;

    (void)state;
    ebml_build(&document, all_events);
    assert_int_equal(frag_mkv_parser_create(&config, &parser), 0);
    assert_int_equal(frag_mkv_parser_push(parser, document.data, document.size), 0);
    assert_int_equal(frag_mkv_parser_push(parser, NULL, 0), 0);
    assert_int_equal(frag_mkv_parser_offset(parser), document.size);
    assert_int_equal(frag_mkv_parser_finish(parser), 0);
    frag_mkv_parser_destroy(parser);
    frag_mkv_parser_destroy(NULL);
    ebml_free(&document);
}

/* ---- finish at every byte ---- */

static void test_finish_in_every_state(void **state) {
    struct ebml_document document;
    struct mkv_outcome outcome;

    (void)state;
    ebml_build(&document, all_events);
    for (size_t size = 0; size < document.size; size++) {
        struct mkv_watch watch = {.input = document.data, .size = size, .copies = true};
        assert_int_equal(mkv_watch_start(&watch), 0);
        mkv_watch_push(&watch, size);
        assert_int_equal(watch.result, 0);
        bool whole = !watch.in_level1;
        bool in_cluster = watch.in_level1 && watch.level1.id == FRAG_MKV_CLUSTER &&
                          watch.level1.size == FRAG_MKV_UNKNOWN_SIZE;
        mkv_watch_end(&watch, &outcome);
        if (outcome.result == 0) {
            /* Between elements of level 1, or of the open cluster. */
            assert_true((whole || in_cluster) && watch.segment_told);
        } else if (size == 0) {
            assert_int_equal(outcome.error.fault, FRAG_MKV_NOT_MATROSKA);
        } else if (outcome.error.fault == FRAG_MKV_ORDER) {
            assert_true(in_cluster); /* its Timestamp is still to come */
        } else {
            assert_int_equal(outcome.error.fault, FRAG_MKV_TRUNCATED);
            assert_true(outcome.error.offset <= size);
        }
    }
    ebml_free(&document);
}

/* ---- from a cluster on ---- */

static void test_cluster_mode(void **state) {
    static const struct kn_track tracks[] = {{.number = 5, .media = KN_MEDIA_VIDEO}};
    static const char text[] = "Cluster{Time=3 Simple<85 0002 80 'abc'>} Tags{} Void{} "
                               "Cluster:?{Time=4 Simple<85 0000 00>}";
    struct kn_tracks *set = NULL;

    (void)state;
    assert_int_equal(kn_tracks_create(tracks, 1, &set), 0);
    struct mkv_watch watch = {.cluster_mode = set, .log = log_room, .log_room = sizeof(log_room)};
    assert_int_equal(run_text(text, watch).result, 0);
    assert_string_equal(log_room, "<Cluster time(3) frame(0,5000000,0,3,k) >Cluster <Tags >Tags "
                                  "<Void >Void <Cluster time(4) frame(0,4000000,0,0,) >Cluster ");
    watch.log = NULL;
    assert_int_equal(run_text("Cluster{Time=3 Simple<81 0000 80>}", watch).error.fault,
                     FRAG_MKV_NO_SUCH_TRACK);
    assert_int_equal(run_text(DOC_EBML, watch).error.fault, FRAG_MKV_SECOND_SEGMENT);
    assert_int_equal(run_text("Segment{}", watch).error.fault, FRAG_MKV_SECOND_SEGMENT);
    assert_int_equal(run_text("Info{Scale=1000}", watch).error.fault, FRAG_MKV_ORDER);
    assert_int_equal(run_text("Info{}", watch).error.fault, FRAG_MKV_FINE);
    assert_int_equal(run_text("Tracks{" DOC_VIDEO "}", watch).error.fault, FRAG_MKV_BAD_TRACKS);
    kn_tracks_unref(set);
}

/* ---- bounds ---- */

/* In pieces that fall anywhere, nothing is allocated for a block once the head of one has been
 * cut. */
static void test_blocks_allocate_nothing(void **state) {
    struct ebml_document document;
    struct mkv_outcome outcome;

    (void)state;
    ebml_build(&document, DOC_HEAD
               "Cluster:?{Time=1 Simple<82 0000 86 02 82 BF 'aabc'> !Simple<81 0000 80 'x'*20>"
               "*2500 Simple<82 0000 82 01 FF00 'x'*300>*2500 Group{Block<81 0001 00 'y'*9> "
               "BlockDuration=5}*2500 Simple<82 0000 84 03 'z'*4000>*2500}}");
    struct mkv_watch watch = {.input = document.data, .size = document.size};
    assert_int_equal(mkv_watch_start(&watch), 0);
    mkv_watch_push(&watch, (size_t)document.mark - 10); /* inside the first block's head */
    unsigned long before = fail_alloc_count();
    size_t piece = 1;
    while (watch.pushed < watch.size) {
        size_t left = watch.size - watch.pushed;
        mkv_watch_push(&watch, left < piece ? left : piece);
        piece = (piece * 7 + 3) % 61 + 1;
    }
    assert_int_equal(fail_alloc_count(), before);
    mkv_watch_end(&watch, &outcome);
    assert_int_equal(outcome.result, 0);
    assert_int_equal(outcome.frames, 3 + 2500 + 5000 + 2500 + 10000);
    ebml_free(&document);
}

static double seconds_now(void) {
    struct timespec now;
    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &now), 0);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* However many, tiny elements cost time by their bytes and no memory. The bound is a hundred times
 * what it takes: it is there for what grows with the square. */
static void test_a_million_tiny_elements(void **state) {
    static const char *const texts[] = {
        DOC_HEAD "Void{}*1000000}",
        DOC_HEAD "Tags{}*300000}",
        DOC_HEAD "Cues{}*300000}",
        DOC_HEAD "Cluster:?{Time=1 Void{}*1000000}}",
        DOC_HEAD "Cluster:?{Time=1 Group{}*1000000}}",
        DOC_HEAD "Cluster:?{Time=1}*200000}",
        DOC_HEAD "Tags{Tag{}*300000}}",
        DOC_HEAD "Tags{Tag{SimpleTag{TagName{}}*200000}}}",
        DOC_EBML "Segment:?{Info{Title{}*300000}}",
        DOC_EBML "Segment:?{Tracks{Void{}*1000000 Entry{Number=1 Video{}*500000}}}",
        DOC_EBML "Void{}*1000000 Segment{}",
        "EBML{DocType='webm' Void{}*1000000} Segment{}",
    };

    (void)state;
    for (size_t i = 0; i < KN_COUNT(texts); i++) {
        for (int verify = 0; verify < 2; verify++) {
            struct ebml_document document;
            struct mkv_outcome outcome;
            ebml_build(&document, texts[i]);
            struct mkv_watch watch = {
                .input = document.data, .size = document.size, .verify_crc = verify == 1};
            unsigned long before = fail_alloc_count();
            double from = seconds_now();
            assert_int_equal(mkv_watch_start(&watch), 0);
            mkv_watch_push_rest(&watch, 4093);
            mkv_watch_end(&watch, &outcome);
            assert_true(seconds_now() - from < 20);
            assert_true(fail_alloc_count() - before < 20);
            assert_int_equal(outcome.result, 0);
            ebml_free(&document);
        }
    }
}

/* ---- out of memory ---- */

static void test_out_of_memory(void **state) {
    static const char text[] = DOC_EBML
        "Segment:?{Tracks{Entry{Number=1 Private<'p'*40>} Entry{Number=2 Private<'q'*400>}} Tags{"
        "Tag{SimpleTag{TagName='n' TagString<'v'*100>} SimpleTag{TagName='m' "
        "TagBinary<'w'*1000>}}} "
        "Cluster{Time=1 Simple<82 0000 82 01 FF00 'x'*300>}}";
    struct ebml_document document;
    unsigned long k = 0;
    int result = -ENOMEM;

    (void)state;
    ebml_build(&document, text);
    while (result != 0) {
        struct mkv_watch watch = {.input = document.data, .size = document.size};
        struct mkv_outcome outcome = {0};
        fail_alloc_at(++k);
        result = mkv_watch_start(&watch);
        if (result == 0) {
            mkv_watch_push_rest(&watch, 3);
            mkv_watch_end(&watch, &outcome);
            result = outcome.result;
        }
        fail_alloc_stop();
        assert_true(result == 0 || result == -ENOMEM);
        assert_true(watch.parser == NULL && (result == 0 || outcome.frames == 0));
        assert_true(outcome.error.fault == FRAG_MKV_FINE ||
                    outcome.error.fault == FRAG_MKV_NO_MEMORY);
        assert_true(k < 100);
    }
    assert_true(k > 8);
    ebml_free(&document);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_taken),
        cmocka_unit_test(test_info),
        cmocka_unit_test(test_track_values),
        cmocka_unit_test(test_private_of_one_mebibyte),
        cmocka_unit_test(test_id_names),
        cmocka_unit_test(test_end_comes_with_the_last_byte),
        cmocka_unit_test(test_unknown_end_comes_with_the_next_header),
        cmocka_unit_test(test_a_group_is_told_when_it_is_whole),
        cmocka_unit_test(test_events_before_a_fault_stand),
        cmocka_unit_test(test_a_callback_stops_the_parser),
        cmocka_unit_test(test_bytes_may_stop_the_parser),
        cmocka_unit_test(test_the_first_error_stays),
        cmocka_unit_test(test_nobody_listens),
        cmocka_unit_test(test_finish_in_every_state),
        cmocka_unit_test(test_cluster_mode),
        cmocka_unit_test(test_blocks_allocate_nothing),
        cmocka_unit_test(test_a_million_tiny_elements),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests_name("fragments mkv parser", tests, NULL, NULL);
}
