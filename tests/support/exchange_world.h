/* An engine, a lane and a few routes over a fake connection, with a clock that stands still and a
 * door that does what the request's field X-Door says: "no" (403), "unknown" (401), "hash" (asks
 * for the body first), "slow" (asks a worker), "busy" (429),
 * "once" (only the first time).
 *
 *     GET    /hello          "hello"
 *     GET    /items/{id}     {"id": ...}
 *     DELETE /items/{id}     204
 *     POST   /echo           the body, as it came; at most 100,000 bytes
 *     POST   /json           the object, as it came
 *     POST   /count/{stream} a flow that answers with how many bytes came
 *     POST   /copy/{stream}  a flow that sends what comes, as it comes
 *     GET    /live           a flow that a test drives: world.flow
 *     GET    /big            3 MiB of a shared buffer
 *     GET    /file           world.file, of which 100,000 bytes are promised
 *     GET    /silent         no answer */
#ifndef TESTS_SUPPORT_EXCHANGE_WORLD_H
#define TESTS_SUPPORT_EXCHANGE_WORLD_H

#include "server/exchange/inner.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_conn.h"

#define BIG_BYTES ((size_t)3 * 1024 * 1024)
#define FILE_PROMISED 100000u

struct exchange_world {
    struct srv_engine engine;
    struct srv_lane *lane;
    struct fake_clock clock;
    struct srv_router *router;
    struct fake_conn fake;
    int file;
    /* Of /live, /count, /copy: */
    struct srv_exchange *flow; /* borrowed; NULL: over */
    size_t counted, take_most; /* of the next call of `body`; SIZE_MAX */
    unsigned closed, rooms, wakes, ticks, drains, body_ends;
    bool was_whole, drains_by_itself;
    unsigned handled; /* calls of any handler */
    unsigned doors;   /* answers of the door that are not finished */
};

/* One at a time. 0, or below. */
int exchange_world_init(struct exchange_world *world, size_t queue);
void exchange_world_finish(struct exchange_world *world);
/* Another connection in place of the last one. False: it was refused. */
bool exchange_world_connect(struct exchange_world *world);
/* Until nothing moves any more. */
void exchange_world_turn(struct exchange_world *world);
/* Pushes in pieces of `step` bytes (0: whole), waiting where the connection does not receive; what
 * cannot be pushed any more is left. */
void exchange_world_say(struct exchange_world *world, const char *data, size_t size, size_t step);
/* Time passes, second by second, with a tick each. */
void exchange_world_wait(struct exchange_world *world, unsigned seconds);

#endif
