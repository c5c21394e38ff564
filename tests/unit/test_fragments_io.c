#include <errno.h>
#include <pthread.h>
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
#include "fragments/store/io.h"
#include "tests/support/fault_io.h"
#include "tests/support/mem_io.h"

static char folder[256];

static const char *path(const char *name) {
    static char paths[4][512];
    static unsigned next;
    char *room = paths[next++ % 4];
    (void)snprintf(room, sizeof(paths[0]), "%s/%s", folder, name);
    return room;
}

static int make_root(void **state) {
    (void)state;
    const char *base = getenv("TMPDIR");
    (void)snprintf(folder, sizeof(folder), "%s/kinora-io-XXXXXX", base != NULL ? base : "/tmp");
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int remove_root(void **state) {
    (void)state;
    return rmdir(folder); /* every test takes its own away */
}

/* ---- the system's and the tests' own do the same ---- */

static int count_entry(const struct frag_io_entry *entry, void *user) {
    uint64_t *sums = user;
    assert_true(strcmp(entry->name, "file") == 0 || strcmp(entry->name, "sub") == 0);
    assert_true(entry->folder == (strcmp(entry->name, "sub") == 0));
    sums[entry->folder]++;
    sums[2] += entry->folder ? 0 : entry->bytes;
    return 0;
}

static int refuse_entry(const struct frag_io_entry *entry, void *user) {
    (void)entry;
    (void)user;
    return -ECANCELED;
}

static void use_files(struct frag_io *io) {
    char room[16];
    uint64_t bytes;
    assert_int_equal(io->open(io, path("file"), FRAG_IO_READ), -ENOENT);
    assert_int_equal(io->open(io, path("file"), FRAG_IO_WRITE), -ENOENT);
    assert_int_equal(io->open(io, path("none/file"), FRAG_IO_CREATE), -ENOENT);
    int fd = io->open(io, path("file"), FRAG_IO_CREATE);
    assert_true(fd >= 0);
    assert_int_equal(io->open(io, path("file"), FRAG_IO_CREATE), -EEXIST);

    assert_int_equal(frag_io_write_bytes(io, fd, "0123456789", 10, 2), 0);
    assert_int_equal(frag_io_write_bytes(io, fd, NULL, 0, 100), 0);
    assert_int_equal(io->size(io, fd, &bytes), 0);
    assert_int_equal(bytes, 12);
    assert_int_equal(frag_io_read_exactly(io, fd, room, 12, 0), 0);
    assert_memory_equal(room, "\0\0000123456789", 12);
    assert_int_equal(frag_io_read_exactly(io, fd, room, 3, 10), KN_E_TRUNCATED);
    assert_int_equal(io->read(io, fd, room, 16, 10), 2);
    assert_int_equal(io->read(io, fd, room, 16, 12), 0);
    assert_int_equal(io->read(io, fd, room, 16, 99), 0);
    assert_int_equal(frag_io_read_exactly(io, fd, room, 0, 99), 0);
    assert_int_equal(io->start_write_back(io, fd, 0, 12), 0);
    assert_int_equal(io->sync(io, fd), 0);
    assert_int_equal(io->truncate(io, fd, 4), 0);
    assert_int_equal(io->truncate(io, fd, 6), 0);
    assert_int_equal(frag_io_read_exactly(io, fd, room, 6, 0), 0);
    assert_memory_equal(room, "\0\00001\0\0", 6);
    assert_int_equal(io->close(io, fd), 0);

    fd = io->open(io, path("file"), FRAG_IO_READ);
    assert_true(fd >= 0);
    assert_true(frag_io_write_bytes(io, fd, "x", 1, 0) == -EBADF);
    assert_int_equal(io->close(io, fd), 0);
}

static void use_locks(struct frag_io *io) {
    int one = io->open(io, path("file"), FRAG_IO_WRITE);
    int other = io->open(io, path("file"), FRAG_IO_READ);
    int third = io->open(io, path("file"), FRAG_IO_WRITE);
    assert_true(one >= 0 && other >= 0 && third >= 0);
    assert_int_equal(io->lock(io, one), 0);
    assert_int_equal(io->lock(io, one), 0);
    assert_int_equal(io->lock(io, other), -EAGAIN);
    assert_int_equal(io->close(io, third), 0); /* has none to give back */
    assert_int_equal(io->lock(io, other), -EAGAIN);
    assert_int_equal(io->close(io, one), 0);
    assert_int_equal(io->lock(io, other), 0);
    assert_int_equal(io->close(io, other), 0);
}

static void use_folders(struct frag_io *io) {
    uint64_t sums[3] = {0}, space, total;
    assert_int_equal(io->make_folder(io, path("sub")), 0);
    assert_int_equal(io->make_folder(io, path("sub")), 0);
    assert_int_equal(io->make_folder(io, path("file")), -EEXIST);
    assert_int_equal(io->open(io, path("sub"), FRAG_IO_READ), -EISDIR);
    assert_int_equal(io->sync_folder(io, folder), 0);
    assert_int_equal(io->sync_folder(io, path("none")), -ENOENT);
    assert_int_equal(io->sync_folder(io, path("file")), -ENOTDIR);
    assert_int_equal(io->list(io, folder, count_entry, sums), 0);
    assert_true(sums[0] == 1 && sums[1] == 1 && sums[2] == 6);
    assert_int_equal(io->list(io, folder, refuse_entry, NULL), -ECANCELED);
    assert_int_equal(io->list(io, path("none"), refuse_entry, NULL), -ENOENT);
    assert_int_equal(io->space(io, folder, &space, &total), 0);
    assert_true(space <= total && total > 0);
    assert_int_equal(io->space(io, path("none"), &space, &total), -ENOENT);

    assert_int_equal(io->rename(io, path("none"), path("other")), -ENOENT);
    assert_int_equal(io->rename(io, path("file"), path("sub/file")), 0);
    assert_int_equal(io->remove_folder(io, path("sub")), -ENOTEMPTY);
    int fd = io->open(io, path("file"), FRAG_IO_CREATE);
    assert_true(fd >= 0);
    assert_int_equal(io->close(io, fd), 0);
    assert_int_equal(io->rename(io, path("sub/file"), path("file")), 0); /* over it */
    fd = io->open(io, path("file"), FRAG_IO_WRITE);
    assert_int_equal(io->size(io, fd, &space), 0);
    assert_int_equal(space, 6);
    assert_int_equal(io->unlink(io, path("file")), 0);
    assert_int_equal(io->unlink(io, path("file")), -ENOENT);
    assert_int_equal(frag_io_write_bytes(io, fd, "x", 1, 0), 0); /* as long as it is open */
    assert_int_equal(io->close(io, fd), 0);
    assert_int_equal(io->remove_folder(io, path("sub")), 0);
    assert_int_equal(io->remove_folder(io, path("sub")), -ENOENT);
}

static void the_systems_files_and_folders(void **state) {
    (void)state;
    use_files(frag_io_system());
    use_locks(frag_io_system());
    use_folders(frag_io_system());
}

static void the_same_in_memory(void **state) {
    (void)state;
    struct mem_io *mem = mem_io_create();
    assert_int_equal(mem_io(mem)->make_folder(mem_io(mem), folder), 0);
    use_files(mem_io(mem));
    use_locks(mem_io(mem));
    use_folders(mem_io(mem));
    mem_io_destroy(mem);
}

static void the_same_through_faults_that_do_not_happen(void **state) {
    (void)state;
    struct fault_io fault;
    fault_io_init(&fault, frag_io_system());
    use_files(&fault.io);
    use_locks(&fault.io);
    use_folders(&fault.io);
    fault_io_finish(&fault);
}

static int count_files(const struct frag_io_entry *entry, void *user) {
    (void)entry;
    (*(int *)user)++;
    return 0;
}

/* As many as a store has. */
static void many_files_in_memory(void **state) {
    (void)state;
    enum { FILES = 700 };
    struct mem_io *mem = mem_io_create();
    struct frag_io *io = mem_io(mem);
    int fds[FILES] = {0};
    int count = 0;
    assert_int_equal(io->make_folder(io, folder), 0);
    for (int i = 0; i < FILES; i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "file-%d", i);
        fds[i] = io->open(io, path(name), FRAG_IO_CREATE);
        assert_true(fds[i] >= 0);
        assert_int_equal(frag_io_write_bytes(io, fds[i], &i, sizeof(i), 0), 0);
    }
    assert_int_equal(io->list(io, folder, count_files, &count), 0);
    assert_int_equal(count, FILES);
    for (int i = 0; i < FILES; i++) {
        int back = -1;
        assert_int_equal(frag_io_read_exactly(io, fds[i], &back, sizeof(back), 0), 0);
        assert_int_equal(back, i);
        assert_int_equal(io->close(io, fds[i]), 0);
    }
    mem_io_destroy(mem);
}

