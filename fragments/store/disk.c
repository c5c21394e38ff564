/* A disk's thread: gathers what all streams have ready, and works it off in ticks. */
#include "fragments/store/disk.h"

#include <errno.h>
#include <stdlib.h>

#include "base/error.h"

#define DISK_QUEUE 4096
#define DISK_QUEUE_BYTES ((size_t)256 << 20)
#define TICK_WRITES 1024
#define TICK_BYTES ((size_t)64 << 20)
/* Gathering: so long for each reel that is open, and no longer than that. One sync serves all
 * fragments of a reel, so many streams gain by waiting and few only lose. */
#define GATHER_EACH_NS (2 * KN_NS_PER_MS)
#define GATHER_MOST_NS (200 * KN_NS_PER_MS)
#define IDLE_WAIT_NS (500 * KN_NS_PER_MS)
#define LOOK_EVERY_NS KN_NS_PER_S

struct disk_job {
    int (*work)(struct frag_folder *folder, void *user);
    void *user;
    int answer;
    bool done;
    struct disk_job *next;
};

struct frag_disk {
    struct frag_folder *folder;
    struct kn_queue *queue; /* of struct frag_write; NULL wakes */
    struct frag_open_reel *reels;
    struct frag_mkv_packer *packer;
    struct kn_mono looked;
    pthread_t thread;
    bool started;
    bool close_reels; /* at the end */

    pthread_mutex_t lock; /* of the jobs */
    pthread_cond_t finished;
    struct disk_job *jobs;
    bool ended; /* no thread takes jobs any more */
};

static struct kn_mono mono_now(const struct frag_disk *disk) {
    const struct kn_clock *clock = disk->folder->store->clock;
    return clock->mono(clock);
}

/* ---- jobs ---- */

static void run_jobs(struct frag_disk *disk) {
    for (;;) {
        (void)pthread_mutex_lock(&disk->lock);
        struct disk_job *job = disk->jobs;
        if (job != NULL) {
            disk->jobs = job->next;
        }
        (void)pthread_mutex_unlock(&disk->lock);
        if (job == NULL) {
            return;
        }
        int answer = job->work(disk->folder, job->user);
        (void)pthread_mutex_lock(&disk->lock);
        job->answer = answer;
        job->done = true;
        (void)pthread_cond_broadcast(&disk->finished);
        (void)pthread_mutex_unlock(&disk->lock);
    }
}

static int wait_for(struct frag_disk *disk, struct disk_job *job) {
    (void)pthread_mutex_lock(&disk->lock);
    bool ended = disk->ended;
    if (!ended) {
        struct disk_job **link = &disk->jobs;
        while (*link != NULL) {
            link = &(*link)->next;
        }
        *link = job;
    }
    (void)pthread_mutex_unlock(&disk->lock);
    if (ended) {
        return job->work(disk->folder, job->user);
    }
    (void)kn_queue_send(disk->queue, disk, 1); /* full: a tick is near anyway */
    (void)pthread_mutex_lock(&disk->lock);
    while (!job->done) {
        (void)pthread_cond_wait(&disk->finished, &disk->lock);
    }
    (void)pthread_mutex_unlock(&disk->lock);
    return job->answer;
}

int frag_disk_call(struct frag_folder *folder, int (*work)(struct frag_folder *folder, void *user),
                   void *user) {
    if (folder->disk == NULL) {
        return -ENODEV;
    }
    if (!folder->disk->started) {
        return work(folder, user);
    }
    struct disk_job job = {.work = work, .user = user};
    return wait_for(folder->disk, &job);
}

/* ---- ticks ---- */

static void look(struct frag_disk *disk) {
    struct kn_mono now = mono_now(disk);
    if (now.ns - disk->looked.ns >= LOOK_EVERY_NS) {
        disk->looked = now;
        frag_folder_look(disk->folder);
    }
}

/* What is in the queue only to wake is left out. */
static size_t without_wakers(struct frag_disk *disk, void **messages, size_t count) {
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (messages[i] != disk) {
            messages[kept++] = messages[i];
        }
    }
    return kept;
}

static void tick(struct frag_disk *disk, void **messages, size_t count, bool close_all) {
    struct frag_write *writes[TICK_WRITES];
    count = without_wakers(disk, messages, count);
    for (size_t i = 0; i < count; i++) {
        writes[i] = messages[i];
    }
    const struct frag_tick now = {
        .disk = disk, .folder = disk->folder, .reels = &disk->reels, .packer = disk->packer};
    frag_tick_run(&now, writes, count, close_all);
    look(disk);
    run_jobs(disk);
}

static int64_t gather_ns(const struct frag_disk *disk) {
    int64_t wait_ns = 0;
    for (const struct frag_open_reel *reel = disk->reels; reel != NULL; reel = reel->next) {
        wait_ns += GATHER_EACH_NS;
    }
    return wait_ns < GATHER_MOST_NS ? wait_ns : GATHER_MOST_NS;
}

static bool has_write(const struct frag_disk *disk, void **messages, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (messages[i] != disk) {
            return true;
        }
    }
    return false;
}

/* Waits until the tick is due; how many, or KN_E_CLOSED. The machine's own clock: a replay's stands
 * still. */
