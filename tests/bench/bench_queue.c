/* Hand-overs between two threads through a kn_queue: single messages, and taken in batches. */
#include <pthread.h>

#include "base/queue.h"
#include "tests/bench/bench.h"

#define MESSAGES 2000000u
#define QUEUE_MESSAGES 1024u

struct run {
    struct kn_queue *queue;
    size_t batch;
};

static void discard(void *message, void *user) {
    (void)message;
    (void)user;
}

static void *receive(void *user) {
    const struct run *run = user;
    void *messages[256];
    size_t left = MESSAGES;
    while (left > 0) {
        int got = kn_queue_wait(run->queue, messages, run->batch);
        if (got < 0) {
            bench_die("the queue closed early");
        }
        left -= (size_t)got;
    }
    return NULL;
}

static void measure(size_t batch, double *ret_wall_s, double *ret_cpu_s) {
    const struct kn_queue_config config = {
        .max_messages = QUEUE_MESSAGES, .when_full = KN_QUEUE_WAIT, .discard = discard};
    struct run run = {.batch = batch};
    pthread_t thread;
    if (kn_queue_create(&config, &run.queue) != 0) {
        bench_die("out of memory");
    }
    double wall_s = bench_wall_s();
    double cpu_s = bench_cpu_s();
    if (pthread_create(&thread, NULL, receive, &run) != 0) {
        bench_die("no thread");
    }
    for (size_t i = 0; i < MESSAGES; i++) {
        if (kn_queue_send(run.queue, &run, 1) != 0) {
            bench_die("the queue refused");
        }
    }
    (void)pthread_join(thread, NULL);
    *ret_wall_s = bench_wall_s() - wall_s;
    *ret_cpu_s = bench_cpu_s() - cpu_s;
    kn_queue_destroy(run.queue);
}

int main(void) {
    static const size_t batches[] = {1, 256};
    double wall_s[2][BENCH_ROUNDS];
    double cpu_s[2][BENCH_ROUNDS];
    for (int round = 0; round < BENCH_ROUNDS; round++) {
        for (size_t i = 0; i < 2; i++) {
            measure(batches[i], &wall_s[i][round], &cpu_s[i][round]);
        }
    }
    printf("{\"bench\": \"queue\", \"messages\": %u, \"threads\": 2, \"rounds\": %d,\n"
           " \"single_per_s\": %.0f, \"single_cpu_ns\": %.0f,\n"
           " \"batch_%zu_per_s\": %.0f, \"batch_%zu_cpu_ns\": %.0f}\n",
           MESSAGES, BENCH_ROUNDS, MESSAGES / bench_median(wall_s[0], BENCH_ROUNDS),
           bench_median(cpu_s[0], BENCH_ROUNDS) * 1e9 / MESSAGES, batches[1],
           MESSAGES / bench_median(wall_s[1], BENCH_ROUNDS), batches[1],
           bench_median(cpu_s[1], BENCH_ROUNDS) * 1e9 / MESSAGES);
    return 0;
}
