/* Verifies requests of standard input (tests/support/signed_request.h), one behind the other with
 * an empty line after each, and prints a line for each: "fine ACCESS_KEY REGION", or the error's
 * name and its message.
 *
 *     verify_signature NOW ACCESS_KEY SECRET [SESSION_TOKEN]     NOW: seconds since 1970
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/signed_request.h"

#define INPUT_MAX ((size_t)16 << 20)

struct known {
    const char *access_key, *secret, *session;
};

static int lookup(const char *access_key, struct srv_sigv4_key *ret_key, void *user) {
    const struct known *known = user;
    if (strcmp(access_key, known->access_key) != 0) {
        return -ENOENT;
    }
    struct srv_sigv4_key key = {.secret_bytes = strlen(known->secret), .expires = {INT64_MAX}};
    memcpy(key.secret, known->secret, key.secret_bytes);
    if (known->session != NULL) {
        key.has_session = true;
        int rc = srv_sha256(known->session, strlen(known->session), key.session_sha256);
        if (rc < 0) {
            return rc;
        }
    }
    *ret_key = key;
    return 0;
}

static int verify_one(struct srv_sigv4 *sigv4, char *text, size_t size, struct kn_wall now) {
    struct signed_request request;
    struct srv_sigv4_outcome outcome;
    if (signed_request_read(text, size, &request) < 0) {
        printf("not a request\n");
        return 0;
    }
    int rc = srv_sigv4_verify(sigv4, &request.request, now, &outcome);
    if (rc == 0) {
        printf("fine %s %s\n", outcome.access_key, outcome.region);
    } else if (rc == -EACCES) {
        printf("%s %s\n", srv_auth_error_name(outcome.error), outcome.message);
        rc = 0;
    }
    return rc;
}

static int verify_all(struct srv_sigv4 *sigv4, char *text, size_t size, struct kn_wall now) {
    int rc = 0;
    while (size > 0 && rc == 0) {
        char *end = memmem(text, size, "\n\n", 2);
        size_t length = end == NULL ? size : (size_t)(end - text) + 1;
        rc = verify_one(sigv4, text, length, now);
        size_t used = end == NULL ? size : length + 1;
        text += used;
        size -= used;
    }
    return rc;
}

int main(int argc, char **argv) {
    struct kn_wall now;
    struct srv_sigv4 *sigv4 = NULL;
    if (argc < 4 || argc > 5 || kn_wall_parse(argv[1], &now) < 0 ||
        strlen(argv[3]) > SRV_SECRET_MAX) {
        (void)fprintf(stderr, "usage: verify_signature NOW ACCESS_KEY SECRET [SESSION_TOKEN]\n");
        return 2;
    }
    struct known known = {argv[2], argv[3], argc > 4 ? argv[4] : NULL};
    struct srv_sigv4_config config = srv_sigv4_config_defaults();
    config.lookup = lookup;
    config.user = &known;
    char *text = malloc(INPUT_MAX);
    int rc = text == NULL ? -ENOMEM : srv_sigv4_create(&config, &sigv4);
    if (rc == 0) {
        rc = verify_all(sigv4, text, fread(text, 1, INPUT_MAX, stdin), now);
    }
    srv_sigv4_destroy(sigv4);
    free(text);
    return rc == 0 ? 0 : 1;
}
