/* PutMedia bodies into a store: what is stored, what is answered, what is refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ingest_put_world.h"
#include "tests/support/sample_media.h"

/* ---- the start of relative times ---- */

static int64_t start_of(const char *text) {
    struct kn_wall start = {-1};
    int rc = ing_put_start_parse(text, strlen(text), &start);
    assert_true(rc == 0 || (rc == KN_E_MALFORMED && start.ns == -1));
    return rc == 0 ? start.ns : -1;
}

static void reads_both_spellings_of_the_start(void **state) {
    (void)state;
    const int64_t second = INT64_C(1637698685) * KN_NS_PER_S;
    assert_int_equal(start_of("1637698685"), second);
    assert_int_equal(start_of("0"), 0);
    /* The C SDK: milliseconds without zeros before them. */
    assert_int_equal(start_of("1637698685.0"), second);
    assert_int_equal(start_of("1637698685.7"), second + 7 * KN_NS_PER_MS);
    assert_int_equal(start_of("1637698685.42"), second + 42 * KN_NS_PER_MS);
    assert_int_equal(start_of("1637698685.123"), second + 123 * KN_NS_PER_MS);
    /* Everybody else. */
    assert_int_equal(start_of("1637698685.007"), second + 7 * KN_NS_PER_MS);
    assert_int_equal(start_of("1637698685.5000"), second + 500 * KN_NS_PER_MS);
    assert_int_equal(start_of("1637698685.123456"), second + 123456 * KN_NS_PER_US);
    assert_int_equal(start_of("1637698685.1234567890123"), second + 123456789);
    static const char *const wrong[] = {
        "",    ".",     "1.",   ".5",          "-1",
        "1e9", "1.5.5", "1 ",   "99999999999", "1,5",
        "now", "1.5x",  "0x10", "+1",          "1.99999999999999999999999999999999999999"};
    for (size_t i = 0; i < KN_COUNT(wrong); i++) {
        assert_int_equal(start_of(wrong[i]), -1);
    }
}

static void counts_relative_times_from_the_start(void **state) {
    struct put_world *world = *state;
    struct ing_put_config config = put_config(world);
    struct frag_entry entry;
    config.relative = true;
    config.producer_start.ns = PUT_NOW_NS - KN_NS_PER_S;
    assert_int_equal(ing_put_create(&config, &world->put), 0);
    world->put_open = true;
    put_text(world, PUT_HEAD PUT_CLUSTER(250) "}");
    ing_put_end(world->put, true);
    put_settle(world);
    assert_string_equal(put_acks_text(world), "B250 R250 P250");
    assert_int_equal(put_stored(world, &entry, 1), 1);
    assert_int_equal(entry.producer.ns, PUT_NOW_NS - 750 * KN_NS_PER_MS);
    put_finish(world);
}

/* ---- clips, cut in all ways ---- */

struct sent {
    struct frag_mkv_reader *reader;
    size_t count;
    size_t sizes[64];
};

static int count_fragment(const struct frag_mkv_fragment *fragment, void *user) {
    struct sent *sent = user;
    assert_true(sent->count < KN_COUNT(sent->sizes));
    size_t head = fragment->cluster.header_bytes;
    sent->sizes[sent->count++] = fragment->bytes->size - head;
    return 0;
}

/* What a reader makes of the file at once. */
static void read_clip(const uint8_t *data, size_t size, struct sent *sent) {
    static const struct frag_mkv_reader_handler handler = {.fragment = count_fragment};
    const struct frag_mkv_reader_config config = {.handler = &handler, .user = sent};
    *sent = (struct sent){0};
    assert_int_equal(frag_mkv_reader_create(&config, &sent->reader), 0);
    if (frag_mkv_reader_push(sent->reader, data, size) == 0) {
        (void)!frag_mkv_reader_finish(sent->reader); /* truncated.mkv */
    }
    frag_mkv_reader_destroy(sent->reader);
}

static void check_stored(struct put_world *world, const uint8_t *data, size_t size,
                         const struct sent *sent) {
    struct frag_entry entries[64];
    assert_int_equal(put_stored(world, entries, 64), sent->count);
    const uint8_t *at = data;
    for (size_t i = 0; i < sent->count; i++) {
        struct frag_loaded *loaded;
        assert_int_equal(frag_archive_load(world->archive, &entries[i], &loaded), 0);
        assert_int_equal(loaded->cluster_bytes, 12 + sent->sizes[i]);
        /* Its bytes stand in the file, behind those of the one before. */
        const uint8_t *body = loaded->cluster + 12;
        at = memmem(at, size - (size_t)(at - data), body, sent->sizes[i]);
        assert_non_null(at);
        at += sent->sizes[i];
        frag_loaded_free(loaded);
    }
}

