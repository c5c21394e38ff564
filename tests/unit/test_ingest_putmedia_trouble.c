/* PutMedia bodies where something is in the way: they come again, nobody reads the
 * acknowledgements, there is no memory, the disk fails. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ingest_put_world.h"
#include "tests/support/fault_io.h"

/* ---- what comes again ---- */

static void knows_what_was_stored(void **state) {
    struct put_world *world = *state;
    struct frag_entry before[8], after[8];
    put_whole(world, PUT_HEAD PUT_CLUSTER(0) PUT_CLUSTER(2000) PUT_CLUSTER(4000) "}");
    put_finish(world);
    assert_int_equal(put_stored(world, before, 8), 3);
    /* Another process, and its sizes are known now: the bytes are the same. */
    put_close_store(world);
    put_open_store(world);
    put_whole(world,
              PUT_HEAD PUT_CLUSTER_KNOWN(2000) PUT_CLUSTER_KNOWN(4000) PUT_CLUSTER_KNOWN(6000) "}");
    assert_string_equal(put_acks_text(world),
                        "B2000 R2000 P2000 B4000 R4000 P4000 B6000 R6000 P6000");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(frag_number_compare(world->acks[i].number, before[1].number), 0);
        assert_int_equal(frag_number_compare(world->acks[3 + i].number, before[2].number), 0);
    }
    put_finish(world);
    assert_int_equal(put_stored(world, after, 8), 4);
    assert_int_equal(frag_number_compare(after[2].number, before[2].number), 0);
    assert_int_equal(after[3].producer.ns, 6000 * KN_NS_PER_MS);
}

static void stores_what_is_new_at_an_old_time(void **state) {
    struct put_world *world = *state;
    struct frag_entry entries[8];
    put_whole(world, PUT_HEAD PUT_CLUSTER(0) PUT_CLUSTER(2000) "}");
    put_finish(world);
    put_whole(world, PUT_HEAD "Cluster:?{Time=0 " PUT_PICTURES("other") "} " PUT_CLUSTER(1000)
                         PUT_CLUSTER(2000) "}");
    /* The first has a time that is there and other bytes, the second none that is there. */
    assert_string_equal(put_acks_text(world), "B0 R0 P0 B1000 R1000 P1000 B2000 R2000 P2000");
    put_finish(world);
    assert_int_equal(put_stored(world, entries, 8), 4);
}

/* Two at once, as at the rotation of a token: the older one ends behind the newer one's beginning.
 */
static void takes_two_connections_at_once(void **state) {
    struct put_world *world = *state;
    struct frag_entry entries[8];
    put_begin(world);
    put_text(world, PUT_HEAD PUT_CLUSTER(0) "Cluster:?{Time=2000 " PUT_PICTURES("old"));
    struct ing_put *old = world->put;
    struct ing_put_config config = put_config(world);
    config.closed = NULL;
    assert_int_equal(ing_put_create(&config, &world->put), 0);
    put_text(world, PUT_HEAD "Cluster:?{Time=4000 " PUT_PICTURES("new"));
    (void)put_turn(world);
    struct ing_put *new = world->put;
    world->put = old;
    ing_put_end(world->put, true);
    put_settle(world);
    assert_int_equal(put_count(world, ING_ACK_PERSISTED), 2);
    put_finish(world);
    world->put = new;
    world->ack_count = 0;
    ing_put_end(world->put, true);
    put_settle(world);
    assert_int_equal(put_count(world, ING_ACK_PERSISTED), 1);
    ing_put_destroy(world->put);
    world->put = NULL;
    assert_int_equal(put_stored(world, entries, 8), 3);
}

/* ---- nothing on disk ---- */

static void answers_in_streams_that_keep_nothing(void **state) {
    struct put_world *world = *state;
    struct frag_entry entry;
    struct frag_stream_settings settings = frag_stream_settings_defaults();
    assert_int_equal(frag_stream_update(world->stream, NULL, &settings), 0);
    put_whole(world, PUT_HEAD PUT_CLUSTER(0) PUT_CLUSTER(2000) "}");
    assert_string_equal(put_acks_text(world), "B0 R0 P0 B2000 R2000 P2000");
    put_finish(world);
    assert_int_equal(put_stored(world, &entry, 1), 0);
}

