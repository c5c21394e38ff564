/* Looking into Matroska files, and writing them anew: `kinora inspect` and `kinora rewrite`.
 * Blocking; for command lines, not for loops. */
#ifndef FRAGMENTS_INSPECT_H
#define FRAGMENTS_INSPECT_H

#include <stdbool.h>
#include <stdio.h>

#include "base/attributes.h"
#include "fragments/matroska.h"

struct frag_inspect_options {
    bool json;
    bool frames;   /* list every frame */
    bool progress; /* tell on standard error how far it is, if it takes long */
};

enum frag_inspect_end {
    FRAG_INSPECT_WHOLE,    /* the file was read to its end and nothing is wrong with it */
    FRAG_INSPECT_DAMAGED,  /* it has an error, which was printed; everything before it was shown */
    FRAG_INSPECT_UNREAD,   /* it cannot be read, or memory is short */
    FRAG_INSPECT_UNPRINTED /* `out` does not take more */
};

/* Reads `path` ("-": standard input) from end to end and prints tracks, fragments, tags and what is
 * odd to `out`. 0 for a whole file; else `ret_end` tells what the result is about: the file's first
 * error, or a negative errno. */
KN_MUST_CHECK int frag_inspect_file(const char *path, const struct frag_inspect_options *options,
                                    FILE *out, enum frag_inspect_end *ret_end);

enum frag_rewrite_refusal {
    FRAG_REWRITE_FINE,
    FRAG_REWRITE_EXISTS, /* `to` is there, and not `replace` */
    FRAG_REWRITE_SAME,   /* it is the file that is read */
    FRAG_REWRITE_NO_FILE /* it is a folder, a link, a device ...: never replaced */
};

struct frag_rewrite_result {
    size_t fragments;
    size_t samples;
    uint64_t bytes; /* of the new file */
    enum frag_rewrite_refusal refusal;
    bool about_new;              /* an errno is about the new file, not the old one */
    struct frag_mkv_error error; /* of the old one; fault FRAG_MKV_FINE for a whole file */
};

/* Writes all good fragments of `from` ("-": standard input) to a new file `to`: sizes known, time
 * index, length-prefixed NAL units, tags kept. Frames, times and codec data stay as they are. The
 * new file appears under its name, synced, only when it is complete.
 *
 * 0, also when `from` is damaged (see ret_result); KN_E_TRUNCATED when it holds no fragment at all;
 * -EEXIST with a refusal; about the contents of `from`: KN_E_LIMIT (over 65,536 tags or 16 MiB of
 * them in one Tags element or before the first cluster), -ERANGE (laced frames that lie more than
 * 32,767 ticks from their cluster), KN_E_UNSUPPORTED (a track's parameter sets come behind the
 * first fragment, and standard input cannot be read twice); or another errno. */
KN_MUST_CHECK int frag_rewrite_file(const char *from, const char *to, bool replace, bool progress,
                                    struct frag_rewrite_result *ret_result);

#endif
