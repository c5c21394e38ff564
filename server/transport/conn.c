#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "server/transport/inner.h"

/* Phases
 *
 *   from              event                          to         effect
 *   HANDSHAKE (TLS)   done                           OPEN       opened
 *   OPEN              finish                         FLUSHING   while a record is held
 *   OPEN, FLUSHING    all is with the kernel         DRAINING   close_notify, FIN
 *   DRAINING          peer's end, 2 s                ENDING
 *   any               abort, a failed send           ENDING
 *   ENDING            its turn                       -          closed
 *   any               libwebsockets closes it        -          closed
 */

#define DRAIN_MS 2000
#define FLUSH_MS 10000
#define RECORD_BYTES 16384u /* the most of one TLS record */
/* Others have their turn after so much of a file. */
#define FILE_BYTES (1u << 20)

static void set_phase(struct srv_link *link, enum srv_conn_phase phase) {
    link->phase = phase;
}

/* ---- what libwebsockets is asked ---- */

static void want_room(struct srv_link *link) {
    if (lws_callback_on_writable(link->wsi) < 0) {
        srv_link_end(link);
    }
}

/* Input comes while the owner wants it, and, to be dropped, once the peer was told the end. After
 * the peer's end it would only tell of that again and again. */
static void apply_input(struct srv_link *link) {
    bool on = !link->peer_ended && (link->phase == SRV_CONN_HANDSHAKE ||
                                    (link->phase == SRV_CONN_OPEN && link->wants_input) ||
                                    link->phase == SRV_CONN_DRAINING);
    if (on != link->has_input) {
        link->has_input = on;
        if (lws_rx_flow_control(link->wsi, on ? 1 : 0) < 0) {
            srv_link_end(link);
        }
    }
}

void srv_link_end(struct srv_link *link) {
    set_phase(link, SRV_CONN_ENDING);
    srv_carrier_wait_turn(link);
}

/* In front of the kernel's buffer nothing is left: an abort is at once. */
static void reset_at_close(const struct srv_link *link) {
    struct linger none = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(link->fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none)); /* else FIN: fine too */
}

/* ---- sending ---- */

static ssize_t fail_send(struct srv_link *link, int error) {
    link->broken = true;
    srv_link_end(link);
    return -error;
}

static void count_sent(const struct srv_link *link, size_t size) {
    atomic_fetch_add_explicit(&link->carrier->sent_bytes, size, memory_order_relaxed);
}

/* What the kernel took; 0 when it has no room. */
static ssize_t checked(struct srv_link *link, ssize_t sent) {
    if (sent >= 0) {
        count_sent(link, (size_t)sent);
        return sent;
    }
    return errno == EAGAIN || errno == EINTR ? 0 : fail_send(link, errno);
}

static size_t sum_of(const struct iovec *parts, size_t count) {
    size_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += parts[i].iov_len;
    }
    return sum;
}

static ssize_t send_plain(struct srv_link *link, const struct iovec *parts, size_t count) {
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)parts, /* only read */
                             .msg_iovlen = count};
    ssize_t sent = checked(link, sendmsg(link->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT));
    if (sent >= 0 && (size_t)sent < sum_of(parts, count)) {
        want_room(link);
    }
    return sent;
}

static ssize_t send_file_plain(struct srv_link *link, int fd, uint64_t offset, size_t size) {
    off_t at = (off_t)offset;
    size_t turn = size < FILE_BYTES ? size : FILE_BYTES;
    ssize_t sent = checked(link, sendfile(link->fd, fd, &at, turn));
    if (sent >= 0 && (size_t)sent < size) {
        want_room(link);
    }
    return sent;
}

/* ---- sending by TLS ----
 *
 * Once OpenSSL has made a record that the kernel refuses, it wants the same bytes again; the owner
 * may come with others, or never. So a copy is held, counts as sent, and nothing else goes before
 * it. */

static int hold(struct srv_link *link, const uint8_t *data, size_t size) {
    link->held = malloc(size);
    if (link->held == NULL) {
        return -ENOMEM;
    }
    memcpy(link->held, data, size);
    link->held_size = size;
    return 0;
}

static bool wants_again(const struct srv_link *link, int rc) {
    int error = SSL_get_error(link->ssl, rc);
    ERR_clear_error();
    return error == SSL_ERROR_WANT_WRITE || error == SSL_ERROR_WANT_READ;
}

