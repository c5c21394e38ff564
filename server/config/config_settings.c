/* A stream of the configuration as the store has it. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>

#include "base/path.h"
#include "server/config/config.h"

static bool names(const struct srv_config_stream *stream, enum srv_stream_row row) {
    return (stream->named.rows >> row & 1) != 0;
}

static int find_folder(struct frag_store *store, const char *path, uint16_t *ret_number) {
    char absolute[PATH_MAX];
    if (path == NULL) {
        *ret_number = FRAG_FOLDER_ANY;
        return 0;
    }
    if (kn_path_absolute(path, absolute) < 0) {
        return -ENOENT;
    }
    return frag_store_folder_number(store, absolute, ret_number);
}

struct frag_stream_settings srv_config_new_settings(const struct srv_config_stream *stream) {
    struct frag_stream_settings made = frag_stream_settings_defaults();
    made.retention_ns = stream->retention_ns;
    made.retention_bytes = stream->retention_bytes;
    made.target_ns = stream->target_ns;
    return made;
}

int srv_config_settings(struct frag_store *store, const struct srv_config_stream *stream,
                        struct frag_stream_settings *settings) {
    struct frag_stream_settings made = *settings;
    if (names(stream, SRV_STREAM_STORAGE)) {
        int rc = find_folder(store, stream->storage, &made.folder);
        if (rc < 0) {
            return rc;
        }
    }
    if (names(stream, SRV_STREAM_RETENTION)) {
        made.retention_ns = stream->retention_ns;
    }
    if (names(stream, SRV_STREAM_RETENTION_BYTES)) {
        made.retention_bytes = stream->retention_bytes;
    }
    if (names(stream, SRV_STREAM_TARGET)) {
        made.target_ns = stream->target_ns;
    }
    if (names(stream, SRV_STREAM_MEDIA_TYPE)) {
        (void)snprintf(made.media_type, sizeof(made.media_type), "%s",
                       stream->media_type == NULL ? "" : stream->media_type);
    }
    if (names(stream, SRV_STREAM_DEVICE_NAME)) {
        (void)snprintf(made.device_name, sizeof(made.device_name), "%s",
                       stream->device_name == NULL ? "" : stream->device_name);
    }
    *settings = made;
    return 0;
}
