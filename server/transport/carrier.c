#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "server/transport/inner.h"

/* How libwebsockets is used, and why so
 *
 * One context per loop, on the loop that is there. It never listens. Plain sockets and unix sockets
 * are adopted as "raw files": it only tells what is readable and writable, and conn.c reads and
 * writes. (As a "raw socket" it would close a connection whose peer has ended its half.) TLS
 * sockets are adopted as raw sockets: it shakes hands and reads; conn.c writes to its SSL object,
 * because lws_write keeps what the kernel refuses in a list, and with anything in that list
 * readable sockets are neither read nor unwatched: the loop would spin.
 *
 * None of its parsers is reachable: both roles are raw, and no ALPN protocol is ever chosen (it
 * would change the role).
 *
 * What calls the owner back outside of an event of its own (room after wake, closing) waits for its
 * turn in a list that a uv_idle works off: no function of srv_conn_ops calls the handler.
 *
 * The end of a context on a loop of ours takes two calls: the first closes its connections and
 * handles, whose callbacks come in later turns; when no handle of the loop is closing any more, the
 * second one frees. */

/* The limit for a handshake, by libwebsockets' own timer. */
#define HANDSHAKE_S 10
#define DATES_EVERY_MS 100

/* ---- turns and dates ---- */

static void leave_turns(struct srv_link *link) {
    struct srv_carrier *carrier = link->carrier;
    if (!link->waits) {
        return;
    }
    link->waits = false;
    if (link->prev_turn != NULL) {
        link->prev_turn->next_turn = link->next_turn;
    } else {
        carrier->waiting = link->next_turn;
    }
    if (link->next_turn != NULL) {
        link->next_turn->prev_turn = link->prev_turn;
    } else {
        carrier->last_waiting = link->prev_turn;
    }
}

static void end_step(struct srv_carrier *carrier);

/* Who comes to wait meanwhile has his turn in the next round, after other events. */
static void run_turns(uv_idle_t *turns) {
    struct srv_carrier *carrier = turns->data;
    const struct srv_link *last = carrier->last_waiting;
    bool more = carrier->waiting != NULL;
    while (more && carrier->waiting != NULL) {
        struct srv_link *link = carrier->waiting;
        more = link != last;
        leave_turns(link);
        srv_link_take_turn(link);
    }
    if (carrier->ending) {
        end_step(carrier);
    } else if (carrier->waiting == NULL) {
        (void)uv_idle_stop(turns); /* always 0 */
    }
}

void srv_carrier_wait_turn(struct srv_link *link) {
    struct srv_carrier *carrier = link->carrier;
    if (link->waits) {
        return;
    }
    link->waits = true;
    link->next_turn = NULL;
    link->prev_turn = carrier->last_waiting;
    if (carrier->last_waiting != NULL) {
        carrier->last_waiting->next_turn = link;
    } else {
        carrier->waiting = link;
    }
    carrier->last_waiting = link;
    (void)uv_idle_start(&carrier->turns, run_turns); /* fails only without a callback */
}

static void leave_dated(struct srv_link *link) {
    struct srv_carrier *carrier = link->carrier;
    if (!link->is_dated) {
        return;
    }
    link->is_dated = false;
    if (link->prev_dated != NULL) {
        link->prev_dated->next_dated = link->next_dated;
    } else {
        carrier->dated = link->next_dated;
    }
    if (link->next_dated != NULL) {
        link->next_dated->prev_dated = link->prev_dated;
    }
}

static void check_dates(uv_timer_t *dates) {
    struct srv_carrier *carrier = dates->data;
    uint64_t now = uv_now(carrier->uv);
    for (struct srv_link *link = carrier->dated, *next; link != NULL; link = next) {
        next = link->next_dated;
        if (now >= link->deadline_ms) {
            leave_dated(link);
            srv_link_end(link);
        }
    }
    if (carrier->dated == NULL) {
        (void)uv_timer_stop(dates); /* always 0 */
    }
}

void srv_carrier_set_deadline(struct srv_link *link, uint64_t in_ms) {
    struct srv_carrier *carrier = link->carrier;
    link->deadline_ms = uv_now(carrier->uv) + in_ms;
    if (!link->is_dated) {
        link->is_dated = true;
        link->prev_dated = NULL;
        link->next_dated = carrier->dated;
        if (link->next_dated != NULL) {
            link->next_dated->prev_dated = link;
        }
        carrier->dated = link;
    }
    if (!uv_is_active((uv_handle_t *)&carrier->dates)) {
        (void)uv_timer_start(&carrier->dates, check_dates, DATES_EVERY_MS, DATES_EVERY_MS);
    }
}

