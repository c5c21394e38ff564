#include "base/loop.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"

/* How other threads reach a loop
 *
 * All of them go through its hub: a lock, a ring of tasks, a list of inboxes that have news
 * ("ready"), and one uv_async. One for all inboxes, because libuv looks at every uv_async of a loop
 * at each wake-up, and because then no inbox has a handle that could be closing while somebody
 * sends.
 *
 * uv_async_send happens only under the hub's lock and only while hub->async is set; the loop clears
 * it under the same lock before it closes the handle. So the handle is never sent to once closing.
 *
 * The hub and each inbox are refcounted. A thread that has put its message into an inbox may be
 * stopped right there while the loop delivers the message, closes the inbox and is destroyed; what
 * that thread still touches afterwards (inbox, hub) lives by references.
 *
 * Closing an inbox has a second half. `user` is handed back by handle_closed, but a sender inside
 * kn_inbox_send may still be calling discard(message, user). So senders are counted in
 * inbox->state, next to the closed bit: after the bit nobody gets in, the count only falls, and who
 * brings it to zero (the last sender, or kn_inbox_close when nobody is inside) makes the inbox
 * ready once more. The loop finishes it then: discards what is left and calls handle_closed. That
 * is why handle_closed always comes later, never from inside kn_inbox_close. */

#define NAME_BYTES 16 /* of a thread, as Linux has it */
/* How much of an inbox is handled before others have their turn. */
#define TURN_MESSAGES 1024
#define BATCH_MESSAGES 64

struct task {
    kn_loop_task *run;
    void *user;
};

struct hub {
    atomic_size_t refs; /* the loop, every inbox */
    pthread_mutex_t lock;
    /* Under the lock: */
    uv_async_t *async;                         /* NULL once the loop has ended */
    bool signalled;                            /* async was sent and its callback has not begun */
    bool stopping;                             /* no task gets in or runs any more */
    struct kn_inbox *first_ready, *last_ready; /* one reference each */
    size_t ready;
    size_t first_task, tasks;
    size_t max_tasks;   /* constant */
    struct task ring[]; /* max_tasks of them */
};

/* One owner, its creator. Other threads only read `hub`. */
struct kn_loop {
    uv_loop_t uv;
    uv_async_t async;
    struct hub *hub;
    pthread_t thread;
    bool started;
    bool winding_down;        /* loop thread */
    struct kn_inbox *inboxes; /* loop thread: all not finished, one reference each */
    char name[NAME_BYTES];
};

#define INBOX_CLOSED 1u
#define INBOX_SENDER 2u

/* One owner: its references. */
struct kn_inbox {
    atomic_size_t refs;
    atomic_uint state; /* INBOX_CLOSED + INBOX_SENDER for each thread inside kn_inbox_send */
    struct kn_inbox_config config;
    struct kn_queue *queue;
    struct hub *hub;
    /* Loop thread: */
    struct kn_loop *loop; /* NULL once finished */
    struct kn_inbox *next, *prev;
    /* Under the hub's lock: */
    bool is_ready;
    struct kn_inbox *next_ready;
};

static _Thread_local struct kn_loop *current;

/* ---- the hub ---- */

static void lock(struct hub *hub) {
    (void)pthread_mutex_lock(&hub->lock); /* a plain mutex, never held twice: cannot fail */
}

static void unlock(struct hub *hub) {
    (void)pthread_mutex_unlock(&hub->lock);
}

static int hub_create(size_t max_tasks, struct hub **ret_hub) {
    size_t bytes;
    if (!kn_size_mul(max_tasks, sizeof(struct task), &bytes) ||
        !kn_size_add(bytes, sizeof(struct hub), &bytes)) {
        return -ENOMEM;
    }
    struct hub *hub = calloc(1, bytes);
    if (hub == NULL) {
        return -ENOMEM;
    }
    atomic_init(&hub->refs, 1);
    KN_ASSERT(pthread_mutex_init(&hub->lock, NULL) == 0); /* cannot fail with default attributes */
    hub->max_tasks = max_tasks;
    *ret_hub = hub;
    return 0;
}

