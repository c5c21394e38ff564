/* Makes allocations fail, one at a time or all, to test that out of memory is an ordinary error.
 *
 *     fail_alloc_at(1);                    // the next allocation fails, once
 *     assert_int_equal(thing_create(&thing), -ENOMEM);
 *     fail_alloc_stop();
 *
 * Link with -Wl,--wrap=malloc -Wl,--wrap=calloc -Wl,--wrap=realloc. It reaches what is linked from
 * object files and static libraries, not what shared libraries allocate for themselves. Works below
 * the sanitizers. Any thread; the settings are the whole program's. */
#ifndef TESTS_SUPPORT_FAIL_ALLOC_H
#define TESTS_SUPPORT_FAIL_ALLOC_H

/* The n-th allocation from now fails, n from 1; those after it succeed. Counts from 0 again. */
void fail_alloc_at(unsigned long n);
/* Every allocation fails from now on. Counts from 0 again. */
void fail_alloc_always(void);
/* Allocations succeed again; the count goes on. */
void fail_alloc_stop(void);
/* Allocations, failed ones too, since fail_alloc_at or fail_alloc_always (or the start). */
unsigned long fail_alloc_count(void);

#endif