static void stores_every_clip_in_any_cut(void **state) {
    static const size_t cuts[] = {SIZE_MAX, 65536, 1000, 7, 1};
    struct put_world *world = *state;
    for (size_t i = 0; i < SAMPLE_CLIPS; i++) {
        size_t size;
        struct sent sent;
        uint8_t *data = sample_load(sample_clips[i], &size);
        bool truncated = strstr(sample_clips[i], "truncated") != NULL;
        read_clip(data, size, &sent);
        assert_true(sent.count > 0);
        for (size_t j = 0; j < KN_COUNT(cuts); j++) {
            put_begin(world);
            put_push(world, data, size, cuts[j]);
            ing_put_end(world->put, true);
            put_settle(world);
            assert_int_equal(put_count(world, ING_ACK_PERSISTED), sent.count);
            assert_int_equal(put_count(world, ING_ACK_RECEIVED), sent.count);
            assert_int_equal(put_count(world, ING_ACK_ERROR), truncated ? 1 : 0);
            put_finish(world);
            check_stored(world, data, size, &sent);
            put_renew_stream(world);
        }
        free(data);
    }
}

/* ---- where fragments end, and what goes with them ---- */

static void tells_a_fragment_with_its_first_bytes(void **state) {
    struct put_world *world = *state;
    put_begin(world);
    put_text(world, PUT_HEAD "Cluster:?{Time=5 Simple<81 0000 80 'a'>");
    assert_true(put_turn(world)); /* looked up: none of its time is there */
    put_take_acks(world);
    assert_string_equal(put_acks_text(world), "B5");
    ing_put_end(world->put, true);
    put_settle(world);
    assert_string_equal(put_acks_text(world), "B5 R5 P5");
    char text[FRAG_NUMBER_TEXT_BYTES];
    assert_int_equal(strlen(frag_number_format(world->acks[0].number, text)), 47);
    assert_int_equal(frag_number_compare(world->acks[0].number, world->acks[2].number), 0);
    put_finish(world);
}

static void ends_a_fragment_without_waiting_for_the_next(void **state) {
    struct put_world *world = *state;
    put_begin(world);
    /* A known size. */
    put_text(world, PUT_HEAD PUT_CLUSTER_KNOWN(10));
    (void)put_turn(world);
    assert_int_equal(frag_store_flush(world->store), 0);
    put_take_acks(world);
    assert_string_equal(put_acks_text(world), "B10 R10 P10");
    /* The tag; and what it ends is over, so another one ends nothing. */
    put_text(world, PUT_CLUSTER(5010) PUT_EOFR PUT_EOFR);
    assert_int_equal(frag_store_flush(world->store), 0);
    put_take_acks(world);
    assert_string_equal(put_acks_text(world), "B10 R10 P10 B5010 R5010 P5010");
    /* Tags alone do not tell that no more of them come. */
    put_text(world, PUT_CLUSTER(10010) "Tags{" PUT_TAG("mood", "calm") "} ");
    assert_int_equal(frag_store_flush(world->store), 0);
    put_take_acks(world);
    assert_string_equal(put_acks_text(world), "B10 R10 P10 B5010 R5010 P5010 B10010");
    put_text(world, PUT_CLUSTER_KNOWN(15010));
    ing_put_end(world->put, true);
    put_settle(world);
    assert_int_equal(put_count(world, ING_ACK_PERSISTED), 4);
    put_finish(world);
}

static bool holds(const uint8_t *data, size_t size, const char *text) {
    return data != NULL && memmem(data, size, text, strlen(text)) != NULL;
}

