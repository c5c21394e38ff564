/* Sources: a thread each, which replays for ever, and tries again what failed. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/log.h"
#include "ingest/ingest.h"
#include "ingest/source_rules.h"

/* One owner: who started it. Everything below `lock` is guarded by it. */
struct ing_source {
    struct frag_stream *stream;
    char *url;
    const char *path; /* in `url` */
    void (*handle_state)(struct frag_stream *stream, void *user);
    void *user;
    pthread_t thread;
    atomic_bool end;
    pthread_mutex_t lock;
    pthread_cond_t ended; /* `end` was set */
    struct ing_source_status status;
    /* The source's thread alone. */
    uint64_t samples, bytes, fragments; /* of earlier runs */
    bool told;                          /* a failure was, and no recovery since */
    char words[512];                    /* of the last failure */
};

static struct kn_wall now_wall(void) {
    const struct kn_clock *clock = kn_clock_system();
    return clock->wall(clock);
}

/* ---- state: the source's thread ---- */

static void set_state(struct ing_source *source, enum ing_source_state state) {
    (void)pthread_mutex_lock(&source->lock);
    bool changed = source->status.state != state;
    source->status.state = state;
    source->status.since = changed ? now_wall() : source->status.since;
    source->status.starts += state == ING_SOURCE_STARTING ? 1 : 0;
    if (state == ING_SOURCE_RUNNING) {
        source->status.problem[0] = '\0';
    }
    (void)pthread_mutex_unlock(&source->lock);
    if (changed && source->handle_state != NULL) {
        source->handle_state(source->stream, source->user);
    }
}

static void tell_recovery(struct ing_source *source) {
    if (source->told) {
        source->told = false;
        kn_log_info("source delivers again", kn_str("stream", frag_stream_name(source->stream)),
                    kn_url("url", source->url));
    }
}

/* Of this run, beside those of earlier ones. */
static void set_counts(struct ing_source *source, uint64_t samples, uint64_t bytes,
                       uint64_t fragments) {
    (void)pthread_mutex_lock(&source->lock);
    source->status.samples = source->samples + samples;
    source->status.bytes = source->bytes + bytes;
    source->status.fragments = source->fragments + fragments;
    (void)pthread_mutex_unlock(&source->lock);
}

static void handle_progress(const struct ing_replay_progress *progress, void *user) {
    struct ing_source *source = user;
    set_counts(source, progress->samples, progress->bytes, progress->fragments);
    if (progress->samples > 0) {
        set_state(source, ING_SOURCE_RUNNING);
        tell_recovery(source);
    }
}

static void handle_left_out(const struct ing_left_out *left_out, void *user) {
    const struct ing_source *source = user;
    kn_log_warn("a track of the source is not recorded",
                kn_str("stream", frag_stream_name(source->stream)), kn_str("path", left_out->path),
                kn_uint("track", left_out->track), kn_str("media", left_out->media),
                kn_str("codec", left_out->codec));
}

/* ---- failures ---- */

/* Of a replay that did not fail itself, the store's fault; else what was wrong with its files. */
static const char *words_of(int error, const struct ing_replay_result *result) {
    if (result->problem[0] != '\0' && (error == 0 || result->files == 0)) {
        return result->problem;
    }
    return error == 0 ? "nothing of it can be read any more" : kn_error_text(error);
}

/* Whether the words are new. */
static bool set_problem(struct ing_source *source, const char *words) {
    bool is_new = strcmp(source->words, words) != 0;
    (void)snprintf(source->words, sizeof(source->words), "%s", words);
    (void)pthread_mutex_lock(&source->lock);
    memcpy(source->status.problem, source->words, sizeof(source->words));
    source->status.failures++;
    (void)pthread_mutex_unlock(&source->lock);
    return is_new;
}

/* The next fragment closes it. A failure that goes on joins the gap that is open. */
static void open_gap(const struct ing_source *source) {
    const struct frag_gap gap = {.from = now_wall(), .cause = FRAG_GAP_SOURCE_REFUSED};
    int rc = frag_gap_add(source->stream, &gap, true);
    if (rc < 0) {
        kn_log_warn("gap of a source not written down",
                    kn_str("stream", frag_stream_name(source->stream)), kn_err("error", rc));
    }
}

/* `failures` in a row. Later ones are told where they are others. */
static void note_failure(struct ing_source *source, const char *words, uint64_t failures) {
    bool is_new = set_problem(source, words);
    if (is_new || failures == 1) {
        source->told = true;
        kn_log_warn("source failed, and is tried again",
                    kn_str("stream", frag_stream_name(source->stream)), kn_url("url", source->url),
                    kn_str("problem", words));
    }
    open_gap(source);
}

