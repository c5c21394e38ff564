/* A connection with a few routes on any bytes. The first byte chooses: bits 0-2 how the bytes are
 * cut (0: whole), bit 3 the peer takes little of the answers at a time, bit 4 it sends its end, bit
 * 5 seconds pass between pieces, bit 6 the server drains halfway. The rest is what the peer sends.
 */
#include <string.h>

#include "base/log.h"
#include "tests/support/exchange_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void quiet(const char *line, size_t bytes, void *user) {
    (void)line;
    (void)bytes;
    (void)user;
}

static void tell_nobody(struct srv_lane *lane, void *user) {
    (void)lane;
    (void)user;
}

/* A flow that nobody drives would wait for ever. */
static void drive_flow(struct exchange_world *world, unsigned turn) {
    if (world->flow == NULL) {
        return;
    }
    srv_exchange_read_on(world->flow);
    if (turn % 3 == 1) {
        srv_exchange_wake(world->flow);
    } else if (turn % 3 == 2 && world->flow->flow->body == NULL) {
        srv_exchange_end(world->flow);
    }
}

static void say_all(struct exchange_world *world, const uint8_t *data, size_t size, unsigned how) {
    size_t step = (how & 7) == 0 ? size : (size_t)1 << (2 * (how & 7) - 2);
    unsigned turn = 0;
    world->take_most = (how & 8) != 0 ? 3 : SIZE_MAX;
    for (size_t at = 0; at < size && world->fake.owner != NULL && turn < 4096; turn++) {
        size_t piece = step < size - at ? step : size - at;
        world->fake.window = (how & 8) != 0 ? 700 : SIZE_MAX;
        if (fake_conn_push(&world->fake, data + at, piece)) {
            at += piece;
        }
        if ((how & 64) != 0 && turn == 2) {
            srv_lane_drain(world->lane, tell_nobody, NULL);
        }
        if ((how & 32) != 0 && turn < 64) {
            exchange_world_wait(world, 2);
        }
        exchange_world_turn(world);
        drive_flow(world, turn);
        exchange_world_turn(world);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct exchange_world world;
    if (size < 1) {
        return 0;
    }
    kn_log_set_sink(quiet, NULL);
    if (exchange_world_init(&world, 16) == 0) {
        say_all(&world, data + 1, size - 1, data[0]);
        if ((data[0] & 16) != 0) {
            fake_conn_end(&world.fake);
            exchange_world_turn(&world);
        }
        /* Whatever came: with time all comes to an end. */
        world.fake.window = SIZE_MAX;
        world.take_most = SIZE_MAX;
        exchange_world_wait(&world, 70);
        KN_ASSERT(world.fake.owner == NULL || world.flow != NULL);
        exchange_world_finish(&world);
    }
    return 0;
}
