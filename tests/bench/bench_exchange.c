/* What a request costs above its bytes: connection, router, door that lets all in, handler, answer,
 * over a connection that takes everything at once. Also the hand-over to a worker and back, without
 * the threads. */
#include <string.h>

#include "tests/bench/bench.h"
#include "tests/support/exchange_world.h"

#define REPEATS 50000u
#define CHUNKS 4096u
#define CHUNK_BYTES 4096u

static struct exchange_world world;

static void say(const char *data, size_t size) {
    if (!fake_conn_push(&world.fake, data, size)) {
        bench_die("the connection is gone");
    }
}

static double request_ns(const char *request) {
    size_t size = strlen(request);
    double before = bench_cpu_s();
    for (unsigned i = 0; i < REPEATS; i++) {
        say(request, size);
        exchange_world_turn(&world);
        if (world.fake.sent_bytes < 100) {
            bench_die("no answer");
        }
        fake_conn_clear(&world.fake);
    }
    return (bench_cpu_s() - before) * 1e9 / REPEATS;
}

/* A camera's chunks through a flow that drops them. */
static double chunk_ns(void) {
    static const char head[] = "POST /count/door HTTP/1.1\r\nHost: a\r\n"
                               "Transfer-Encoding: chunked\r\n\r\n";
    static char chunk[CHUNK_BYTES + 16];
    int line = snprintf(chunk, sizeof(chunk), "%x\r\n", CHUNK_BYTES);
    memset(chunk + line, 'x', CHUNK_BYTES);
    chunk[line + (int)CHUNK_BYTES] = '\r';
    chunk[line + (int)CHUNK_BYTES + 1] = '\n';
    say(head, sizeof(head) - 1);
    double before = bench_cpu_s();
    for (unsigned i = 0; i < CHUNKS; i++) {
        say(chunk, (size_t)line + CHUNK_BYTES + 2);
    }
    double seconds = bench_cpu_s() - before;
    say("0\r\n\r\n", 5);
    exchange_world_turn(&world);
    if (world.counted != (size_t)CHUNKS * CHUNK_BYTES) {
        bench_die("bytes are missing");
    }
    fake_conn_clear(&world.fake);
    return seconds * 1e9 / CHUNKS;
}

int main(void) {
    double get[BENCH_ROUNDS], post[BENCH_ROUNDS], chunk[BENCH_ROUNDS];
    if (exchange_world_init(&world, 16) != 0) {
        bench_die("out of memory");
    }
    for (int round = 0; round < BENCH_ROUNDS; round++) {
        get[round] = request_ns("GET /items/7 HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n");
        post[round] = request_ns("POST /json HTTP/1.1\r\nHost: a\r\n"
                                 "Content-Type: application/json\r\n"
                                 "Content-Length: 25\r\n\r\n{\"StreamName\": \"door-01\"}");
        chunk[round] = chunk_ns();
    }
    double get_median = bench_median(get, BENCH_ROUNDS);
    double post_median = bench_median(post, BENCH_ROUNDS);
    printf("{\"bench\": \"exchange\", \"requests\": %u, \"rounds\": %d,\n"
           " \"get_ns\": %.0f, \"get_per_cpu_s\": %.0f,\n"
           " \"post_json_ns\": %.0f, \"post_json_per_cpu_s\": %.0f,\n"
           " \"chunk_bytes\": %u, \"chunk_ns\": %.0f,\n"
           " \"connection_bytes\": %zu, \"exchange_bytes\": %zu}\n",
           REPEATS, BENCH_ROUNDS, get_median, 1e9 / get_median, post_median, 1e9 / post_median,
           CHUNK_BYTES, bench_median(chunk, BENCH_ROUNDS), sizeof(struct srv_http_conn),
           sizeof(struct srv_exchange));
    exchange_world_finish(&world);
    return 0;
}