static void wait_for(struct ing_source *source, int64_t wait_ns) {
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until); /* cannot fail: the clock exists */
    int64_t nsec = until.tv_nsec + wait_ns;
    until.tv_sec += (time_t)(nsec / KN_NS_PER_S);
    until.tv_nsec = (long)(nsec % KN_NS_PER_S);
    (void)pthread_mutex_lock(&source->lock);
    int rc = 0;
    while (!atomic_load(&source->end) && rc == 0) {
        rc = pthread_cond_timedwait(&source->ended, &source->lock, &until);
    }
    (void)pthread_mutex_unlock(&source->lock);
}

/* ---- the thread ---- */

static int run(struct ing_source *source, struct ing_replay_result *ret_result) {
    const struct ing_replay_config config = {
        .stream = source->stream,
        .path = source->path,
        .paced = true,
        .one_session = true,
        .stop = &source->end,
        .handle_progress = handle_progress,
        .handle_left_out = handle_left_out,
        .user = source,
    };
    set_state(source, ING_SOURCE_STARTING);
    int rc = ing_replay_run(&config, ret_result);
    set_counts(source, ret_result->samples + ret_result->unstored_samples, ret_result->bytes,
               ret_result->durable);
    source->samples += ret_result->samples + ret_result->unstored_samples;
    source->bytes += ret_result->bytes;
    source->fragments += ret_result->durable;
    return rc;
}

/* A stream that is gone has no source; whoever makes it again starts another one. */
static bool is_final(struct ing_source *source, int error) {
    if (error != KN_E_CLOSED) {
        return false;
    }
    if (set_problem(source, "the stream was deleted")) {
        kn_log_warn("source ends, its stream was deleted",
                    kn_str("stream", frag_stream_name(source->stream)));
    }
    return true;
}

static void *work(void *user) {
    struct ing_source *source = user;
    uint64_t failures = 0;
    while (!atomic_load(&source->end)) {
        struct ing_replay_result result;
        int rc = run(source, &result);
        if (atomic_load(&source->end) || is_final(source, rc)) {
            break;
        }
        failures = result.durable > 0 ? 1 : failures + 1;
        note_failure(source, words_of(rc, &result), failures);
        set_state(source, ING_SOURCE_WAITING);
        wait_for(source, ing_source_wait_ns(failures));
    }
    set_state(source, ING_SOURCE_STOPPED);
    return NULL;
}

/* ---- face ---- */

static void destroy(struct ing_source *source) {
    (void)pthread_cond_destroy(&source->ended); /* nobody waits any more */
    (void)pthread_mutex_destroy(&source->lock); /* likewise */
    free(source->url);
    free(source);
}

static void init_lock(struct ing_source *source) {
    pthread_condattr_t attributes;
    /* On Linux none of these can fail for private ones. */
    KN_ASSERT(pthread_mutex_init(&source->lock, NULL) == 0);
    KN_ASSERT(pthread_condattr_init(&attributes) == 0);
    KN_ASSERT(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
    KN_ASSERT(pthread_cond_init(&source->ended, &attributes) == 0);
    (void)pthread_condattr_destroy(&attributes); /* nor this */
}

int ing_source_start(const struct ing_source_config *config, struct ing_source **ret_source) {
    int rc = ing_source_url_check(config->url);
    if (rc < 0) {
        return rc;
    }
    struct ing_source *source = calloc(1, sizeof(*source));
    char *url = strdup(config->url);
    if (source == NULL || url == NULL) {
        free(source);
        free(url);
        return -ENOMEM;
    }
    source->stream = config->stream;
    source->url = url;
    source->handle_state = config->handle_state;
    source->user = config->user;
    source->status.since = now_wall();
    init_lock(source);
    rc = ing_source_url_path(url, &source->path);
    rc = rc < 0 ? rc : -pthread_create(&source->thread, NULL, work, source);
    if (rc < 0) {
        destroy(source);
        return rc;
    }
    (void)pthread_setname_np(source->thread, "kn-source"); /* for people only */
    *ret_source = source;
    return 0;
}

void ing_source_status(const struct ing_source *source, struct ing_source_status *ret_status) {
    struct ing_source *locked = (struct ing_source *)source; /* the lock is no part of its state */
    (void)pthread_mutex_lock(&locked->lock);
    *ret_status = source->status;
    (void)pthread_mutex_unlock(&locked->lock);
}

void ing_source_end(struct ing_source *source) {
    (void)pthread_mutex_lock(&source->lock);
    atomic_store(&source->end, true);
    (void)pthread_cond_signal(&source->ended);
    (void)pthread_mutex_unlock(&source->lock);
}

void ing_source_stop(struct ing_source *source) {
    if (source == NULL) {
        return;
    }
    ing_source_end(source);
    (void)pthread_join(source->thread, NULL); /* it is ours and was not joined */
    destroy(source);
}