/* ---- what only the system has ---- */

static void modes_links_and_pipes(void **state) {
    (void)state;
    struct frag_io *io = frag_io_system();
    struct stat info;
    uint64_t sums[3] = {0};
    mode_t mask = umask(0);
    int fd = io->open(io, path("file"), FRAG_IO_CREATE);
    assert_true(fd >= 0);
    assert_int_equal(io->make_folder(io, path("sub")), 0);
    (void)umask(mask);
    assert_true(fstat(fd, &info) == 0 && (info.st_mode & 0777) == 0640);
    assert_true(stat(path("sub"), &info) == 0 && (info.st_mode & 0777) == 0750);

    int rc = io->allocate(io, fd, 0, 65536);
    assert_true(rc == 0 || rc == -EOPNOTSUPP);
    assert_true(fstat(fd, &info) == 0 && info.st_size == 0);
    assert_int_equal(io->close(io, fd), 0);

    assert_int_equal(symlink("file", path("link")), 0);
    assert_int_equal(io->open(io, path("link"), FRAG_IO_READ), -ELOOP);
    assert_int_equal(io->open(io, path("link"), FRAG_IO_WRITE), -ELOOP);
    assert_int_equal(io->open(io, path("link"), FRAG_IO_CREATE), -EEXIST);
    assert_int_equal(mkfifo(path("pipe"), 0600), 0);
    assert_int_equal(io->open(io, path("pipe"), FRAG_IO_READ), -EINVAL);
    assert_int_equal(io->open(io, path("pipe"), FRAG_IO_WRITE), -EINVAL);
    assert_int_equal(io->list(io, folder, count_entry, sums), 0); /* neither is told */
    assert_true(sums[0] == 1 && sums[1] == 1);
    assert_int_equal(io->unlink(io, path("link")), 0);
    assert_int_equal(io->unlink(io, path("pipe")), 0);
    assert_int_equal(io->unlink(io, path("file")), 0);
    assert_int_equal(io->remove_folder(io, path("sub")), 0);
}