static struct hub *hub_ref(struct hub *hub) {
    atomic_fetch_add_explicit(&hub->refs, 1, memory_order_relaxed);
    return hub;
}

static void hub_unref(struct hub *hub) {
    if (atomic_fetch_sub_explicit(&hub->refs, 1, memory_order_acq_rel) == 1) {
        (void)pthread_mutex_destroy(&hub->lock);
        free(hub);
    }
}

/* Under the lock. */
static void signal_loop(struct hub *hub) {
    if (!hub->signalled && hub->async != NULL) {
        hub->signalled = true;
        (void)uv_async_send(hub->async); /* fails only for what is no uv_async */
    }
}

/* Any thread that holds a reference of the inbox. */
static void make_ready(struct kn_inbox *inbox) {
    struct hub *hub = inbox->hub;
    lock(hub);
    if (hub->async != NULL && !inbox->is_ready) {
        inbox->is_ready = true;
        inbox->next_ready = NULL;
        if (hub->last_ready != NULL) {
            hub->last_ready->next_ready = kn_inbox_ref(inbox);
        } else {
            hub->first_ready = kn_inbox_ref(inbox);
        }
        hub->last_ready = inbox;
        hub->ready++;
        signal_loop(hub);
    }
    unlock(hub);
}

/* Hands over the list's reference; NULL when nothing is ready. From here on a sender may make the
 * inbox ready again, so no message that comes after the reader looked is forgotten. */
static struct kn_inbox *take_ready(struct hub *hub) {
    lock(hub);
    struct kn_inbox *inbox = hub->first_ready;
    if (inbox != NULL) {
        hub->first_ready = inbox->next_ready;
        if (hub->first_ready == NULL) {
            hub->last_ready = NULL;
        }
        hub->ready--;
        inbox->is_ready = false;
    }
    unlock(hub);
    return inbox;
}

/* ---- tasks ---- */

int kn_loop_post(struct kn_loop *loop, kn_loop_task *run, void *user) {
    struct hub *hub = loop->hub;
    int rc = 0;
    lock(hub);
    if (hub->stopping) {
        rc = KN_E_CLOSED;
    } else if (hub->tasks == hub->max_tasks) {
        rc = -EAGAIN;
    } else {
        size_t at = (hub->first_task + hub->tasks) % hub->max_tasks;
        hub->ring[at] = (struct task){run, user};
        hub->tasks++;
        signal_loop(hub);
    }
    unlock(hub);
    return rc;
}

static bool take_task(struct hub *hub, struct task *ret_task) {
    lock(hub);
    bool found = hub->tasks > 0;
    if (found) {
        *ret_task = hub->ring[hub->first_task];
        hub->first_task = (hub->first_task + 1) % hub->max_tasks;
        hub->tasks--;
    }
    unlock(hub);
    return found;
}

struct call {
    kn_loop_task *run;
    void *user;
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool has_ended;
    int status;
};

static void run_call(void *user, int status) {
    struct call *call = user;
    if (status == 0) {
        call->run(call->user, 0);
    }
    /* Signalled under the lock: the call stands on the waiter's stack and is gone once it looks. */
    (void)pthread_mutex_lock(&call->lock);
    call->status = status;
    call->has_ended = true;
    (void)pthread_cond_signal(&call->ended);
    (void)pthread_mutex_unlock(&call->lock);
}

int kn_loop_call(struct kn_loop *loop, kn_loop_task *run, void *user) {
    KN_ASSERT(current == NULL);
    struct call call = {.run = run, .user = user};
    KN_ASSERT(pthread_mutex_init(&call.lock, NULL) == 0);
    KN_ASSERT(pthread_cond_init(&call.ended, NULL) == 0);
    int rc = kn_loop_post(loop, run_call, &call);
    if (rc == 0) {
        (void)pthread_mutex_lock(&call.lock);
        while (!call.has_ended) {
            (void)pthread_cond_wait(&call.ended, &call.lock);
        }
        (void)pthread_mutex_unlock(&call.lock);
        rc = call.status;
    }
    (void)pthread_cond_destroy(&call.ended);
    (void)pthread_mutex_destroy(&call.lock);
    return rc;
}

/* ---- inboxes ---- */

