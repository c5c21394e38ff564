#include "tests/support/fake_exchange.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "fragments/fragments.h"
#include "server/http/query.h"
#include "server/world.h"

struct srv_exchange {
    struct fake_exchange_config config;
    struct srv_http_request request;
    struct srv_http_field field;
    struct srv_peer peer;
    json_t *body;
    struct frag_archive *archive;
    void (*work)(struct srv_exchange *exchange, void *user); /* waits for its turn */
    const struct srv_flow *flow;
    void *user;
    int status;
    char type[96];
    char fields[1024];
    char *text;
    size_t size, limit;
    bool ended, broken, closed;
    pthread_mutex_t lock; /* of what other threads change */
    pthread_cond_t woken;
    unsigned wakes, refs;
};

struct srv_exchange *fake_exchange_create(const struct fake_exchange_config *config) {
    struct srv_exchange *exchange = calloc(1, sizeof(*exchange));
    KN_ASSERT(exchange != NULL);
    exchange->config = *config;
    exchange->request.method = config->method;
    if (config->last_event_id != NULL) {
        exchange->field.name = SRV_HTTP_TEXT("last-event-id");
        exchange->field.value =
            (struct srv_http_text){config->last_event_id, strlen(config->last_event_id)};
        exchange->request.fields = &exchange->field;
        exchange->request.field_count = 1;
    }
    if (config->query != NULL) {
        exchange->request.query = (struct srv_http_text){config->query, strlen(config->query)};
        exchange->request.has_query = true;
    }
    exchange->body = config->body != NULL ? json_incref(config->body) : json_object();
    KN_ASSERT(exchange->body != NULL);
    exchange->peer.local = config->local;
    (void)strncpy(exchange->peer.address, "192.0.2.7:51234", sizeof(exchange->peer.address) - 1);
    exchange->limit = SIZE_MAX;
    exchange->refs = 1;
    (void)pthread_mutex_init(&exchange->lock, NULL);
    (void)pthread_cond_init(&exchange->woken, NULL);
    return exchange;
}

void fake_exchange_destroy(struct srv_exchange *exchange) {
    KN_ASSERT(exchange->refs == 1);
    KN_ASSERT(exchange->flow == NULL || exchange->closed);
    (void)pthread_cond_destroy(&exchange->woken);
    (void)pthread_mutex_destroy(&exchange->lock);
    frag_archive_close(exchange->archive);
    json_decref(exchange->body);
    free(exchange->text);
    free(exchange);
}

/* ---- playing the loop ---- */

void fake_exchange_handle(struct srv_exchange *exchange, const struct srv_routes *routes,
                          const char *name) {
    for (size_t i = 0; i < routes->count; i++) {
        if (strcmp(routes->rows[i].name, name) == 0) {
            routes->rows[i].handle(exchange);
            return;
        }
    }
    KN_ASSERT(false);
}

static bool take_wakes(struct srv_exchange *exchange) {
    (void)pthread_mutex_lock(&exchange->lock);
    bool any = exchange->wakes > 0;
    exchange->wakes = 0;
    (void)pthread_mutex_unlock(&exchange->lock);
    return any;
}

static void do_work(struct srv_exchange *exchange) {
    if (exchange->work != NULL) {
        exchange->work(exchange, exchange->user);
        exchange->work = NULL;
        srv_exchange_wake(exchange);
    }
}

int srv_exchange_work(struct srv_exchange *exchange,
                      void (*work)(struct srv_exchange *exchange, void *user)) {
    KN_ASSERT(exchange->work == NULL);
    exchange->work = work;
    return exchange->closed ? KN_E_CLOSED : 0;
}

struct kn_loop *srv_exchange_loop(const struct srv_exchange *exchange) {
    return exchange->config.loop;
}

bool srv_exchange_works(const struct srv_exchange *exchange) {
    return exchange->work != NULL;
}

unsigned fake_exchange_run(struct srv_exchange *exchange) {
    unsigned count = 0;
    do_work(exchange);
    while (!exchange->closed && take_wakes(exchange)) {
        exchange->flow->wake(exchange, exchange->user);
        do_work(exchange);
        count++;
    }
    return count;
}

