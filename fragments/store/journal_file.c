#include "fragments/store/journal_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

/* A search for good records behind a bad one gives up, and says damaged, when so many bytes looked
 * like records and were none. */
#define SEARCH_BYTES ((uint64_t)64 << 20)
#define DAMAGED_KEPT 99

static void close_file(struct frag_journal_file *file) {
    if (file->fd >= 0) {
        /* What counts was synced; the error of what does not count is of no use. */
        (void)file->io->close(file->io, file->fd);
        file->fd = -1;
    }
}

static char *join(const char *folder, const char *name) {
    size_t room = strlen(folder) + strlen(name) + 2;
    char *path = malloc(room);
    if (path != NULL) {
        (void)snprintf(path, room, "%s/%s", folder, name);
    }
    return path;
}

int frag_journal_file_init(struct frag_journal_file *file, struct frag_io *io, const char *folder,
                           bool read_only) {
    *file = (struct frag_journal_file){.io = io, .read_only = read_only, .fd = -1};
    size_t room = strlen(folder) + 1;
    file->folder = malloc(room);
    file->path = join(folder, "journal");
    file->new_path = join(folder, "journal.new");
    if (file->folder == NULL || file->path == NULL || file->new_path == NULL) {
        return -ENOMEM;
    }
    memcpy(file->folder, folder, room);
    return 0;
}

void frag_journal_file_finish(struct frag_journal_file *file) {
    if (file->io == NULL) {
        return;
    }
    close_file(file);
    free(file->folder);
    free(file->path);
    free(file->new_path);
    *file = (struct frag_journal_file){.fd = -1};
}

void frag_journal_file_lose(struct frag_journal_file *file) {
    close_file(file);
}

/* ---- reading ---- */

/* A piece of the file in memory, moved along. */
struct window {
    struct frag_journal_file *file;
    uint8_t *room; /* owned */
    size_t room_bytes;
    uint64_t file_bytes;
    uint64_t at;
    size_t size;
};

/* Room for two of the longest records, so that a search does not read everything over and over; no
 * more than the file has. */
static int window_init(struct window *window, struct frag_journal_file *file, uint64_t file_bytes) {
    const size_t most = (size_t)2 * FRAG_JOURNAL_RECORD_MAX;
    size_t room_bytes = file_bytes < most ? (size_t)file_bytes + 1 : most;
    *window = (struct window){.file = file, .room_bytes = room_bytes, .file_bytes = file_bytes};
    window->room = malloc(room_bytes);
    return window->room != NULL ? 0 : -ENOMEM;
}

static void window_finish(struct window *window) {
    free(window->room);
}

/* Up to `want` bytes (at most FRAG_JOURNAL_RECORD_MAX) at `offset`: fewer only at the file's end.
 */
static int peek(struct window *window, uint64_t offset, size_t want, const uint8_t **ret_data,
                size_t *ret_size) {
    KN_ASSERT(offset <= window->file_bytes && want <= FRAG_JOURNAL_RECORD_MAX);
    if (want > window->file_bytes - offset) {
        want = (size_t)(window->file_bytes - offset);
    }
    if (offset < window->at || offset + want > window->at + window->size) {
        uint64_t left = window->file_bytes - offset;
        size_t size = left < window->room_bytes ? (size_t)left : window->room_bytes;
        window->size = 0;
        struct frag_journal_file *file = window->file;
        int rc = frag_io_read_exactly(file->io, file->fd, window->room, size, offset);
        if (rc < 0) {
            return rc == KN_E_TRUNCATED ? -EIO : rc; /* it was longer a moment ago */
        }
        window->at = offset;
        window->size = size;
    }
    *ret_data = window->room + (offset - window->at);
    *ret_size = want;
    return 0;
}

/* 1: a good record of a sequence between. 0: none. */
static int read_record(struct window *window, uint64_t offset, uint64_t least, uint64_t most,
                       struct frag_journal_record *ret_record, uint64_t *checked) {
    const uint8_t *data;
    size_t size;
    int rc = peek(window, offset, 16, &data, &size);
    size_t want = rc == 0 && size == 16 ? frag_journal_record_bytes(data) : 0;
    if (want == 0) {
        return rc;
    }
    rc = peek(window, offset, want, &data, &size);
    if (rc < 0) {
        return rc;
    }
    return frag_journal_decode_between(data, size, least, most, ret_record, checked) == 0 ? 1 : 0;
}