static void discard_message(void *message, void *user) {
    struct kn_inbox *inbox = user;
    inbox->config.discard(message, inbox->config.user);
}

/* The queue was empty: the loop does not know of it, or is just about to look. */
static void wake_inbox(void *user) {
    make_ready(user);
}

static bool on_loop_thread(const struct kn_loop *loop) {
    return current == loop || !loop->started;
}

static bool is_closed(struct kn_inbox *inbox) {
    return (atomic_load_explicit(&inbox->state, memory_order_acquire) & INBOX_CLOSED) != 0;
}

int kn_inbox_open(struct kn_loop *loop, const struct kn_inbox_config *config,
                  struct kn_inbox **ret_inbox) {
    KN_ASSERT(on_loop_thread(loop));
    KN_ASSERT(config->when_full != KN_QUEUE_WAIT);
    KN_ASSERT(config->handle_message != NULL && config->discard != NULL);
    if (loop->winding_down) {
        return KN_E_CLOSED;
    }
    struct kn_inbox *inbox = calloc(1, sizeof(*inbox));
    if (inbox == NULL) {
        return -ENOMEM;
    }
    struct kn_queue_config queue_config = {
        .max_messages = config->max_messages,
        .max_weight = config->max_weight,
        .when_full = config->when_full,
        .discard = discard_message,
        .wake = wake_inbox,
        .user = inbox,
    };
    int rc = kn_queue_create(&queue_config, &inbox->queue);
    if (rc < 0) {
        free(inbox);
        return rc;
    }
    atomic_init(&inbox->refs, 2); /* the caller's and the loop's */
    atomic_init(&inbox->state, 0);
    inbox->config = *config;
    inbox->hub = hub_ref(loop->hub);
    inbox->loop = loop;
    inbox->next = loop->inboxes;
    if (inbox->next != NULL) {
        inbox->next->prev = inbox;
    }
    loop->inboxes = inbox;
    *ret_inbox = inbox;
    return 0;
}

struct kn_inbox *kn_inbox_ref(struct kn_inbox *inbox) {
    atomic_fetch_add_explicit(&inbox->refs, 1, memory_order_relaxed);
    return inbox;
}

/* The loop holds a reference until it has finished the inbox, so the queue is empty here. */
void kn_inbox_unref(struct kn_inbox *inbox) {
    if (inbox != NULL && atomic_fetch_sub_explicit(&inbox->refs, 1, memory_order_acq_rel) == 1) {
        kn_queue_destroy(inbox->queue);
        hub_unref(inbox->hub);
        free(inbox);
    }
}

