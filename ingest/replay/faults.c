/* What is to go wrong in a replay, as people write it. Pure. */
#include <string.h>

#include "base/error.h"
#include "base/quantity.h"
#include "ingest/ingest.h"

/* A century: whatever is added to a wall time of today still fits int64 ns. */
#define SPAN_MAX_NS (INT64_C(36500) * 86400 * KN_NS_PER_S)

/* A piece of the text; what is taken is taken from its front. */
struct piece {
    const char *at, *end;
};

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool take_char(struct piece *piece, char c) {
    if (piece->at == piece->end || *piece->at != c) {
        return false;
    }
    piece->at++;
    return true;
}

static bool take_word(struct piece *piece, const char *word) {
    size_t size = strlen(word);
    if ((size_t)(piece->end - piece->at) < size || memcmp(piece->at, word, size) != 0) {
        return false;
    }
    piece->at += size;
    return true;
}

static bool take_u64(struct piece *piece, uint64_t *ret) {
    uint64_t value = 0;
    const char *begin = piece->at;
    while (piece->at != piece->end && is_digit(*piece->at)) {
        uint64_t digit = (uint64_t)(*piece->at - '0');
        if (value > (UINT64_MAX - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
        piece->at++;
    }
    *ret = value;
    return piece->at != begin;
}

static size_t left_of(const struct piece *piece) {
    return (size_t)(piece->end - piece->at);
}

static bool take_span(struct piece *piece, int64_t *ret_ns) {
    int64_t ns;
    size_t used = kn_duration_read(piece->at, left_of(piece), &ns);
    if (used == 0 || ns > SPAN_MAX_NS) {
        return false;
    }
    piece->at += used;
    *ret_ns = ns;
    return true;
}

/* ---- one fault each ---- */

static bool take_loss(struct piece *piece, struct ing_faults *faults) {
    uint64_t whole;
    uint32_t billionths;
    size_t used = kn_decimal_read(piece->at, left_of(piece), &whole, &billionths);
    piece->at += used;
    if (used == 0 || !take_char(piece, '%') || whole > 100 || (whole == 100 && billionths > 0)) {
        return false;
    }
    faults->loss = (double)(whole * 1000000000 + billionths) / 1e11;
    return true;
}

static bool take_jump(struct piece *piece, struct ing_faults *faults) {
    bool back = take_char(piece, '-');
    int64_t by, at;
    if (!back) {
        (void)take_char(piece, '+'); /* may stand there, need not */
    }
    if (!take_span(piece, &by) || !take_char(piece, '@') || !take_span(piece, &at)) {
        return false;
    }
    faults->has_jump = true;
    faults->jump_ns = back ? -by : by;
    faults->jump_at_ns = at;
    return true;
}

static bool take_flap(struct piece *piece, struct ing_faults *faults) {
    /* Below a millisecond it would be a session a sample. */
    return take_span(piece, &faults->flap_ns) && faults->flap_ns >= KN_NS_PER_MS;
}

static bool take_truncate(struct piece *piece, struct ing_faults *faults) {
    return take_u64(piece, &faults->truncate) && faults->truncate > 0;
}

static bool take_seed(struct piece *piece, struct ing_faults *faults) {
    return take_u64(piece, &faults->seed) && faults->seed > 0;
}

static bool take_fault(struct piece *piece, struct ing_faults *faults) {
    static const struct {
        const char *name;
        bool (*take)(struct piece *piece, struct ing_faults *faults);
    } known[] = {
        {"loss=", take_loss},         {"jump=", take_jump}, {"flap=", take_flap},
        {"truncate@", take_truncate}, {"seed=", take_seed},
    };
    for (size_t i = 0; i < KN_COUNT(known); i++) {
        if (take_word(piece, known[i].name)) {
            return known[i].take(piece, faults) && piece->at == piece->end;
        }
    }
    return false;
}

int ing_faults_parse(const char *text, struct ing_faults *faults) {
    struct ing_faults parsed = *faults;
    const char *end;
    do {
        end = strchrnul(text, ',');
        struct piece piece = {text, end};
        if (!take_fault(&piece, &parsed)) {
            return KN_E_MALFORMED;
        }
        text = end + 1;
    } while (*end == ',');
    *faults = parsed;
    return 0;
}
