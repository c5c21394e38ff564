/* Media payload: refcounted bytes with a release callback, counted against a memory budget.
 *
 *     kn_buffer_alloc -> fill -> share (from then on immutable) -> kn_buffer_unref by every holder
 *
 * A budget belongs to the store (all media in memory) or, with that one as its parent, to a stream.
 * Passing payload on is a ref, never a copy. */
#ifndef BASE_BUFFER_H
#define BASE_BUFFER_H

#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"

/* ---- budgets: any thread ---- */

struct kn_budget;

/* `parent` may be NULL; it is kept by reference, and bytes count against both. 0 or -ENOMEM. */
KN_MUST_CHECK int kn_budget_create(size_t max_bytes, struct kn_budget *parent,
                                   struct kn_budget **ret_budget);
struct kn_budget *kn_budget_ref(struct kn_budget *budget);
/* NULL is fine. Buffers keep their budget alive. */
void kn_budget_unref(struct kn_budget *budget);
size_t kn_budget_used(const struct kn_budget *budget);
size_t kn_budget_max(const struct kn_budget *budget);
/* How often a claim was refused here or at a parent. */
uint64_t kn_budget_refused(const struct kn_budget *budget);
/* For memory that is not a kn_buffer. 0 or KN_E_MEMORY_LIMIT; release what was claimed, once. */
KN_MUST_CHECK int kn_budget_claim(struct kn_budget *budget, size_t bytes);
void kn_budget_release(struct kn_budget *budget, size_t bytes);

/* ---- buffers ---- */

/* `data` and `size` may be read by every holder, on any thread, and never change once shared. */
struct kn_buffer {
    const uint8_t *data;
    size_t size;
};

/* Called once, on whichever thread drops the last reference: it must not block or call back. */
typedef void kn_buffer_release(void *user);

/* `size` bytes, not cleared, which the maker may write through `ret_room` until it shares the
 * buffer. `budget` may be NULL (tests, tools). 0, -ENOMEM, KN_E_MEMORY_LIMIT. */
KN_MUST_CHECK int kn_buffer_alloc(struct kn_budget *budget, size_t size, uint8_t **ret_room,
                                  struct kn_buffer **ret_buffer);
/* Foreign bytes, valid until `release(user)`. On failure release is not called: they stay the
 * caller's. */
KN_MUST_CHECK int kn_buffer_wrap(struct kn_budget *budget, const void *data, size_t size,
                                 kn_buffer_release *release, void *user,
                                 struct kn_buffer **ret_buffer);
/* Leaves out bytes at the end that were allocated but not filled; only before sharing. They stay
 * allocated, and claimed, as long as the buffer lives. */
void kn_buffer_shrink(struct kn_buffer *buffer, size_t size);
struct kn_buffer *kn_buffer_ref(struct kn_buffer *buffer);
/* NULL is fine. */
void kn_buffer_unref(struct kn_buffer *buffer);

#endif
