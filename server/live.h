/* Who sends and who reads right now: producers (sources that are pulled, PutMedia, WebRTC) and
 * consumers (live and archive readers, events), with their rates. Any thread; nothing blocks. */
#ifndef SERVER_LIVE_H
#define SERVER_LIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/time.h"
#include "fragments/fragments.h"

struct srv_live;
struct srv_live_entry;

enum srv_live_side { SRV_LIVE_PRODUCER, SRV_LIVE_CONSUMER };

struct srv_live_config {
    size_t max_entries; /* default 8,192 */
    const struct kn_clock *clock;
};
KN_MUST_CHECK int srv_live_create(const struct srv_live_config *config, struct srv_live **ret_live);
void srv_live_destroy(struct srv_live *live);

struct srv_live_about {
    enum srv_live_side side;
    const char *protocol;  /* a literal: "replay", "events", "putmedia" */
    const char *stream;    /* "" for none; all texts are copied */
    const char *peer;      /* address, or what is replayed */
    const char *principal; /* name; "" */
};
/* NULL: over the limit, or no memory; counting then does nothing (NULL is fine below). */
struct srv_live_entry *srv_live_add(struct srv_live *live, const struct srv_live_about *about);
void srv_live_remove(struct srv_live_entry *entry);
void srv_live_count(struct srv_live_entry *entry, uint64_t bytes, uint64_t fragments);
/* Total counts instead, where somebody else keeps them. */
void srv_live_set(struct srv_live_entry *entry, uint64_t bytes, uint64_t fragments);

/* For whoever sums up, once a second: rates are over the last ten of these. */
void srv_live_tick(struct srv_live *live);

struct srv_live_info {
    uint64_t id; /* rising */
    enum srv_live_side side;
    char protocol[16], stream[FRAG_STREAM_NAME_BYTES], peer[128], principal[80];
    struct kn_wall since;
    uint64_t bytes, fragments;
    uint64_t bytes_per_s;
};
/* In order of ids, copies; those of one stream, or (NULL) all. A negative answer of `each` ends it.
 */
KN_MUST_CHECK int srv_live_each(struct srv_live *live, const char *stream,
                                int (*each)(const struct srv_live_info *info, void *user),
                                void *user);

#endif
