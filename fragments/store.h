/* The store: streams of fragments on disk, under retention.
 *
 *     frag_store_open -> frag_stream_create or _find
 *         -> frag_writer_open ...      (writer.h)   recording
 *         -> frag_archive_open ...     (archive.h)  reading back
 *         -> frag_hold_add ...         (upkeep.h)   holds, gaps, retention, check, rebuild
 *     -> frag_store_close
 *
 * Files and one journal are the truth, the index is a cache (docs/store-format.md). One process at
 * a time writes a store; any number read it beside that. Functions marked "blocks" wait for a disk:
 * never call them on a loop. All others may be called on any thread. */
#ifndef FRAGMENTS_STORE_H
#define FRAGMENTS_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/buffer.h"
#include "base/time.h"
#include "fragments/fragment.h"
#include "fragments/tail.h"

struct frag_io;
struct frag_store;
struct frag_stream;

/* ---- opening ---- */

enum frag_store_mode {
    FRAG_STORE_READ, /* nothing is changed; beside a writer too */
    FRAG_STORE_WRITE /* the one writer; makes the store where there is none */
};

#define FRAG_STORE_MIN_FREE_DEFAULT UINT64_MAX

struct frag_store_config {
    const char *data; /* the main directory: journal, index and, as a rule, reels */
    /* Storage directories to add. Those the store has already are found by themselves. */
    const char *const *folders;
    size_t folder_count;
    enum frag_store_mode mode;
    /* With threads of its own the store works by itself. Without, it works inside frag_writer_*,
     * frag_store_flush and frag_store_close, on the caller's thread: the same input, clock and seed
     * then give the same bytes. */
    bool threads;
    const struct kn_clock *clock; /* NULL: the machine's */
    uint64_t seed;                /* not 0: ids follow from it, instead of chance */
    /* Samples and fragments in memory, for recording; 0: 512 MiB. A stream may use half of it; all
     * that live streams (retention 0) keep, an eighth. What archives have loaded counts by itself,
     * up to half as much besides. */
    size_t memory_bytes;
    /* Of each file system; the default is the larger of 5 GiB and 5 %. */
    uint64_t min_free_bytes;
    struct frag_io *io;   /* NULL: the machine's; tests have others */
    bool clock_confirmed; /* age retention runs though the clock is in doubt (upkeep.h) */
};

struct frag_store_config frag_store_config_defaults(void);

/* What opening found and did; for the log and the operator. */
struct frag_store_opening {
    bool created, index_rebuilt;
    uint64_t reels, fragments;                     /* in the index afterwards */
    uint64_t recovered_reels, recovered_fragments; /* torn ends looked through after a crash */
    uint64_t lost_files, foreign_files, damaged_files;
    uint64_t finished_deletions;
    uint64_t offline_folders;
    char problem[256]; /* in words, where opening failed; else empty */
};

/* Blocks. 0. -EBUSY: another process writes it; -ENOENT: no store there (reading, or an empty
 * directory of a store whose main directory is missing: `problem` says what to do);
 * KN_E_UNSUPPORTED: a newer version wrote it; -EXDEV: a directory belongs to another store;
 * KN_E_MALFORMED: no copy of the journal is whole; -EOPNOTSUPP: `data` is on a network file system;
 * -EINVAL; another errno. `ret_opening` may be NULL; it is filled on failure too. */
KN_MUST_CHECK int frag_store_open(const struct frag_store_config *config,
                                  struct frag_store **ret_store,
                                  struct frag_store_opening *ret_opening);
/* Blocks. All writers and archives are closed before. What was submitted becomes durable, reels are
 * closed. NULL is fine. */
void frag_store_close(struct frag_store *store);
/* As after kill -9: nothing more is written; for tests. */
void frag_store_abandon(struct frag_store *store);
/* Is this, absolute and without links, the main or a storage directory of the store, one that is
 * not there among them, or below one? */
bool frag_store_holds(struct frag_store *store, const char *absolute_path);
/* The number (frag_stream_settings.folder) of this main or storage directory, absolute and without
 * links; -ENOENT: it is none of the store's. */
