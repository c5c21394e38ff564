#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/bytes.h"
#include "server/transport/inner.h"

/* A hash of chains with as many places as there may be connections, so it is never full. The seed
 * keeps chains short for who chooses his addresses. */

#define NO_PLACE SIZE_MAX

struct place {
    struct srv_peer_key key;
    size_t count;
    size_t next; /* of its chain, or of the free ones */
};

struct srv_peers {
    pthread_mutex_t lock;
    size_t max_each;
    uint64_t seed;
    size_t count, free;
    size_t *chains; /* `count` of them, as there are places */
    struct place *places;
};

int srv_peers_create(size_t max_peers, size_t max_each, struct srv_peers **ret_peers) {
    struct srv_peers *peers = calloc(1, sizeof(*peers));
    if (peers == NULL) {
        return -ENOMEM;
    }
    KN_ASSERT(pthread_mutex_init(&peers->lock, NULL) == 0); /* cannot fail with the defaults */
    peers->max_each = max_each;
    peers->count = max_peers;
    peers->chains = calloc(max_peers, sizeof(*peers->chains));
    peers->places = calloc(max_peers, sizeof(*peers->places));
    if (peers->chains == NULL || peers->places == NULL) {
        srv_peers_destroy(peers);
        return -ENOMEM;
    }
    if (getrandom(&peers->seed, sizeof(peers->seed), 0) != sizeof(peers->seed)) {
        srv_peers_destroy(peers);
        return -EIO;
    }
    for (size_t i = 0; i < max_peers; i++) {
        peers->chains[i] = NO_PLACE;
        peers->places[i].next = i + 1 < max_peers ? i + 1 : NO_PLACE;
    }
    *ret_peers = peers;
    return 0;
}

void srv_peers_destroy(struct srv_peers *peers) {
    if (peers == NULL) {
        return;
    }
    (void)pthread_mutex_destroy(&peers->lock);
    free(peers->chains);
    free(peers->places);
    free(peers);
}

struct srv_peer_key srv_peers_key(const struct srv_address *address) {
    struct srv_peer_key key = {{0}};
    if (address->sock.any.sa_family == AF_INET) {
        key.bytes[15] = 4;
        memcpy(key.bytes, &address->sock.v4.sin_addr, 4);
    } else {
        key.bytes[15] = 6;
        memcpy(key.bytes, &address->sock.v6.sin6_addr, 8);
    }
    return key;
}

static uint64_t mix(uint64_t value) {
    value ^= value >> 32;
    value *= UINT64_C(0xd6e8feb86659fd93);
    value ^= value >> 32;
    return value;
}

static size_t *chain_of(struct srv_peers *peers, const struct srv_peer_key *key) {
    uint64_t words[2];
    memcpy(words, key->bytes, sizeof(words));
    uint64_t hash = mix(mix(words[0] ^ peers->seed) + words[1] + peers->seed);
    return &peers->chains[hash % peers->count];
}

/* Where the place's number stands: in the chain's head, or in the place before. */
static size_t *find(struct srv_peers *peers, const struct srv_peer_key *key) {
    size_t *at = chain_of(peers, key);
    while (*at != NO_PLACE && memcmp(&peers->places[*at].key, key, sizeof(*key)) != 0) {
        at = &peers->places[*at].next;
    }
    return at;
}

bool srv_peers_enter(struct srv_peers *peers, const struct srv_peer_key *key) {
    (void)pthread_mutex_lock(&peers->lock); /* a plain mutex, never held twice: cannot fail */
    size_t *at = find(peers, key);
    if (*at == NO_PLACE && peers->free != NO_PLACE) {
        size_t place = peers->free;
        peers->free = peers->places[place].next;
        peers->places[place] = (struct place){.key = *key, .next = NO_PLACE};
        *at = place;
    }
    bool fits = *at != NO_PLACE && peers->places[*at].count < peers->max_each;
    if (fits) {
        peers->places[*at].count++;
    }
    (void)pthread_mutex_unlock(&peers->lock);
    return fits;
}

void srv_peers_leave(struct srv_peers *peers, const struct srv_peer_key *key) {
    (void)pthread_mutex_lock(&peers->lock);
    size_t *at = find(peers, key);
    KN_ASSERT(*at != NO_PLACE && peers->places[*at].count > 0);
    struct place *place = &peers->places[*at];
    if (--place->count == 0) {
        size_t number = *at;
        *at = place->next;
        place->next = peers->free;
        peers->free = number;
    }
    (void)pthread_mutex_unlock(&peers->lock);
}
