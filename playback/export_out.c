/* The new file of an export. Positioned writes: formats come back to their beginning. */
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <unistd.h>

#include "playback/export_inner.h"

bool play_out_stopped(const struct play_out *out) {
    return out->stop != NULL && atomic_load_explicit(out->stop, memory_order_relaxed);
}

/* What is left of the slices after `done` bytes; returns how many slices that are. */
static size_t advance(struct iovec **iov, size_t count, size_t done) {
    while (count > 0 && done >= (*iov)->iov_len) {
        done -= (*iov)->iov_len;
        (*iov)++;
        count--;
    }
    if (count > 0) {
        (*iov)->iov_base = (uint8_t *)(*iov)->iov_base + done;
        (*iov)->iov_len -= done;
    }
    return count;
}

int play_out_write(struct play_out *out, struct iovec *iov, size_t count) {
    while (count > 0 && out->error == 0) {
        int batch = count > IOV_MAX ? IOV_MAX : (int)count;
        ssize_t wrote = pwritev(out->fd, iov, batch, (off_t)out->at);
        if (wrote < 0) {
            out->error = errno == EINTR ? 0 : -errno;
            continue;
        }
        out->at += (uint64_t)wrote;
        out->end = out->at > out->end ? out->at : out->end;
        count = advance(&iov, count, (size_t)wrote);
    }
    return out->error;
}

int play_out_bytes(struct play_out *out, const void *data, size_t size) {
    struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = size};
    return play_out_write(out, &iov, size == 0 ? 0 : 1);
}

int play_out_read(struct play_out *out, uint64_t at, void *room, size_t size) {
    size_t most = size > INT_MAX ? INT_MAX : size;
    ssize_t got = -1;
    while (out->error == 0) {
        got = pread(out->fd, room, most, (off_t)at);
        if (got >= 0) {
            return (int)got;
        }
        out->error = errno == EINTR ? 0 : -errno;
    }
    return out->error;
}
