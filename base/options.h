/* Options on a command line, from a table of all that a program has and a set of those that a
 * command takes. Parsing is getopt_long's: one thread. */
#ifndef BASE_OPTIONS_H
#define BASE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/attributes.h"

/* So that a set fits 64 bits. */
#define KN_OPTIONS_MAX 64u

struct kn_option {
    const char *name;  /* without dashes */
    char letter;       /* for short; 0: it has none */
    const char *value; /* what its value is called; NULL: it has none */
    const char *help;
    /* False: the value is none that it takes. NULL: whether it was given is all. */
    bool (*take)(void *user, size_t at, const char *value);
    size_t at;         /* for `take`: where in `user` it belongs */
    const char *takes; /* for who gave it something else: "a name" */
};

struct kn_options {
    const struct kn_option *rows; /* where rows have no name, there is no option */
    size_t count;
    uint64_t set; /* those that are taken, by the bits of their rows; others are unknown */
};

/* A line each. */
void kn_options_print(const struct kn_options *options, FILE *out);
/* Takes options out of argv (operands go behind them), whose first one is the program's name for
 * complaints. 0 with the set of those given and the place of the first operand; KN_E_MALFORMED: it
 * has said what was wrong. */
KN_MUST_CHECK int kn_options_parse(const struct kn_options *options, int argc, char **argv,
                                   void *user, uint64_t *ret_given, int *ret_operands);

#endif