static void offsets_beyond_all_files(void **state) {
    (void)state;
    struct frag_io *io = frag_io_system();
    char byte = 0;
    int fd = io->open(io, path("file"), FRAG_IO_CREATE);
    assert_true(fd >= 0);
    assert_int_equal(io->read(io, fd, &byte, 1, UINT64_MAX), -EFBIG);
    assert_int_equal(io->read(io, fd, &byte, 1, INT64_MAX), -EFBIG);
    assert_int_equal(frag_io_write_bytes(io, fd, &byte, 1, UINT64_MAX), -EFBIG);
    assert_int_equal(io->truncate(io, fd, UINT64_MAX), -EFBIG);
    assert_int_equal(io->allocate(io, fd, UINT64_MAX, 1), -EFBIG);
    assert_int_equal(io->start_write_back(io, fd, 1, INT64_MAX), -EFBIG);
    assert_int_equal(io->close(io, fd), 0);
    assert_int_equal(io->unlink(io, path("file")), 0);
}

/* ---- writing all ---- */

/* More slices than one call takes, empty ones among them, in pieces of any size. */
static void all_slices_are_written(void **state) {
    (void)state;
    enum { SLICES = 2500 };
    static struct iovec iov[SLICES];
    static uint8_t expected[3 * SLICES], back[3 * SLICES];
    struct frag_io *systems[2] = {frag_io_system(), NULL};
    struct fault_io fault;
    fault_io_init(&fault, frag_io_system());
    systems[1] = &fault.io;
    for (int round = 0; round < 4; round++) {
        struct frag_io *io = systems[round > 0];
        fault.write_max = (size_t)(round * round) * 3; /* 0, 3, 12, 27 */
        size_t size = 0;
        for (size_t i = 0; i < SLICES; i++) {
            iov[i] = (struct iovec){.iov_base = expected + size, .iov_len = i * 7 % 4};
            for (size_t j = 0; j < iov[i].iov_len; j++) {
                expected[size++] = (uint8_t)(i + j);
            }
        }
        int fd = io->open(io, path("file"), FRAG_IO_CREATE);
        assert_true(fd >= 0);
        assert_int_equal(frag_io_write_all(io, fd, iov, SLICES, 5), 0);
        assert_int_equal(frag_io_read_exactly(io, fd, back, size, 5), 0);
        assert_memory_equal(back, expected, size);
        assert_int_equal(io->read(io, fd, back, 1, 5 + size), 0);
        assert_int_equal(io->close(io, fd), 0);
        assert_int_equal(io->unlink(io, path("file")), 0);
    }
    fault_io_finish(&fault);
}