static void keeps_tags_where_the_service_puts_them(void **state) {
    struct put_world *world = *state;
    struct frag_entry entries[8];
    struct frag_loaded *loaded[3];
    put_whole(
        world,
        "EBML{DocType='matroska'} Segment:?{Tags{" PUT_TAG(
            "first",
            "1") "} "
                 "Info{Scale=1000000} Tracks{Entry{Number=1 Type=1 Codec='V_VP8'}} Void<00*20> "
                 "Tags{" PUT_TAG("second", "2") "} " PUT_CLUSTER(0) "Tags{" PUT_TAG(
                     "third",
                     "3") "} Void<'pad'> " PUT_CLUSTER_KNOWN(2000) "Tags{" PUT_TAG("fourth",
                                                                                   "4") "}"
                                                                                        " " PUT_CLUSTER(
                                                                                            4000)
                                                                                            PUT_EOFR
        "}");
    assert_string_equal(put_acks_text(world), "B0 B2000 B4000 R0 P0 R2000 P2000 R4000 P4000");
    assert_int_equal(put_stored(world, entries, 8), 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(frag_archive_load(world->archive, &entries[i], &loaded[i]), 0);
    }
    assert_true(holds(loaded[0]->before, loaded[0]->before_bytes, "first"));
    assert_true(holds(loaded[0]->before, loaded[0]->before_bytes, "second"));
    assert_true(holds(loaded[0]->after, loaded[0]->after_bytes, "third"));
    assert_true(holds(loaded[0]->after, loaded[0]->after_bytes, "pad"));
    /* Complete when it was, so what came behind it goes on with the next. */
    assert_int_equal(loaded[1]->before_bytes + loaded[1]->after_bytes, 0);
    assert_true(holds(loaded[2]->before, loaded[2]->before_bytes, "fourth"));
    assert_true(holds(loaded[2]->after, loaded[2]->after_bytes, "END_OF_FRAGMENT"));
    uint8_t *header;
    size_t header_bytes;
    assert_int_equal(frag_archive_load_header(world->archive, &entries[2], &header, &header_bytes),
                     0);
    assert_memory_equal(header, "\x1a\x45\xdf\xa3", 4);
    assert_true(holds(header, header_bytes, "V_VP8"));
    assert_false(holds(header, header_bytes, "first"));
    assert_false(holds(header, header_bytes, "second"));
    free(header);
    for (int i = 0; i < 3; i++) {
        frag_loaded_free(loaded[i]);
    }
    put_finish(world);
}

static void drops_what_is_broken_off(void **state) {
    struct put_world *world = *state;
    put_begin(world);
    put_text(world, PUT_HEAD PUT_CLUSTER(0) PUT_CLUSTER(2000));
    ing_put_end(world->put, false);
    put_settle(world);
    assert_string_equal(put_acks_text(world), "B0 B2000 R0 P0");
    put_finish(world);
    /* And its connection may be gone at any time. */
    put_begin(world);
    put_text(world, PUT_HEAD PUT_CLUSTER(4000) "Cluster:?{Time=6000");
    ing_put_destroy(world->put);
    world->put = NULL;
    assert_int_equal(frag_store_flush(world->store), 0);
    assert_false(world->put_open);
}

/* ---- every error ---- */

struct wrong {
    const char *name, *text, *acks;
};

