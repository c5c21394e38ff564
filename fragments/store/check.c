/* kinora check: the order of its steps, and how findings are told. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "fragments/store/check_inner.h"
#include "fragments/store/values.h"

#define WHAT_BYTES 640
#define PACE_BYTES ((uint64_t)16 << 20)

/* ---- telling ---- */

static int tell_now(struct frag_check *check, const struct frag_check_finding *finding) {
    switch (finding->severity) {
    case FRAG_CHECK_NOTE:
        check->report.notes++;
        break;
    case FRAG_CHECK_REPAIR:
        check->report.repairs++;
        break;
    case FRAG_CHECK_DAMAGE:
        check->report.damages++;
        break;
    }
    int rc = 0;
    if (check->handler != NULL && check->handler->finding != NULL) {
        rc = check->handler->finding(finding, check->user);
    }
    check->stopped = check->stopped || rc < 0;
    return rc < 0 ? rc : 0;
}

static void free_held(struct frag_check_held *held) {
    free(held->path);
    free(held->stream);
    free(held->what);
}

static int keep(struct frag_check *check, const struct frag_check_finding *finding) {
    if (check->held_count == FRAG_CHECK_HELD_MAX) {
        check->held_more++;
        return 0;
    }
    struct frag_check_held held = {
        .severity = finding->severity,
        .from = finding->from,
        .to = finding->to,
        .path = strdup(finding->path),
        .stream = strdup(finding->stream),
        .what = strdup(finding->what),
    };
    if (held.path == NULL || held.stream == NULL || held.what == NULL) {
        free_held(&held);
        return -ENOMEM;
    }
    check->held[check->held_count++] = held;
    return 0;
}

int frag_check_tell(struct frag_check *check, enum frag_check_severity severity, const char *path,
                    uint64_t from, uint64_t to, const char *stream, const char *what, ...) {
    char text[WHAT_BYTES];
    va_list list;
    va_start(list, what);
    (void)vsnprintf(text, sizeof(text), what, list);
    va_end(list);
    const struct frag_check_finding finding = {
        .severity = severity, .path = path, .from = from, .to = to, .stream = stream, .what = text};
    return check->holding ? keep(check, &finding) : tell_now(check, &finding);
}

bool frag_check_is_denied(int error) {
    return error == -EACCES || error == -EPERM;
}

int frag_check_tell_denied(struct frag_check *check, const char *path, const char *stream,
                           int error) {
    return frag_check_tell(check, FRAG_CHECK_REPAIR, path, 0, 0, stream,
                           "cannot be read: %s; run as the user who owns it", kn_error_text(error));
}

void frag_check_forget(struct frag_check *check) {
    for (size_t i = 0; i < check->held_count; i++) {
        free_held(&check->held[i]);
    }
    check->held_count = 0;
    check->held_more = 0;
    check->holding = false;
}

void frag_check_hold(struct frag_check *check) {
    frag_check_forget(check);
    check->holding = true;
}

int frag_check_release(struct frag_check *check) {
    int rc = 0;
    for (size_t i = 0; i < check->held_count && rc == 0; i++) {
        const struct frag_check_held *held = &check->held[i];
        const struct frag_check_finding finding = {.severity = held->severity,
                                                   .path = held->path,
                                                   .from = held->from,
                                                   .to = held->to,
                                                   .stream = held->stream,
                                                   .what = held->what};
        rc = tell_now(check, &finding);
    }
    if (rc == 0 && check->held_more > 0) {
        char text[WHAT_BYTES];
        const struct frag_check_held *last = &check->held[FRAG_CHECK_HELD_MAX - 1];
        (void)snprintf(text, sizeof(text), "and %" PRIu64 " more findings like these",
                       check->held_more);
        const struct frag_check_finding finding = {
            .severity = last->severity, .path = last->path, .stream = last->stream, .what = text};
        rc = tell_now(check, &finding);
    }
    frag_check_forget(check);
    return rc;
}

/* ---- progress ---- */

