/* Requests (tests/support/signed_request.h) with signatures in header and query: verified twice, so
 * that the second time the derived key is kept, by the right key and by wrong ones. Only the right
 * one verifies, always with the same answer; messages are plain and hold no secret. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "server/auth/sigv4_inner.h"
#include "tests/support/signed_request.h"
#include "tests/unit/server_signatures.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define WRONG_SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEy"

static const struct kn_wall now = {SIGNED_AT_S * KN_NS_PER_S};

struct world {
    const char *secret;
    bool has_token;
    bool told; /* the request holds it */
};

static int lookup(const char *access_key, struct srv_sigv4_key *ret_key, void *user) {
    const struct world *world = user;
    struct srv_sigv4_key key = {.secret_bytes = strlen(world->secret),
                                .has_session = world->has_token,
                                .expires = {INT64_MAX}};
    if (strcmp(access_key, SIGNED_ACCESS_KEY) != 0) {
        return -ENOENT;
    }
    memcpy(key.secret, world->secret, key.secret_bytes);
    int rc = srv_sha256(SIGNED_TOKEN, strlen(SIGNED_TOKEN), key.session_sha256);
    KN_ASSERT(rc == 0);
    *ret_key = key;
    return 0;
}

/* A message may repeat what the request itself holds. */
static void check_outcome(int rc, const struct srv_sigv4_outcome *outcome, bool told) {
    const char *message = outcome->message;
    size_t size = strnlen(message, sizeof(outcome->message));
    KN_ASSERT(size < sizeof(outcome->message));
    KN_ASSERT((rc == 0) == (outcome->error == SRV_AUTH_FINE) && (rc == 0) == (size == 0));
    KN_ASSERT((rc == 0) == (outcome->access_key[0] != '\0'));
    KN_ASSERT(told || strstr(message, SIGNED_SECRET) == NULL);
    while (size > 0) {
        size_t length = kn_text_character(message, size);
        KN_ASSERT(length > 0);
        message += length;
        size -= length;
    }
}

static bool is_same(const struct srv_sigv4_outcome *a, const struct srv_sigv4_outcome *b) {
    return a->form == b->form && a->error == b->error && strcmp(a->message, b->message) == 0 &&
           strcmp(a->access_key, b->access_key) == 0 && strcmp(a->region, b->region) == 0 &&
           a->good_until.ns == b->good_until.ns;
}

/* The answer, or -ENOMEM. */
static int verify(const struct srv_sigv4_request *request, struct world *world) {
    struct srv_sigv4_config config = {.lookup = lookup, .user = world, .cache_entries = 2};
    struct srv_sigv4_outcome first = {0};
    struct srv_sigv4_outcome again = {0};
    struct srv_sigv4 *sigv4 = NULL;
    if (srv_sigv4_create(&config, &sigv4) < 0) {
        return -ENOMEM;
    }
    int rc = srv_sigv4_verify(sigv4, request, now, &first);
    int rc_again = srv_sigv4_verify(sigv4, request, now, &again);
    KN_ASSERT(rc == 0 || rc == -EACCES || rc == -ENOMEM);
    if (rc != -ENOMEM && rc_again != -ENOMEM) {
        KN_ASSERT(rc == rc_again && is_same(&first, &again));
        check_outcome(rc, &first, world->told);
        KN_ASSERT(rc < 0 || srv_sigv4_stats(sigv4).cache_entries == 1);
    }
    srv_sigv4_destroy(sigv4);
    return rc;
}

/* What is in canonical form already stays as it is. */
static void check_query(struct srv_http_text query) {
    struct kn_writer once;
    struct kn_writer twice;
    struct kn_writer scratch;
    kn_writer_init_growing(&once, SRV_SIGV4_CANONICAL_MAX);
    kn_writer_init_growing(&twice, SRV_SIGV4_CANONICAL_MAX);
    kn_writer_init_growing(&scratch, SRV_SIGV4_CANONICAL_MAX);
    int rc = srv_canonical_query(&once, &scratch, query, SRV_QUERY_NORMAL);
    rc = rc < 0 ? rc : kn_writer_status(&once);
    if (rc == 0) {
        const struct srv_http_text text = {(const char *)once.data, once.size};
        rc = srv_canonical_query(&twice, &scratch, text, SRV_QUERY_NORMAL);
        rc = rc < 0 ? rc : kn_writer_status(&twice);
        KN_ASSERT(rc == 0 || rc == -ENOMEM);
        KN_ASSERT(rc < 0 || (once.size == twice.size &&
                             (once.size == 0 || memcmp(once.data, twice.data, once.size) == 0)));
    }
    KN_ASSERT(rc == 0 || rc == -ENOMEM || rc == KN_E_LIMIT);
    kn_writer_finish(&scratch);
    kn_writer_finish(&twice);
    kn_writer_finish(&once);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct signed_request request;
    char *text = malloc(size + 1);
    if (text == NULL) {
        return 0;
    }
    memcpy(text, data, size);
    bool told = memmem(data, size, SIGNED_SECRET, strlen(SIGNED_SECRET)) != NULL;
    if (signed_request_read(text, size, &request) == 0) {
        struct world right = {SIGNED_SECRET, false, told};
        struct world with_token = {SIGNED_SECRET, true, told};
        struct world wrong = {WRONG_SECRET, false, told};
        struct world wrong_with_token = {WRONG_SECRET, true, told};
        bool taken = verify(&request.request, &right) == 0;
        taken = verify(&request.request, &with_token) == 0 && taken;
        KN_ASSERT(!taken); /* by a key with a token and by one without */
        KN_ASSERT(verify(&request.request, &wrong) != 0);
        KN_ASSERT(verify(&request.request, &wrong_with_token) != 0);
        check_query(request.request.query);
    }
    free(text);
    return 0;
}
