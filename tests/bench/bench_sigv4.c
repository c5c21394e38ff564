/* Signatures a second on one core, with derived keys kept and without, of what clients send. */
#include <errno.h>
#include <string.h>

#include "base/attributes.h"
#include "server/auth/sigv4.h"
#include "tests/bench/bench.h"
#include "tests/support/signed_request.h"
#include "tests/unit/server_signatures.h"

#define TIMES 20000u
#define TEXT_BYTES 4096u

static const char *const names[] = {"the aws cli", "PutMedia as the C SDK signs it",
                                    "a presigned GET", "a signalling socket"};

static int lookup(const char *access_key, struct srv_sigv4_key *ret_key, void *user) {
    (void)user;
    if (strcmp(access_key, SIGNED_ACCESS_KEY) != 0) {
        return -ENOENT;
    }
    *ret_key =
        (struct srv_sigv4_key){.secret_bytes = sizeof(SIGNED_SECRET) - 1, .expires = {INT64_MAX}};
    memcpy(ret_key->secret, SIGNED_SECRET, sizeof(SIGNED_SECRET) - 1);
    return 0;
}

static struct srv_sigv4 *make(size_t cache_entries) {
    struct srv_sigv4_config config = srv_sigv4_config_defaults();
    struct srv_sigv4 *sigv4 = NULL;
    config.lookup = lookup;
    config.cache_entries = cache_entries;
    if (srv_sigv4_create(&config, &sigv4) < 0) {
        bench_die("out of memory");
    }
    return sigv4;
}

static void read_request(const char *name, char *text, struct signed_request *request) {
    for (size_t i = 0; i < KN_COUNT(signed_requests); i++) {
        if (strcmp(signed_requests[i].name, name) == 0) {
            size_t size = strlen(signed_requests[i].text);
            if (size > TEXT_BYTES) {
                bench_die("the request is too long");
            }
            memcpy(text, signed_requests[i].text, size);
            if (signed_request_read(text, size, request) < 0) {
                bench_die("not a request");
            }
            return;
        }
    }
    bench_die("no such request");
}

/* A second. `answer`: what each must have. */
static double measure(struct srv_sigv4 *sigv4, const struct srv_sigv4_request *request,
                      int answer) {
    struct srv_sigv4_outcome outcome;
    double from = bench_cpu_s();
    for (unsigned i = 0; i < TIMES; i++) {
        const struct kn_wall now = {SIGNED_AT_S * KN_NS_PER_S};
        if (srv_sigv4_verify(sigv4, request, now, &outcome) != answer) {
            bench_die("a wrong answer");
        }
    }
    return TIMES / (bench_cpu_s() - from);
}

static void print_request(struct srv_sigv4 *with, struct srv_sigv4 *without, const char *name,
                          const char *end) {
    static char text[TEXT_BYTES];
    static char bad_text[TEXT_BYTES];
    struct signed_request request;
    struct signed_request bad;
    double cached[BENCH_ROUNDS];
    double derived[BENCH_ROUNDS];
    double refused[BENCH_ROUNDS];
    read_request(name, text, &request);
    read_request(name, bad_text, &bad);
    bad.request.method = "PUT";
    for (size_t round = 0; round < BENCH_ROUNDS; round++) {
        cached[round] = measure(with, &request.request, 0);
        derived[round] = measure(without, &request.request, 0);
        refused[round] = measure(with, &bad.request, -EACCES);
    }
    printf("    {\"request\": \"%s\", \"per_second_cached\": %.0f, \"per_second_derived\": %.0f, "
           "\"per_second_refused\": %.0f}%s\n",
           name, bench_median(cached, BENCH_ROUNDS), bench_median(derived, BENCH_ROUNDS),
           bench_median(refused, BENCH_ROUNDS), end);
}

int main(void) {
    struct srv_sigv4 *with = make(srv_sigv4_config_defaults().cache_entries);
    struct srv_sigv4 *without = make(0);
    printf("{\"bench\": \"sigv4\", \"requests\": [\n");
    for (size_t i = 0; i < KN_COUNT(names); i++) {
        print_request(with, without, names[i], i + 1 < KN_COUNT(names) ? "," : "");
    }
    printf("]}\n");
    srv_sigv4_destroy(without);
    srv_sigv4_destroy(with);
    return 0;
}
