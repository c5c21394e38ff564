#include "fragments/read_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/time.h"

#define READ_BYTES (256u * 1024u)

struct progress {
    bool wanted;
    bool shown;
    uint64_t total; /* 0: not known */
    int64_t next_ns;
};

static void progress_tell(struct progress *progress, uint64_t done) {
    if (!progress->wanted) {
        return;
    }
    int64_t now_ns = kn_clock_system()->mono(kn_clock_system()).ns;
    if (progress->next_ns == 0) {
        progress->next_ns = now_ns + KN_NS_PER_S; /* short work says nothing */
    }
    if (now_ns < progress->next_ns) {
        return;
    }
    progress->next_ns = now_ns + KN_NS_PER_S / 2;
    progress->shown = true;
    if (progress->total > 0) {
        (void)fprintf(stderr, "\r%3d %%", (int)((double)done * 100 / (double)progress->total));
    } else {
        (void)fprintf(stderr, "\r%llu MB", (unsigned long long)(done / 1000000));
    }
}

static int open_input(const char *path, struct progress *progress) {
    if (strcmp(path, "-") == 0) {
        return STDIN_FILENO;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    struct stat info;
    if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode)) {
        progress->total = (uint64_t)info.st_size;
    }
    return fd;
}

static int read_all(int fd, struct frag_mkv_reader *reader, struct progress *progress,
                    uint64_t *bytes, bool *ret_io) {
    static _Thread_local uint8_t room[READ_BYTES];
    for (;;) {
        ssize_t got = read(fd, room, sizeof(room));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            *ret_io = true;
            return -errno;
        }
        if (got == 0) {
            return frag_mkv_reader_finish(reader);
        }
        *bytes += (uint64_t)got;
        int rc = frag_mkv_reader_push(reader, room, (size_t)got);
        if (rc != 0) {
            return rc;
        }
        progress_tell(progress, *bytes);
    }
}

int frag_read_file(const char *path, struct frag_mkv_reader *reader, bool progress,
                   uint64_t *ret_bytes, bool *ret_io) {
    struct progress state = {.wanted = progress};
    *ret_io = false;
    *ret_bytes = 0;
    int fd = open_input(path, &state);
    if (fd < 0) {
        *ret_io = true;
        return fd;
    }
    int rc = read_all(fd, reader, &state, ret_bytes, ret_io);
    *ret_bytes = state.total > 0 ? state.total : *ret_bytes;
    if (state.shown) {
        (void)fprintf(stderr, "\r        \r");
    }
    if (fd != STDIN_FILENO) {
        (void)close(fd); /* nothing was written to it */
    }
    return rc;
}
