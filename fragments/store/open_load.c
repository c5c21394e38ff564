/* What the catalog and the index say about streams, into memory. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "fragments/store/open.h"
#include "fragments/store/streams.h"

static int load_stream(struct frag_catalog_value key, struct frag_catalog_value value, void *user) {
    struct frag_store *store = user;
    struct frag_value_stream *stream = calloc(1, sizeof(*stream));
    struct frag_stream *made = NULL;
    int rc = stream == NULL ? -ENOMEM : 0;
    if (rc == 0) {
        rc = key.size == FRAG_ID_BYTES ? frag_value_read_stream(value, stream) : KN_E_MALFORMED;
    }
    rc = rc < 0 ? rc : frag_stream_make(store, key.data, stream, &made);
    rc = rc < 0 ? rc : frag_streams_add(store, made);
    if (rc < 0) {
        frag_stream_destroy(made);
    }
    if (stream != NULL) {
        free(stream->tags);
        free(stream);
    }
    if (rc == -ENOMEM) {
        return rc;
    }
    if (rc < 0) {
        /* Its checksum held, so this version cannot have written it. */
        kn_log_error("a stream in the journal cannot be read", kn_err("error", rc));
    }
    return rc;
}

static int load_gap(struct frag_catalog_value key, struct frag_catalog_value value, void *user) {
    struct frag_store *store = user;
    struct frag_gap_key at;
    struct frag_gap_entry gap;
    if (frag_gap_key_read(key, &at) < 0 || frag_value_read_gap(value, &gap) < 0) {
        return 0;
    }
    struct frag_stream *stream = frag_stream_by_id(store, at.stream);
    if (stream == NULL) {
        return 0;
    }
    stream->gap_count++;
    /* Burnt by an earlier start, or lost: used in any case. */
    if (gap.ordinals > 0 && gap.ordinal + gap.ordinals > stream->next_ordinal) {
        stream->next_ordinal = gap.ordinal + gap.ordinals;
    }
    if (gap.open) {
        gap.gap.from = at.from;
        gap.gap.to = at.from;
        stream->gap_open = true;
        stream->gap_at = at;
        stream->gap = gap;
    }
    return 0;
}

int frag_open_streams(struct frag_store *store) {
    struct frag_catalog *catalog = store->clerk.catalog;
    int rc = frag_catalog_each(catalog, FRAG_CATALOG_STREAM, load_stream, store);
    return rc < 0 ? rc : frag_catalog_each(catalog, FRAG_CATALOG_GAP, load_gap, store);
}

/* ---- numbers ---- */

static void load_mark(struct frag_stream *stream) {
    uint8_t key[FRAG_KEY_BYTES_MAX];
    size_t key_bytes = frag_key_of(FRAG_KEY_MARK, stream->id, key);
    struct frag_catalog_value value;
    if (frag_catalog_get(stream->store->clerk.catalog, FRAG_CATALOG_STORE, key, key_bytes,
                         &value) == 0) {
        stream->marked = frag_value_read_mark(value, &stream->mark) == 0;
    }
}

int frag_open_raise_mark(struct frag_stream *stream, const struct frag_value_mark *mark) {
    load_mark(stream);
    struct frag_value_mark high = stream->marked ? stream->mark : (struct frag_value_mark){0};
    if (stream->marked && high.ordinal >= mark->ordinal) {
        return 0;
    }
    high.sequence = mark->sequence > high.sequence ? mark->sequence : high.sequence;
    high.ordinal = mark->ordinal;
    high.discontinuities =
        mark->discontinuities > high.discontinuities ? mark->discontinuities : high.discontinuities;
    uint8_t key[FRAG_KEY_BYTES_MAX];
    uint8_t room[64];
    struct kn_writer writer;
    kn_writer_init(&writer, room, sizeof(room));
    frag_value_write_mark(&writer, &high);
    size_t key_bytes = frag_key_of(FRAG_KEY_MARK, stream->id, key);
    int rc = kn_writer_status(&writer);
    return rc < 0 ? rc
                  : frag_catalog_put(stream->store->clerk.catalog, FRAG_CATALOG_STORE, key,
                                     key_bytes, writer.data, writer.size);
}

