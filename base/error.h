/* Results. A function that can fail returns int: 0 or more is success, below 0 is a negative errno
 * or one of the codes here. Results go out through `ret_` parameters, untouched on failure. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include "base/attributes.h"

/* Kinora's own codes stand below every errno. Append only: they are printed and documented. */
enum kn_error {
    KN_E_TRUNCATED = -10001,   /* the input ends inside something */
    KN_E_MALFORMED = -10002,   /* the input breaks its own format */
    KN_E_LIMIT = -10003,       /* the input is over a stated maximum */
    KN_E_UNSUPPORTED = -10004, /* well formed, but nothing here handles it */
    KN_E_CLOSED = -10005,      /* the other side (queue, loop, subscription) has ended */
    KN_E_MEMORY_LIMIT = -10006 /* a memory budget is used up (ENOMEM is the machine's) */
};

/* A short English phrase for any negative result; never NULL. Any thread. */
const char *kn_error_text(int error);

#endif
