/* What the tests of export share: a folder for new files, and one call that exports a clip. */
#ifndef TESTS_UNIT_PLAYBACK_EXPORTS_H
#define TESTS_UNIT_PLAYBACK_EXPORTS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/support/export_clip.h"

static char export_folder[64];
static char export_path[128];

static inline int make_export_folder(void **state) {
    (void)state;
    (void)snprintf(export_folder, sizeof(export_folder), "%s", "/tmp/kinora-export-XXXXXX");
    if (mkdtemp(export_folder) == NULL) {
        return -1;
    }
    (void)snprintf(export_path, sizeof(export_path), "%s/new", export_folder);
    return 0;
}

static inline int remove_export_folder(void **state) {
    (void)state;
    (void)unlink(export_path);
    return rmdir(export_folder); /* fails where an export left something behind */
}

static inline size_t files_in_folder(void) {
    size_t count = 0;
    DIR *folder = opendir(export_folder);
    assert_non_null(folder);
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        count += entry->d_name[0] != '.';
    }
    (void)closedir(folder);
    return count;
}

static inline int export_clip_as(struct export_clip *clip, enum play_format format,
                                 struct play_export_result *ret_result) {
    const struct play_export_config config = {
        .format = format, .path = export_path, .replace = true};
    const struct play_source source = export_clip_source(clip);
    return play_export_from(&config, &source, ret_result);
}

#endif