#define TAG_11 PUT_TAG("a", "b") "Tag{SimpleTag{TagName='a' TagString='b'}*10} "
static const struct wrong wrongs[] = {
    {"4001 said", PUT_HEAD PUT_CLUSTER(0) "Cluster:8~50000001{Time=2000", "B0 R0 P0 E:4001"},
    {"4001 come", PUT_HEAD "Cluster:?{Time=1 Simple<81 0000 80 00*1000>*50100}", "B1 E1:4001"},
    {"4001 frames", PUT_HEAD "Cluster:?{Time=1 Simple<81 0000 80 00>*65537}", "B1 E1:4001"},
    {"4002", PUT_HEAD "Cluster:?{Time=1 Simple<81 0000 80 00> Simple<81 4E21 00 00>} " PUT_EOFR,
     "B1 E1:4002"},
    {"4004", PUT_HEAD PUT_CLUSTER(5000) PUT_CLUSTER(4999) PUT_EOFR,
     "B5000 B4999 R5000 P5000 E4999:4004"},
    {"4004 the same", PUT_HEAD PUT_CLUSTER(5000) PUT_CLUSTER(5000) PUT_EOFR,
     "B5000 B5000 R5000 P5000 E5000:4004"},
    {"4006 no Matroska", "<'GET / HTTP/1.1'>", "E:4006"},
    {"4006 a second Segment", PUT_HEAD PUT_CLUSTER(0) "} Segment:?{", "B0 R0 P0 E:4006"},
    {"4006 cut short", PUT_HEAD "Cluster:?{Time=0 Simple:2~99<81 0000 80 00>", "B0 E0:4006"},
    {"4006 no Tracks", "EBML{DocType='webm'} Segment:?{" PUT_CLUSTER(0) "}", "E:4006"},
    {"4007", PUT_HEAD "Cluster:?{Time=1795305601000 Simple<81 0000 80 00>}", "B1795305601000 "},
    {"4007 ever", PUT_HEAD "Cluster:?{Time=18446744073709551615 Simple<81 0000 80 00>}", "E:4007"},
    {"4009", PUT_HEAD PUT_CLUSTER(0) "Tags{" TAG_11 "} " PUT_CLUSTER(2000), "B0 R0 P0 E:4009"},
    {"4009 in two",
     PUT_HEAD PUT_CLUSTER(0) "Tags{" PUT_TAG("x", "y") "}*10 Tags{" PUT_TAG(
         "z", "") "} " PUT_CLUSTER(2000),
     "B0 R0 P0 E:4009"},
    {"4009 a name", PUT_HEAD PUT_CLUSTER(0) "Tags{Tag{SimpleTag{TagName<'n'*129>}}}",
     "B0 R0 P0 E:4009"},
    {"4009 a value", PUT_HEAD PUT_CLUSTER(0) "Tags{Tag{SimpleTag{TagName='n' TagString<'v'*257>}}}",
     "B0 R0 P0 E:4009"},
    {"4010", PUT_HEAD "Cluster:?{Time=7 Simple<82 0000 80 00>}", "B7 E7:4010"},
    {"4011", PUT_HEAD_2 PUT_CLUSTER(7) PUT_EOFR, "B7 E7:4011"},
    {"4012",
     "EBML{DocType='matroska'} Segment:?{Tracks{Entry{Number=1 Type=1 Codec='V_VP8'} "
     "Entry{Number=2 Type=2 Codec='A_OPUS'} Entry{Number=3 Type=2 Codec='A_OPUS'} "
     "Entry{Number=4 Type=2 Codec='A_OPUS'}} " PUT_CLUSTER(0),
     "E:4012"},
};

static void answers_each_mistake_with_its_error(void **state) {
    struct put_world *world = *state;
    for (size_t i = 0; i < KN_COUNT(wrongs); i++) {
        put_whole(world, wrongs[i].text);
        const char *acks = put_acks_text(world);
        if (strcmp(wrongs[i].name, "4007") == 0) { /* refused before it begins */
            assert_string_equal(acks, "E1795305601000:4007");
        } else if (strcmp(acks, wrongs[i].acks) != 0) {
            fail_msg("%s: \"%s\" instead of \"%s\"", wrongs[i].name, acks, wrongs[i].acks);
        }
        /* It is over: the rest of the body is taken and dropped. */
        assert_int_equal(ing_put_push(world->put, "more", 4), 4);
        put_finish(world);
        put_renew_stream(world);
    }
}

static void takes_what_is_at_the_limits(void **state) {
    static const char *const right[] = {
        /* Tags of the file as a whole, and orders of the service, are not counted. */
        PUT_HEAD "Tags{" TAG_11 TAG_11 "} " PUT_CLUSTER(0) PUT_EOFR,
        PUT_HEAD PUT_CLUSTER(0) "Tags{" PUT_TAG("x", "y") PUT_TAG(
            "AWS_KINESISVIDEO_NOTIFICATION", "") "Tag{SimpleTag{TagName='a' TagString='b'}*9}} ",
        PUT_HEAD PUT_CLUSTER(0) "Tags{Tag{SimpleTag{TagName<'n'*128> TagString<'v'*256>}}} ",
        PUT_HEAD "Cluster:?{Time=0 Simple<81 0000 80 00> Simple<81 4E20 00 00>} ",
        /* A piece of a second without sound, and pictures of one group in two clusters. */
        PUT_HEAD_2
        "Cluster{Time=0 Simple<81 0000 80 00> Simple<82 0000 80 00>} "
        "Cluster{Time=900 Simple<81 0000 80 00>} Cluster{Time=800 Simple<81 0000 00 00>} ",
        "EBML{DocType='webm'} Segment{Tracks{Entry{Number=9 Type=2 Codec='A_OPUS'} Entry{Number=8 "
        "Type=17 Codec='S_TEXT/UTF8'}} Cluster{Time=0 Simple<89 0000 80 00> Simple<89 0FA0 80 "
        "00>}}",
        PUT_HEAD,
        "",
    };
    struct put_world *world = *state;
    for (size_t i = 0; i < KN_COUNT(right); i++) {
        put_whole(world, right[i]);
        if (put_count(world, ING_ACK_ERROR) > 0) {
            fail_msg("%zu: %s", i, put_acks_text(world));
        }
        put_finish(world);
    }
}