bool fake_exchange_wait(struct srv_exchange *exchange, unsigned ms) {
    struct timespec end;
    (void)clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += ms / 1000;
    end.tv_nsec += (long)(ms % 1000) * 1000000;
    end.tv_sec += end.tv_nsec / 1000000000;
    end.tv_nsec %= 1000000000;
    int rc = 0;
    (void)pthread_mutex_lock(&exchange->lock);
    while (exchange->wakes == 0 && rc == 0) {
        rc = pthread_cond_timedwait(&exchange->woken, &exchange->lock, &end);
    }
    bool any = exchange->wakes > 0;
    (void)pthread_mutex_unlock(&exchange->lock);
    return any;
}

void fake_exchange_limit(struct srv_exchange *exchange, size_t size) {
    exchange->limit = size;
}

void fake_exchange_read(struct srv_exchange *exchange) {
    exchange->size = 0;
    if (exchange->flow != NULL && exchange->flow->room != NULL) {
        exchange->flow->room(exchange, exchange->user);
    }
}

void fake_exchange_drain(struct srv_exchange *exchange) {
    exchange->flow->drain(exchange, exchange->user);
}

void fake_exchange_close(struct srv_exchange *exchange) {
    KN_ASSERT(!exchange->closed);
    do_work(exchange);
    exchange->closed = true;
    exchange->flow->closed(exchange, exchange->user);
}

const char *fake_exchange_text(const struct srv_exchange *exchange) {
    return exchange->size > 0 ? exchange->text : "";
}

int fake_exchange_status(const struct srv_exchange *exchange) {
    return exchange->status;
}

const char *fake_exchange_type(const struct srv_exchange *exchange) {
    return exchange->type;
}

const char *fake_exchange_fields(const struct srv_exchange *exchange) {
    return exchange->fields;
}

bool fake_exchange_ended(const struct srv_exchange *exchange) {
    return exchange->ended;
}

bool fake_exchange_broken(const struct srv_exchange *exchange) {
    return exchange->broken;
}

/* ---- exchange.h ---- */

struct srv_world *srv_exchange_world(const struct srv_exchange *exchange) {
    return exchange->config.world;
}

const struct srv_http_request *srv_exchange_request(const struct srv_exchange *exchange) {
    return &exchange->request;
}

const struct srv_peer *srv_exchange_peer(const struct srv_exchange *exchange) {
    return &exchange->peer;
}

const struct srv_principal *srv_exchange_principal(const struct srv_exchange *exchange) {
    return exchange->config.principal;
}

const char *srv_exchange_parameter(const struct srv_exchange *exchange, const char *name) {
    for (size_t i = 0; i < SRV_PARAMETERS_MAX; i++) {
        const char *has = exchange->config.parameters[i].name;
        if (has != NULL && strcmp(has, name) == 0) {
            return exchange->config.parameters[i].value;
        }
    }
    return NULL;
}

int srv_exchange_query(const struct srv_exchange *exchange, const char *name, char *room,
                       size_t room_bytes) {
    struct srv_http_text value;
    int rc = srv_http_query_find(exchange->request.query, name, room, room_bytes - 1, &value);
    if (rc == 0) {
        room[value.size] = '\0';
    }
    return rc;
}

json_t *srv_exchange_json(const struct srv_exchange *exchange) {
    return exchange->body;
}

struct frag_archive *srv_exchange_archive(struct srv_exchange *exchange) {
    if (exchange->archive == NULL &&
        frag_archive_open(exchange->config.world->store, &exchange->archive) < 0) {
        return NULL;
    }
    return exchange->archive;
}

const char *srv_exchange_base_url(struct srv_exchange *exchange) {
    return exchange->config.base_url != NULL ? exchange->config.base_url : "http://127.0.0.1:5466";
}

const char *srv_exchange_region(const struct srv_exchange *exchange) {
    return exchange->config.region != NULL ? exchange->config.region : "";
}

const char *srv_exchange_id(const struct srv_exchange *exchange) {
    (void)exchange;
    return "00000000000000010000000000000001";
}

struct srv_exchange *srv_exchange_ref(struct srv_exchange *exchange) {
    (void)pthread_mutex_lock(&exchange->lock);
    exchange->refs++;
    (void)pthread_mutex_unlock(&exchange->lock);
    return exchange;
}

void srv_exchange_unref(struct srv_exchange *exchange) {
    (void)pthread_mutex_lock(&exchange->lock);
    exchange->refs--;
    (void)pthread_mutex_unlock(&exchange->lock);
}

