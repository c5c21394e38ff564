/* Makes a reel of a clip, as it stands on disk while it is open and once it is closed, for the flow
 * tests to show to other programs.
 *
 *     write_reels CLIP OPEN CLOSED
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/reel_build.h"
#include "tests/support/sample_media.h"

static int write_reel(const char *path, const uint8_t *clip, size_t size, bool closed) {
    struct reel_built reel;
    reel_build(&reel, clip, size, closed);
    FILE *file = fopen(path, "wbe");
    size_t written = file == NULL ? 0 : fwrite(reel.file.data, 1, reel.file.size, file);
    int failed = file == NULL || fclose(file) != 0 || written != reel.file.size;
    if (failed) {
        perror(path);
    } else {
        (void)printf("%s: %zu fragments\n", path, reel.count);
    }
    reel_built_free(&reel);
    return failed;
}

int main(int argc, char **argv) {
    size_t size = 0;
    if (argc != 4) {
        (void)fprintf(stderr, "usage: write_reels CLIP OPEN CLOSED\n");
        return 2;
    }
    uint8_t *clip = sample_load(argv[1], &size);
    int failed = write_reel(argv[2], clip, size, false) | write_reel(argv[3], clip, size, true);
    free(clip);
    return failed;
}
