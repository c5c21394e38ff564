#include "base/buffer.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/error.h"

/* References are taken relaxed: whoever takes one already has one. They are dropped with acquire
 * and release, so that everything done by any holder comes before the end. */

/* ---- budgets ---- */

/* One owner: its references. */
struct kn_budget {
    atomic_size_t refs;
    atomic_size_t used;
    atomic_uint_fast64_t refused;
    size_t max;
    struct kn_budget *parent; /* one reference */
};

int kn_budget_create(size_t max_bytes, struct kn_budget *parent, struct kn_budget **ret_budget) {
    struct kn_budget *budget = calloc(1, sizeof(*budget));
    if (budget == NULL) {
        return -ENOMEM;
    }
    atomic_init(&budget->refs, 1);
    budget->max = max_bytes;
    budget->parent = parent != NULL ? kn_budget_ref(parent) : NULL;
    *ret_budget = budget;
    return 0;
}

struct kn_budget *kn_budget_ref(struct kn_budget *budget) {
    atomic_fetch_add_explicit(&budget->refs, 1, memory_order_relaxed);
    return budget;
}

void kn_budget_unref(struct kn_budget *budget) {
    while (budget != NULL &&
           atomic_fetch_sub_explicit(&budget->refs, 1, memory_order_acq_rel) == 1) {
        /* A claim that outlives its budget could never be released at the parent. */
        KN_ASSERT(atomic_load(&budget->used) == 0);
        struct kn_budget *parent = budget->parent;
        free(budget);
        budget = parent;
    }
}

size_t kn_budget_used(const struct kn_budget *budget) {
    return atomic_load_explicit(&budget->used, memory_order_relaxed);
}

size_t kn_budget_max(const struct kn_budget *budget) {
    return budget->max;
}

uint64_t kn_budget_refused(const struct kn_budget *budget) {
    return atomic_load_explicit(&budget->refused, memory_order_relaxed);
}

static bool claim_here(struct kn_budget *budget, size_t bytes) {
    size_t used = atomic_load_explicit(&budget->used, memory_order_relaxed);
    do {
        if (bytes > budget->max - used) {
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(&budget->used, &used, used + bytes,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

/* From `budget` up to, not including, `end`. */
static void release_until(struct kn_budget *budget, const struct kn_budget *end, size_t bytes) {
    for (; budget != end; budget = budget->parent) {
        size_t before = atomic_fetch_sub_explicit(&budget->used, bytes, memory_order_relaxed);
        KN_ASSERT(before >= bytes);
    }
}

/* While a claim climbs, lower budgets count bytes that a parent may yet refuse: another claim at
 * that moment can be refused although it would have fitted, but never the other way round. */
int kn_budget_claim(struct kn_budget *budget, size_t bytes) {
    for (struct kn_budget *at = budget; at != NULL; at = at->parent) {
        if (claim_here(at, bytes)) {
            continue;
        }
        release_until(budget, at, bytes);
        for (struct kn_budget *b = budget; b != at->parent; b = b->parent) {
            atomic_fetch_add_explicit(&b->refused, 1, memory_order_relaxed);
        }
        return KN_E_MEMORY_LIMIT;
    }
    return 0;
}

void kn_budget_release(struct kn_budget *budget, size_t bytes) {
    release_until(budget, NULL, bytes);
}

/* ---- buffers ---- */

#define PAYLOAD_ALIGN 64 /* a cache line, and what vector code likes best */

/* One owner: its references. The face comes first, so that the two convert into each other. */
struct buffer {
    struct kn_buffer face;
    atomic_size_t refs;
    struct kn_budget *budget; /* one reference, or NULL */
    size_t claimed;
    kn_buffer_release *release; /* NULL: the bytes stand behind this struct, or need no release */
    void *user;
};

static struct buffer *from_face(struct kn_buffer *face) {
    return (struct buffer *)face;
}

/* A buffer with `extra` bytes behind it and `size` bytes claimed. */
static int create(struct kn_budget *budget, size_t size, size_t extra, struct buffer **ret_buffer) {
    size_t bytes;
    if (!kn_size_add(sizeof(struct buffer), extra, &bytes)) {
        return -ENOMEM;
    }
    int rc = budget != NULL ? kn_budget_claim(budget, size) : 0;
    if (rc < 0) {
        return rc;
    }
    struct buffer *buffer = malloc(bytes);
    if (buffer == NULL) {
        if (budget != NULL) {
            kn_budget_release(budget, size);
        }
        return -ENOMEM;
    }
    *buffer = (struct buffer){.face.size = size, .claimed = size};
    atomic_init(&buffer->refs, 1);
    buffer->budget = budget != NULL ? kn_budget_ref(budget) : NULL;
    *ret_buffer = buffer;
    return 0;
}

int kn_buffer_alloc(struct kn_budget *budget, size_t size, uint8_t **ret_room,
                    struct kn_buffer **ret_buffer) {
    size_t extra;
    if (!kn_size_add(size, PAYLOAD_ALIGN - 1, &extra)) {
        return -ENOMEM;
    }
    struct buffer *buffer;
    int rc = create(budget, size, extra, &buffer);
    if (rc < 0) {
        return rc;
    }
    /* malloc with room to align beats aligned_alloc, which bypasses glibc's thread caches. */
    uint8_t *payload = (uint8_t *)(buffer + 1);
    payload += -(uintptr_t)payload % PAYLOAD_ALIGN;
    buffer->face.data = payload;
    *ret_room = payload;
    *ret_buffer = &buffer->face;
    return 0;
}

int kn_buffer_wrap(struct kn_budget *budget, const void *data, size_t size,
                   kn_buffer_release *release, void *user, struct kn_buffer **ret_buffer) {
    KN_ASSERT(data != NULL || size == 0);
    struct buffer *buffer;
    int rc = create(budget, size, 0, &buffer);
    if (rc < 0) {
        return rc;
    }
    buffer->face.data = data;
    buffer->release = release;
    buffer->user = user;
    *ret_buffer = &buffer->face;
    return 0;
}

void kn_buffer_shrink(struct kn_buffer *face, size_t size) {
    struct buffer *buffer = from_face(face);
    KN_ASSERT(atomic_load_explicit(&buffer->refs, memory_order_relaxed) == 1);
    KN_ASSERT(size <= face->size);
    face->size = size;
}

struct kn_buffer *kn_buffer_ref(struct kn_buffer *face) {
    atomic_fetch_add_explicit(&from_face(face)->refs, 1, memory_order_relaxed);
    return face;
}

void kn_buffer_unref(struct kn_buffer *face) {
    if (face == NULL ||
        atomic_fetch_sub_explicit(&from_face(face)->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    struct buffer *buffer = from_face(face);
    struct kn_budget *budget = buffer->budget;
    size_t size = buffer->claimed;
    if (buffer->release != NULL) {
        buffer->release(buffer->user);
    }
    free(buffer);
    /* The budget last: what it says is free must be free. */
    if (budget != NULL) {
        kn_budget_release(budget, size);
        kn_budget_unref(budget);
    }
}
