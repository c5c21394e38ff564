/* Threads for what blocks, and the bounded queue before them: a list through the jobs themselves,
 * so that giving one needs no memory. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/log.h"
#include "server/exchange/inner.h"
#include "server/world.h"

/* One thread's own. */
struct srv_worker {
    struct srv_workers *workers;
    pthread_t thread;
    struct frag_archive *archive; /* NULL until it is asked for */
};

struct line {
    struct srv_job *first, *last;
    size_t count;
};

struct srv_workers {
    struct srv_workers_config config;
    pthread_mutex_t lock;
    pthread_cond_t not_empty;
    /* Under the lock: */
    struct line line, hash_line;
    size_t busy, hashing;
    bool hashed_last; /* they take turns where both wait */
    bool stopped;
    /* Whoever made it: */
    size_t started;
    struct srv_worker own;       /* for srv_workers_turn */
    struct srv_worker threads[]; /* config.threads of them */
};

static void lock(struct srv_workers *workers) {
    (void)pthread_mutex_lock(&workers->lock); /* a plain mutex, never held twice: cannot fail */
}

static void unlock(struct srv_workers *workers) {
    (void)pthread_mutex_unlock(&workers->lock);
}

struct frag_archive *srv_worker_archive(struct srv_worker *worker) {
    struct srv_world *world = worker->workers->config.world;
    if (worker->archive == NULL) {
        int rc = frag_archive_open(world->store, &worker->archive);
        if (rc != 0) {
            worker->archive = NULL;
            kn_log_error("a worker cannot read the store", kn_err("error", rc));
        }
    }
    return worker->archive;
}

static void forget_archive(struct srv_worker *worker) {
    if (worker->archive != NULL) {
        frag_archive_close(worker->archive);
        worker->archive = NULL;
    }
}

/* ---- the queue ---- */

static void append(struct line *line, struct srv_job *job) {
    job->next = NULL;
    if (line->last == NULL) {
        line->first = job;
    } else {
        line->last->next = job;
    }
    line->last = job;
}

static void put_first(struct line *line, struct srv_job *job) {
    job->next = line->first;
    line->first = job;
    if (line->last == NULL) {
        line->last = job;
    }
}

static int give(struct srv_workers *workers, struct srv_job *job, bool hurries) {
    int rc = 0;
    lock(workers);
    struct line *line = job->hashes ? &workers->hash_line : &workers->line;
    size_t room = job->hashes ? (workers->config.queue + 3) / 4 : workers->config.queue;
    if (workers->stopped) {
        rc = KN_E_CLOSED;
    } else if (hurries) {
        put_first(line, job);
    } else if (line->count >= room) {
        rc = -EAGAIN;
    } else {
        append(line, job);
    }
    line->count += rc == 0;
    if (rc == 0) {
        (void)pthread_cond_signal(&workers->not_empty);
    }
    unlock(workers);
    return rc;
}

int srv_workers_give(struct srv_workers *workers, struct srv_job *job) {
    return give(workers, job, false);
}

int srv_workers_hurry(struct srv_workers *workers, struct srv_job *job) {
    return give(workers, job, true);
}

static bool may_hash(const struct srv_workers *workers) {
    size_t most = workers->config.threads < 4 ? 1 : workers->config.threads / 2;
    return workers->hash_line.first != NULL && (workers->hashing < most || workers->stopped);
}

/* Under the lock; NULL: there is none. */
static struct srv_job *take(struct srv_workers *workers) {
    bool hash = may_hash(workers) && (!workers->hashed_last || workers->line.first == NULL);
    struct line *line = hash ? &workers->hash_line : &workers->line;
    struct srv_job *job = line->first;
    if (job != NULL) {
        line->first = job->next;
        line->last = line->first == NULL ? NULL : line->last;
        line->count--;
        workers->hashed_last = hash;
    }
    return job;
}

void srv_workers_load(struct srv_workers *workers, size_t *ret_busy, size_t *ret_waiting) {
    lock(workers);
    *ret_busy = workers->busy;
    *ret_waiting = workers->line.count + workers->hash_line.count;
    unlock(workers);
}

/* ---- the threads ---- */

/* Under the lock, which is open while the job runs. */
static void run(struct srv_worker *worker, struct srv_job *job, bool cancelled) {
    struct srv_workers *workers = worker->workers;
    bool hashes = job->hashes; /* it is gone when it was run */
    workers->busy++;
    workers->hashing += hashes ? 1 : 0;
    unlock(workers);
    job->run(job, cancelled ? NULL : worker);
    lock(workers);
    workers->busy--;
    workers->hashing -= hashes ? 1 : 0;
    if (hashes && may_hash(workers)) { /* this thread may have something else to do */
        (void)pthread_cond_signal(&workers->not_empty);
    }
}

static void *work(void *user) {
    struct srv_worker *worker = user;
    struct srv_workers *workers = worker->workers;
    lock(workers);
    for (;;) {
        struct srv_job *job = take(workers);
        if (job != NULL) {
            run(worker, job, workers->stopped);
        } else if (workers->stopped) {
            break;
        } else {
            (void)pthread_cond_wait(&workers->not_empty, &workers->lock); /* cannot fail */
        }
    }
    unlock(workers);
    forget_archive(worker);
    return NULL;
}

bool srv_workers_turn(struct srv_workers *workers) {
    lock(workers);
    struct srv_job *job = take(workers);
    if (job != NULL) {
        run(&workers->own, job, workers->stopped);
    }
    unlock(workers);
    return job != NULL;
}

static int start(struct srv_workers *workers) {
    for (size_t i = 0; i < workers->config.threads; i++) {
        workers->threads[i].workers = workers;
        int rc = pthread_create(&workers->threads[i].thread, NULL, work, &workers->threads[i]);
        if (rc != 0) {
            return -rc;
        }
        workers->started++;
        (void)pthread_setname_np(workers->threads[i].thread, "http-worker"); /* only a name */
    }
    return 0;
}

int srv_workers_create(const struct srv_workers_config *config, struct srv_workers **ret_workers) {
    struct srv_workers *workers =
        calloc(1, sizeof(*workers) + config->threads * sizeof(workers->threads[0]));
    if (workers == NULL) {
        return -ENOMEM;
    }
    workers->config = *config;
    workers->own.workers = workers;
    KN_ASSERT(pthread_mutex_init(&workers->lock, NULL) == 0); /* cannot fail without attributes */
    KN_ASSERT(pthread_cond_init(&workers->not_empty, NULL) == 0);
    int rc = start(workers);
    if (rc != 0) {
        srv_workers_destroy(workers);
        return rc;
    }
    *ret_workers = workers;
    return 0;
}

void srv_workers_stop(struct srv_workers *workers) {
    lock(workers);
    workers->stopped = true;
    (void)pthread_cond_broadcast(&workers->not_empty);
    unlock(workers);
    for (size_t i = 0; i < workers->started; i++) {
        (void)pthread_join(workers->threads[i].thread, NULL); /* ours, once */
    }
    workers->started = 0;
    while (srv_workers_turn(workers)) {
        /* Without threads, what waits is cancelled here. */
    }
    forget_archive(&workers->own);
}

void srv_workers_destroy(struct srv_workers *workers) {
    if (workers != NULL) {
        srv_workers_stop(workers);
        (void)pthread_cond_destroy(&workers->not_empty);
        (void)pthread_mutex_destroy(&workers->lock);
        free(workers);
    }
}
