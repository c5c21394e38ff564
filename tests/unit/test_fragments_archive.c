/* Lookups of an archive: what retention lets be seen, and nothing else. */
#include <fcntl.h>

#include "tests/support/index_world.h"
#include "tests/unit/fragments_archive_world.h"

#define AT(n) ((struct kn_wall){WORLD_START_NS + (n)*KN_NS_PER_S})
#define BOTH(clock)                                                                                \
    for (enum frag_clock clock = FRAG_CLOCK_PRODUCER;                                              \
         (clock) <= FRAG_CLOCK_SERVER; /* NOLINT(bugprone-macro-parentheses): a declaration */     \
         (clock)++)

static struct archive_world world;
static struct frag_archive *archive;

static int set_up(void **state) {
    (void)state;
    archive_world_init(&world);
    return frag_archive_open(&world.store, &archive);
}

static int tear_down(void **state) {
    (void)state;
    frag_archive_close(archive);
    archive_world_finish(&world);
    return 0;
}

/* ---- small reels by hand ---- */

struct plain {
    int64_t producer_s, server_s; /* after the start */
    uint64_t sequence;            /* of the epoch */
};

/* A reel whose file nobody looks at. */
static int64_t add_reel(uint16_t flags, const struct plain *plain, size_t count) {
    char path[64];
    struct frag_index_reel reel = {.folder = 3, .path = path, .bytes = FRAG_REEL_BODY_AT};
    int64_t row = 0;
    world.reels++;
    (void)snprintf(path, sizeof(path), "reels/gate/%u.mkv", world.reels);
    reel.identity = (struct frag_reel_identity){
        .flags = flags, .epoch = 7, .timecode_scale_ns = 1000000, .number_low = 5};
    memcpy(reel.identity.stream_id, world.stream.id, FRAG_ID_BYTES);
    memcpy(reel.identity.reel_id, &world.reels, sizeof(world.reels));
    assert_int_equal(frag_index_begin(world.index), 0);
    assert_int_equal(frag_index_add_reel(world.index, &reel, &row), 0);
    uint64_t at = FRAG_REEL_BODY_AT;
    for (size_t i = 0; i < count; i++) {
        const struct frag_reel_row fragment = {
            .cluster_at = at,
            .cluster_bytes = 1000 + i,
            .trailer_bytes = FRAG_REEL_TRAILER_LEAST,
            .number = {.sequence = (UINT64_C(7) << 32) + plain[i].sequence,
                       .server_ms = 1,
                       .low = reel.identity.number_low},
            .ordinal = 100 + plain[i].sequence,
            .discontinuities = 4,
            .producer = AT(plain[i].producer_s),
            .server = AT(plain[i].server_s),
            .duration_ns = 2 * KN_NS_PER_S,
            .flags = FRAG_NO_KEY_START,
        };
        assert_int_equal(frag_index_add_fragment(world.index, row, &fragment), 0);
        at += fragment.cluster_bytes + fragment.trailer_bytes;
    }
    assert_int_equal(frag_index_commit(world.index, false), 0);
    return row;
}

static void expect(int rc, const struct frag_entry *entry, uint64_t sequence) {
    assert_int_equal(rc, 0);
    assert_int_equal(entry->number.sequence, (UINT64_C(7) << 32) + sequence);
    assert_int_equal(entry->ordinal, 100 + sequence);
}

static int at_time(enum frag_clock clock, int64_t s, struct frag_entry *entry) {
    return frag_archive_find_time(archive, &world.stream, clock, AT(s), entry);
}

static int by_number(uint64_t sequence, struct frag_entry *entry) {
    return frag_archive_find_number(archive, &world.stream, (UINT64_C(7) << 32) + sequence, entry);
}