KN_MUST_CHECK int frag_store_folder_number(struct frag_store *store, const char *absolute_path,
                                           uint16_t *ret_number);
/* Blocks. What was submitted before is durable or failed when it returns. 0, or the first error
 * of the index or journal that is still in the way. */
KN_MUST_CHECK int frag_store_flush(struct frag_store *store);

enum frag_store_health {
    FRAG_STORE_FINE,
    FRAG_STORE_DISK_FULL, /* no directory takes fragments: writing resumes by itself */
    FRAG_STORE_FAILING    /* index or journal cannot be written: nothing is acknowledged */
};

/* How long something took, counted by upper ends in seconds; the last one is infinite. */
#define FRAG_TIMES_BUCKETS 14u
extern const double frag_times_seconds[FRAG_TIMES_BUCKETS];
struct frag_times {
    uint64_t counts[FRAG_TIMES_BUCKETS]; /* not cumulative */
    uint64_t sum_ns;
};

struct frag_store_stats {
    enum frag_store_health health;
    bool clock_in_doubt;                       /* age retention pauses */
    uint64_t streams, reels, fragments, bytes; /* on disk */
    uint64_t appended, failed, syncs, sync_errors, commits;
    uint64_t deleted_reels, deleted_bytes;
    size_t memory_used, memory_max; /* of recording; without what archives have loaded */
    struct frag_times sync_times;   /* of each fdatasync of a reel that goes on */
    /* Waiting now, of all disks: for their threads, and for the clerk. */
    size_t queued_fragments, queued_bytes, queued_rows;
};

struct frag_store_stats frag_store_stats(struct frag_store *store);

/* A storage directory, the main one among them; free and total bytes are of its file system, as of
 * the last look (once a second where the store is written), 0 where it is offline or was not
 * looked at. */
struct frag_folder_info {
    uint16_t number;
    const char *path; /* as long as the store */
    bool online, full;
    uint64_t free_bytes, total_bytes;
};
/* Never blocks. A negative answer of `each` ends it and is returned. */
KN_MUST_CHECK int frag_store_folders(struct frag_store *store,
                                     int (*each)(const struct frag_folder_info *info, void *user),
                                     void *user);

/* ---- streams ---- */

/* 1 to 256 of A-Z a-z 0-9 . _ - */
#define FRAG_STREAM_NAME_BYTES 257
#define FRAG_STREAM_TAGS_MAX 50u
#define FRAG_STREAMS_MAX 10000u
#define FRAG_RETAIN_FOREVER INT64_MAX
#define FRAG_FOLDER_ANY UINT16_MAX

struct frag_stream_settings {
    /* By age; 0: nothing on disk, the tail alone. It keeps the newest 32 fragments, at most 32 MiB,
     * and less where live streams share what they all may use (frag_store_config.memory_bytes):
     * first the oldest of those go that have more than others. Deleted or recorded, none stays. */
    int64_t retention_ns;
    uint64_t retention_bytes; /* 0: no limit */
    int64_t target_ns;        /* a fragment's duration aimed at: 1 to 20 s */
    uint16_t folder;          /* its storage directory, or FRAG_FOLDER_ANY */
    bool records;             /* for records (records.h), not video; never changes */
    char media_type[129];     /* "video/h264,audio/aac": as told, for people and clients */
    char device_name[129];
};

/* Nothing on disk, as AWS has it; 2 s. */
struct frag_stream_settings frag_stream_settings_defaults(void);

struct frag_stream_tag {
    char key[129];
    char value[257];
};

struct frag_stream_counters {
    uint64_t fragments, frames, bytes; /* written since start */
    uint64_t failed, dropped_samples;
    uint64_t gaps;                           /* that began, or were added */
    uint64_t gaps_by_cause[FRAG_GAP_CAUSES]; /* of `gaps` */
    struct frag_times ack_times;             /* from complete to acknowledged as durable */
    uint64_t reels_on_disk, bytes_on_disk, fragments_on_disk;
    struct kn_wall last_fragment; /* server time of the newest durable one; 0: none */
};