static int64_t write_nothing(struct frag_io *io, int fd, const struct iovec *iov, int count,
                             uint64_t offset) {
    (void)io;
    (void)fd;
    (void)iov;
    (void)count;
    (void)offset;
    return 0;
}

static void a_write_without_progress_ends(void **state) {
    (void)state;
    struct frag_io io = {.write = write_nothing};
    assert_int_equal(frag_io_write_bytes(&io, 3, "x", 1, 0), -EIO);
}

/* ---- faults ---- */

static void faults_happen_where_they_should(void **state) {
    (void)state;
    struct mem_io *mem = mem_io_create();
    struct fault_io fault;
    struct frag_io *io = &fault.io;
    uint64_t bytes;
    assert_int_equal(mem_io(mem)->make_folder(mem_io(mem), folder), 0);
    fault_io_init(&fault, mem_io(mem));
    fault.fail_at = 2;
    int fd = io->open(io, path("file"), FRAG_IO_CREATE);
    assert_true(fd >= 0);
    assert_int_equal(frag_io_write_bytes(io, fd, "abcd", 4, 0), -EIO);
    assert_int_equal(frag_io_write_bytes(io, fd, "abcd", 4, 0), 0);
    fault.fail_at = fault.operations + 1;
    fault.failed = 0;
    fault.torn = true;
    fault.fail_error = -ENOSPC;
    assert_int_equal(frag_io_write_bytes(io, fd, "efgh", 4, 4), -ENOSPC);
    assert_int_equal(io->size(io, fd, &bytes), 0);
    assert_int_equal(bytes, 6);
    fault.fail_at = 1;
    fault.failed = 0;
    fault.fail_count = 2;
    fault.fail_kinds = 1u << FAULT_SYNCING;
    assert_int_equal(io->size(io, fd, &bytes), 0);
    assert_int_equal(io->sync(io, fd), -ENOSPC);
    assert_int_equal(io->sync_folder(io, folder), -ENOSPC);
    assert_int_equal(io->sync(io, fd), 0);
    fault.failed = 0;
    fault.fail_path = "elsewhere";
    assert_int_equal(io->sync(io, fd), 0);
    fault.fail_path = folder;
    assert_int_equal(io->sync(io, fd), -ENOSPC);
    fault.stop_at = fault.operations + 2;
    assert_int_equal(io->size(io, fd, &bytes), 0);
    assert_int_equal(frag_io_write_bytes(io, fd, "1234", 4, 6), -ECANCELED);
    assert_int_equal(frag_io_write_bytes(io, fd, "5678", 4, 8), -ECANCELED);
    assert_int_equal(io->unlink(io, path("file")), -ECANCELED);
    assert_int_equal(io->close(io, fd), 0);
    size_t size;
    assert_memory_equal(mem_io_peek(mem, path("file"), &size), "abcdef12", 8);
    assert_int_equal(size, 8);
    fault_io_finish(&fault);
    mem_io_destroy(mem);
}

