/* Reads the parts of a reel that are found by their place, each whole. */
#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "fragments/store/reel_file.h"

#define BODY_FIRST ((size_t)32 * 1024)
#define BODY_MOST ((size_t)34 * 1024 * 1024)

bool frag_reel_is_damage(int rc) {
    return rc == KN_E_MALFORMED || rc == KN_E_TRUNCATED || rc == KN_E_UNSUPPORTED;
}

int frag_reel_identify_open(struct frag_io *io, int fd, struct frag_reel_identity *ret_identity) {
    uint8_t page[FRAG_REEL_SEEK_AT];
    int rc = frag_io_read_exactly(io, fd, page, sizeof(page), 0);
    return rc < 0 ? rc : frag_reel_read_identity(page, sizeof(page), ret_identity);
}

int frag_reel_load_page(struct frag_io *io, int fd, struct frag_reel_places *ret_places) {
    uint8_t page[FRAG_REEL_BODY_AT - FRAG_REEL_SEEK_AT];
    int rc = frag_io_read_exactly(io, fd, page, sizeof(page), FRAG_REEL_SEEK_AT);
    return rc < 0 ? rc : frag_reel_read_page(page, sizeof(page), ret_places);
}

int frag_reel_load_body(struct frag_io *io, int fd, uint64_t file_bytes,
                        const struct frag_reel_identity *identity,
                        struct frag_reel_body *ret_body) {
    if (file_bytes <= FRAG_REEL_BODY_AT) {
        return KN_E_TRUNCATED;
    }
    uint64_t left = file_bytes - FRAG_REEL_BODY_AT;
    size_t most = left < BODY_MOST ? (size_t)left : BODY_MOST;
    int rc = KN_E_TRUNCATED;
    for (size_t size = BODY_FIRST; rc == KN_E_TRUNCATED; size *= 8) {
        size = size < most ? size : most;
        uint8_t *data = malloc(size);
        if (data == NULL) {
            return -ENOMEM;
        }
        rc = frag_io_read_exactly(io, fd, data, size, FRAG_REEL_BODY_AT);
        if (rc == 0) {
            rc = frag_reel_read_body(data, size, identity, NULL, ret_body);
        }
        free(data);
        if (size == most) {
            break;
        }
    }
    return rc;
}

int frag_reel_load_table(struct frag_io *io, int fd, uint64_t file_bytes, uint64_t at,
                         struct kn_writer *table, uint64_t *ret_end) {
    uint8_t head[FRAG_REEL_CLUSTER_HEAD_BYTES];
    uint32_t id = 0;
    uint64_t bytes = 0;
    int rc = frag_io_read_exactly(io, fd, head, sizeof(head), at);
    if (rc == 0) {
        rc = frag_reel_read_element(head, sizeof(head), &id, &bytes);
    }
    if (rc < 0) {
        return rc;
    }
    if (id != FRAG_MKV_TAGS || bytes < FRAG_REEL_TAGS_HEAD_BYTES || bytes > FRAG_REEL_TABLE_MOST ||
        at > file_bytes || bytes > file_bytes - at) {
        return KN_E_MALFORMED;
    }
    uint8_t *data = malloc((size_t)bytes);
    if (data == NULL) {
        return -ENOMEM;
    }
    rc = frag_io_read_exactly(io, fd, data, (size_t)bytes, at);
    if (rc == 0) {
        rc = frag_reel_read_table_element(data, (size_t)bytes, table);
    }
    free(data);
    if (rc == 0) {
        *ret_end = at + bytes;
    }
    return rc;
}

/* ---- faces ---- */

int frag_reel_identify(struct frag_io *io, const char *path,
                       struct frag_reel_identity *ret_identity) {
    int fd = io->open(io, path, FRAG_IO_READ);
    if (fd < 0) {
        return fd;
    }
    int rc = frag_reel_identify_open(io, fd, ret_identity);
    (void)io->close(io, fd); /* was only read */
    return rc;
}

static int read_footer(struct frag_io *io, int fd, struct frag_reel_identity *ret_identity,
                       struct kn_writer *table) {
    struct frag_reel_identity identity;
    struct frag_reel_places places;
    struct frag_reel_table opened;
    uint64_t file_bytes = 0;
    uint64_t end = 0;
    int rc = frag_reel_identify_open(io, fd, &identity);
    if (rc == 0) {
        rc = io->size(io, fd, &file_bytes);
    }
    if (rc < 0) {
        return rc;
    }
    rc = frag_reel_load_page(io, fd, &places);
    if (rc == 0 || frag_reel_is_damage(rc)) {
        return -ENODATA;
    }
    size_t from = table->size;
    rc = rc < 0 ? rc : frag_reel_load_table(io, fd, file_bytes, places.table_at, table, &end);
    if (rc == 0) {
        rc = frag_reel_table_open(&opened, table->data + from, table->size - from,
                                  identity.number_low);
    }
    if (rc == 0) {
        *ret_identity = identity;
    }
    return frag_reel_is_damage(rc) ? KN_E_MALFORMED : rc;
}

int frag_reel_read_footer(struct frag_io *io, const char *path,
                          struct frag_reel_identity *ret_identity, struct kn_writer *table) {
    int fd = io->open(io, path, FRAG_IO_READ);
    if (fd < 0) {
        return fd;
    }
    int rc = read_footer(io, fd, ret_identity, table);
    (void)io->close(io, fd); /* was only read */
    return rc;
}