static void expect_nothing(void) {
    struct frag_entry entry;
    assert_int_equal(frag_archive_earliest(archive, &world.stream, &entry), -ENOENT);
    assert_int_equal(frag_archive_latest(archive, &world.stream, &entry), -ENOENT);
    assert_int_equal(by_number(1, &entry), -ENOENT);
    BOTH(clock) {
        assert_int_equal(at_time(clock, 1000000, &entry), -ENOENT);
    }
}

/* ---- edges ---- */

static void no_index(void **state) {
    (void)state;
    struct frag_archive *other = NULL;
    char path[] = "/nowhere/index.db";
    world.store.index_path = path;
    assert_int_equal(frag_archive_open(&world.store, &other), -ENOENT);
    assert_null(other);
    world.store.index_path = world.index_path;
    frag_archive_close(NULL);
}

static void empty_stream(void **state) {
    (void)state;
    struct frag_entry entry;
    expect_nothing();
    (void)add_reel(0, NULL, 0); /* a reel without fragments */
    expect_nothing();
    BOTH(clock) {
        assert_int_equal(frag_archive_range(archive, &world.stream, clock,
                                            (struct kn_wall){INT64_MIN},
                                            (struct kn_wall){INT64_MAX}, 0, &entry, 1),
                         0);
    }
}

static void one_reel(void **state) {
    (void)state;
    static const struct plain plain[] = {{10, 20, 1}, {12, 22, 2}, {12, 22, 3}, {16, 26, 7}};
    struct frag_entry entry;
    int64_t row = add_reel(0, plain, KN_COUNT(plain));
    BOTH(clock) {
        int64_t s = clock == FRAG_CLOCK_PRODUCER ? 10 : 20;
        assert_int_equal(at_time(clock, s - 1, &entry), -ENOENT);
        expect(at_time(clock, s, &entry), &entry, 1);
        expect(at_time(clock, s + 1, &entry), &entry, 1);
        expect(at_time(clock, s + 2, &entry), &entry, 3); /* of equal ones the larger number */
        expect(at_time(clock, s + 5, &entry), &entry, 3); /* it has ended before */
        expect(at_time(clock, s + 6, &entry), &entry, 7);
        expect(at_time(clock, 1000000, &entry), &entry, 7);
    }
    expect(frag_archive_earliest(archive, &world.stream, &entry), &entry, 1);
    assert_int_equal(entry.reel, row);
    assert_int_equal(entry.producer.ns, AT(10).ns);
    assert_int_equal(entry.server.ns, AT(20).ns);
    assert_int_equal(entry.discontinuities, 4);
    assert_int_equal(entry.duration_ns, 2 * KN_NS_PER_S);
    assert_int_equal(entry.flags, FRAG_NO_KEY_START);
    assert_int_equal(entry.cluster_bytes, 1000);
    expect(frag_archive_latest(archive, &world.stream, &entry), &entry, 7);
    expect(by_number(2, &entry), &entry, 2);
    assert_int_equal(by_number(4, &entry), -ENOENT);
    assert_int_equal(by_number(0, &entry), -ENOENT);
    assert_int_equal(frag_archive_find_number(archive, &world.stream, UINT64_MAX, &entry), -ENOENT);
}

static void ranges(void **state) {
    (void)state;
    static const struct plain plain[] = {{10, 20, 1}, {12, 22, 2}, {12, 22, 3}, {16, 26, 7}};
    struct frag_entry entries[4];
    (void)add_reel(0, plain, KN_COUNT(plain));
    BOTH(clock) {
        int64_t s = clock == FRAG_CLOCK_PRODUCER ? 10 : 20;
        /* Both ends are in. */
        assert_int_equal(
            frag_archive_range(archive, &world.stream, clock, AT(s + 2), AT(s + 6), 0, entries, 4),
            3);
        expect(0, &entries[0], 2);
        expect(0, &entries[2], 7);
        /* In pages. */
        assert_int_equal(
            frag_archive_range(archive, &world.stream, clock, AT(s), AT(s + 5), 0, entries, 2), 2);
        assert_int_equal(frag_archive_range(archive, &world.stream, clock, AT(s), AT(s + 5),
                                            entries[1].number.sequence, entries, 2),
                         1);
        expect(0, &entries[0], 3);
        assert_int_equal(frag_archive_range(archive, &world.stream, clock, AT(s), AT(s + 5),
                                            entries[0].number.sequence, entries, 2),
                         0);
        assert_int_equal(
            frag_archive_range(archive, &world.stream, clock, AT(s + 1), AT(s), 0, entries, 2), 0);
    }
}

