#include "base/options.h"

#include <getopt.h>

#include "base/error.h"
#include "base/text.h"

#define SHOWN_BYTES 256

static bool is_taken(const struct kn_options *options, size_t row) {
    return options->rows[row].name != NULL && (options->set & UINT64_C(1) << row) != 0;
}

void kn_options_print(const struct kn_options *options, FILE *out) {
    for (size_t i = 0; i < options->count; i++) {
        const struct kn_option *row = &options->rows[i];
        if (is_taken(options, i)) {
            char left[64];
            (void)snprintf(left, sizeof(left), "--%s%s%s", row->name, row->value == NULL ? "" : " ",
                           row->value == NULL ? "" : row->value);
            (void)fprintf(out, "  %-23s%s\n", left, row->help); /* ferror tells */
        }
    }
}

/* What getopt_long wants; val is the row's number + 1. */
static void list(const struct kn_options *options, struct option *ret_list, char *ret_letters) {
    size_t count = 0;
    for (size_t i = 0; i < options->count; i++) {
        const struct kn_option *row = &options->rows[i];
        if (!is_taken(options, i)) {
            continue;
        }
        ret_list[count++] = (struct option){
            .name = row->name,
            .has_arg = row->value == NULL ? no_argument : required_argument,
            .val = (int)i + 1,
        };
        if (row->letter != '\0') {
            *ret_letters++ = row->letter;
            if (row->value != NULL) {
                *ret_letters++ = ':';
            }
        }
    }
    ret_list[count] = (struct option){0};
    *ret_letters = '\0';
}

/* -1: none. */
static int row_of(const struct kn_options *options, int found) {
    if (found > 0 && found <= (int)options->count) {
        return found - 1;
    }
    for (size_t i = 0; i < options->count; i++) {
        if (is_taken(options, i) && options->rows[i].letter == found) {
            return (int)i;
        }
    }
    return -1;
}

static bool take(const struct kn_option *row, const char *program, void *user, const char *value) {
    if (row->take == NULL || row->take(user, row->at, value)) {
        return true;
    }
    char shown[SHOWN_BYTES];
    fprintf(stderr, "%s: '%s' is nothing for --%s, which takes %s\n", program,
            kn_text_plain(value, SIZE_MAX, shown, sizeof(shown)), row->name, row->takes);
    return false;
}

int kn_options_parse(const struct kn_options *options, int argc, char **argv, void *user,
                     uint64_t *ret_given, int *ret_operands) {
    struct option known[KN_OPTIONS_MAX + 1];
    char letters[2 * KN_OPTIONS_MAX + 1];
    uint64_t given = 0;
    KN_ASSERT(options->count <= KN_OPTIONS_MAX);
    list(options, known, letters);
    optind = 0; /* from the beginning, whatever was parsed before */
    for (;;) {
        int found = getopt_long(argc, argv, letters, known, NULL); // NOLINT(concurrency-mt-unsafe)
        if (found == -1) {
            break;
        }
        int row = row_of(options, found);
        if (row < 0 || !take(&options->rows[row], argv[0], user, optarg)) {
            return KN_E_MALFORMED; /* getopt_long has said what it did not know */
        }
        given |= UINT64_C(1) << row;
    }
    *ret_given = given;
    *ret_operands = optind;
    return 0;
}