static void names_its_errors(void **state) {
    (void)state;
    assert_string_equal(ing_put_error_code(ING_PUT_SIZE), "MAX_FRAGMENT_SIZE_REACHED");
    assert_string_equal(ing_put_error_code(ING_PUT_ORDER),
                        "FRAGMENT_TIMECODE_LESSER_THAN_PREVIOUS");
    assert_string_equal(ing_put_error_code(ING_PUT_ARCHIVAL), "ARCHIVAL_ERROR");
    assert_string_equal(ing_put_error_code(ING_PUT_DELETED), "STREAM_DELETED");
}

static void tells_that_the_stream_was_deleted(void **state) {
    struct put_world *world = *state;
    put_begin(world);
    put_text(world, PUT_HEAD PUT_CLUSTER_KNOWN(0));
    assert_int_equal(frag_store_flush(world->store), 0);
    put_take_acks(world);
    assert_int_equal(frag_stream_delete(world->stream, NULL), 0);
    put_text(world, PUT_CLUSTER(2000));
    put_settle(world);
    assert_string_equal(put_acks_text(world), "B0 R0 P0 E2000:4507");
    put_finish(world);
}

/* ---- time ---- */

static void ends_after_silence(void **state) {
    struct put_world *world = *state;
    put_begin(world);
    put_text(world, PUT_HEAD PUT_CLUSTER(0));
    for (int i = 0; i < 31 && !ing_put_is_over(world->put); i++) {
        (void)put_turn(world);
        put_take_acks(world);
        fake_clock_advance(&world->clock, KN_NS_PER_S);
    }
    put_settle(world);
    assert_string_equal(put_acks_text(world), "B0 I I R0 P0");
    put_finish(world);
    /* What is no whole block is nobody's mistake. */
    put_begin(world);
    put_text(world, PUT_HEAD "Cluster:?{Time=5000 Simple:2~99<81 0000 80 00>");
    (void)put_turn(world);
    fake_clock_advance(&world->clock, 29 * KN_NS_PER_S);
    (void)put_turn(world);
    assert_false(ing_put_is_over(world->put));
    fake_clock_advance(&world->clock, KN_NS_PER_S);
    put_settle(world);
    assert_string_equal(put_acks_text(world), "B5000 I");
    put_finish(world);
}

static void sends_producers_away_when_the_server_ends(void **state) {
    struct put_world *world = *state;
    put_begin(world);
    put_text(world, PUT_HEAD PUT_CLUSTER(0) PUT_CLUSTER(2000));
    ing_put_drain(world->put);
    put_settle(world);
    assert_string_equal(put_acks_text(world), "B0 B2000 R0 P0 E:4003");
    put_finish(world);
    put_begin(world); /* one that has sent nothing yet */
    ing_put_drain(world->put);
    put_settle(world);
    assert_string_equal(put_acks_text(world), "E:4003");
    put_finish(world);
}

int main(void) {
#define WORLD_TEST(test) cmocka_unit_test_setup_teardown(test, put_world_open, put_world_close)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_both_spellings_of_the_start),
        cmocka_unit_test(names_its_errors),
        WORLD_TEST(counts_relative_times_from_the_start),
        WORLD_TEST(stores_every_clip_in_any_cut),
        WORLD_TEST(tells_a_fragment_with_its_first_bytes),
        WORLD_TEST(ends_a_fragment_without_waiting_for_the_next),
        WORLD_TEST(keeps_tags_where_the_service_puts_them),
        WORLD_TEST(drops_what_is_broken_off),
        WORLD_TEST(answers_each_mistake_with_its_error),
        WORLD_TEST(takes_what_is_at_the_limits),
        WORLD_TEST(tells_that_the_stream_was_deleted),
        WORLD_TEST(ends_after_silence),
        WORLD_TEST(sends_producers_away_when_the_server_ends),
    };
    return cmocka_run_group_tests_name("ingest/putmedia", tests, NULL, NULL);
}
