/* Time. Wall time says when something happened, monotonic time how long it took; they are different
 * types so that neither is taken for the other. Both count nanoseconds in int64 (to the year 2262).
 *
 * Code that needs the time is given a `struct kn_clock *`: the system's, or a test's own. */
#ifndef BASE_TIME_H
#define BASE_TIME_H

#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"

#define KN_NS_PER_S INT64_C(1000000000)
#define KN_NS_PER_MS INT64_C(1000000)
#define KN_NS_PER_US INT64_C(1000)

/* UTC since 1970-01-01, without leap seconds. */
struct kn_wall {
    int64_t ns;
};

/* Since some moment of this boot; never steps. */
struct kn_mono {
    int64_t ns;
};

/* Filled in by who makes the clock; both functions may be called on any thread. */
struct kn_clock {
    struct kn_wall (*wall)(const struct kn_clock *clock);
    struct kn_mono (*mono)(const struct kn_clock *clock);
};

/* The machine's clock. Never NULL, never freed. */
const struct kn_clock *kn_clock_system(void);

/* "2026-11-20T21:23:40.123Z" and its ending NUL; years outside 0001..9999 do not occur in int64 ns.
 */
#define KN_WALL_TEXT_BYTES 32

/* RFC 3339 in UTC with milliseconds, rounded down. Returns `text`. Pure. */
const char *kn_wall_format(struct kn_wall wall, char text[static KN_WALL_TEXT_BYTES]);

/* Reads RFC 3339 ("2026-11-20T21:23:40Z", fraction and numeric zone allowed) or seconds since 1970
 * ("1795209820", "1795209820.5"). Returns 0 or KN_E_MALFORMED. Pure. */
KN_MUST_CHECK int kn_wall_parse(const char *text, struct kn_wall *ret_wall);

#endif