static bool enter(struct kn_inbox *inbox) {
    unsigned state = atomic_load_explicit(&inbox->state, memory_order_relaxed);
    do {
        if ((state & INBOX_CLOSED) != 0) {
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(&inbox->state, &state, state + INBOX_SENDER,
                                                    memory_order_acquire, memory_order_relaxed));
    return true;
}

static void leave(struct kn_inbox *inbox) {
    unsigned before = atomic_fetch_sub_explicit(&inbox->state, INBOX_SENDER, memory_order_acq_rel);
    if (before == (INBOX_CLOSED | INBOX_SENDER)) {
        make_ready(inbox);
    }
}

int kn_inbox_send(struct kn_inbox *inbox, void *message, size_t weight) {
    if (!enter(inbox)) {
        return KN_E_CLOSED;
    }
    int rc = kn_queue_send(inbox->queue, message, weight);
    leave(inbox);
    return rc;
}

void kn_inbox_close(struct kn_inbox *inbox) {
    if (is_closed(inbox)) {
        return; /* its loop may be gone */
    }
    KN_ASSERT(on_loop_thread(inbox->loop));
    unsigned before = atomic_fetch_or_explicit(&inbox->state, INBOX_CLOSED, memory_order_acq_rel);
    kn_queue_close(inbox->queue);
    if (before == 0) {
        make_ready(inbox);
    }
}

struct kn_queue_stats kn_inbox_stats(struct kn_inbox *inbox) {
    return kn_queue_stats(inbox->queue);
}

static void deliver(struct kn_inbox *inbox) {
    void *messages[BATCH_MESSAGES];
    for (size_t done = 0; done < TURN_MESSAGES;) {
        size_t count = kn_queue_take(inbox->queue, messages, BATCH_MESSAGES);
        if (count == 0) {
            return;
        }
        for (size_t i = 0; i < count; i++) {
            /* Any message may be the one that makes its handler close the inbox. */
            if (is_closed(inbox)) {
                discard_message(messages[i], inbox);
            } else {
                inbox->config.handle_message(messages[i], inbox->config.user);
            }
        }
        done += count;
    }
    make_ready(inbox); /* a queue that was not emptied does not wake us again */
}

static void finish_inbox(struct kn_inbox *inbox) {
    void *messages[BATCH_MESSAGES];
    size_t count;
    while ((count = kn_queue_take(inbox->queue, messages, BATCH_MESSAGES)) > 0) {
        for (size_t i = 0; i < count; i++) {
            discard_message(messages[i], inbox);
        }
    }
    if (inbox->prev != NULL) {
        inbox->prev->next = inbox->next;
    } else {
        inbox->loop->inboxes = inbox->next;
    }
    if (inbox->next != NULL) {
        inbox->next->prev = inbox->prev;
    }
    inbox->loop = NULL;
    if (inbox->config.handle_closed != NULL) {
        inbox->config.handle_closed(inbox->config.user);
    }
    kn_inbox_unref(inbox);
}

static void run_inbox(struct kn_inbox *inbox) {
    unsigned state = atomic_load_explicit(&inbox->state, memory_order_acquire);
    if ((state & INBOX_CLOSED) == 0) {
        deliver(inbox);
    } else if (state == INBOX_CLOSED && inbox->loop != NULL) {
        finish_inbox(inbox);
    }
    /* Else senders are still inside: the last one makes it ready again. */
}

/* ---- running ---- */

struct turn {
    size_t tasks, ready; /* what was there when it began; later arrivals wait for the next */
    bool stopping;
};

static struct turn begin_turn(struct hub *hub) {
    lock(hub);
    struct turn turn = {.tasks = hub->tasks, .ready = hub->ready, .stopping = hub->stopping};
    unlock(hub);
    return turn;
}

static void run_ready(struct kn_loop *loop, size_t count) {
    struct kn_inbox *inbox;
    for (size_t i = 0; i < count && (inbox = take_ready(loop->hub)) != NULL; i++) {
        run_inbox(inbox);
        kn_inbox_unref(inbox);
    }
}

static void handle_async(uv_async_t *async) {
    struct kn_loop *loop = async->data;
    struct hub *hub = loop->hub;
    lock(hub);
    hub->signalled = false; /* before looking: what comes from now on signals again */
    unlock(hub);

    struct turn turn = begin_turn(hub);
    if (turn.stopping) {
        uv_stop(&loop->uv);
        return;
    }
    struct task task;
    for (size_t i = 0; i < turn.tasks && take_task(hub, &task); i++) {
        task.run(task.user, 0);
    }
    run_ready(loop, turn.ready);
}

static void count_handle(uv_handle_t *handle, void *user) {
    size_t *counts = user;
    if (uv_is_closing(handle)) {
        counts[0]++;
    } else if (uv_is_active(handle) && uv_has_ref(handle)) {
        counts[1]++;
    }
}

/* Until every closing handle has had its callback and every request (a name lookup, say) its end.
 * A handle that nobody closed does not hold this up; uv_loop_close finds it. */
static void run_out(uv_loop_t *uv) {
    for (;;) {
        size_t counts[2] = {0, 0};
        uv_walk(uv, count_handle, counts);
        bool requests = counts[0] == 0 && counts[1] == 0 && uv_loop_alive(uv) != 0;
        if (counts[0] == 0 && !requests) {
            return;
        }
        (void)uv_run(uv, requests ? UV_RUN_ONCE : UV_RUN_NOWAIT);
    }
}

/* Shutdown, in order: no more tasks; the waiting ones are cancelled; inboxes are closed and
 * finished; the hub is cut off; handles run out. On the loop's thread, or on its destroyer's if it
 * never started. */
static void wind_down(struct kn_loop *loop) {
    struct hub *hub = loop->hub;
    kn_loop_stop(loop);
    struct task task;
    while (take_task(hub, &task)) {
        task.run(task.user, KN_E_CLOSED);
    }

    loop->winding_down = true;
    for (struct kn_inbox *inbox = loop->inboxes; inbox != NULL; inbox = inbox->next) {
        kn_inbox_close(inbox);
    }
    for (;;) {
        run_ready(loop, begin_turn(hub).ready);
        if (loop->inboxes == NULL) {
            break;
        }
        /* Senders are inside, and never for long: an inbox does not make them wait. */
        (void)uv_run(&loop->uv, UV_RUN_ONCE);
    }

    lock(hub);
    hub->async = NULL;
    unlock(hub);
    run_ready(loop, SIZE_MAX); /* finished inboxes that were made ready twice: drops references */
    uv_close((uv_handle_t *)&loop->async, NULL);
    run_out(&loop->uv);
    int rc = uv_loop_close(&loop->uv);
    KN_ASSERT(rc == 0); /* else: a handle opened through kn_loop_uv is not closed */
}

static void *run_thread(void *user) {
    struct kn_loop *loop = user;
    current = loop;
    (void)pthread_setname_np(pthread_self(), loop->name); /* for people only */
    (void)uv_run(&loop->uv, UV_RUN_DEFAULT);
    wind_down(loop);
    current = NULL;
    return NULL;
}

/* ---- life ---- */

struct kn_loop_config kn_loop_config_defaults(void) {
    return (struct kn_loop_config){.name = "loop", .max_tasks = 4096};
}

int kn_loop_create(const struct kn_loop_config *config, struct kn_loop **ret_loop) {
    KN_ASSERT(config->name != NULL && strlen(config->name) < NAME_BYTES);
    KN_ASSERT(config->max_tasks > 0);
    struct kn_loop *loop = calloc(1, sizeof(*loop));
    if (loop == NULL) {
        return -ENOMEM;
    }
    int rc = hub_create(config->max_tasks, &loop->hub);
    if (rc < 0) {
        goto fail;
    }
    rc = uv_loop_init(&loop->uv);
    if (rc < 0) {
        goto fail;
    }
    rc = uv_async_init(&loop->uv, &loop->async, handle_async);
    if (rc < 0) {
        (void)uv_loop_close(&loop->uv); /* nothing is open on it */
        goto fail;
    }
    loop->async.data = loop;
    loop->hub->async = &loop->async;
    memcpy(loop->name, config->name, strlen(config->name) + 1);
    *ret_loop = loop;
    return 0;

fail:
    /* Not by kn_loop_destroy: without its uv_async a loop cannot wind down. */
    if (loop->hub != NULL) {
        hub_unref(loop->hub);
    }
    free(loop);
    return rc;
}

int kn_loop_start(struct kn_loop *loop) {
    KN_ASSERT(!loop->started);
    if (begin_turn(loop->hub).stopping) {
        return KN_E_CLOSED;
    }
    loop->started = true;
    int rc = pthread_create(&loop->thread, NULL, run_thread, loop);
    if (rc != 0) {
        loop->started = false;
    }
    return -rc;
}

void kn_loop_stop(struct kn_loop *loop) {
    lock(loop->hub);
    loop->hub->stopping = true;
    signal_loop(loop->hub);
    unlock(loop->hub);
}

void kn_loop_destroy(struct kn_loop *loop) {
    if (loop == NULL) {
        return;
    }
    KN_ASSERT(current != loop);
    if (loop->started) {
        kn_loop_stop(loop);
        (void)pthread_join(loop->thread, NULL); /* fails only for a thread that cannot be joined */
    } else {
        struct kn_loop *outer = current;
        current = loop; /* callbacks find themselves on the loop's thread, as always */
        wind_down(loop);
        current = outer;
    }
    hub_unref(loop->hub);
    free(loop);
}

uv_loop_t *kn_loop_uv(struct kn_loop *loop) {
    return &loop->uv;
}

bool kn_loop_is_current(const struct kn_loop *loop) {
    return current == loop;
}
