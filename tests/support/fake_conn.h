/* A connection that is none: what is sent to it is kept, and it takes as much as a test lets it.
 *
 *     struct fake_conn fake;
 *     fake_conn_init(&fake, &handler)         window: any
 *     fake.owner = thing_open(&fake.conn, ...)
 *     fake_conn_push(&fake, bytes, size)
 *     fake_conn_turn(&fake)                   room, and closed where that was asked for
 *     fake_conn_cut(&fake)                    the peer went
 *     fake_conn_free(&fake) */
#ifndef TESTS_SUPPORT_FAKE_CONN_H
#define TESTS_SUPPORT_FAKE_CONN_H

#include <stdbool.h>
#include <stddef.h>

#include "server/transport/transport.h"

struct fake_conn {
    struct srv_conn conn; /* first: a pointer to one is one to the other */
    const struct srv_conn_handler *handler;
    void *owner;   /* NULL once it was told `closed` */
    size_t window; /* so many more bytes are taken */
    char *sent;
    size_t sent_bytes, sent_room;
    bool receiving, wants_room, finished, aborted;
    int send_error; /* not 0: what sending answers */
};

void fake_conn_init(struct fake_conn *fake, const struct srv_conn_handler *handler);
void fake_conn_free(struct fake_conn *fake);
/* Nothing comes where `receive` is off or the connection is closed; whether it came. */
bool fake_conn_push(struct fake_conn *fake, const void *data, size_t size);
/* The peer sends nothing more. */
void fake_conn_end(struct fake_conn *fake);
/* Tells what is due; whether there was something. */
bool fake_conn_turn(struct fake_conn *fake);
void fake_conn_cut(struct fake_conn *fake);
/* Forgets what was sent so far. */
void fake_conn_clear(struct fake_conn *fake);

#endif