/* ---- back-pressure ---- */

static void waits_for_whoever_reads_the_acknowledgements(void **state) {
    struct put_world *world = *state;
    struct ebml_document head;
    char text[128];
    put_begin(world);
    ebml_build(&head, PUT_HEAD);
    put_push(world, head.data, head.size, head.size);
    ebml_free(&head);
    size_t sent = 0, acks = 0;
    for (; sent < 2000; sent++) {
        struct ebml_document cluster;
        (void)snprintf(text, sizeof(text), "Cluster{Time=%zu Simple<81 0000 80 00>}", sent * 1000);
        ebml_build(&cluster, text);
        size_t taken = ing_put_push(world->put, cluster.data, cluster.size);
        bool all = taken == cluster.size;
        assert_true(all || taken == 0);
        ebml_free(&cluster);
        if (sent == 0) {
            (void)put_turn(world);
        }
        assert_int_equal(frag_store_flush(world->store), 0);
        if (!all) {
            break;
        }
    }
    assert_true(sent > 100 && sent < 300);
    assert_false(ing_put_turn(world->put));
    put_take_acks(world);
    acks = world->ack_count;
    assert_int_equal(acks, 3 * sent);
    assert_true(ing_put_turn(world->put));
    ing_put_end(world->put, true);
    put_settle(world);
    put_finish(world);
}

static void waits_for_memory_and_gives_up(void **state) {
    struct put_world *world = *state;
    struct kn_budget *budget = frag_stream_budget(world->stream);
    size_t all = kn_budget_max(budget) - kn_budget_used(budget);
    struct ebml_document document;
    ebml_build(&document, PUT_HEAD PUT_CLUSTER(0) "}");
    put_begin(world);
    assert_int_equal(kn_budget_claim(budget, all), 0);
    assert_int_equal(ing_put_push(world->put, document.data, document.size), 0);
    fake_clock_advance(&world->clock, 5 * KN_NS_PER_S);
    assert_false(ing_put_turn(world->put));
    kn_budget_release(budget, all);
    assert_true(ing_put_turn(world->put));
    put_push(world, document.data, 40, 40);
    assert_int_equal(kn_budget_claim(budget, all), 0);
    assert_int_equal(ing_put_push(world->put, document.data + 40, document.size - 40), 0);
    fake_clock_advance(&world->clock, 11 * KN_NS_PER_S);
    (void)ing_put_turn(world->put);
    kn_budget_release(budget, all);
    put_settle(world);
    assert_string_equal(put_acks_text(world), "E:5000");
    put_finish(world);
    ebml_free(&document);
}

/* ---- the disk ---- */

static void put_reopen(struct put_world *world) {
    put_close_store(world);
    put_open_store(world);
}

static void tells_what_could_not_be_stored(void **state) {
    struct put_world *world = *state;
    struct fault_io fault;
    struct frag_entry entries[8];
    fault_io_init(&fault, frag_io_system());
    world->config.io = &fault.io;
    put_reopen(world);
    put_begin(world);
    put_text(world, PUT_HEAD PUT_CLUSTER_KNOWN(0));
    assert_int_equal(frag_store_flush(world->store), 0);
    fault.fail_at = fault.operations + 1;
    fault.fail_kinds = 1u << FAULT_SYNCING;
    put_text(world, PUT_CLUSTER_KNOWN(2000) PUT_CLUSTER_KNOWN(4000));
    put_settle(world);
    assert_true(fault.failed > 0);
    /* Nothing behind the lost one is acknowledged: a client would take that for both. */
    assert_string_equal(put_acks_text(world), "B0 R0 P0 B2000 B4000 E2000:5001");
    put_finish(world);
    /* What comes again stands there once. */
    put_whole(world, PUT_HEAD PUT_CLUSTER(2000) PUT_CLUSTER(4000) "}");
    assert_int_equal(put_count(world, ING_ACK_PERSISTED), 2);
    put_finish(world);
    assert_int_equal(put_stored(world, entries, 8), 3);
    world->config.io = NULL;
    put_reopen(world);
    fault_io_finish(&fault);
}