/* Two sessions at once, with clocks of their own. */
static void overlapping_reels(void **state) {
    (void)state;
    static const struct plain one[] = {{10, 10, 1}, {14, 14, 3}, {18, 18, 5}};
    static const struct plain other[] = {{9, 12, 2}, {13, 16, 4}, {14, 20, 6}};
    struct frag_entry entries[8];
    struct frag_entry entry;
    (void)add_reel(0, one, KN_COUNT(one));
    (void)add_reel(0, other, KN_COUNT(other));
    expect(at_time(FRAG_CLOCK_SERVER, 16, &entry), &entry, 4);
    expect(at_time(FRAG_CLOCK_SERVER, 15, &entry), &entry, 3);
    expect(at_time(FRAG_CLOCK_PRODUCER, 14, &entry), &entry, 6);
    expect(at_time(FRAG_CLOCK_PRODUCER, 13, &entry), &entry, 4);
    expect(at_time(FRAG_CLOCK_PRODUCER, 9, &entry), &entry, 2);
    expect(frag_archive_earliest(archive, &world.stream, &entry), &entry, 1);
    expect(frag_archive_latest(archive, &world.stream, &entry), &entry, 6);
    assert_int_equal(frag_archive_range(archive, &world.stream, FRAG_CLOCK_PRODUCER, AT(10), AT(14),
                                        0, entries, 8),
                     4);
    for (size_t i = 0; i < 4; i++) {
        static const uint64_t expected[] = {1, 3, 4, 6};
        expect(0, &entries[i], expected[i]);
    }
    /* From 16 on of the server's clock: halves of both. */
    archive_world_see_from(&world, AT(16).ns);
    expect(frag_archive_earliest(archive, &world.stream, &entry), &entry, 4);
    expect(frag_archive_latest(archive, &world.stream, &entry), &entry, 6);
    assert_int_equal(at_time(FRAG_CLOCK_SERVER, 15, &entry), -ENOENT);
    expect(at_time(FRAG_CLOCK_PRODUCER, 13, &entry), &entry, 4);
    assert_int_equal(at_time(FRAG_CLOCK_PRODUCER, 12, &entry), -ENOENT);
    assert_int_equal(by_number(3, &entry), -ENOENT);
    expect(by_number(4, &entry), &entry, 4);
}

static void behind_retention(void **state) {
    (void)state;
    static const struct plain plain[] = {{10, 20, 1}, {12, 22, 2}, {14, 24, 3}};
    struct frag_entry entry;
    struct frag_entry entries[4];
    (void)add_reel(0, plain, KN_COUNT(plain));
    archive_world_see_from(&world, AT(22).ns); /* which itself is seen */
    expect(frag_archive_earliest(archive, &world.stream, &entry), &entry, 2);
    assert_int_equal(by_number(1, &entry), -ENOENT);
    assert_int_equal(at_time(FRAG_CLOCK_SERVER, 21, &entry), -ENOENT);
    assert_int_equal(at_time(FRAG_CLOCK_PRODUCER, 11, &entry), -ENOENT);
    expect(at_time(FRAG_CLOCK_PRODUCER, 12, &entry), &entry, 2);
    BOTH(clock) {
        assert_int_equal(
            frag_archive_range(archive, &world.stream, clock, AT(0), AT(100), 0, entries, 4), 2);
        expect(0, &entries[0], 2);
    }
    /* Time passes. */
    fake_clock_advance(&world.clock, 1);
    expect(frag_archive_earliest(archive, &world.stream, &entry), &entry, 3);
    fake_clock_advance(&world.clock, 2 * KN_NS_PER_S);
    expect_nothing();
    BOTH(clock) {
        assert_int_equal(
            frag_archive_range(archive, &world.stream, clock, AT(0), AT(100), 0, entries, 4), 0);
    }
    /* Whoever keeps longer sees again what is still there. */
    world.stream.settings.retention_ns = FRAG_RETAIN_FOREVER;
    expect(frag_archive_earliest(archive, &world.stream, &entry), &entry, 1);
}

