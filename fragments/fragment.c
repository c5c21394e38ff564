/* The fragment object.
 *
 *   from      event            to        effect
 *   building  seal             queued    samples become readable by all
 *   queued    settle, error 0  durable   -
 *   queued    settle, error    failed    the error becomes readable */
#include "fragments/fragment.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/error.h"
#include "fragments/fragment_settle.h"

struct fragment {
    struct frag_fragment face; /* first: the face is the object */
    struct kn_sample *samples;
    size_t room;
    _Atomic unsigned refs;
    _Atomic int state;
    int error; /* written before the state becomes failed */
};

static struct fragment *inside(struct frag_fragment *face) {
    return (struct fragment *)face;
}

static void set_state(struct fragment *fragment, enum frag_state from, enum frag_state to) {
    int expected = (int)from;
    bool moved = atomic_compare_exchange_strong_explicit(
        &fragment->state, &expected, (int)to, memory_order_release, memory_order_acquire);
    KN_ASSERT(moved);
}

int frag_fragment_create(const struct frag_fragment_start *start, struct kn_tracks *tracks,
                         struct frag_fragment **ret_fragment) {
    struct fragment *fragment = calloc(1, sizeof(*fragment));
    if (fragment == NULL) {
        return -ENOMEM;
    }
    fragment->face.start = *start;
    fragment->face.tracks = kn_tracks_ref(tracks);
    atomic_init(&fragment->refs, 1);
    atomic_init(&fragment->state, FRAG_BUILDING);
    *ret_fragment = &fragment->face;
    return 0;
}

struct frag_fragment *frag_fragment_ref(struct frag_fragment *face) {
    atomic_fetch_add_explicit(&inside(face)->refs, 1, memory_order_relaxed);
    return face;
}

void frag_fragment_unref(struct frag_fragment *face) {
    if (face == NULL) {
        return;
    }
    struct fragment *fragment = inside(face);
    /* acquire: whoever frees it has seen what the other holders did with it */
    if (atomic_fetch_sub_explicit(&fragment->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (size_t i = 0; i < face->sample_count; i++) {
        kn_sample_unref(&fragment->samples[i]);
    }
    free(fragment->samples);
    kn_tracks_unref(face->tracks);
    kn_buffer_unref(face->form.header);
    kn_buffer_unref(face->form.cluster);
    kn_buffer_unref(face->form.around);
    free(fragment);
}

static int more_room(struct fragment *fragment) {
    size_t room = fragment->room == 0 ? 128 : fragment->room * 2;
    struct kn_sample *larger = realloc(fragment->samples, room * sizeof(*larger));
    if (larger == NULL) {
        return -ENOMEM;
    }
    fragment->samples = larger;
    fragment->face.samples = larger;
    fragment->room = room;
    return 0;
}

int frag_fragment_add(struct frag_fragment *face, const struct kn_sample *sample) {
    struct fragment *fragment = inside(face);
    KN_ASSERT(frag_fragment_state(face) == FRAG_BUILDING);
    if (sample->track >= face->tracks->count) {
        return -EINVAL;
    }
    if (face->sample_count == FRAG_MAX_SAMPLES || sample->size > FRAG_MAX_BYTES - face->bytes) {
        return KN_E_LIMIT;
    }
    if (face->sample_count == fragment->room) {
        int rc = more_room(fragment);
        if (rc != 0) {
            return rc;
        }
    }
    fragment->samples[face->sample_count++] = kn_sample_ref(sample);
    face->bytes += sample->size;
    return 0;
}

static struct kn_buffer *ref_if(struct kn_buffer *buffer) {
    return buffer == NULL ? NULL : kn_buffer_ref(buffer);
}

void frag_fragment_set_form(struct frag_fragment *face, const struct frag_form *form) {
    KN_ASSERT(frag_fragment_state(face) == FRAG_BUILDING && face->form.cluster == NULL);
    face->form = *form;
    face->form.header = ref_if(form->header);
    face->form.cluster = kn_buffer_ref(form->cluster);
    face->form.around = ref_if(form->around);
}

void frag_fragment_seal(struct frag_fragment *face, int64_t duration_ns) {
    face->duration_ns = duration_ns;
    set_state(inside(face), FRAG_BUILDING, FRAG_QUEUED);
}

void frag_fragment_settle(struct frag_fragment *face, int error) {
    struct fragment *fragment = inside(face);
    KN_ASSERT(error <= 0);
    fragment->error = error;
    set_state(fragment, FRAG_QUEUED, error == 0 ? FRAG_DURABLE : FRAG_FAILED);
}

enum frag_state frag_fragment_state(const struct frag_fragment *face) {
    const struct fragment *fragment = (const struct fragment *)face;
    return (enum frag_state)atomic_load_explicit(&fragment->state, memory_order_acquire);
}

int frag_fragment_error(const struct frag_fragment *face) {
    const struct fragment *fragment = (const struct fragment *)face;
    return frag_fragment_state(face) == FRAG_FAILED ? fragment->error : 0;
}

const char *frag_gap_cause_text(enum frag_gap_cause cause) {
    switch (cause) {
    case FRAG_GAP_SOURCE_REFUSED:
        return "source refused";
    case FRAG_GAP_NETWORK:
        return "network";
    case FRAG_GAP_PACKET_LOSS:
        return "packet loss";
    case FRAG_GAP_SLOW_DISK:
        return "slow disk";
    case FRAG_GAP_DISK_FULL:
        return "disk full";
    case FRAG_GAP_SYNC_ERROR:
        return "sync error";
    case FRAG_GAP_CLOCK:
        return "clock";
    case FRAG_GAP_CRASH:
        return "crash";
    case FRAG_GAP_INGEST_CRASHED:
        return "ingest crashed";
    case FRAG_GAP_FILE_LOST:
        return "file lost";
    case FRAG_GAP_PRODUCER_AWAY:
        return "producer away";
    case FRAG_GAP_SCHEDULE:
        return "schedule";
    case FRAG_GAP_OPERATOR:
        return "operator";
    case FRAG_GAP_SHUTDOWN:
        return "shutdown";
    }
    return "unknown";
}