static void waits_for_a_full_disk(void **state) {
    struct put_world *world = *state;
    struct ebml_document document;
    world->config.min_free_bytes = UINT64_MAX / 2;
    put_reopen(world);
    ebml_build(&document, PUT_HEAD PUT_CLUSTER_KNOWN(0));
    put_begin(world);
    assert_int_equal(ing_put_push(world->put, document.data, document.size), document.size);
    assert_false(put_turn(world));
    assert_int_equal(ing_put_push(world->put, document.data, 1), 0);
    fake_clock_advance(&world->clock, 60 * KN_NS_PER_S); /* which is no silence of the producer */
    assert_false(put_turn(world));
    put_take_acks(world);
    assert_string_equal(put_acks_text(world), "B0");
    ing_put_drain(world->put);
    ing_put_destroy(world->put);
    world->put = NULL;
    world->config.min_free_bytes = 0;
    put_reopen(world);
    ebml_free(&document);
}

/* ---- no memory ---- */

static void survives_without_memory(void **state) {
    struct put_world *world = *state;
    const struct ing_put_config config = put_config(world);
    struct ebml_document document;
    bool whole = false;
    ebml_build(&document, PUT_HEAD PUT_CLUSTER(0) "Tags{" PUT_TAG("a", "b") "} " PUT_CLUSTER(2000)
                              PUT_EOFR "}");
    for (unsigned long n = 1; !whole; n++) {
        assert_true(n < 1000);
        fail_alloc_at(n);
        int rc = ing_put_create(&config, &world->put);
        if (rc != 0) {
            assert_int_equal(rc, -ENOMEM);
            continue;
        }
        world->put_open = true;
        world->ack_count = 0;
        size_t taken = 0;
        for (int i = 0; i < 20 && taken < document.size; i++) {
            taken += ing_put_push(world->put, document.data + taken, document.size - taken);
            (void)put_turn(world);
        }
        assert_int_equal(taken, document.size);
        ing_put_end(world->put, true);
        for (int i = 0; i < 8 && !ing_put_is_over(world->put); i++) {
            (void)put_turn(world);
            (void)!frag_store_flush(world->store);
            put_take_acks(world);
        }
        whole = fail_alloc_count() < n;
        fail_alloc_stop();
        put_settle(world);
        /* All is acknowledged, or it says that it is not; nothing is doubled either way. */
        size_t stored = put_count(world, ING_ACK_PERSISTED);
        assert_true(stored == 2 || put_count(world, ING_ACK_ERROR) == 1 || world->ack_count < 6);
        put_finish(world);
    }
    fail_alloc_stop();
    assert_int_equal(put_count(world, ING_ACK_PERSISTED), 2);
    ebml_free(&document);
}

int main(void) {
#define WORLD_TEST(test) cmocka_unit_test_setup_teardown(test, put_world_open, put_world_close)
    const struct CMUnitTest tests[] = {
        WORLD_TEST(knows_what_was_stored),
        WORLD_TEST(stores_what_is_new_at_an_old_time),
        WORLD_TEST(takes_two_connections_at_once),
        WORLD_TEST(answers_in_streams_that_keep_nothing),
        WORLD_TEST(waits_for_whoever_reads_the_acknowledgements),
        WORLD_TEST(waits_for_memory_and_gives_up),
        WORLD_TEST(tells_what_could_not_be_stored),
        WORLD_TEST(waits_for_a_full_disk),
        WORLD_TEST(survives_without_memory),
    };
    return cmocka_run_group_tests_name("ingest/putmedia_trouble", tests, NULL, NULL);
}