void srv_exchange_wake(struct srv_exchange *exchange) {
    (void)pthread_mutex_lock(&exchange->lock);
    exchange->wakes++;
    (void)pthread_cond_signal(&exchange->woken);
    (void)pthread_mutex_unlock(&exchange->lock);
}

void srv_exchange_go_on(struct srv_exchange *exchange, const struct srv_flow *flow, void *user) {
    exchange->flow = flow;
    exchange->user = user;
}

void srv_exchange_idle_limit(struct srv_exchange *exchange, int64_t ns) {
    (void)exchange;
    KN_ASSERT(ns > 0);
}

static void take_status(struct srv_exchange *exchange, int status, const char *type) {
    KN_ASSERT(exchange->status == 0); /* once */
    exchange->status = status;
    (void)snprintf(exchange->type, sizeof(exchange->type), "%s", type);
}

static void keep(struct srv_exchange *exchange, const void *data, size_t size) {
    char *text = realloc(exchange->text, exchange->size + size + 1);
    KN_ASSERT(text != NULL);
    exchange->text = text;
    memcpy(text + exchange->size, data, size);
    exchange->size += size;
    text[exchange->size] = '\0';
}

int srv_exchange_begin(struct srv_exchange *exchange, int status, const char *type,
                       uint64_t length) {
    KN_ASSERT(length == SRV_HTTP_UNKNOWN_LENGTH && exchange->flow != NULL);
    take_status(exchange, status, type);
    return exchange->closed ? KN_E_CLOSED : 0;
}

int srv_exchange_send(struct srv_exchange *exchange, const void *data, size_t size) {
    KN_ASSERT(exchange->status != 0 && !exchange->ended && size > 0);
    if (exchange->closed || exchange->broken) {
        return KN_E_CLOSED;
    }
    if (exchange->size >= exchange->limit) {
        return KN_E_LIMIT;
    }
    keep(exchange, data, size);
    return 0;
}

int srv_exchange_send_buffer(struct srv_exchange *exchange, struct kn_buffer *buffer) {
    return srv_exchange_send(exchange, buffer->data, buffer->size);
}

void srv_exchange_end(struct srv_exchange *exchange) {
    KN_ASSERT(!exchange->ended);
    exchange->ended = true;
}

size_t srv_exchange_queued(const struct srv_exchange *exchange) {
    return exchange->limit == SIZE_MAX ? 0 : exchange->size; /* without a limit all is read */
}

void srv_exchange_break(struct srv_exchange *exchange) {
    exchange->broken = true;
}

void srv_answer_field(struct srv_exchange *exchange, const char *name, const char *value) {
    size_t used = strlen(exchange->fields);
    int size =
        snprintf(exchange->fields + used, sizeof(exchange->fields) - used, "%s: %s\n", name, value);
    KN_ASSERT(size > 0 && (size_t)size < sizeof(exchange->fields) - used);
}

void srv_answer(struct srv_exchange *exchange, int status, const char *type, const void *data,
                size_t size) {
    take_status(exchange, status, type);
    keep(exchange, data, size);
    exchange->ended = true;
}

void srv_answer_empty(struct srv_exchange *exchange, int status) {
    srv_answer(exchange, status, "", "", 0);
}

void srv_answer_buffer(struct srv_exchange *exchange, int status, const char *type,
                       struct kn_buffer *buffer) {
    srv_answer(exchange, status, type, buffer->data, buffer->size);
    kn_buffer_unref(buffer);
}

void srv_answer_json(struct srv_exchange *exchange, int status, json_t *value) {
    char *text = value != NULL ? json_dumps(value, JSON_COMPACT) : NULL;
    json_decref(value);
    srv_answer(exchange, text != NULL ? status : 503, "application/json", text != NULL ? text : "",
               text != NULL ? strlen(text) : 0);
    free(text);
}

void srv_answer_error(struct srv_exchange *exchange, int status, const char *code,
                      const char *format, ...) {
    char message[256];
    va_list arguments;
    va_start(arguments, format);
    /* The analyzer does not know va_start where clang is asked for C17. */
    // NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized)
    (void)vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    srv_answer(exchange, status, code, message, strlen(message));
}

void srv_answer_failure(struct srv_exchange *exchange, int error, const char *what) {
    srv_answer_error(exchange, error == -ENOMEM ? 503 : 500, "failure", "%s: %d", what, error);
}