/* Good records anywhere from `offset` on whose sequence is above `look->reach` raise it. */
static int search_behind(struct window *window, uint64_t offset, uint64_t most,
                         struct frag_journal_look *look) {
    uint64_t wasted = 0;
    while (offset < window->file_bytes) {
        struct frag_journal_record record = {0};
        uint64_t checked = 0;
        int rc = read_record(window, offset, look->reach + 1, most, &record, &checked);
        if (rc < 0) {
            return rc;
        }
        if (rc > 0) {
            look->found = FRAG_JOURNAL_DAMAGED;
            look->reach = record.sequence;
            offset += record.bytes;
            continue;
        }
        offset++;
        wasted += checked;
        if (wasted > SEARCH_BYTES) {
            look->found = FRAG_JOURNAL_DAMAGED;
            return 0;
        }
    }
    return 0;
}

/* 1: the header is good and ours. 0: the look is complete. */
static int look_at_header(struct window *window, const uint8_t *store_id,
                          struct frag_journal_header *ret_header, struct frag_journal_look *look) {
    const uint8_t *data;
    size_t size;
    int rc = peek(window, 0, FRAG_JOURNAL_HEADER_BYTES, &data, &size);
    if (rc < 0) {
        return rc;
    }
    rc = frag_journal_decode_header(data, size, ret_header);
    if (rc == KN_E_TRUNCATED || rc == KN_E_MALFORMED) {
        /* Never torn: a journal gets its name when it is synced. */
        look->found = FRAG_JOURNAL_DAMAGED;
        look->torn_bytes = window->file_bytes;
        return size < FRAG_JOURNAL_HEADER_BYTES ? 0
                                                : search_behind(window, FRAG_JOURNAL_HEADER_BYTES,
                                                                FRAG_JOURNAL_SEQUENCE_MAX, look);
    }
    if (memcmp(ret_header->store_id, store_id, FRAG_ID_BYTES) != 0) {
        look->found = FRAG_JOURNAL_FOREIGN;
        return 0;
    }
    if (rc == KN_E_UNSUPPORTED) {
        look->found = FRAG_JOURNAL_NEWER;
        return 0;
    }
    return 1;
}

/* `offset` and `look` begin behind the header and go on to the end of the good records. */
static int walk(struct window *window, uint64_t *offset, struct frag_journal_look *look,
                int (*each)(const struct frag_journal_record *record, void *user), void *user) {
    for (;;) {
        struct frag_journal_record record = {0};
        uint64_t checked = 0;
        uint64_t next = look->last + 1;
        int rc = next > FRAG_JOURNAL_SEQUENCE_MAX
                     ? 0
                     : read_record(window, *offset, next, next, &record, &checked);
        if (rc > 0 && each != NULL) {
            int answer = each(&record, user);
            rc = answer < 0 ? answer : rc;
        }
        if (rc <= 0) {
            return rc;
        }
        *offset += record.bytes;
        look->last = record.sequence;
        look->records++;
    }
}

static int look_at(struct window *window, const uint8_t *store_id, struct frag_journal_look *look) {
    struct frag_journal_header header;
    struct frag_journal_file *file = window->file;
    int rc = look_at_header(window, store_id, &header, look);
    if (rc <= 0) {
        return rc;
    }
    look->found = FRAG_JOURNAL_SOUND;
    look->last = header.first - 1;
    uint64_t offset = FRAG_JOURNAL_HEADER_BYTES;
    rc = walk(window, &offset, look, NULL, NULL);
    if (rc < 0) {
        return rc;
    }
    file->bytes = offset;
    file->last = look->last;
    look->reach = look->last;
    look->torn_bytes = window->file_bytes - offset;
    if (look->last < header.whole) {
        look->found = FRAG_JOURNAL_DAMAGED;
        look->reach = header.whole;
    }
    uint64_t most = look->last + look->torn_bytes / FRAG_JOURNAL_RECORD_HEAD_BYTES + 1;
    return search_behind(window, offset, most, look);
}