/* Every outcome that a cut may have is seen, and no other. */
static void power_cuts_leave_what_was_synced(void **state) {
    (void)state;
    struct mem_io *mem = mem_io_create();
    struct fault_io fault;
    struct frag_io *io = &fault.io;
    assert_int_equal(mem_io(mem)->make_folder(mem_io(mem), "f"), 0);
    fault_io_init(&fault, mem_io(mem));
    fault.record = true;
    int fd = io->open(io, "f/new", FRAG_IO_CREATE);
    assert_true(fd >= 0);
    assert_int_equal(frag_io_write_bytes(io, fd, "safe", 4, 0), 0);
    assert_int_equal(io->sync(io, fd), 0);
    assert_int_equal(io->sync_folder(io, "f"), 0);
    size_t synced = fault.step_count;
    assert_int_equal(frag_io_write_bytes(io, fd, "more", 4, 4), 0);
    assert_int_equal(io->rename(io, "f/new", "f/old"), 0);
    assert_int_equal(io->close(io, fd), 0);
    unsigned seen_old = 0, seen_new = 0, seen_whole = 0, seen_none = 0, seen_zeros = 0, torn = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct mem_io *left = mem_io_create();
        size_t size;
        assert_int_equal(mem_io(left)->make_folder(mem_io(left), "f"), 0);
        fault_io_power_cut(&fault, seed % 2 == 0 ? fault.step_count : synced, seed, mem_io(left));
        const uint8_t *a = mem_io_peek(left, "f/new", &size);
        const uint8_t *b = a != NULL ? NULL : mem_io_peek(left, "f/old", &size);
        const uint8_t *data = a != NULL ? a : b;
        assert_true(data != NULL && size >= 4 && memcmp(data, "safe", 4) == 0);
        if (seed % 2 != 0) {
            assert_true(a != NULL && size == 4);
        } else {
            seen_old += b != NULL;
            seen_new += a != NULL;
            seen_none += size == 4;
            seen_whole += size == 8 && memcmp(data + 4, "more", 4) == 0;
            seen_zeros += size == 8 && memcmp(data + 4, "\0\0\0", 4) == 0;
            torn += (size > 4 && size < 8) || (size == 8 && data[4] == 0 && data[7] == 'e');
        }
        mem_io_destroy(left);
    }
    assert_true(seen_old > 0 && seen_new > 0 && seen_none > 0 && seen_whole > 0);
    assert_true(seen_zeros > 0 && torn > 0);
    fault_io_finish(&fault);
    mem_io_destroy(mem);
}

/* What became of each page of a write: 'd' done, 'u' undone, 'z' zeros, '?' none of these. */
static char page_fate(const uint8_t *left, size_t from, size_t to) {
    static const char fates[] = "duz";
    static const uint8_t bytes[] = {'n', 'o', 0};
    for (size_t i = 0; i < sizeof(bytes); i++) {
        size_t at = from;
        while (at < to && left[at] == bytes[i]) {
            at++;
        }
        if (at == to) {
            return fates[i];
        }
    }
    return '?';
}