static int gather(struct frag_disk *disk, void **messages) {
    int first = kn_queue_wait_for(disk->queue, messages, TICK_WRITES, IDLE_WAIT_NS);
    if (first <= 0) {
        return first;
    }
    const struct kn_clock *clock = kn_clock_system();
    int64_t end_ns = clock->mono(clock).ns + gather_ns(disk);
    size_t count = (size_t)first;
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        bytes += messages[i] != disk ? frag_write_weight(messages[i]) : 0;
    }
    while (has_write(disk, messages, count) && count < TICK_WRITES && bytes < TICK_BYTES) {
        int64_t left_ns = end_ns - clock->mono(clock).ns;
        int more = left_ns <= 0 ? 0
                                : kn_queue_wait_for(disk->queue, messages + count,
                                                    TICK_WRITES - count, left_ns);
        if (more <= 0) {
            break;
        }
        for (int i = 0; i < more; i++, count++) {
            bytes += messages[count] != disk ? frag_write_weight(messages[count]) : 0;
        }
    }
    return (int)count;
}

static void *disk_main(void *user) {
    struct frag_disk *disk = user;
    void *messages[TICK_WRITES];
    for (;;) {
        int count = gather(disk, messages);
        if (count == KN_E_CLOSED) {
            break;
        }
        tick(disk, messages, count > 0 ? (size_t)count : 0, false);
    }
    (void)pthread_mutex_lock(&disk->lock);
    disk->ended = true;
    (void)pthread_mutex_unlock(&disk->lock);
    tick(disk, NULL, 0, disk->close_reels);
    return NULL;
}

/* ---- life ---- */

static void discard(void *message, void *user) {
    if (message != user) {
        struct frag_write *write = message;
        (void)atomic_fetch_sub(&write->session->pending, 1);
        frag_write_finish(write, -ECANCELED);
    }
}

int frag_disk_create(struct frag_folder *folder, struct frag_disk **ret_disk) {
    struct frag_disk *disk = calloc(1, sizeof(*disk));
    if (disk == NULL) {
        return -ENOMEM;
    }
    disk->folder = folder;
    (void)pthread_mutex_init(&disk->lock, NULL);
    (void)pthread_cond_init(&disk->finished, NULL);
    const struct kn_queue_config config = {.max_messages = DISK_QUEUE,
                                           .max_weight = DISK_QUEUE_BYTES,
                                           .when_full = KN_QUEUE_REFUSE,
                                           .discard = discard,
                                           .user = disk};
    int rc = kn_queue_create(&config, &disk->queue);
    rc = rc < 0 ? rc : frag_mkv_packer_create(&disk->packer);
    if (rc < 0) {
        frag_disk_destroy(disk);
        return rc;
    }
    *ret_disk = disk;
    return 0;
}

int frag_disk_start(struct frag_disk *disk) {
    if (!disk->folder->store->threads) {
        return 0;
    }
    int rc = -pthread_create(&disk->thread, NULL, disk_main, disk);
    if (rc == 0) {
        disk->started = true;
        (void)pthread_setname_np(disk->thread, "kn-disk");
    }
    return rc;
}

void frag_disk_stop(struct frag_disk *disk, bool close_reels) {
    disk->close_reels = close_reels;
    kn_queue_close(disk->queue);
    if (disk->started) {
        (void)pthread_join(disk->thread, NULL);
        disk->started = false;
        return;
    }
    if (close_reels) {
        frag_disk_work(disk);
        tick(disk, NULL, 0, true);
    }
}

void frag_disk_destroy(struct frag_disk *disk) {
    if (disk == NULL) {
        return;
    }
    kn_queue_destroy(disk->queue);
    while (disk->reels != NULL) {
        struct frag_open_reel *reel = disk->reels;
        disk->reels = reel->next;
        frag_reel_abandon(reel->reel);
        reel->reel = NULL;
        frag_open_reel_unref(reel);
    }
    frag_mkv_packer_destroy(disk->packer);
    (void)pthread_cond_destroy(&disk->finished);
    (void)pthread_mutex_destroy(&disk->lock);
    free(disk);
}

int frag_disk_submit(struct frag_disk *disk, struct frag_write *write) {
    (void)atomic_fetch_add(&write->session->pending, 1);
    int rc = kn_queue_send(disk->queue, write, frag_write_weight(write));
    if (rc < 0) {
        (void)atomic_fetch_sub(&write->session->pending, 1);
        return rc == -EMSGSIZE ? KN_E_LIMIT : rc;
    }
    return 0;
}

void frag_disk_work(struct frag_disk *disk) {
    void *messages[TICK_WRITES];
    size_t count = 0;
    do {
        count = kn_queue_take(disk->queue, messages, TICK_WRITES);
        tick(disk, messages, count, false);
    } while (count > 0);
}

size_t frag_disk_waiting(struct frag_disk *disk) {
    return kn_queue_stats(disk->queue).messages;
}

size_t frag_disk_waiting_bytes(struct frag_disk *disk) {
    return kn_queue_stats(disk->queue).weight;
}

bool frag_disk_has_room(struct frag_disk *disk, size_t weight) {
    struct kn_queue_stats stats = kn_queue_stats(disk->queue);
    return stats.messages < DISK_QUEUE && weight <= DISK_QUEUE_BYTES - stats.weight;
}

static int is_received(struct frag_folder *folder, void *user) {
    const uint64_t *sent = user;
    return kn_queue_stats(folder->disk->queue).received >= *sent ? 1 : 0;
}

void frag_disk_flush(struct frag_disk *disk) {
    if (!disk->started) {
        frag_disk_work(disk);
        return;
    }
    uint64_t sent = kn_queue_stats(disk->queue).sent;
    /* Jobs run between ticks, and each call wakes the disk for another one. */
    while (frag_disk_call(disk->folder, is_received, &sent) == 0) {
    }
}
