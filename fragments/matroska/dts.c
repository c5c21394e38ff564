/* Decode times: Matroska stores presentation times in decode order; this finds the rest. */
#include <errno.h>
#include <stdlib.h>

#include "fragments/matroska.h"

/* Where a fragment has one picture only: 30 a second. */
#define FRAME_STEP_NS INT64_C(33333333)

static int compare_times(const void *a, const void *b) {
    int64_t left = *(const int64_t *)a;
    int64_t right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

/* Place of `time` in the sorted times: the last of equals. */
static size_t place_of(const int64_t *sorted, size_t count, int64_t time) {
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (sorted[middle] <= time) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low - 1;
}

/* The smallest shift with which no dts passes its pts. */
static size_t depth_needed(const int64_t *times, const int64_t *sorted, size_t count) {
    size_t depth = 0;
    for (size_t i = 0; i < count; i++) {
        size_t place = place_of(sorted, count, times[i]);
        if (i > place && i - place > depth) {
            depth = i - place;
        }
    }
    return depth;
}

/* The smallest step between two pictures, to go back beyond the first one: with the smallest, the
 * times before it stay behind the previous fragment's last ones. */
static int64_t smallest_step(const int64_t *sorted, size_t count) {
    int64_t step = INT64_MAX;
    for (size_t i = 1; i < count; i++) {
        int64_t gap = 0;
        if (__builtin_sub_overflow(sorted[i], sorted[i - 1], &gap)) {
            continue;
        }
        step = gap > 0 && gap < step ? gap : step;
    }
    return step == INT64_MAX ? FRAME_STEP_NS : step;
}

static bool in_order(const struct kn_sample *samples, size_t count, uint8_t track,
                     size_t *ret_of_track) {
    int64_t last = INT64_MIN;
    bool rising = true;
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        if (samples[i].track == track) {
            rising = rising && samples[i].pts_ns >= last;
            last = samples[i].pts_ns;
            found++;
        }
    }
    *ret_of_track = found;
    return rising;
}

static int64_t dts_at(const int64_t *sorted, size_t depth, int64_t step, size_t i) {
    if (i >= depth) {
        return sorted[i - depth];
    }
    int64_t back = 0;
    int64_t dts = 0;
    if (__builtin_mul_overflow((int64_t)(depth - i), step, &back) ||
        __builtin_sub_overflow(sorted[0], back, &dts)) {
        return INT64_MIN; /* only of hostile times; still rising, still not over its pts */
    }
    return dts;
}

int frag_assign_dts(struct kn_sample *samples, size_t count, uint8_t track, int reorder_frames) {
    size_t of_track = 0;
    bool rising = in_order(samples, count, track, &of_track);
    if (of_track == 0 || (rising && reorder_frames <= 0)) {
        for (size_t i = 0; i < count; i++) {
            if (samples[i].track == track) {
                samples[i].dts_ns = samples[i].pts_ns;
            }
        }
        return 0;
    }
    int64_t *times = calloc(of_track * 2, sizeof(*times));
    if (times == NULL) {
        return -ENOMEM;
    }
    int64_t *sorted = times + of_track;
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        if (samples[i].track == track) {
            times[at] = samples[i].pts_ns;
            sorted[at++] = samples[i].pts_ns;
        }
    }
    qsort(sorted, of_track, sizeof(*sorted), compare_times);
    size_t depth = depth_needed(times, sorted, of_track);
    if (reorder_frames > 0 && (size_t)reorder_frames > depth) {
        depth = (size_t)reorder_frames;
    }
    int64_t step = smallest_step(sorted, of_track);
    at = 0;
    for (size_t i = 0; i < count; i++) {
        if (samples[i].track == track) {
            samples[i].dts_ns = dts_at(sorted, depth, step, at++);
        }
    }
    free(times);
    return 0;
}