static void kept_reels(void **state) {
    (void)state;
    static const struct plain old[] = {{10, 20, 1}, {12, 22, 2}, {14, 24, 3}};
    static const struct plain kept[] = {{12, 22, 2}};
    static const struct plain recent[] = {{500, 500, 9}, {5, 502, 10}};
    struct frag_entry entry;
    struct frag_entry entries[4];
    int64_t old_row = add_reel(0, old, KN_COUNT(old));
    int64_t kept_row = add_reel(FRAG_REEL_KEPT, kept, KN_COUNT(kept));
    (void)add_reel(0, recent, KN_COUNT(recent));
    archive_world_see_from(&world, AT(100).ns);
    for (int marked = 0; marked < 2; marked++) {
        expect(frag_archive_earliest(archive, &world.stream, &entry), &entry, 2);
        assert_int_equal(entry.reel, kept_row);
        expect(by_number(2, &entry), &entry, 2);
        assert_int_equal(entry.reel, kept_row);
        expect(at_time(FRAG_CLOCK_SERVER, 99, &entry), &entry, 2);
        assert_int_equal(entry.reel, kept_row);
        expect(at_time(FRAG_CLOCK_PRODUCER, 499, &entry), &entry, 2);
        expect(at_time(FRAG_CLOCK_PRODUCER, 11, &entry), &entry, 10);
        assert_int_equal(at_time(FRAG_CLOCK_PRODUCER, 4, &entry), -ENOENT);
        assert_int_equal(at_time(FRAG_CLOCK_SERVER, 21, &entry), -ENOENT);
        assert_int_equal(frag_archive_range(archive, &world.stream, FRAG_CLOCK_SERVER, AT(0),
                                            AT(1000), 0, entries, 4),
                         3);
        expect(0, &entries[0], 2);
        assert_int_equal(by_number(3, &entry), -ENOENT);
        archive_world_mark(&world, old_row);
    }
    /* The stream was silent for longer than it keeps. */
    fake_clock_advance(&world.clock, 1000 * KN_NS_PER_S);
    expect(frag_archive_latest(archive, &world.stream, &entry), &entry, 2);
}

static void deleted(void **state) {
    (void)state;
    static const struct plain plain[] = {{10, 20, 1}};
    struct frag_entry entry;
    int64_t row = add_reel(0, plain, 1);
    expect(frag_archive_latest(archive, &world.stream, &entry), &entry, 1);
    world.stream.deleting = true;
    expect_nothing();
    assert_int_equal(frag_archive_range(archive, &world.stream, FRAG_CLOCK_SERVER, AT(0), AT(1000),
                                        0, &entry, 1),
                     -ENOENT);
    world.stream.deleting = false;
    archive_world_mark(&world, row);
    expect_nothing();
}

/* ---- against looking through all ---- */

/* What is left of the store's fragments: an own list, the reels are shared. */
static struct world seen_of(const struct world *all, int64_t from_ns) {
    struct world seen = *all;
    seen.count = 0;
    seen.fragments = calloc(all->count + 1, sizeof(*seen.fragments));
    assert_non_null(seen.fragments);
    for (size_t i = 0; i < all->count; i++) {
        const struct world_fragment *one = &all->fragments[i];
        bool kept = (all->reels[one->reel].reel.identity.flags & FRAG_REEL_KEPT) != 0;
        if (kept || one->row.server.ns >= from_ns) {
            seen.fragments[seen.count++] = *one;
        }
    }
    return seen;
}