/* At most RECORD_BYTES. */
static ssize_t send_record(struct srv_link *link, const uint8_t *data, size_t size) {
    KN_ASSERT(size > 0 && size <= RECORD_BYTES);
    ERR_clear_error();
    int rc = SSL_write(link->ssl, data, (int)size);
    if (rc > 0) {
        count_sent(link, size);
        return (ssize_t)size;
    }
    if (!wants_again(link, rc)) {
        return fail_send(link, ECONNRESET);
    }
    rc = hold(link, data, size);
    if (rc < 0) {
        return fail_send(link, -rc);
    }
    count_sent(link, size);
    want_room(link);
    return (ssize_t)size;
}

/* 1: nothing is held any more, 0: still, below: broken. */
static int flush_held(struct srv_link *link) {
    if (link->held == NULL) {
        return 1;
    }
    ERR_clear_error();
    int rc = SSL_write(link->ssl, link->held, (int)link->held_size);
    if (rc <= 0) {
        if (wants_again(link, rc)) {
            want_room(link);
            return 0;
        }
        link->broken = true;
        return -ECONNRESET;
    }
    free(link->held);
    link->held = NULL;
    return 1;
}

/* The next record's bytes: where they are, or together in `room`. */
static const uint8_t *gather(const struct iovec *parts, size_t count, size_t at, uint8_t *room,
                             size_t *ret_size) {
    size_t size = 0;
    for (size_t i = 0; i < count && size < RECORD_BYTES; i++) {
        if (at >= parts[i].iov_len) {
            at -= parts[i].iov_len;
            continue;
        }
        const uint8_t *data = (const uint8_t *)parts[i].iov_base + at;
        size_t left = parts[i].iov_len - at;
        if (size == 0 && left >= RECORD_BYTES) {
            *ret_size = RECORD_BYTES;
            return data;
        }
        size_t more = left < RECORD_BYTES - size ? left : RECORD_BYTES - size;
        memcpy(room + size, data, more);
        size += more;
        at = 0;
    }
    *ret_size = size;
    return room;
}

static ssize_t send_tls(struct srv_link *link, const struct iovec *parts, size_t count) {
    size_t total = sum_of(parts, count);
    size_t done = 0;
    while (done < total && link->held == NULL) {
        size_t size;
        const uint8_t *data = gather(parts, count, done, link->carrier->output, &size);
        ssize_t sent = send_record(link, data, size);
        if (sent < 0) {
            return sent;
        }
        done += (size_t)sent;
    }
    if (done < total) {
        want_room(link);
    }
    return (ssize_t)done;
}

static ssize_t send_file_tls(struct srv_link *link, int fd, uint64_t offset, size_t size) {
    size_t turn = size < FILE_BYTES ? size : FILE_BYTES;
    size_t done = 0;
    while (done < turn && link->held == NULL) {
        size_t want = turn - done < SRV_BUFFER_BYTES ? turn - done : SRV_BUFFER_BYTES;
        ssize_t got = pread(fd, link->carrier->output, want, (off_t)(offset + done));
        if (got < 0) {
            return fail_send(link, errno);
        }
        if (got == 0) {
            break;
        }
        for (size_t at = 0; at < (size_t)got && link->held == NULL;) {
            size_t left = (size_t)got - at;
            ssize_t sent = send_record(link, link->carrier->output + at,
                                       left < RECORD_BYTES ? left : RECORD_BYTES);
            if (sent < 0) {
                return sent;
            }
            at += (size_t)sent;
            done += (size_t)sent;
        }
    }
    if (done < size) {
        want_room(link);
    }
    return (ssize_t)done;
}

/* ---- the table ---- */

static struct srv_link *link_of(struct srv_conn *conn) {
    return (struct srv_link *)conn; /* its first member */
}

static ssize_t do_send(struct srv_conn *conn, const struct iovec *parts, size_t count) {
    struct srv_link *link = link_of(conn);
    if (link->phase != SRV_CONN_OPEN || link->broken) {
        return -EPIPE;
    }
    size_t most = count < IOV_MAX ? count : IOV_MAX;
    ssize_t sent = link->ssl != NULL ? send_tls(link, parts, most) : send_plain(link, parts, most);
    if (sent >= 0 && most < count) {
        want_room(link);
    }
    return sent;
}

static ssize_t do_send_file(struct srv_conn *conn, int fd, uint64_t offset, size_t size) {
    struct srv_link *link = link_of(conn);
    if (link->phase != SRV_CONN_OPEN || link->broken) {
        return -EPIPE;
    }
    return link->ssl != NULL ? send_file_tls(link, fd, offset, size)
                             : send_file_plain(link, fd, offset, size);
}

