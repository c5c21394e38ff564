#include "tests/support/fake_conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct fake_conn *from_conn(struct srv_conn *conn) {
    return (struct fake_conn *)conn;
}

/* mmap'd by libc for what is large, and never by the program under test: allocation may be failing
 * for that just now, so room is made before. */
static void keep(struct fake_conn *fake, const char *data, size_t size) {
    KN_ASSERT(fake->sent_bytes + size < fake->sent_room);
    memcpy(fake->sent + fake->sent_bytes, data, size);
    fake->sent_bytes += size;
    fake->sent[fake->sent_bytes] = '\0';
}

static ssize_t take(struct fake_conn *fake, const char *data, size_t size) {
    size_t taken = size < fake->window ? size : fake->window;
    keep(fake, data, taken);
    fake->window -= taken;
    fake->wants_room = fake->wants_room || taken < size;
    return (ssize_t)taken;
}

static ssize_t do_send(struct srv_conn *conn, const struct iovec *parts, size_t count) {
    struct fake_conn *fake = from_conn(conn);
    ssize_t sum = 0;
    KN_ASSERT(!fake->finished && !fake->aborted);
    if (fake->send_error != 0) {
        return fake->send_error;
    }
    for (size_t i = 0; i < count; i++) {
        ssize_t taken = take(fake, parts[i].iov_base, parts[i].iov_len);
        sum += taken;
        if ((size_t)taken < parts[i].iov_len) {
            break;
        }
    }
    return sum;
}

static ssize_t do_send_file(struct srv_conn *conn, int fd, uint64_t offset, size_t size) {
    struct fake_conn *fake = from_conn(conn);
    char room[4096];
    size_t wanted = size < sizeof(room) ? size : sizeof(room);
    if (fake->window == 0) {
        fake->wants_room = true;
        return 0;
    }
    wanted = wanted < fake->window ? wanted : fake->window;
    ssize_t got = pread(fd, room, wanted, (off_t)offset);
    if (got <= 0) {
        return got < 0 ? -errno : 0;
    }
    keep(fake, room, (size_t)got);
    fake->window -= (size_t)got;
    fake->wants_room = fake->wants_room || (size_t)got < size;
    return got;
}

static void do_receive(struct srv_conn *conn, bool on) {
    from_conn(conn)->receiving = on;
}

static void do_wake(struct srv_conn *conn) {
    from_conn(conn)->wants_room = true;
}

static void do_finish(struct srv_conn *conn) {
    from_conn(conn)->finished = true;
}

static void do_abort(struct srv_conn *conn) {
    from_conn(conn)->aborted = true;
}

static const struct srv_conn_ops ops = {
    .send = do_send,
    .send_file = do_send_file,
    .receive = do_receive,
    .wake = do_wake,
    .finish = do_finish,
    .abort = do_abort,
};

#define SENT_ROOM ((size_t)8 * 1024 * 1024)

void fake_conn_init(struct fake_conn *fake, const struct srv_conn_handler *handler) {
    *fake = (struct fake_conn){
        .conn.ops = &ops, .handler = handler, .window = SIZE_MAX, .receiving = true};
    fake->sent_room = SENT_ROOM;
    fake->sent = malloc(SENT_ROOM);
    KN_ASSERT(fake->sent != NULL);
    fake->sent[0] = '\0';
}

void fake_conn_free(struct fake_conn *fake) {
    fake_conn_cut(fake);
    free(fake->sent);
    fake->sent = NULL;
}

bool fake_conn_push(struct fake_conn *fake, const void *data, size_t size) {
    if (fake->owner == NULL || !fake->receiving || fake->finished || fake->aborted) {
        return false;
    }
    fake->handler->received(fake->owner, data, size);
    return true;
}

void fake_conn_end(struct fake_conn *fake) {
    if (fake->owner != NULL && !fake->finished && !fake->aborted) {
        fake->handler->ended(fake->owner);
    }
}

bool fake_conn_turn(struct fake_conn *fake) {
    if (fake->owner == NULL) {
        return false;
    }
    if (fake->finished || fake->aborted || fake->send_error != 0) {
        fake_conn_cut(fake);
        return true;
    }
    if (fake->wants_room && fake->window > 0) {
        fake->wants_room = false;
        fake->handler->room(fake->owner);
        return true;
    }
    return false;
}

void fake_conn_cut(struct fake_conn *fake) {
    void *owner = fake->owner;
    fake->owner = NULL;
    if (owner != NULL) {
        fake->handler->closed(owner);
    }
}

void fake_conn_clear(struct fake_conn *fake) {
    fake->sent_bytes = 0;
    fake->sent[0] = '\0';
}
