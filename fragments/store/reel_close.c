/* How a reel ends, for its writer and for recovery. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "fragments/store/reel_file.h"

/* What FRAG_REEL_ROWS_MAX rows and cues take at most stays far below. */
#define ENDS_MOST ((size_t)64 * 1024 * 1024)
#define FIRST_ROOM 64u
#define FOLDER_LEVELS 4

void frag_reel_ends_finish(struct frag_reel_ends *ends) {
    free(ends->rows);
    free(ends->cues);
    *ends = (struct frag_reel_ends){0};
}

static int grow(void **items, size_t size, size_t count, size_t *room) {
    if (count < *room) {
        return 0;
    }
    size_t more = *room == 0 ? FIRST_ROOM : 2 * *room; /* FRAG_REEL_ROWS_MAX bounds it */
    void *grown = realloc(*items, more * size);
    if (grown == NULL) {
        return -ENOMEM;
    }
    *items = grown;
    *room = more;
    return 0;
}

int frag_reel_ends_reserve(struct frag_reel_ends *ends) {
    if (ends->row_count >= FRAG_REEL_ROWS_MAX) {
        return KN_E_LIMIT;
    }
    void *rows = ends->rows;
    void *cues = ends->cues;
    int rc = grow(&rows, sizeof(*ends->rows), ends->row_count, &ends->row_room);
    ends->rows = rows;
    if (rc == 0) {
        rc = grow(&cues, sizeof(*ends->cues), ends->cue_count, &ends->cue_room);
        ends->cues = cues;
    }
    return rc;
}

void frag_reel_ends_add(struct frag_reel_ends *ends, const struct frag_reel_row *row,
                        const struct frag_mkv_cue *cue) {
    KN_ASSERT(ends->row_count < ends->row_room);
    ends->rows[ends->row_count++] = *row;
    if (cue != NULL) {
        KN_ASSERT(ends->cue_count < ends->cue_room);
        ends->cues[ends->cue_count++] = *cue;
    }
}

void frag_reel_ends_write(struct kn_writer *writer, const struct frag_reel_ends *ends, uint64_t at,
                          struct frag_reel_places *places) {
    struct kn_writer table;
    size_t from = writer->size;
    places->cues_at = 0;
    if (ends->cue_count > 0) {
        places->cues_at = at;
        frag_mkv_write_cues(writer, ends->cues, ends->cue_count);
    }
    places->table_at = at + (writer->size - from);
    kn_writer_init_growing(&table, ENDS_MOST);
    frag_reel_pack_table(&table, ends->rows, ends->row_count);
    if (kn_writer_status(&table) == 0) {
        frag_reel_write_table_element(writer, table.data, table.size);
    } else if (writer->error == 0) {
        writer->error = table.error;
    }
    kn_writer_finish(&table);
}

int frag_reel_put_ends(struct frag_io *io, int fd, const struct kn_writer *ends, uint64_t at) {
    int rc = frag_io_write_bytes(io, fd, ends->data, ends->size, at);
    if (rc == 0) {
        rc = io->truncate(io, fd, at + ends->size);
    }
    return rc == 0 ? io->sync(io, fd) : rc;
}

int frag_reel_put_page(struct frag_io *io, int fd, const struct frag_reel_places *places) {
    uint8_t page[FRAG_REEL_BODY_AT - FRAG_REEL_SEEK_AT];
    struct kn_writer writer;
    kn_writer_init(&writer, page, sizeof(page));
    frag_reel_close_page(&writer, places);
    int rc = kn_writer_status(&writer);
    if (rc == 0) {
        rc = frag_io_write_bytes(io, fd, page, sizeof(page), FRAG_REEL_SEEK_AT);
    }
    return rc == 0 ? io->sync(io, fd) : rc;
}

int frag_reel_sync_folders(struct frag_io *io, const char *path) {
    char *folder = strdup(path);
    int rc = folder != NULL ? 0 : -ENOMEM;
    for (int level = 0; level < FOLDER_LEVELS && rc == 0; level++) {
        char *end = strrchr(folder, '/');
        if (end == NULL || end == folder) {
            break;
        }
        *end = '\0';
        rc = io->sync_folder(io, folder);
    }
    free(folder);
    return rc;
}