static void expect_same(const struct world *all, int rc, const struct frag_entry *entry,
                        const struct world_fragment *expected) {
    assert_int_equal(rc, expected == NULL ? -ENOENT : 0);
    if (expected != NULL) {
        const struct frag_reel_row *row = &expected->row;
        assert_int_equal(frag_number_compare(entry->number, row->number), 0);
        assert_int_equal(entry->reel, all->reels[expected->reel].reel.row);
        assert_int_equal(entry->cluster_at, row->cluster_at);
        assert_int_equal(entry->cluster_bytes, row->cluster_bytes);
        assert_int_equal(entry->trailer_bytes, row->trailer_bytes);
        assert_int_equal(entry->producer.ns, row->producer.ns);
        assert_int_equal(entry->server.ns, row->server.ns);
    }
}

static void compare_range(struct world *all, const struct world *seen, size_t stream,
                          enum frag_clock clock, int64_t from_ns, int64_t to_ns) {
    const struct world_fragment **expected = NULL;
    struct frag_entry entries[100];
    size_t count = world_range(seen, stream, clock, from_ns, to_ns, &expected);
    size_t max = (size_t)world_between(all, 1, (int64_t)KN_COUNT(entries));
    uint64_t after = 0;
    for (size_t at = 0;;) {
        int rc = frag_archive_range(archive, &world.stream, clock, (struct kn_wall){from_ns},
                                    (struct kn_wall){to_ns}, after, entries, max);
        assert_int_equal(rc, count - at < max ? count - at : max);
        for (int i = 0; i < rc; i++) {
            expect_same(all, 0, &entries[i], expected[at++]);
            after = entries[i].number.sequence;
        }
        if (rc == 0) {
            break;
        }
    }
    free(expected);
}

static void compare(struct world *all, size_t stream, int64_t from_ns) {
    struct world seen = seen_of(all, from_ns);
    struct frag_stream *asked = &world.stream;
    struct frag_entry entry;
    memcpy(asked->id, world_stream_id(stream), FRAG_ID_BYTES);
    expect_same(all, frag_archive_earliest(archive, asked, &entry), &entry,
                world_earliest(&seen, stream));
    expect_same(all, frag_archive_latest(archive, asked, &entry), &entry,
                world_latest(&seen, stream));
    for (int i = 0; i < 20; i++) {
        const struct frag_reel_row *row = &all->fragments[world_draw(all) % all->count].row;
        uint64_t sequence = row->number.sequence + world_draw(all) % 2;
        expect_same(all, frag_archive_find_number(archive, asked, sequence, &entry), &entry,
                    world_find_sequence(&seen, stream, sequence));
        BOTH(clock) {
            int64_t ns = (clock == FRAG_CLOCK_PRODUCER ? row->producer.ns : row->server.ns) +
                         world_between(all, -1, 1);
            expect_same(all,
                        frag_archive_find_time(archive, asked, clock, (struct kn_wall){ns}, &entry),
                        &entry, world_find_time(&seen, stream, clock, ns));
        }
    }
    BOTH(clock) {
        int64_t ns = all->fragments[world_draw(all) % all->count].row.server.ns;
        compare_range(all, &seen, stream, clock, ns,
                      ns + world_between(all, 0, 3600) * KN_NS_PER_S);
    }
    free(seen.fragments);
}

