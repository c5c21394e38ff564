#include "ingest/putmedia/resend.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"

/* Of a cluster as the archive gives it: its id, and 8 bytes of size. */
#define STORED_HEAD 12u

static void log_failure(struct frag_stream *stream, int rc) {
    if (rc < 0 && rc != -ENOENT) {
        kn_log_warn("cannot tell whether a fragment was stored before; it is stored",
                    kn_str("stream", frag_stream_name(stream)), kn_err("error", rc));
    }
}

static void look_for_latest(struct ing_resend *resend, struct frag_archive *archive,
                            struct frag_stream *stream) {
    /* Of the connection before, what it submitted may still be on its way. */
    int rc = frag_stream_is_settled(stream) ? 0 : frag_store_flush(frag_stream_store(stream));
    log_failure(stream, rc);
    rc = frag_archive_latest(archive, stream, &resend->latest);
    log_failure(stream, rc);
    resend->over = rc < 0;
    resend->looked = true;
}

void ing_resend_find(struct ing_resend *resend, struct frag_archive *archive,
                     struct frag_stream *stream, struct kn_wall producer) {
    if (!resend->looked) {
        look_for_latest(resend, archive, stream);
    }
    resend->over = resend->over || resend->latest.producer.ns < producer.ns;
    resend->found = false;
    if (!resend->over) {
        const struct frag_entry *entry = &resend->entry;
        int rc =
            frag_archive_find_time(archive, stream, FRAG_CLOCK_PRODUCER, producer, &resend->entry);
        log_failure(stream, rc);
        resend->found = rc == 0 && entry->producer.ns == producer.ns &&
                        entry->ordinal <= resend->latest.ordinal &&
                        resend->latest.ordinal - entry->ordinal < ING_RESEND_NEWEST;
    }
}

bool ing_resend_same(struct frag_archive *archive, const struct frag_entry *entry,
                     const struct frag_mkv_fragment *fragment) {
    struct frag_loaded *loaded = NULL;
    /* Lost or damaged on disk: then it is good that it comes again. */
    if (frag_archive_load(archive, entry, &loaded) < 0) {
        return false;
    }
    size_t head = fragment->cluster.header_bytes;
    size_t size = fragment->bytes->size - head;
    bool same = loaded->received_width != 0 && loaded->cluster_bytes == STORED_HEAD + size &&
                memcmp(loaded->cluster + STORED_HEAD, fragment->bytes->data + head, size) == 0;
    frag_loaded_free(loaded);
    return same;
}
