/* What the files of frag_store_check share (fragments/upkeep.h). One thread, a walk a call. Nothing
 * is changed, no lock is taken: a writer may work beside it, so what looks wrong is looked at again
 * before it is told.
 *
 * Memory: the rows of one reel, the spans of one stream's reels, 8 bytes a reel file, the findings
 * of one reel. */
#ifndef FRAGMENTS_STORE_CHECK_INNER_H
#define FRAGMENTS_STORE_CHECK_INNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"
#include "fragments/store/catalog.h"
#include "fragments/store/index.h"
#include "fragments/store/io.h"
#include "fragments/upkeep.h"

#define FRAG_CHECK_PATH_BYTES 5120u /* a storage directory, and a path below it */
/* What a writer has begun since has no row yet, perhaps no first page. */
#define FRAG_CHECK_YOUNG_NS (60 * KN_NS_PER_S)
/* Findings of one reel that are told one by one. */
#define FRAG_CHECK_HELD_MAX 100u

struct frag_check_folder {
    char *path; /* owned */
    uint8_t id[FRAG_ID_BYTES];
    uint16_t number; /* as the index has it */
    bool online;     /* its identity is that of this store */
    bool missing;    /* else, that it is not there, to be told once its reels are counted */
    uint64_t reels;  /* of it in the index, where it is missing */
};

/* A finding that waits for the second look; all owned. */
struct frag_check_held {
    enum frag_check_severity severity;
    uint64_t from, to;
    char *path, *stream, *what;
};

/* A file below reels/ that is not the one the index has there. */
struct frag_check_stray {
    uint16_t folder;
    char *path;    /* below the storage directory; owned */
    int identity;  /* 0, or why it has none */
    char *belongs; /* the place of the reel it is; owned; NULL: it is not known */
    uint16_t belongs_in;
};

struct frag_check {
    const struct frag_store_config *config;
    struct frag_io *io;
    const struct frag_check_handler *handler;
    void *user;
    struct frag_check_report report;
    struct frag_check_progress progress;
    uint64_t paced; /* bytes at the last call of the progress handler */
    bool stopped;   /* the handler wants no more */
    struct kn_wall now;

    struct frag_check_folder folders[FRAG_CATALOG_FOLDERS_MAX];
    size_t folder_count;
    bool has_store_id;
    uint8_t store_id[FRAG_ID_BYTES];
    struct frag_catalog *catalog; /* NULL: no copy of the journal is good */
    uint64_t epoch;               /* the last one; 0: not known */

    struct frag_index *index; /* NULL: there is none that can be used */
    bool index_whole;         /* as far as SQLite sees */
    char *index_path;         /* owned */

    bool holding;
    struct frag_check_held held[FRAG_CHECK_HELD_MAX];
    size_t held_count;
    uint64_t held_more;

    /* Of the files that were found where the index has them: hashes, sorted once all are known. */
    uint64_t *seen;
    size_t seen_count, seen_room;
    struct frag_check_stray *strays;
    size_t stray_count, stray_room;
};

/* ---- telling (check.c) ---- */

/* 0, the handler's negative answer, or -ENOMEM. `path` is whole. */
KN_MUST_CHECK int frag_check_tell(struct frag_check *check, enum frag_check_severity severity,
                                  const char *path, uint64_t from, uint64_t to, const char *stream,
                                  const char *what, ...) KN_PRINTF(7, 8);
/* Says nothing of the bytes: who runs the check may not read the file or folder. */
bool frag_check_is_denied(int error);
KN_MUST_CHECK int frag_check_tell_denied(struct frag_check *check, const char *path,
                                         const char *stream, int error);
/* From now on findings are kept back; the next one of these two ends that. */
void frag_check_hold(struct frag_check *check);
void frag_check_forget(struct frag_check *check);
KN_MUST_CHECK int frag_check_release(struct frag_check *check);
/* `bytes` more were read; tells the handler now and then. 0 or its answer. */
KN_MUST_CHECK int frag_check_advance(struct frag_check *check, uint64_t bytes);
/* A file is done. */
KN_MUST_CHECK int frag_check_file_done(struct frag_check *check);

/* Whether such a failure speaks of the store and the walk goes on; else it ends (no memory, or the
 * handler's answer). */
bool frag_check_goes_on(const struct frag_check *check, int rc);
/* The stream's name out of the journal, or the first 8 digits of its id. Returns `name`. */
const char *frag_check_stream_name(const struct frag_check *check,
                                   const uint8_t id[static FRAG_ID_BYTES],
                                   char name[static FRAG_STREAM_NAME_BYTES]);
/* NULL: not listed. */
const struct frag_check_folder *frag_check_folder_of(const struct frag_check *check,
                                                     uint16_t number);
/* "<folder>/<path>"; cut where it does not fit. Returns `room`. */
const char *frag_check_join(const char *folder, const char *path,
                            char room[static FRAG_CHECK_PATH_BYTES]);

/* ---- the steps, in their order: 0, or what ends the walk ---- */

/* Finds the storage directories and looks at their identities. check_folders.c */
KN_MUST_CHECK int frag_check_directories(struct frag_check *check);
/* The copies of the journal; opens the catalog. check_journal.c */
KN_MUST_CHECK int frag_check_journals(struct frag_check *check);
/* What stands in the catalog. check_values.c */
KN_MUST_CHECK int frag_check_values(struct frag_check *check);
/* Opens the index and checks it for itself. check_index.c */
KN_MUST_CHECK int frag_check_index(struct frag_check *check);
/* Every file below reels/, then every row whose file was not among them. check_files.c */
KN_MUST_CHECK int frag_check_files(struct frag_check *check);
/* Numbers across the reels of a stream, and those that gaps have burnt. check_order.c */
KN_MUST_CHECK int frag_check_order(struct frag_check *check);

/* ---- one reel (check_reel.c) ---- */

/* Where the index has a reel. */
struct frag_check_place {
    bool known;
    uint16_t folder;
    char path[FRAG_INDEX_PATH_BYTES];
};

/* Its file, and its row where the index has one. 0; -ENOENT: the file is gone; or what ends the
 * walk. */
KN_MUST_CHECK int frag_check_reel(struct frag_check *check, const struct frag_check_folder *folder,
                                  const char *path, const struct frag_reel_identity *identity,
                                  struct frag_check_place *ret_place);

#endif