void srv_carrier_forget(struct srv_link *link) {
    struct srv_carrier *carrier = link->carrier;
    leave_turns(link);
    leave_dated(link);
    if (link->prev != NULL) {
        link->prev->next = link->next;
    } else {
        carrier->links = link->next;
    }
    if (link->next != NULL) {
        link->next->prev = link->prev;
    }
}

/* ---- what comes from other threads ---- */

static void lock(struct srv_transport *transport) {
    (void)pthread_mutex_lock(&transport->lock); /* a plain mutex, never held twice: cannot fail */
}

static void unlock(struct srv_transport *transport) {
    (void)pthread_mutex_unlock(&transport->lock);
}

void srv_carrier_give(struct srv_carrier *carrier, struct srv_link *link) {
    lock(carrier->transport);
    link->next_turn = NULL;
    if (carrier->last_arrival != NULL) {
        carrier->last_arrival->next_turn = link;
    } else {
        carrier->first_arrival = link;
    }
    carrier->last_arrival = link;
    (void)uv_async_send(&carrier->news); /* fails only for what is no uv_async */
    unlock(carrier->transport);
}

static void start_link(struct srv_carrier *carrier, struct srv_link *link) {
    link->prev = NULL;
    link->next = carrier->links;
    if (link->next != NULL) {
        link->next->prev = link;
    }
    carrier->links = link;
    srv_link_start(link);
}

static void begin_end(struct srv_carrier *carrier) {
    carrier->ending = true;
    for (struct srv_link *link = carrier->links; link != NULL; link = link->next) {
        srv_link_end(link);
    }
    (void)uv_idle_start(&carrier->turns, run_turns); /* fails only without a callback */
}

static void handle_news(uv_async_t *news) {
    struct srv_carrier *carrier = news->data;
    lock(carrier->transport);
    struct srv_link *link = carrier->first_arrival;
    carrier->first_arrival = NULL;
    carrier->last_arrival = NULL;
    bool must_end = carrier->must_end;
    unlock(carrier->transport);

    while (link != NULL) {
        struct srv_link *next = link->next_turn;
        start_link(carrier, link);
        link = next;
    }
    if (must_end && !carrier->ending) {
        begin_end(carrier);
    }
}

/* ---- the end ---- */

static void handle_closed(uv_handle_t *handle) {
    struct srv_carrier *carrier = handle->data;
    if (--carrier->handles == 0) {
        struct srv_transport *transport = carrier->transport;
        SSL_CTX_free(carrier->unused);
        free(carrier->input);
        free(carrier->output);
        lock(transport);
        carrier->has_ended = true;
        (void)pthread_cond_broadcast(&transport->ended);
        unlock(transport);
    }
}

static void close_handles(struct srv_carrier *carrier) {
    uv_close((uv_handle_t *)&carrier->news, handle_closed);
    uv_close((uv_handle_t *)&carrier->turns, handle_closed);
    uv_close((uv_handle_t *)&carrier->dates, handle_closed);
}

static void look_for_closing(uv_handle_t *handle, void *user) {
    bool *found = user;
    *found = *found || uv_is_closing(handle) != 0;
}

/* Once a turn, until all is closed. */
static void end_step(struct srv_carrier *carrier) {
    if (carrier->links != NULL) {
        return; /* closed in their turns */
    }
    bool closing = false;
    uv_walk(carrier->uv, look_for_closing, &closing);
    if (closing) {
        return;
    }
    if (carrier->context != NULL) {
        lws_context_destroy(carrier->context); /* twice: see above */
    } else {
        close_handles(carrier);
    }
}

void srv_carrier_stop(struct srv_carrier *carrier) {
    struct srv_transport *transport = carrier->transport;
    lock(transport);
    if (!carrier->has_ended) {
        carrier->must_end = true;
        (void)uv_async_send(&carrier->news); /* fails only for what is no uv_async */
    }
    while (!carrier->has_ended) {
        (void)pthread_cond_wait(&transport->ended, &transport->lock);
    }
    unlock(transport);
}

/* ---- the start ---- */

/* As it counts them itself when a context is made; above the first number it takes the second. */
#define DESCRIPTORS_REASONABLE 10000000
#define DESCRIPTORS_ELSE 2560

int srv_carrier_max_descriptors(void) {
    long most = sysconf(_SC_OPEN_MAX);
    return most < 0 || most > DESCRIPTORS_REASONABLE ? DESCRIPTORS_ELSE : (int)most;
}