static void do_receive(struct srv_conn *conn, bool on) {
    struct srv_link *link = link_of(conn);
    link->wants_input = on;
    apply_input(link);
}

static void do_wake(struct srv_conn *conn) {
    struct srv_link *link = link_of(conn);
    srv_carrier_wait_turn(link);
}

/* The peer sees the end. */
static void shut_down(struct srv_link *link) {
    if (link->ssl != NULL) {
        ERR_clear_error();
        int rc = SSL_shutdown(link->ssl);
        if (rc < 0 && wants_again(link, rc)) {
            want_room(link);
            return;
        }
    }
    if (shutdown(link->fd, SHUT_WR) < 0 || link->peer_ended) {
        srv_link_end(link);
        return;
    }
    set_phase(link, SRV_CONN_DRAINING);
    srv_carrier_set_deadline(link, DRAIN_MS);
    apply_input(link);
}

static void do_finish(struct srv_conn *conn) {
    struct srv_link *link = link_of(conn);
    if (link->phase != SRV_CONN_OPEN) {
        return;
    }
    set_phase(link, SRV_CONN_FLUSHING);
    srv_carrier_set_deadline(link, FLUSH_MS);
    apply_input(link);
    if (link->held == NULL && link->phase == SRV_CONN_FLUSHING) {
        shut_down(link);
    }
}

static void do_abort(struct srv_conn *conn) {
    struct srv_link *link = link_of(conn);
    reset_at_close(link);
    srv_link_end(link);
}

static const struct srv_conn_ops ops = {
    .send = do_send,
    .send_file = do_send_file,
    .receive = do_receive,
    .wake = do_wake,
    .finish = do_finish,
    .abort = do_abort,
};

/* ---- the beginning and the end ---- */

/* False: the owner does not want it. */
static bool introduce(struct srv_link *link) {
    struct srv_carrier *carrier = link->carrier;
    const struct srv_transport *transport = carrier->transport;
    set_phase(link, SRV_CONN_OPEN);
    link->wants_input = true;
    struct srv_peer *peer = link->peer;
    link->peer = NULL;
    link->owner = transport->handler->opened(&link->base, carrier->loop, peer, transport->user);
    free(peer);
    return link->owner != NULL;
}

/* Frees the link, after the owner's last call. */
static void gone(struct srv_link *link) {
    struct srv_carrier *carrier = link->carrier;
    struct srv_transport *transport = carrier->transport;
    if (link->phase == SRV_CONN_HANDSHAKE) {
        atomic_fetch_add_explicit(&transport->failed_handshakes, 1, memory_order_relaxed);
    }
    if (carrier->adopting == link) {
        carrier->adopting = NULL;
    }
    srv_carrier_forget(link);
    if (link->owner != NULL) {
        transport->handler->closed(link->owner);
    }
    if (link->counted) {
        srv_peers_leave(transport->peers, &link->key);
    }
    free(link->held);
    free(link->peer);
    free(link);
    atomic_fetch_sub(&carrier->connections, 1);
    if (atomic_fetch_sub(&transport->connections, 1) >= transport->max_connections) {
        srv_acceptor_recheck(&transport->acceptor);
    }
}

/* libwebsockets closes the descriptor; `gone` comes from inside of this. */
static void close_now(struct srv_link *link) {
    lws_set_timeout(link->wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_SYNC);
}

static struct lws *adopt(struct srv_link *link) {
    lws_adopt_desc_t wish = {
        .vh = link->carrier->vhost,
        .type = link->tls ? LWS_ADOPT_SOCKET | LWS_ADOPT_ALLOW_SSL : LWS_ADOPT_RAW_FILE_DESC,
        .fd.sockfd = link->fd,
        /* A raw file that it could not take over it keeps, and tells of its end much later. */
        .opaque = link->tls ? link : NULL,
    };
    return lws_adopt_descriptor_vhost_via_info(&wish);
}

void srv_link_start(struct srv_link *link) {
    struct srv_carrier *carrier = link->carrier;
    link->base.ops = &ops;
    link->has_input = true;
    set_phase(link, SRV_CONN_HANDSHAKE);
    carrier->adopting = link;
    struct lws *wsi = adopt(link);
    bool is_there = carrier->adopting == link;
    carrier->adopting = NULL;
    if (wsi == NULL) {
        if (is_there) {
            if (!link->tls) {
                (void)close(link->fd); /* of sockets it does that itself */
            }
            gone(link);
        }
        return;
    }
    lws_set_opaque_user_data(wsi, link);
    link->wsi = wsi;
    if (link->tls) {
        link->ssl = lws_get_ssl(wsi);
        (void)SSL_set_app_data(link->ssl, link); /* its slot is always there */
        if (SSL_is_init_finished(link->ssl)) {
            want_room(link); /* the peer was that fast: nobody will tell */
        }
    } else if (!introduce(link)) {
        srv_link_end(link);
    }
}