static int open_and_look(struct frag_journal_file *file, const uint8_t *store_id,
                         struct frag_journal_look *look) {
    uint64_t file_bytes;
    struct window window;
    int rc = file->io->size(file->io, file->fd, &file_bytes);
    if (rc < 0) {
        return rc;
    }
    rc = window_init(&window, file, file_bytes);
    if (rc == 0) {
        rc = look_at(&window, store_id, look);
    }
    window_finish(&window);
    return rc;
}

int frag_journal_file_look(struct frag_journal_file *file,
                           const uint8_t store_id[static FRAG_ID_BYTES],
                           struct frag_journal_look *ret_look) {
    struct frag_journal_look look = {.found = FRAG_JOURNAL_MISSING};
    int fd = file->io->open(file->io, file->path, file->read_only ? FRAG_IO_READ : FRAG_IO_WRITE);
    if (fd >= 0) {
        file->fd = fd;
        int rc = open_and_look(file, store_id, &look);
        if (rc < 0) {
            close_file(file);
            return rc;
        }
    } else if (fd != -ENOENT) {
        return fd;
    }
    *ret_look = look;
    return 0;
}

static int load_from(struct window *window,
                     int (*each)(const struct frag_journal_record *record, void *user),
                     void *user) {
    struct frag_journal_header header;
    struct frag_journal_look look = {.found = FRAG_JOURNAL_SOUND};
    const uint8_t *data;
    size_t size;
    int rc = peek(window, 0, FRAG_JOURNAL_HEADER_BYTES, &data, &size);
    if (rc < 0) {
        return rc;
    }
    if (frag_journal_decode_header(data, size, &header) != 0) {
        return -EIO;
    }
    look.last = header.first - 1;
    uint64_t offset = FRAG_JOURNAL_HEADER_BYTES;
    rc = walk(window, &offset, &look, each, user);
    return rc == 0 && look.last != window->file->last ? -EIO : rc;
}

int frag_journal_file_load(struct frag_journal_file *file,
                           int (*each)(const struct frag_journal_record *record, void *user),
                           void *user) {
    struct window window;
    int rc = window_init(&window, file, file->bytes);
    if (rc == 0) {
        rc = load_from(&window, each, user);
    }
    window_finish(&window);
    return rc;
}

/* ---- appending ---- */

/* Needs no sync: whatever a power cut brings back of it is a torn record, and is cut off again. */
int frag_journal_file_cut(struct frag_journal_file *file) {
    int rc = file->io->truncate(file->io, file->fd, file->bytes);
    if (rc < 0) {
        close_file(file);
    }
    return rc;
}

int frag_journal_file_append(struct frag_journal_file *file,
                             const struct frag_journal_record *record) {
    uint8_t head[FRAG_JOURNAL_RECORD_HEAD_BYTES];
    KN_ASSERT(file->fd >= 0 && record->sequence == file->last + 1);
    frag_journal_encode(record, head);
    struct iovec iov[] = {
        {.iov_base = head, .iov_len = sizeof(head)},
        {.iov_base = (void *)(uintptr_t)record->key.data, .iov_len = record->key.size},
        {.iov_base = (void *)(uintptr_t)record->value.data, .iov_len = record->value.size},
    };
    int rc = frag_io_write_all(file->io, file->fd, iov, KN_COUNT(iov), file->bytes);
    if (rc < 0) {
        (void)frag_journal_file_cut(file); /* closes it where it fails */
        return rc;
    }
    rc = file->io->sync(file->io, file->fd);
    if (rc < 0) {
        close_file(file);
        return rc;
    }
    file->bytes += sizeof(head) + record->key.size + record->value.size;
    file->last = record->sequence;
    return 0;
}

/* ---- writing anew ---- */

struct sink {
    struct frag_io *io;
    int fd;
    uint8_t *room;
    size_t used;
    uint64_t at; /* in the file, of `room` */
};

static int sink_flush(struct sink *sink) {
    int rc = frag_io_write_bytes(sink->io, sink->fd, sink->room, sink->used, sink->at);
    if (rc == 0) {
        sink->at += sink->used;
        sink->used = 0;
    }
    return rc;
}