/* For each handshake: the certificate of now. */
static int choose_certificate(SSL *ssl, void *user) {
    struct srv_transport *transport = user;
    lock(transport);
    const struct srv_cert *cert = transport->cert;
    int rc = SSL_use_cert_and_key(ssl, cert->leaf, cert->key, cert->chain, 1);
    unlock(transport);
    return rc;
}

static int configure_tls(struct srv_carrier *carrier) {
    SSL_CTX *tls = carrier->ssl_context;
    static const unsigned char session_context[] = "kinora";
    if (tls == NULL || SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_cipher_list(tls, "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL") != 1 ||
        SSL_CTX_set_session_id_context(tls, session_context, sizeof(session_context) - 1) != 1 ||
        SSL_CTX_set_tlsext_ticket_keys(tls, carrier->transport->ticket_keys,
                                       sizeof(carrier->transport->ticket_keys)) != 1) {
        ERR_clear_error();
        return -EIO;
    }
    (void)SSL_CTX_set_options(tls, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                       SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    (void)SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF); /* tickets need none */
    SSL_CTX_set_info_callback(tls, srv_link_handle_tls);
    SSL_CTX_set_cert_cb(tls, choose_certificate, carrier->transport);
    /* libwebsockets' own: names of vhosts, and protocols that change the role. */
    (void)SSL_CTX_set_tlsext_servername_callback(tls, NULL);
    SSL_CTX_set_alpn_select_cb(tls, NULL, NULL);
    return 0;
}

static const struct lws_protocols protocols[] = {
    {.name = "kinora", .callback = srv_link_handle_lws},
    {.name = NULL},
};

static int create_context(struct srv_carrier *carrier, bool tls) {
    void *loops[] = {carrier->uv};
    struct lws_context_creation_info info = {
        /* Only the second one lets the vhost have TLS. */
        .port = tls ? CONTEXT_PORT_NO_LISTEN_SERVER : CONTEXT_PORT_NO_LISTEN,
        .protocols = protocols,
        .options = LWS_SERVER_OPTION_LIBUV,
        .foreign_loops = loops,
        .pcontext = &carrier->context,
        .user = carrier,
        .vhost_name = "kinora",
        .pt_serv_buf_size = SRV_BUFFER_BYTES,
        .timeout_secs = HANDSHAKE_S,
    };
    if (tls) {
        /* Never used. Left alone it makes one itself, reads every authority of the system into it,
         * and for all contexts but the newest forgets to free it. */
        carrier->unused = SSL_CTX_new(TLS_client_method());
        if (carrier->unused == NULL) {
            return -ENOMEM;
        }
        info.provided_client_ssl_ctx = carrier->unused;
        info.options |=
            LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT | LWS_SERVER_OPTION_CREATE_VHOST_SSL_CTX;
    }
    carrier->context = lws_create_context(&info);
    if (carrier->context == NULL) {
        return -ENOMEM; /* or no plugin for libuv: it has said so in the log */
    }
    carrier->vhost = lws_get_vhost_by_name(carrier->context, "kinora");
    if (carrier->vhost == NULL) {
        return -ENOMEM;
    }
    return tls ? configure_tls(carrier) : 0;
}

static int open_handles(struct srv_carrier *carrier) {
    int rc = uv_async_init(carrier->uv, &carrier->news, handle_news);
    if (rc < 0) {
        return rc;
    }
    (void)uv_idle_init(carrier->uv, &carrier->turns); /* always 0, like the next */
    (void)uv_timer_init(carrier->uv, &carrier->dates);
    carrier->news.data = carrier;
    carrier->turns.data = carrier;
    carrier->dates.data = carrier;
    carrier->handles = 3;
    return 0;
}

void srv_carrier_start(void *user, int status) {
    (void)status; /* kn_loop_call only runs it */
    struct srv_carrier_start *start = user;
    struct srv_carrier *carrier = start->carrier;
    carrier->uv = kn_loop_uv(carrier->loop);
    carrier->input = malloc(SRV_BUFFER_BYTES);
    carrier->output = malloc(SRV_BUFFER_BYTES);
    start->rc = carrier->input == NULL || carrier->output == NULL ? -ENOMEM : 0;
    if (start->rc == 0) {
        start->rc = open_handles(carrier);
    }
    if (start->rc < 0) {
        free(carrier->input);
        free(carrier->output);
        return;
    }
    carrier->has_ended = false;
    start->rc = create_context(carrier, start->tls);
}
