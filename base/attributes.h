/* What the compiler is asked to hold: results that must be looked at, format strings, cleanup. */
#ifndef BASE_ATTRIBUTES_H
#define BASE_ATTRIBUTES_H

/* The caller must look at the result, or write `(void)` before the call and say why. gcc honours
 * that cast only for the standard attribute, clang only knows the old one in C17. */
#if defined(__clang__)
#define KN_MUST_CHECK __attribute__((warn_unused_result))
#else
#define KN_MUST_CHECK [[nodiscard]]
#endif

#define KN_PRINTF(string, first) __attribute__((format(printf, string, first)))
#define KN_CLEANUP(function) __attribute__((cleanup(function)))

/* True for what the caller promised; wrong callers stop the program, in release builds too.
 * Never for input from network, disk or database. */
#define KN_ASSERT(condition)                                                                       \
    ((condition) ? (void)0 : kn_assert_failed(#condition, __FILE__, __LINE__, __func__))

_Noreturn void kn_assert_failed(const char *condition, const char *file, int line,
                                const char *function);

#define KN_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
