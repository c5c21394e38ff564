/* The numbers of a stream's fragments: given when they begin, made final in the order in which
 * they are published. */
#include <errno.h>

#include "base/error.h"
#include "fragments/store/session.h"

static uint64_t server_ms(struct kn_wall server) {
    return server.ns > 0 ? (uint64_t)(server.ns / KN_NS_PER_MS) : 0;
}

/* Caller holds the lock. */
static int take_sequence(struct frag_stream *stream, uint64_t *ret_sequence) {
    if (stream->counter == UINT32_MAX) {
        return -EOVERFLOW;
    }
    stream->counter++;
    *ret_sequence = stream->store->epoch << 32 | stream->counter;
    return 0;
}

int frag_stream_number(struct frag_stream *stream, uint32_t low, struct kn_wall server,
                       struct frag_numbering *ret_numbering) {
    const struct kn_clock *clock = stream->store->clock;
    struct kn_mono mono = clock->mono(clock);
    struct kn_wall wall = server.ns != 0 ? server : clock->wall(clock);
    (void)pthread_mutex_lock(&stream->lock);
    uint64_t sequence = 0;
    int rc = stream->deleting ? KN_E_CLOSED : take_sequence(stream, &sequence);
    if (rc == 0) {
        struct frag_clock_verdict verdict = frag_clock_rule_next(&stream->clock, wall, mono);
        *ret_numbering = (struct frag_numbering){
            .number = {.sequence = sequence, .server_ms = server_ms(verdict.server), .low = low},
            .server = verdict.server,
            .stepped = verdict.stepped,
        };
        if (verdict.stepped) {
            stream->discontinuity = true;
        }
    }
    (void)pthread_mutex_unlock(&stream->lock);
    return rc;
}

/* Caller holds the lock. */
static int finish_numbers(struct frag_stream *stream, struct frag_fragment_start *start) {
    if (start->number.sequence <= stream->last_sealed_sequence) {
        int rc = take_sequence(stream, &start->number.sequence);
        if (rc < 0) {
            return rc;
        }
    }
    if (stream->discontinuity) {
        start->flags |= FRAG_DISCONTINUITY;
    }
    start->ordinal = stream->next_ordinal;
    start->discontinuities =
        stream->discontinuities + ((start->flags & FRAG_DISCONTINUITY) != 0 ? 1 : 0);
    return 0;
}

/* What a producer says of a fragment's length is bounded: ages and gaps are counted from its end.
 */
#define LONGEST_NS (10 * 60 * KN_NS_PER_S)

int frag_stream_publish(struct frag_stream *stream, struct frag_fragment *fragment,
                        int64_t duration_ns) {
    duration_ns = duration_ns < LONGEST_NS ? duration_ns : LONGEST_NS;
    (void)pthread_mutex_lock(&stream->lock);
    int rc = stream->deleting ? KN_E_CLOSED : finish_numbers(stream, &fragment->start);
    if (rc == 0) {
        frag_fragment_seal(fragment, duration_ns);
        rc = frag_tail_publish_fragment(stream->tail, fragment);
    }
    if (rc == 0) {
        const struct frag_fragment_start *start = &fragment->start;
        stream->unfinished++;
        stream->last_sealed_sequence = start->number.sequence;
        stream->next_ordinal = start->ordinal + 1;
        stream->discontinuities = start->discontinuities;
        stream->discontinuity = false;
        stream->last_end.ns = start->server.ns + duration_ns;
    }
    (void)pthread_mutex_unlock(&stream->lock);
    return rc;
}