struct frag_stream_info {
    uint8_t id[FRAG_ID_BYTES];
    char name[FRAG_STREAM_NAME_BYTES];
    char version[21]; /* 20 of A-Z a-z 0-9; another one after every change */
    struct kn_wall created;
    bool deleting;
    struct frag_stream_settings settings;
    size_t tag_count;
    struct frag_stream_tag tags[FRAG_STREAM_TAGS_MAX]; /* in order of their keys */
    struct frag_stream_counters counters;
};

/* A stream by name; NULL: there is none. Valid until the store is closed, also once deleted. */
struct frag_stream *frag_stream_find(struct frag_store *store, const char *name);
/* In order of names, from the first one after `name` (NULL: from the beginning); NULL at the end.
 */
struct frag_stream *frag_stream_next(struct frag_store *store, const char *name);
const char *frag_stream_name(const struct frag_stream *stream);
struct frag_store *frag_stream_store(const struct frag_stream *stream);
/* Its live end, valid as long as the stream. NULL in a store opened for reading. */
struct frag_tail *frag_stream_tail(struct frag_stream *stream);
/* What buffers of its samples count against. NULL in a store opened for reading. */
struct kn_budget *frag_stream_budget(struct frag_stream *stream);
/* Large: give it room on the heap. -ENOENT once deleted. */
KN_MUST_CHECK int frag_stream_describe(struct frag_stream *stream,
                                       struct frag_stream_info *ret_info);

/* These block; durable when they return 0. -EROFS: opened for reading. Other failures of the
 * journal as frag_catalog_put's. */
/* -EEXIST; KN_E_LIMIT (FRAG_STREAMS_MAX); -EINVAL: a name, tag or setting that cannot be. */
KN_MUST_CHECK int frag_stream_create(struct frag_store *store, const char *name,
                                     const struct frag_stream_settings *settings,
                                     const struct frag_stream_tag *tags, size_t tag_count,
                                     struct frag_stream **ret_stream);
/* `version` NULL: whichever it has; else -ESTALE where it has another one. -ENOENT once deleted.
 * -EINVAL also where `records` would change. */
KN_MUST_CHECK int frag_stream_update(struct frag_stream *stream, const char *version,
                                     const struct frag_stream_settings *settings);
/* Puts tags (replacing those with the same key), then removes keys. KN_E_LIMIT: more than
 * FRAG_STREAM_TAGS_MAX. */
KN_MUST_CHECK int frag_stream_tag(struct frag_stream *stream, const struct frag_stream_tag *tags,
                                  size_t tag_count, const char *const *remove, size_t remove_count);
/* Its video is not found any more at once and goes from the disk soon; the name is free. -EPERM:
 * something of it is held. Writers get KN_E_CLOSED. */
KN_MUST_CHECK int frag_stream_delete(struct frag_stream *stream, const char *version);

/* ---- what other folders keep in the journal ---- */

/* `kind`: FRAG_STORE_KIND_SERVER and up. These block. As the catalog's (store/catalog.h). */
#define FRAG_STORE_KIND_SERVER 64u
#define FRAG_STORE_KIND_HOOKS 128u
KN_MUST_CHECK int frag_store_put(struct frag_store *store, uint16_t kind, const void *key,
                                 size_t key_bytes, const void *value, size_t value_bytes);
KN_MUST_CHECK int frag_store_delete(struct frag_store *store, uint16_t kind, const void *key,
                                    size_t key_bytes);
/* A copy: free() it. -ENOENT. */
KN_MUST_CHECK int frag_store_get(struct frag_store *store, uint16_t kind, const void *key,
                                 size_t key_bytes, uint8_t **ret_value, size_t *ret_bytes);
/* All of a kind in order of their keys (bytewise). `each` runs on the store's thread: it copies
 * what it needs and asks nothing of the store. A negative answer of it ends it and is returned. */
KN_MUST_CHECK int frag_store_each(struct frag_store *store, uint16_t kind,
                                  int (*each)(const void *key, size_t key_bytes, const void *value,
                                              size_t value_bytes, void *user),
                                  void *user);

#endif
