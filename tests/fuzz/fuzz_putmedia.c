/* A PutMedia body taken apart (ingest/putmedia/parts.h). The first byte says in which cuts it comes
 * and how it ends; what is told must hold together whatever the bytes are. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/error.h"
#include "ingest/putmedia/parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_part(const struct ing_part *part, const struct ing_part *last) {
    const struct frag_mkv_fragment *fragment = &part->fragment;
    KN_ASSERT(part->complete || part == last);
    KN_ASSERT(part->sealed || part == last);
    KN_ASSERT(part->complete || !part->sealed);
    if (!part->complete) {
        return;
    }
    KN_ASSERT(part->has_timecode && ing_put_duration(fragment) >= 0);
    for (size_t i = 0; i < fragment->sample_count; i++) {
        const struct kn_sample *sample = &fragment->samples[i];
        KN_ASSERT(sample->track < fragment->tracks->count);
        KN_ASSERT(sample->size == 0 ||
                  (sample->data >= sample->buffer->data &&
                   sample->data + sample->size <= sample->buffer->data + sample->buffer->size));
    }
}

static void check(const struct ing_parts *parts) {
    for (const struct ing_part *part = parts->first; part != NULL; part = part->next) {
        check_part(part, parts->last);
        KN_ASSERT(part->next != NULL || part == parts->last);
    }
    KN_ASSERT((parts->first == NULL) == (parts->last == NULL));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct ing_parts parts;
    if (size == 0) {
        return 0;
    }
    size_t cut = (size_t)(data[0] & 0x3F) * 17 + 1;
    bool cuts_off = (data[0] & 0x40) != 0;
    if (ing_parts_init(&parts, NULL) == 0) {
        parts.now.ns = INT64_C(1795219200) * KN_NS_PER_S;
        parts.relative = (data[0] & 0x80) != 0;
        parts.producer_start.ns = parts.now.ns - KN_NS_PER_S;
        for (size_t at = 1; at < size; at += cut) {
            ing_parts_push(&parts, data + at, size - at < cut ? size - at : cut);
            check(&parts);
            if (parts.first != NULL && parts.first->sealed) {
                ing_parts_drop_first(&parts);
            }
        }
        if (!cuts_off) {
            ing_parts_end(&parts);
        } else {
            ing_parts_cut(&parts);
        }
        check(&parts);
        KN_ASSERT(parts.error != 0 || ing_parts_open(&parts) == NULL);
    }
    ing_parts_finish(&parts);
    return 0;
}
