#include <arpa/inet.h>
#include <string.h>

#include "server/auth/door_inner.h"

#define MINUTE_NS (60 * KN_NS_PER_S)
#define NET_BYTES 8u /* of an IPv6 address: who has one has all of its network */

/* The address without its port, as it is counted. What is none is counted as itself. */
static void key_of(const char *address, uint8_t key[static SRV_ATTEMPTS_ADDRESS_BYTES]) {
    char host[SRV_ADDRESS_BYTES] = "";
    struct in6_addr six;
    const char *begin = address + (address[0] == '[' ? 1 : 0);
    const char *end = strrchr(address, address[0] == '[' ? ']' : ':');
    size_t size = end == NULL || end < begin ? strlen(begin) : (size_t)(end - begin);
    memcpy(host, begin, size < sizeof(host) ? size : sizeof(host) - 1);
    memset(key, 0, SRV_ATTEMPTS_ADDRESS_BYTES);
    if (inet_pton(AF_INET6, host, &six) != 1) {
        memcpy(key, host, SRV_ATTEMPTS_ADDRESS_BYTES); /* 15 characters of IPv4 at most */
    } else if (IN6_IS_ADDR_V4MAPPED(&six)) {
        (void)inet_ntop(AF_INET, &six.s6_addr[12], (char *)key, SRV_ATTEMPTS_ADDRESS_BYTES);
    } else {
        memcpy(key, &six, NET_BYTES);
        key[SRV_ATTEMPTS_ADDRESS_BYTES - 1] = 6; /* no text */
    }
}

/* `count` where there is none. */
static size_t find(const struct srv_attempts *attempts, const char *address) {
    uint8_t key[SRV_ATTEMPTS_ADDRESS_BYTES];
    size_t at = 0;
    key_of(address, key);
    while (at < attempts->count &&
           memcmp(attempts->entries[at].address, key, SRV_ATTEMPTS_ADDRESS_BYTES) != 0) {
        at++;
    }
    return at;
}

/* Below 0 somebody set the clock back. */
static bool is_over(const struct srv_attempt *attempt, struct kn_wall now) {
    return now.ns < attempt->since.ns || now.ns - attempt->since.ns >= MINUTE_NS;
}

static struct srv_attempt *make(struct srv_attempts *attempts, const char *address,
                                struct kn_wall now) {
    size_t at = 0;
    if (attempts->count < SRV_ATTEMPTS_MAX) {
        at = attempts->count++;
    } else {
        for (size_t i = 1; i < attempts->count; i++) {
            at = attempts->entries[i].since.ns < attempts->entries[at].since.ns ? i : at;
        }
    }
    attempts->entries[at] = (struct srv_attempt){.since = now};
    key_of(address, attempts->entries[at].address);
    return &attempts->entries[at];
}

unsigned srv_attempts_wait(const struct srv_attempts *attempts, const char *address, unsigned max,
                           struct kn_wall now) {
    size_t at = find(attempts, address);
    const struct srv_attempt *attempt = at < attempts->count ? &attempts->entries[at] : NULL;
    if (attempt == NULL || attempt->count < max || is_over(attempt, now)) {
        return 0;
    }
    int64_t left_ns = MINUTE_NS - (now.ns - attempt->since.ns);
    return (unsigned)((left_ns + KN_NS_PER_S - 1) / KN_NS_PER_S);
}

unsigned srv_attempts_take(struct srv_attempts *attempts, const char *address, unsigned max,
                           struct kn_wall now) {
    unsigned wait_s = srv_attempts_wait(attempts, address, max, now);
    if (wait_s > 0) {
        return wait_s;
    }
    size_t at = find(attempts, address);
    struct srv_attempt *attempt =
        at < attempts->count ? &attempts->entries[at] : make(attempts, address, now);
    if (is_over(attempt, now)) {
        attempt->since = now;
        attempt->count = 0;
    }
    attempt->count++;
    return 0;
}

void srv_attempts_give_back(struct srv_attempts *attempts, const char *address) {
    size_t at = find(attempts, address);
    if (at < attempts->count && attempts->entries[at].count > 0) {
        attempts->entries[at].count--;
    }
}
