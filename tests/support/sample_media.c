#include "tests/support/sample_media.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const char *const sample_clips[SAMPLE_CLIPS] = {
    "annexb-bare.mkv",  "annexb.mkv", "aws-sdk.mkv",   "bframes.mkv",   "box.mkv",
    "g711.mkv",         "h265.mkv",   "laced.mkv",     "long-gop.mkv",  "open-gop.mkv",
    "h265-bframes.mkv", "qr.mkv",     "truncated.mkv", "vp8-opus.webm", "resolution-change.mkv",
};

const char *sample_path(const char *file) {
    static char path[4096];
    const char *folder = getenv("KINORA_SAMPLES");
    (void)snprintf(path, sizeof(path), "%s/%s", folder == NULL ? "sample-media" : folder, file);
    return path;
}

uint8_t *sample_load(const char *file, size_t *ret_size) {
    const char *path = sample_path(file);
    FILE *stream = fopen(path, "rbe");
    struct stat status;
    uint8_t *data = NULL;
    size_t size = 0;
    if (stream != NULL && fstat(fileno(stream), &status) == 0) {
        size = (size_t)status.st_size;
        data = malloc(size + 1);
    }
    if (data == NULL || fread(data, 1, size, stream) != size) {
        (void)fprintf(stderr, "%s: %s\n", path, strerror(errno));
        abort();
    }
    (void)fclose(stream);
    *ret_size = size;
    return data;
}
