/* One copy of the journal: the file `journal` of one storage directory.
 *
 *     frag_journal_file_init -> _look -> (_load) -> _cut or _rewrite -> _append ... -> _finish
 *
 * One thread. A file on which a sync failed is closed and never looked at again: only _rewrite
 * makes a usable copy then. */
#ifndef FRAGMENTS_STORE_JOURNAL_FILE_H
#define FRAGMENTS_STORE_JOURNAL_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "fragments/store/catalog_map.h"
#include "fragments/store/io.h"
#include "fragments/store/journal.h"

struct frag_journal_file {
    struct frag_io *io;
    char *folder, *path, *new_path; /* owned */
    bool read_only;
    int fd;                     /* -1: not usable */
    uint64_t bytes;             /* good ones */
    uint64_t last;              /* sequence of the last record */
    uint64_t quiet_below_bytes; /* a compaction failed: none below this size */
};

enum frag_journal_found {
    FRAG_JOURNAL_MISSING,
    FRAG_JOURNAL_SOUND,   /* good records to the end, or to a torn one */
    FRAG_JOURNAL_DAMAGED, /* good records stand behind a bad one, or it was once longer */
    FRAG_JOURNAL_FOREIGN, /* of another store */
    FRAG_JOURNAL_NEWER    /* of a newer version of the format */
};

struct frag_journal_look {
    enum frag_journal_found found;
    uint64_t records;    /* good ones from the start */
    uint64_t last;       /* sequence of the last of these */
    uint64_t reach;      /* the highest sequence that any sign in the file speaks of */
    uint64_t torn_bytes; /* behind the good ones */
};

/* What journals are written from; kept, so that writing one anew needs no memory. */
#define FRAG_JOURNAL_ROOM_BYTES ((size_t)64 << 10)

/* 0 or -ENOMEM; _finish in any case. Touches nothing. `read_only`: only _look and _load follow,
 * beside a process that may write. */
KN_MUST_CHECK int frag_journal_file_init(struct frag_journal_file *file, struct frag_io *io,
                                         const char *folder, bool read_only);
/* Closes; nothing is pending. A zeroed one is fine. */
void frag_journal_file_finish(struct frag_journal_file *file);

/* Closes what is not to be used any more; _rewrite may make it usable again. */
void frag_journal_file_lose(struct frag_journal_file *file);

/* Opens the file where it is there and says what it is; changes nothing. 0 or a negative errno. */
KN_MUST_CHECK int frag_journal_file_look(struct frag_journal_file *file,
                                         const uint8_t store_id[static FRAG_ID_BYTES],
                                         struct frag_journal_look *ret_look);
/* Tells the good records of a sound file once more. A negative answer ends it and is returned; -EIO
 * when the file is not what it was. */
KN_MUST_CHECK int frag_journal_file_load(struct frag_journal_file *file,
                                         int (*each)(const struct frag_journal_record *record,
                                                     void *user),
                                         void *user);
/* Cuts off a torn end. On failure the file is not usable any more. */
KN_MUST_CHECK int frag_journal_file_cut(struct frag_journal_file *file);

/* 0: appended and synced. Else an errno: the file was cut back to what it was, or, where that or
 * the sync failed, closed (fd is -1), and then nobody knows whether the record stands in it. */
KN_MUST_CHECK int frag_journal_file_append(struct frag_journal_file *file,
                                           const struct frag_journal_record *record);

struct frag_journal_content {
    const uint8_t *store_id;
    const struct frag_map *map;
    uint64_t last; /* the sequence its last record gets */
};

/* Writes `content` as a new journal and puts it into the old one's place, which `keep_old` puts
 * aside as journal.damaged-<n> before. 0: it is this file now. Else an errno: the old file is as it
 * was, or, when it is not certain which of both is there, closed (fd is -1). `room` has
 * FRAG_JOURNAL_ROOM_BYTES. */
KN_MUST_CHECK int frag_journal_file_rewrite(struct frag_journal_file *file,
                                            const struct frag_journal_content *content,
                                            bool keep_old, uint8_t *room);
/* What an interrupted rewriting left; whether it worked shows when the name is needed. */
void frag_journal_file_tidy(struct frag_journal_file *file);

#endif
