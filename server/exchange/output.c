#include "server/exchange/output.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/error.h"

/* Small pieces are gathered in parts of this size. */
#define PART_LEAST 1024u
#define PARTS_AT_ONCE 16u
#define FILE_AT_ONCE ((uint64_t)1 << 30)

/* One owner, its output. Bytes are where `data` says, or in a file. */
struct srv_output_part {
    struct srv_output_part *next;
    const uint8_t *data;
    uint64_t size, at;
    size_t room;              /* of `bytes` */
    void *owned;              /* malloc's, or NULL */
    struct kn_buffer *buffer; /* a reference, or NULL */
    int fd;                   /* -1: in memory */
    uint64_t offset;
    uint8_t bytes[];
};

static void part_free(struct srv_output_part *part) {
    if (part != NULL) {
        if (part->fd >= 0) {
            (void)close(part->fd); /* read only: nothing can be lost */
        }
        free(part->owned);
        kn_buffer_unref(part->buffer);
        free(part);
    }
}

static struct srv_output_part *part_new(size_t room) {
    size_t bytes;
    if (!kn_size_add(room, sizeof(struct srv_output_part), &bytes)) {
        return NULL;
    }
    struct srv_output_part *part = malloc(bytes);
    if (part != NULL) {
        *part = (struct srv_output_part){.data = part->bytes, .room = room, .fd = -1};
    }
    return part;
}

static void append(struct srv_output *output, struct srv_output_part *part) {
    if (output->last == NULL) {
        output->first = part;
    } else {
        output->last->next = part;
    }
    output->last = part;
    if (part->fd < 0) {
        output->queued += (size_t)part->size;
    }
}

static void drop_first(struct srv_output *output) {
    struct srv_output_part *part = output->first;
    output->first = part->next;
    if (output->first == NULL) {
        output->last = NULL;
    }
    part_free(part);
}

void srv_output_finish(struct srv_output *output) {
    while (output->first != NULL) {
        drop_first(output);
    }
    output->queued = 0;
}

bool srv_output_empty(const struct srv_output *output) {
    return output->first == NULL;
}

int srv_output_copy(struct srv_output *output, const void *data, size_t size) {
    struct srv_output_part *last = output->last;
    if (size == 0) {
        return 0;
    }
    if (last != NULL && last->data == last->bytes && last->room - last->size >= size) {
        memcpy(last->bytes + last->size, data, size);
        last->size += size;
        output->queued += size;
        return 0;
    }
    struct srv_output_part *part = part_new(size > PART_LEAST ? size : PART_LEAST);
    if (part == NULL) {
        return -ENOMEM;
    }
    memcpy(part->bytes, data, size);
    part->size = size;
    append(output, part);
    return 0;
}

int srv_output_own(struct srv_output *output, void *data, size_t size) {
    struct srv_output_part *part = size > 0 ? part_new(0) : NULL;
    if (part == NULL) {
        free(data);
        return size > 0 ? -ENOMEM : 0;
    }
    part->owned = data;
    part->data = data;
    part->size = size;
    append(output, part);
    return 0;
}

static struct srv_output_part *part_of(const void *data, size_t size) {
    struct srv_output_part *part = part_new(size);
    if (part != NULL && size > 0) {
        memcpy(part->bytes, data, size);
        part->size = size;
    }
    return part;
}

int srv_output_buffer(struct srv_output *output, const void *before, size_t before_bytes,
                      struct kn_buffer *buffer, const void *after, size_t after_bytes) {
    struct srv_output_part *parts[3] = {part_of(before, before_bytes), part_new(0),
                                        part_of(after, after_bytes)};
    if (parts[0] == NULL || parts[1] == NULL || parts[2] == NULL) {
        for (size_t i = 0; i < 3; i++) {
            part_free(parts[i]);
        }
        kn_buffer_unref(buffer);
        return -ENOMEM;
    }
    parts[1]->buffer = buffer;
    parts[1]->data = buffer->data;
    parts[1]->size = buffer->size;
    for (size_t i = 0; i < 3; i++) {
        append(output, parts[i]);
    }
    return 0;
}

int srv_output_file(struct srv_output *output, int fd, uint64_t offset, uint64_t size) {
    struct srv_output_part *part = part_new(0);
    if (part == NULL) {
        (void)close(fd); /* read only */
        return -ENOMEM;
    }
    part->fd = fd;
    part->offset = offset;
    part->size = size;
    append(output, part);
    return 0;
}

/* ---- sending ---- */

/* The parts in memory from the first one on; their sum. */
static size_t gather(const struct srv_output *output, struct iovec *parts, size_t *ret_count) {
    size_t count = 0, sum = 0;
    for (const struct srv_output_part *part = output->first;
         part != NULL && part->fd < 0 && count < PARTS_AT_ONCE; part = part->next) {
        size_t size = (size_t)(part->size - part->at);
        parts[count++] = (struct iovec){(void *)(uintptr_t)(part->data + part->at), size};
        sum += size;
    }
    *ret_count = count;
    return sum;
}

static void count_sent(struct srv_output *output, size_t sent) {
    output->queued -= sent;
    for (;;) {
        struct srv_output_part *part = output->first;
        uint64_t left = part->size - part->at;
        if (sent < left) {
            part->at += sent;
            return;
        }
        sent -= (size_t)left;
        drop_first(output);
        if (output->first == NULL || output->first->fd >= 0) {
            return;
        }
    }
}

/* Whether all that was offered went out. */
static int64_t flush_memory(struct srv_output *output, struct srv_conn *conn, bool *ret_all) {
    struct iovec parts[PARTS_AT_ONCE];
    size_t count;
    size_t sum = gather(output, parts, &count);
    ssize_t sent = sum == 0 ? 0 : conn->ops->send(conn, parts, count);
    if (sent >= 0) {
        *ret_all = (size_t)sent == sum;
        count_sent(output, (size_t)sent);
    }
    return sent;
}

/* Nothing went out: no room, or no bytes? */
static bool is_short(const struct srv_output_part *part) {
    struct stat status;
    return fstat(part->fd, &status) != 0 || (uint64_t)status.st_size < part->offset + part->at + 1;
}

static int64_t flush_file(struct srv_output *output, struct srv_conn *conn, bool *ret_all) {
    struct srv_output_part *part = output->first;
    uint64_t left = part->size - part->at;
    size_t size = (size_t)(left < FILE_AT_ONCE ? left : FILE_AT_ONCE);
    ssize_t sent =
        size == 0 ? 0 : conn->ops->send_file(conn, part->fd, part->offset + part->at, size);
    if (sent < 0) {
        return sent;
    }
    part->at += (uint64_t)sent;
    *ret_all = (size_t)sent == size;
    if (part->at == part->size) {
        drop_first(output);
    } else if (sent == 0 && is_short(part)) {
        return KN_E_TRUNCATED;
    }
    return sent;
}

int64_t srv_output_flush(struct srv_output *output, struct srv_conn *conn) {
    int64_t sum = 0;
    bool all = true;
    while (output->first != NULL && all) {
        int64_t sent = output->first->fd >= 0 ? flush_file(output, conn, &all)
                                              : flush_memory(output, conn, &all);
        if (sent < 0) {
            return sent;
        }
        sum += sent;
    }
    return sum;
}
