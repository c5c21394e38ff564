/* The faults of a replay as people write them (ingest/replay/faults.c). */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "ingest/ingest.h"

#define SPAN_MAX_NS (INT64_C(36500) * 86400 * KN_NS_PER_S)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_span(int64_t ns) {
    return ns >= 0 && ns <= SPAN_MAX_NS;
}

static bool is_sound(const struct ing_faults *faults) {
    int64_t jump_ns = faults->jump_ns < 0 ? -faults->jump_ns : faults->jump_ns;
    return faults->loss >= 0 && faults->loss <= 1 && is_span(jump_ns) &&
           is_span(faults->jump_at_ns) && is_span(faults->flap_ns) && faults->seed > 0 &&
           (faults->has_jump || (jump_ns == 0 && faults->jump_at_ns == 0));
}

static bool same(const struct ing_faults *a, const struct ing_faults *b) {
    return a->loss == b->loss && a->has_jump == b->has_jump && a->jump_ns == b->jump_ns &&
           a->jump_at_ns == b->jump_at_ns && a->flap_ns == b->flap_ns &&
           a->truncate == b->truncate && a->seed == b->seed;
}

/* All at once says the same as one after the other. */
static void check_parts(char *text, const struct ing_faults *whole) {
    struct ing_faults faults = {.seed = 1};
    char *end;
    do {
        end = strchrnul(text, ',');
        bool last = *end == '\0';
        *end = '\0';
        int rc = ing_faults_parse(text, &faults);
        KN_ASSERT(rc == 0);
        text = last ? end : end + 1;
    } while (text != end);
    KN_ASSERT(same(&faults, whole));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const struct ing_faults before = {.seed = 1};
    struct ing_faults faults = before;
    char *text = malloc(size + 1);
    if (text == NULL) {
        return 0;
    }
    memcpy(text, data, size);
    text[size] = '\0';
    int rc = ing_faults_parse(text, &faults);
    KN_ASSERT(rc == 0 || (rc == KN_E_MALFORMED && same(&faults, &before)));
    KN_ASSERT(is_sound(&faults));
    if (rc == 0) {
        check_parts(text, &faults);
    }
    free(text);
    return 0;
}