/* A write over three pages of old bytes, from the middle of one to the middle of another. */
static void power_cuts_tear_by_pages(void **state) {
    (void)state;
    enum { SIZE = 3 * 4096, FROM = 1000, TO = 2 * 4096 + 50 };
    static uint8_t bytes[SIZE];
    struct mem_io *mem = mem_io_create();
    struct fault_io fault;
    struct frag_io *io = &fault.io;
    unsigned seen[3][3][3] = {0};
    assert_int_equal(mem_io(mem)->make_folder(mem_io(mem), "f"), 0);
    fault_io_init(&fault, mem_io(mem));
    fault.record = true;
    int fd = io->open(io, "f/file", FRAG_IO_CREATE);
    assert_true(fd >= 0);
    memset(bytes, 'o', SIZE);
    assert_int_equal(frag_io_write_bytes(io, fd, bytes, SIZE, 0), 0);
    assert_int_equal(io->sync(io, fd), 0);
    assert_int_equal(io->sync_folder(io, "f"), 0);
    memset(bytes, 'n', SIZE);
    assert_int_equal(frag_io_write_bytes(io, fd, bytes, TO - FROM, FROM), 0);
    for (uint64_t seed = 0; seed < 2000; seed++) {
        struct mem_io *left = mem_io_create();
        size_t size;
        assert_int_equal(mem_io(left)->make_folder(mem_io(left), "f"), 0);
        fault_io_power_cut(&fault, fault.step_count, seed, mem_io(left));
        const uint8_t *data = mem_io_peek(left, "f/file", &size);
        assert_true(data != NULL && size == SIZE);
        assert_true(page_fate(data, 0, FROM) == 'u' && page_fate(data, TO, SIZE) == 'u');
        const char fates[] = {page_fate(data, FROM, 4096), page_fate(data, 4096, 8192),
                              page_fate(data, 8192, TO)};
        if (memchr(fates, '?', 3) == NULL) {
            const char *all = "duz";
            seen[strchr(all, fates[0]) - all][strchr(all, fates[1]) - all]
                [strchr(all, fates[2]) - all]++;
        }
        mem_io_destroy(left);
    }
    for (size_t i = 0; i < 27; i++) {
        assert_true(seen[i / 9][i / 3 % 3][i % 3] > 0);
    }
    /* Create, write, sync, sync the folder, write: two syncs. */
    assert_int_equal(fault.step_count, 5);
    assert_int_equal(fault_io_next_sync(&fault, 0), 3);
    assert_int_equal(fault_io_next_sync(&fault, 3), 4);
    assert_int_equal(fault_io_next_sync(&fault, 4), 0);
    assert_int_equal(io->close(io, fd), 0);
    fault_io_finish(&fault);
    mem_io_destroy(mem);
}

struct user {
    pthread_t thread;
    struct frag_io *io;
    int number;
};

static void *use_a_file(void *argument) {
    const struct user *user = argument;
    struct frag_io *io = user->io;
    char name[32];
    (void)snprintf(name, sizeof(name), "f/file-%d", user->number);
    int fd = io->open(io, name, FRAG_IO_CREATE);
    for (uint64_t i = 0; fd >= 0 && i < 200; i++) {
        if (frag_io_write_bytes(io, fd, &i, sizeof(i), sizeof(i) * i) != 0 ||
            io->sync(io, fd) != 0) {
            return NULL;
        }
    }
    return fd >= 0 && io->close(io, fd) == 0 ? argument : NULL;
}

static void several_threads_at_once(void **state) {
    (void)state;
    struct user users[4];
    struct mem_io *mem = mem_io_create();
    struct fault_io fault;
    assert_int_equal(mem_io(mem)->make_folder(mem_io(mem), "f"), 0);
    fault_io_init(&fault, mem_io(mem));
    fault.record = true;
    for (int i = 0; i < 4; i++) {
        users[i] = (struct user){.io = &fault.io, .number = i};
        assert_int_equal(pthread_create(&users[i].thread, NULL, use_a_file, &users[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        void *result;
        assert_int_equal(pthread_join(users[i].thread, &result), 0);
        assert_non_null(result);
    }
    assert_int_equal(fault.operations, 4 * 401);
    assert_int_equal(fault.step_count, 4 * 401);
    fault_io_finish(&fault);
    mem_io_destroy(mem);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_systems_files_and_folders),
        cmocka_unit_test(the_same_in_memory),
        cmocka_unit_test(the_same_through_faults_that_do_not_happen),
        cmocka_unit_test(many_files_in_memory),
        cmocka_unit_test(modes_links_and_pipes),
        cmocka_unit_test(offsets_beyond_all_files),
        cmocka_unit_test(all_slices_are_written),
        cmocka_unit_test(a_write_without_progress_ends),
        cmocka_unit_test(faults_happen_where_they_should),
        cmocka_unit_test(power_cuts_leave_what_was_synced),
        cmocka_unit_test(power_cuts_tear_by_pages),
        cmocka_unit_test(several_threads_at_once),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
