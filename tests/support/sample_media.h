/* The clips of sample-media/, from the folder that the environment names (KINORA_SAMPLES). */
#ifndef TESTS_SUPPORT_SAMPLE_MEDIA_H
#define TESTS_SUPPORT_SAMPLE_MEDIA_H

#include <stddef.h>
#include <stdint.h>

#define SAMPLE_CLIPS 15
extern const char *const sample_clips[SAMPLE_CLIPS];

/* Where `file` is; valid until the next call. */
const char *sample_path(const char *file);
/* All of it, to be freed; a file that cannot be read ends the program. */
uint8_t *sample_load(const char *file, size_t *ret_size);

#endif
