#include "tests/support/fail_alloc.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

static atomic_ulong count;
static atomic_ulong fail_at; /* 0: none */
static atomic_bool fail_always;

/* The linker binds calls of malloc to __wrap_malloc, and __real_malloc to malloc. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t items, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t items, size_t size);
void *__wrap_realloc(void *old, size_t size);

static bool fails(void) {
    unsigned long number = atomic_fetch_add(&count, 1) + 1;
    if (!atomic_load(&fail_always) && number != atomic_load(&fail_at)) {
        return false;
    }
    errno = ENOMEM;
    return true;
}

void *__wrap_malloc(size_t size) {
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t items, size_t size) {
    return fails() ? NULL : __real_calloc(items, size);
}

void *__wrap_realloc(void *old, size_t size) {
    return fails() ? NULL : __real_realloc(old, size);
}

static void set(unsigned long at, bool always) {
    /* Nothing fails while the count starts anew. */
    atomic_store(&fail_always, false);
    atomic_store(&fail_at, 0);
    atomic_store(&count, 0);
    atomic_store(&fail_at, at);
    atomic_store(&fail_always, always);
}

void fail_alloc_at(unsigned long n) {
    set(n, false);
}

void fail_alloc_always(void) {
    set(0, true);
}

void fail_alloc_stop(void) {
    atomic_store(&fail_always, false);
    atomic_store(&fail_at, 0);
}

unsigned long fail_alloc_count(void) {
    return atomic_load(&count);
}