/* What is in a directory that is away, or in a file that was left alone, may be unknown: an index
 * made meanwhile has no rows of it. No
 * ordinal and no count of discontinuities is ever above its fragment's sequence, so where this
 * start's sequences begin, none was used. Once the directory is back its rows tell. */
static void leap(struct frag_stream *stream) {
    uint64_t sequence = stream->store->epoch << 32;
    if (stream->next_ordinal < sequence) {
        stream->next_ordinal = sequence;
        stream->discontinuities = sequence;
        stream->discontinuity = true;
    }
}

/* Numbers go on behind the highest one, with one ordinal burnt: the fragment that was being built
 * when the store stopped may have been named to a live viewer. */
static int load_numbers(struct frag_stream *stream, struct frag_index *index, bool unknown) {
    struct frag_index_found found;
    int rc = frag_index_latest(index, stream->id, &found);
    if (rc < 0 && rc != -ENOENT) {
        return rc;
    }
    load_mark(stream);
    struct frag_value_mark high = stream->marked ? stream->mark : (struct frag_value_mark){0};
    if (rc == 0) {
        const struct frag_reel_row *row = &found.row;
        if (row->ordinal >= high.ordinal) {
            high = (struct frag_value_mark){.sequence = row->number.sequence,
                                            .ordinal = row->ordinal,
                                            .discontinuities = row->discontinuities};
        }
        stream->last_end.ns = row->server.ns + row->duration_ns;
        stream->counters.last_fragment = row->server;
    }
    if (rc == 0 || stream->marked) {
        stream->next_ordinal =
            stream->next_ordinal > high.ordinal + 1 ? stream->next_ordinal + 1 : high.ordinal + 2;
        stream->discontinuities = high.discontinuities;
        stream->discontinuity = true;
    }
    if (unknown) {
        leap(stream);
    }
    frag_stream_lift_ordinals(stream);
    return 0;
}

/* From the last fragment on nothing was recorded: a crash, unless the last writer has said
 * otherwise. */
static int note_stop(struct frag_stream *stream) {
    if (stream->last_end.ns == 0 || stream->settings.retention_ns == 0 || stream->deleting) {
        return 0;
    }
    struct frag_gap_entry gap = {.gap = {.from = stream->last_end, .cause = FRAG_GAP_CRASH},
                                 .open = true};
    uint64_t burnt = stream->next_ordinal - 1;
    if (stream->gap_open) {
        gap = stream->gap;
    }
    if (gap.ordinals > 0 && gap.ordinal + gap.ordinals == burnt) {
        gap.ordinals++; /* nothing came since the last start either */
    } else {
        gap.ordinal = burnt;
        gap.ordinals = 1;
    }
    return stream->gap_open ? frag_gaps_renew(stream, &gap) : frag_gaps_open(stream, &gap);
}

static int add_total(const struct frag_index_totals *totals, void *user) {
    struct frag_store *store = user;
    struct frag_stream *stream = frag_stream_by_id(store, totals->stream);
    if (stream != NULL) {
        stream->counters.reels_on_disk = totals->reels;
        stream->counters.bytes_on_disk = totals->bytes;
        stream->counters.fragments_on_disk = totals->fragments;
    }
    return 0;
}

static int load_list(struct frag_stream **list, size_t count, struct frag_index *index,
                     bool unknown, struct frag_store_opening *opening) {
    int rc = 0;
    for (size_t i = 0; i < count && rc >= 0; i++) {
        rc = load_numbers(list[i], index, unknown);
        if (rc >= 0 && list[i]->store->mode == FRAG_STORE_WRITE) {
            rc = note_stop(list[i]);
        }
        opening->reels += list[i]->counters.reels_on_disk;
        opening->fragments += list[i]->counters.fragments_on_disk;
    }
    return rc;
}

int frag_open_numbers(struct frag_store *store, struct frag_index *index, bool unknown,
                      struct frag_store_opening *opening) {
    int rc = frag_index_each_total(index, add_total, store);
    unknown = unknown || opening->offline_folders > 0;
    rc = rc < 0 ? rc : load_list(store->streams, store->stream_count, index, unknown, opening);
    return rc < 0 ? rc : load_list(store->gone, store->gone_count, index, unknown, opening);
}