/* Clocks that step, sessions side by side, kept copies: whatever retention has come to. */
static void random_stores(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct world all;
        world_init(&all, seed);
        for (int round = 0; round < 12; round++) {
            world_grow(&all, world.index, 150);
            atomic_store(&world.clock.wall_ns, all.server_ns + 48 * 3600 * KN_NS_PER_S);
            for (size_t stream = 0; stream <= WORLD_STREAMS; stream++) {
                world.stream.settings.retention_ns = FRAG_RETAIN_FOREVER;
                compare(&all, stream, INT64_MIN);
                for (int i = 0; i < 4; i++) {
                    int64_t from_ns =
                        all.fragments[world_draw(&all) % all.count].row.server.ns + i % 2;
                    archive_world_see_from(&world, from_ns);
                    compare(&all, stream, from_ns);
                }
            }
        }
        world_finish(&all);
        assert_int_equal(tear_down(NULL), 0);
        assert_int_equal(set_up(NULL), 0);
    }
}

/* ---- an index that is made again ---- */

static void remove_index(void) {
    static const char *const endings[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < KN_COUNT(endings); i++) {
        char name[320];
        (void)snprintf(name, sizeof(name), "%s%s", world.index_path, endings[i]);
        (void)unlink(name); /* it need not be there */
    }
}

static void replaced_index(void **state) {
    (void)state;
    static const struct plain plain[] = {{10, 20, 1}, {12, 22, 2}};
    struct frag_entry entry;
    (void)add_reel(0, plain, 1);
    expect(frag_archive_latest(archive, &world.stream, &entry), &entry, 1);
    frag_index_close(world.index);
    remove_index();
    /* Nothing stands in its place yet: what was read goes on. */
    expect(frag_archive_latest(archive, &world.stream, &entry), &entry, 1);
    FILE *file = fopen(world.index_path, "wbe");
    assert_non_null(file);
    assert_int_equal(fclose(file), 0);
    expect(frag_archive_latest(archive, &world.stream, &entry), &entry, 1);
    remove_index();
    assert_int_equal(frag_index_open(world.index_path, FRAG_INDEX_WRITE, &world.index), 0);
    expect_nothing();
    (void)add_reel(0, plain, 2);
    expect(frag_archive_latest(archive, &world.stream, &entry), &entry, 2);
}

/* Bytes of the database are not what they were: that is said. Once they are, or another database
 * stands there, it is well again. */
static void damaged_index(void **state) {
    (void)state;
    enum { FROM = 16384, BYTES = 163840 };
    static const struct plain plain[] = {{10, 20, 1}};
    static uint8_t noise[BYTES];
    static uint8_t bytes[BYTES];
    struct frag_entry entry;
    (void)add_reel(0, plain, 1);
    frag_index_close(world.index); /* all of it is in the file now */
    int fd = open(world.index_path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    ssize_t got = pread(fd, bytes, sizeof(bytes), FROM);
    assert_true(got > FROM);
    memset(noise, 0xA5, sizeof(noise));
    assert_int_equal(pwrite(fd, noise, (size_t)got, FROM), got);
    assert_int_equal(frag_archive_latest(archive, &world.stream, &entry), KN_E_MALFORMED);
    assert_int_equal(pwrite(fd, bytes, (size_t)got, FROM), got);
    expect(frag_archive_latest(archive, &world.stream, &entry), &entry, 1);
    assert_int_equal(pwrite(fd, noise, (size_t)got, FROM), got);
    assert_int_equal(close(fd), 0);
    remove_index();
    assert_int_equal(frag_index_open(world.index_path, FRAG_INDEX_WRITE, &world.index), 0);
    (void)add_reel(0, plain, 1);
    expect(frag_archive_latest(archive, &world.stream, &entry), &entry, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_index, set_up, tear_down),
        cmocka_unit_test_setup_teardown(empty_stream, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_reel, set_up, tear_down),
        cmocka_unit_test_setup_teardown(ranges, set_up, tear_down),
        cmocka_unit_test_setup_teardown(overlapping_reels, set_up, tear_down),
        cmocka_unit_test_setup_teardown(behind_retention, set_up, tear_down),
        cmocka_unit_test_setup_teardown(kept_reels, set_up, tear_down),
        cmocka_unit_test_setup_teardown(deleted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(random_stores, set_up, tear_down),
        cmocka_unit_test_setup_teardown(replaced_index, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damaged_index, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
