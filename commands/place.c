#include "commands/place.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "commands/ask.h"
#include "commands/command.h"
#include "commands/tell.h"
#include "fragments/fragments.h"

void cmd_place_finish(struct cmd_place *place) {
    for (size_t i = 0; i < place->config.folder_count; i++) {
        free(place->storage[i]);
    }
}

/* 0, or it has said what was wrong. cmd_place_finish it either way. */
int cmd_place_find(const struct cmd_arguments *arguments, enum frag_store_mode mode,
                   struct cmd_place *ret_place) {
    struct frag_store_config *config = &ret_place->config;
    *config = frag_store_config_defaults();
    config->data = ret_place->data;
    config->folders = (const char *const *)ret_place->storage;
    config->mode = mode;
    config->min_free_bytes = arguments->min_free_bytes;
    config->memory_bytes = arguments->memory_bytes;
    config->clock_confirmed = cmd_given(arguments, OPT_CONFIRM_CLOCK);
    const char *path = arguments->data;
    int rc = kn_path_absolute(path, ret_place->data);
    for (size_t i = 0; i < arguments->storage_count && rc == 0; i++) {
        char room[PATH_MAX];
        path = arguments->storage[i];
        rc = kn_path_absolute(path, room);
        if (rc == 0) {
            ret_place->storage[i] = strdup(room);
            rc = ret_place->storage[i] == NULL ? -ENOMEM : 0;
            config->folder_count++;
        }
    }
    if (rc != 0) {
        (void)cmd_refused(path, rc);
    }
    return rc;
}

/* Whose it is, where this user may not: most often the service's. */
static void tell_owner(const struct cmd_place *place) {
    struct stat found;
    const struct passwd *owner = NULL;
    if (stat(place->data, &found) == 0 && found.st_uid != geteuid()) {
        // NOLINTNEXTLINE(concurrency-mt-unsafe): commands have one thread
        owner = getpwuid(found.st_uid);
    }
    if (owner != NULL) {
        fprintf(stderr, "kinora: it belongs to the user %s: be that user (sudo -u %s) or root\n",
                owner->pw_name, owner->pw_name);
    }
}

void cmd_place_refused(const struct cmd_place *place, const struct frag_store_opening *opening,
                       int rc) {
    bool wants_one = place->config.mode == FRAG_STORE_READ || place->config.existing;
    if (opening->problem[0] == '\0') {
        (void)cmd_refused(place->data, rc);
    } else {
        fprintf(stderr, "kinora: %s%s\n", cmd_plain(opening->problem),
                rc == -ENOENT && wants_one
                    ? "; -c or --data names another directory, kinora serve makes a store"
                    : "");
    }
    if (rc == -EACCES) {
        tell_owner(place);
    }
}

/* One sentence, where there is anything to say. */
void cmd_place_tell(const struct cmd_place *place, const struct frag_store_opening *opening) {
    char text[FRAG_REPORT_OPENING_BYTES];
    if (frag_report_opening(opening, place->data, text)[0] != '\0') {
        fprintf(stderr, "kinora: %s.\n", text);
    }
}

int cmd_place_become_owner(const struct cmd_place *place) {
    struct stat found;
    if (geteuid() != 0 || stat(place->data, &found) != 0 || found.st_uid == 0) {
        return 0; /* no directory yet: it will be root's own */
    }
    if (setgroups(0, NULL) != 0 || setegid(found.st_gid) != 0 || seteuid(found.st_uid) != 0) {
        int rc = -errno;
        (void)cmd_refused(place->data, rc);
        return rc;
    }
    return 0;
}

/* 0, or it has said what was wrong. */
int cmd_place_open(const struct cmd_place *place, struct frag_store **ret_store) {
    struct frag_store_opening opening = {0};
    int rc = frag_store_open(&place->config, ret_store, &opening);
    if (rc == -EBUSY && cmd_ask_in_the_way(place, "stop it first, or give it the file as a source "
                                                  "in its configuration")) {
        return rc;
    }
    if (rc != 0) {
        cmd_place_refused(place, &opening, rc);
        return rc;
    }
    cmd_place_tell(place, &opening);
    return 0;
}
