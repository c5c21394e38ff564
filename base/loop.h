/* Event loops on libuv, and the hand-over of work between threads.
 *
 * A loop owns sockets, timers and sessions; nothing on it blocks. Other threads reach it in two
 * ways: kn_loop_post for a task, an inbox for a flow of messages.
 *
 *     kn_loop_create -> kn_loop_start -> kn_loop_post ... -> kn_loop_stop -> kn_loop_destroy */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "base/attributes.h"
#include "base/queue.h"

struct kn_loop;

struct kn_loop_config {
    const char *name; /* thread name, at most 15 characters */
    size_t max_tasks; /* posted and not yet run; default 4096 */
};

struct kn_loop_config kn_loop_config_defaults(void);

/* 0, -ENOMEM or libuv's error (a negative errno). The name is copied. */
KN_MUST_CHECK int kn_loop_create(const struct kn_loop_config *config, struct kn_loop **ret_loop);
/* Runs it on a thread of its own. Once. 0, a negative errno, or KN_E_CLOSED after kn_loop_stop. */
KN_MUST_CHECK int kn_loop_start(struct kn_loop *loop);
/* Any thread. The loop ends after the events at hand; tasks that did not run get KN_E_CLOSED. */
void kn_loop_stop(struct kn_loop *loop);
/* Stops, joins, and frees. Not on the loop's own thread. Handles opened through kn_loop_uv must be
 * closed before (their owners do so in a task). NULL is fine. */
void kn_loop_destroy(struct kn_loop *loop);

/* For opening handles: loop thread only. */
uv_loop_t *kn_loop_uv(struct kn_loop *loop);
bool kn_loop_is_current(const struct kn_loop *loop);

/* status 0: runs on the loop. KN_E_CLOSED: the loop ends without running it; only free `user`. */
typedef void kn_loop_task(void *user, int status);
/* Any thread. 0, -EAGAIN (max_tasks wait already) or KN_E_CLOSED: the task is still the caller's.
 */
KN_MUST_CHECK int kn_loop_post(struct kn_loop *loop, kn_loop_task *task, void *user);
/* Posts and waits for the end of it. Not on a loop thread. Fails as kn_loop_post, also when the
 * loop ends first; the task was not called then, not even with KN_E_CLOSED. */
KN_MUST_CHECK int kn_loop_call(struct kn_loop *loop, kn_loop_task *task, void *user);

/* ---- inboxes: a queue whose reader is a loop ---- */

struct kn_inbox;

struct kn_inbox_config {
    size_t max_messages;
    size_t max_weight;
    enum kn_queue_full
        when_full; /* KN_QUEUE_REFUSE or KN_QUEUE_DROP_OLDEST; senders may be loops */
    /* Loop thread; the message is the callee's. */
    void (*handle_message)(void *message, void *user);
    /* Frees a message that was dropped or left over. Any thread. */
    void (*discard)(void *message, void *user);
    /* Loop thread, once, after the last handle_message and discard: `user` may be freed. Comes some
     * time after kn_inbox_close, never from inside it. May be NULL. */
    void (*handle_closed)(void *user);
    void *user;
};

/* Loop thread, or before kn_loop_start. The caller owns one reference. 0, -ENOMEM, or KN_E_CLOSED
 * when the loop is ending. */
KN_MUST_CHECK int kn_inbox_open(struct kn_loop *loop, const struct kn_inbox_config *config,
                                struct kn_inbox **ret_inbox);
/* Any thread that holds a reference. As kn_queue_send. */
KN_MUST_CHECK int kn_inbox_send(struct kn_inbox *inbox, void *message, size_t weight);
/* Loop thread, or before kn_loop_start. No handle_message comes after it; senders get KN_E_CLOSED.
 * Does not drop the reference. Idempotent. */
void kn_inbox_close(struct kn_inbox *inbox);
struct kn_queue_stats kn_inbox_stats(struct kn_inbox *inbox);
struct kn_inbox *kn_inbox_ref(struct kn_inbox *inbox);
/* Any thread; the last one frees it. Close first: an open inbox stays until its loop ends, which
 * closes what is left. NULL is fine. */
void kn_inbox_unref(struct kn_inbox *inbox);

#endif