void srv_link_take_turn(struct srv_link *link) {
    if (link->phase == SRV_CONN_ENDING) {
        close_now(link);
        return;
    }
    int rc = flush_held(link);
    if (rc < 0) {
        srv_link_end(link);
    } else if (rc > 0 && link->phase == SRV_CONN_OPEN) {
        link->carrier->transport->handler->room(link->owner);
    } else if (rc > 0 && link->phase == SRV_CONN_FLUSHING) {
        shut_down(link);
    }
}

/* ---- what libwebsockets tells ---- */

/* Below 0 from these: it closes the connection, and tells so. */

static int handle_input(struct srv_link *link, const void *data, size_t size) {
    atomic_fetch_add_explicit(&link->carrier->received_bytes, size, memory_order_relaxed);
    if (link->phase == SRV_CONN_OPEN) {
        link->carrier->transport->handler->received(link->owner, data, size);
    }
    return 0;
}

static int handle_end(struct srv_link *link) {
    link->peer_ended = true;
    if (link->phase != SRV_CONN_OPEN) {
        return -1; /* the last we waited for */
    }
    apply_input(link);
    link->carrier->transport->handler->ended(link->owner);
    return 0;
}

static int handle_readable(struct srv_link *link) {
    ssize_t got = recv(link->fd, link->carrier->input, SRV_BUFFER_BYTES, MSG_DONTWAIT);
    if (got < 0) {
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    }
    return got == 0 ? handle_end(link) : handle_input(link, link->carrier->input, (size_t)got);
}

static int begin_tls(struct srv_link *link) {
    /* Else it would be closed 10 s after its start, whatever it does. */
    lws_set_timeout(link->wsi, NO_PENDING_TIMEOUT, 0);
    return introduce(link) ? 0 : -1;
}

static int handle_decrypted(struct srv_link *link, const void *data, size_t size) {
    if (link->phase == SRV_CONN_HANDSHAKE && begin_tls(link) < 0) {
        return -1;
    }
    return handle_input(link, data, size);
}

/* `room` in a turn of its own: for raw files libwebsockets forgets what is asked in this call. */
static int handle_writable(struct srv_link *link) {
    if (link->phase == SRV_CONN_HANDSHAKE) {
        return begin_tls(link);
    }
    srv_carrier_wait_turn(link);
    return 0;
}

/* The handshake is done; once libwebsockets has noted that, the connection is writable. OpenSSL is
 * asked itself: the LWS_CALLBACK_SSL_INFO of any but the newest context gets lost. */
void srv_link_handle_tls(const SSL *ssl, int where, int value) {
    (void)value; /* says nothing here */
    struct srv_link *link = SSL_get_app_data(ssl);
    if ((where & SSL_CB_HANDSHAKE_DONE) != 0 && link != NULL && link->phase == SRV_CONN_HANDSHAKE) {
        want_room(link);
    }
}

static int handle_event(struct srv_link *link, enum lws_callback_reasons reason, const void *data,
                        size_t size) {
    switch ((int)reason) {
    case LWS_CALLBACK_RAW_RX_FILE:
        return handle_readable(link);
    case LWS_CALLBACK_RAW_RX:
        return handle_decrypted(link, data, size);
    case LWS_CALLBACK_RAW_WRITEABLE_FILE:
    case LWS_CALLBACK_RAW_WRITEABLE:
        return handle_writable(link);
    default:
        return 0;
    }
}

int srv_link_handle_lws(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *data,
                        size_t size) {
    if (reason == LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS) {
        struct srv_carrier *carrier = lws_context_user(lws_get_context(wsi));
        carrier->ssl_context = user;
        return 0;
    }
    struct srv_link *link = wsi == NULL ? NULL : lws_get_opaque_user_data(wsi);
    if (link == NULL) {
        return 0;
    }
    switch ((int)reason) {
    case LWS_CALLBACK_RAW_CLOSE_FILE:
    case LWS_CALLBACK_RAW_CLOSE:
    case LWS_CALLBACK_WSI_DESTROY:
        lws_set_opaque_user_data(wsi, NULL);
        gone(link);
        return 0;
    default:
        return handle_event(link, reason, data, size);
    }
}