static int sink_bytes(struct sink *sink, const void *data, size_t size) {
    if (size > FRAG_JOURNAL_ROOM_BYTES - sink->used) {
        int rc = sink_flush(sink);
        if (rc < 0) {
            return rc;
        }
    }
    if (size > FRAG_JOURNAL_ROOM_BYTES) {
        int rc = frag_io_write_bytes(sink->io, sink->fd, data, size, sink->at);
        sink->at += rc == 0 ? size : 0;
        return rc;
    }
    memcpy(sink->room + sink->used, data, size);
    sink->used += size;
    return 0;
}

static int sink_record(struct sink *sink, const struct frag_journal_record *record) {
    uint8_t head[FRAG_JOURNAL_RECORD_HEAD_BYTES];
    frag_journal_encode(record, head);
    int rc = sink_bytes(sink, head, sizeof(head));
    if (rc == 0) {
        rc = sink_bytes(sink, record->key.data, record->key.size);
    }
    return rc == 0 ? sink_bytes(sink, record->value.data, record->value.size) : rc;
}

static int write_content(struct sink *sink, const struct frag_journal_content *content) {
    /* Every live value was put by a record of its own, so the sequences reach. */
    KN_ASSERT(content->last >= content->map->count);
    struct frag_journal_header header = {.first = content->last - content->map->count + 1,
                                         .whole = content->last};
    memcpy(header.store_id, content->store_id, FRAG_ID_BYTES);
    frag_journal_encode_header(&header, sink->room);
    sink->used = FRAG_JOURNAL_HEADER_BYTES;
    uint64_t sequence = header.first;
    for (const struct frag_map_entry *entry = frag_map_next(content->map, NULL); entry != NULL;
         entry = frag_map_next(content->map, entry)) {
        const struct frag_journal_record record = {.sequence = sequence++,
                                                   .operation = FRAG_JOURNAL_PUT,
                                                   .kind = entry->kind,
                                                   .key = entry->key,
                                                   .value = entry->value};
        int rc = sink_record(sink, &record);
        if (rc < 0) {
            return rc;
        }
    }
    int rc = sink_flush(sink);
    return rc < 0 ? rc : sink->io->sync(sink->io, sink->fd);
}

/* A name that is free. */
static int put_aside(struct frag_journal_file *file) {
    struct frag_io *io = file->io;
    const size_t room = strlen(file->path) + sizeof(".damaged-99");
    char *aside = malloc(room);
    if (aside == NULL) {
        return -ENOMEM;
    }
    int rc = -EEXIST;
    for (int n = 1; n <= DAMAGED_KEPT && rc == -EEXIST; n++) {
        (void)snprintf(aside, room, "%s.damaged-%d", file->path, n);
        int fd = io->open(io, aside, FRAG_IO_READ);
        if (fd >= 0) {
            (void)io->close(io, fd); /* was not even read */
        } else if (fd == -ENOENT) {
            rc = io->rename(io, file->path, aside);
        }
    }
    free(aside);
    return rc;
}

void frag_journal_file_tidy(struct frag_journal_file *file) {
    (void)file->io->unlink(file->io, file->new_path); /* mostly -ENOENT */
}

int frag_journal_file_rewrite(struct frag_journal_file *file,
                              const struct frag_journal_content *content, bool keep_old,
                              uint8_t *room) {
    struct frag_io *io = file->io;
    frag_journal_file_tidy(file);
    int fd = io->open(io, file->new_path, FRAG_IO_CREATE);
    if (fd < 0) {
        return fd;
    }
    struct sink sink = {.io = io, .fd = fd, .room = room};
    int rc = write_content(&sink, content);
    if (rc == 0 && keep_old) {
        rc = put_aside(file);
    }
    if (rc < 0) {
        (void)io->close(io, fd); /* it goes */
        frag_journal_file_tidy(file);
        return rc;
    }
    rc = io->rename(io, file->new_path, file->path);
    if (rc == 0) {
        rc = io->sync_folder(io, file->folder);
    }
    close_file(file);
    if (rc < 0) {
        (void)io->close(io, fd); /* was synced; whether it has its name is not known */
        return rc;
    }
    file->fd = fd;
    file->bytes = sink.at;
    file->last = content->last;
    file->quiet_below_bytes = 0;
    return 0;
}