static int tell_progress(struct frag_check *check) {
    struct frag_check_progress *progress = &check->progress;
    check->paced = progress->bytes;
    /* A writer makes files longer, and more of them. */
    progress->files_all =
        progress->files > progress->files_all ? progress->files : progress->files_all;
    progress->bytes_all =
        progress->bytes > progress->bytes_all ? progress->bytes : progress->bytes_all;
    int rc = 0;
    if (check->handler != NULL && check->handler->progress != NULL) {
        rc = check->handler->progress(progress, check->user);
    }
    check->stopped = check->stopped || rc < 0;
    return rc < 0 ? rc : 0;
}

int frag_check_advance(struct frag_check *check, uint64_t bytes) {
    check->progress.bytes += bytes;
    check->report.bytes += bytes;
    return check->progress.bytes - check->paced >= PACE_BYTES ? tell_progress(check) : 0;
}

int frag_check_file_done(struct frag_check *check) {
    check->progress.files++;
    check->report.files++;
    return tell_progress(check);
}

/* ---- what the steps share ---- */

bool frag_check_goes_on(const struct frag_check *check, int rc) {
    return rc != -ENOMEM && !check->stopped;
}

const char *frag_check_stream_name(const struct frag_check *check,
                                   const uint8_t id[static FRAG_ID_BYTES],
                                   char name[static FRAG_STREAM_NAME_BYTES]) {
    struct frag_catalog_value value;
    struct frag_value_stream stream;
    if (check->catalog != NULL &&
        frag_catalog_get(check->catalog, FRAG_CATALOG_STREAM, id, FRAG_ID_BYTES, &value) == 0 &&
        frag_value_read_stream(value, &stream) == 0) {
        (void)snprintf(name, FRAG_STREAM_NAME_BYTES, "%s", stream.name);
        free(stream.tags);
    } else {
        (void)snprintf(name, FRAG_STREAM_NAME_BYTES, "%02x%02x%02x%02x", id[0], id[1], id[2],
                       id[3]);
    }
    return name;
}

const struct frag_check_folder *frag_check_folder_of(const struct frag_check *check,
                                                     uint16_t number) {
    for (size_t i = 0; i < check->folder_count; i++) {
        if (check->folders[i].number == number) {
            return &check->folders[i];
        }
    }
    return NULL;
}

const char *frag_check_join(const char *folder, const char *path,
                            char room[static FRAG_CHECK_PATH_BYTES]) {
    (void)snprintf(room, FRAG_CHECK_PATH_BYTES, "%s/%s", folder, path);
    return room;
}

/* ---- the face ---- */

static int run_steps(struct frag_check *check) {
    int rc = frag_check_directories(check);
    if (rc == 0) {
        rc = frag_check_journals(check);
    }
    if (rc == 0) {
        rc = frag_check_values(check);
    }
    if (rc == 0) {
        rc = frag_check_index(check);
    }
    if (rc == 0) {
        rc = frag_check_files(check);
    }
    return rc == 0 ? frag_check_order(check) : rc;
}

static void destroy(struct frag_check *check) {
    frag_check_forget(check);
    frag_index_close(check->index);
    frag_catalog_close(check->catalog);
    for (size_t i = 0; i < check->folder_count; i++) {
        free(check->folders[i].path);
    }
    for (size_t i = 0; i < check->stray_count; i++) {
        free(check->strays[i].path);
        free(check->strays[i].belongs);
    }
    free(check->strays);
    free(check->seen);
    free(check->index_path);
    free(check);
}

int frag_store_check(const struct frag_store_config *config,
                     const struct frag_check_handler *handler, void *user,
                     struct frag_check_report *ret_report) {
    struct frag_check *check = calloc(1, sizeof(*check));
    if (check == NULL) {
        return -ENOMEM;
    }
    const struct kn_clock *clock = config->clock != NULL ? config->clock : kn_clock_system();
    check->config = config;
    check->io = config->io != NULL ? config->io : frag_io_system();
    check->handler = handler;
    check->user = user;
    check->now = clock->wall(clock);
    int rc = run_steps(check);
    *ret_report = check->report;
    destroy(check);
    return rc;
}
