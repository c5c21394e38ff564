/* Runs a fuzz target without libFuzzer: over its corpus, over seeded mutations of the corpus, and
 * over each of these again with one allocation after another failing.
 *
 *     fuzz_x [--mutations N] [--seed S] [--fail-alloc BOUND] [--at-least N] FILE|FOLDER...
 *
 * The same arguments give the same inputs. An input that crashes or hangs is left in fuzz_x.failed.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/fail_alloc.h"

#define SECONDS_PER_INPUT 10
#define MAX_FILES 65536
#define MAX_INPUT_BYTES ((size_t)4 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* There under a sanitizer, which may end the program without a signal. */
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

struct bytes {
    uint8_t *data;
    size_t size;
};

static struct bytes files[MAX_FILES];
static size_t file_count;
static uint64_t runs, failed_allocations;

/* What the handlers tell; they only read it. */
static struct bytes current;
static unsigned long current_fail_at;
static char failed_path[4096];

static void die(const char *what, const char *path) {
    (void)fprintf(stderr, "%s: %s: %s\n", what, path, strerror(errno));
    exit(2);
}

/* ---- telling which input it was ---- */

/* Not safe in a signal handler by the letter; the program is about to end, and it mostly works. */
static void keep_input(void) {
    char told[sizeof failed_path + 128];
    int fd = open(failed_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, current.data, current.size) < 0) {
        return;
    }
    (void)close(fd);
    int length = snprintf(told, sizeof told,
                          "\nreplay: failing allocation %lu (0: none), input kept in %s\n",
                          current_fail_at, failed_path);
    (void)!write(STDERR_FILENO, told, (size_t)length);
}

static void handle_signal(int signal_number) {
    if (signal_number == SIGALRM) {
        static const char hung[] = "\nreplay: the input took too long";
        (void)!write(STDERR_FILENO, hung, sizeof hung - 1);
    }
    keep_input();
    (void)signal(SIGABRT, SIG_DFL);
    abort();
}

static void catch_failures(const char *program) {
    (void)snprintf(failed_path, sizeof failed_path, "%s.failed", program);
    (void)signal(SIGALRM, handle_signal);
    (void)signal(SIGABRT, handle_signal);
    if (__sanitizer_set_death_callback != NULL) {
        /* The rest is the sanitizer's. */
        __sanitizer_set_death_callback(keep_input);
        return;
    }
    (void)signal(SIGSEGV, handle_signal);
    (void)signal(SIGBUS, handle_signal);
    (void)signal(SIGFPE, handle_signal);
}

/* ---- running one input ---- */

/* In a block of its own exact size, so that the address sanitizer sees a read over its end. */
static void run_once(const uint8_t *data, size_t size, unsigned long fail_at) {
    uint8_t *copy = malloc(size > 0 ? size : 1);
    if (copy == NULL) {
        die("out of memory", "input");
    }
    memcpy(copy, data, size);
    current_fail_at = fail_at;
    alarm(SECONDS_PER_INPUT);
    if (fail_at > 0) {
        fail_alloc_at(fail_at);
    }
    (void)LLVMFuzzerTestOneInput(copy, size);
    alarm(0);
    free(copy);
}

static void run(const uint8_t *data, size_t size, unsigned long fail_alloc_bound) {
    current = (struct bytes){(uint8_t *)data, size};
    run_once(data, size, 0);
    runs++;
    for (unsigned long k = 1; k <= fail_alloc_bound; k++) {
        run_once(data, size, k);
        bool reached = fail_alloc_count() >= k;
        fail_alloc_stop();
        if (!reached) {
            return;
        }
        failed_allocations++;
    }
}

/* ---- the corpus ---- */

static struct bytes read_file(const char *path) {
    FILE *file = fopen(path, "rbe");
    struct stat status;
    if (file == NULL || fstat(fileno(file), &status) < 0) {
        die("cannot read", path);
    }
    size_t size = (size_t)status.st_size;
    if (size > MAX_INPUT_BYTES) {
        errno = EFBIG;
        die("not a corpus file", path);
    }
    struct bytes bytes = {malloc(size + 1), size};
    if (bytes.data == NULL || fread(bytes.data, 1, size, file) != size) {
        die("cannot read", path);
    }
    (void)fclose(file);
    return bytes;
}

static void add_file(const char *path) {
    if (file_count == MAX_FILES) {
        errno = E2BIG;
        die("too many inputs", path);
    }
    files[file_count++] = read_file(path);
}

static int visible(const struct dirent *entry) {
    return entry->d_name[0] != '.';
}

/* In order of name: the same inputs on every machine. */
static void add_path(const char *path) {
    struct stat status;
    if (stat(path, &status) < 0) {
        die("cannot read", path);
    }
    if (!S_ISDIR(status.st_mode)) {
        add_file(path);
        return;
    }
    struct dirent **entries = NULL;
    int count = scandir(path, &entries, visible, alphasort);
    if (count < 0) {
        die("cannot read", path);
    }
    for (int i = 0; i < count; i++) {
        char name[4096];
        (void)snprintf(name, sizeof name, "%s/%s", path, entries[i]->d_name);
        if (stat(name, &status) == 0 && S_ISREG(status.st_mode)) {
            add_file(name);
        }
        free(entries[i]);
    }
    free(entries);
}

/* ---- mutations ---- */

static uint64_t random_state;

static size_t random_below(size_t limit) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return limit == 0 ? 0 : (size_t)(random_state >> 11) % limit;
}

static void remove_bytes(struct bytes *input, size_t at, size_t count) {
    memmove(input->data + at, input->data + at + count, input->size - at - count);
    input->size -= count;
}

/* `from` must not lie in the input. */
static void insert_bytes(struct bytes *input, size_t at, const uint8_t *from, size_t count) {
    if (count > MAX_INPUT_BYTES - input->size) {
        return;
    }
    memmove(input->data + at + count, input->data + at, input->size - at);
    memcpy(input->data + at, from, count);
    input->size += count;
}

static void insert_from_other(struct bytes *input, size_t at) {
    struct bytes other = files[random_below(file_count)];
    size_t from = random_below(other.size);
    size_t count = random_below(other.size - from < 64 ? other.size - from + 1 : 64);
    if (other.size > 0) {
        insert_bytes(input, at, other.data + from, count);
    }
}

static void mutate(struct bytes *input) {
    static const uint8_t edges[] = {0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff};
    size_t at = random_below(input->size);
    size_t left = input->size - at;
    uint8_t byte = (uint8_t)random_below(256);
    if (left == 0) {
        insert_bytes(input, 0, &byte, 1);
        return;
    }
    switch (random_below(8)) {
    case 0:
    case 1:
        input->data[at] ^= (uint8_t)(1U << random_below(8));
        break;
    case 2:
        input->data[at] = edges[random_below(sizeof edges)];
        break;
    case 3:
        input->data[at] = byte;
        break;
    case 4:
        insert_bytes(input, at, &byte, 1);
        break;
    case 5:
        remove_bytes(input, at, 1 + random_below(left < 16 ? left : 16));
        break;
    case 6:
        insert_from_other(input, at);
        break;
    default:
        /* Cuts are rarer: most of what follows one would otherwise never be reached. */
        if (random_below(4) == 0) {
            input->size = at;
        } else {
            memset(input->data + at, edges[random_below(sizeof edges)], left < 4 ? left : 4);
        }
        break;
    }
}

static void run_mutations(size_t mutations, uint64_t seed, unsigned long fail_alloc_bound) {
    struct bytes input = {malloc(MAX_INPUT_BYTES), 0};
    if (input.data == NULL) {
        die("out of memory", "mutations");
    }
    /* The generator stands still at 0. */
    random_state = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15) | 1;
    for (size_t i = 0; i < mutations; i++) {
        struct bytes from = files[i % file_count];
        memcpy(input.data, from.data, from.size);
        input.size = from.size;
        for (size_t steps = 1 + random_below(6); steps > 0; steps--) {
            mutate(&input);
        }
        run(input.data, input.size, fail_alloc_bound);
    }
    free(input.data);
}

/* ---- command line ---- */

static unsigned long number(const char *option, const char *text) {
    char *end = NULL;
    errno = 0;
    unsigned long value = text == NULL ? 0 : strtoul(text, &end, 10);
    if (text == NULL || errno != 0 || end == text || *end != '\0') {
        (void)fprintf(stderr, "%s needs a number\n", option);
        exit(2);
    }
    return value;
}

int main(int argc, char **argv) {
    unsigned long mutations = 0, seed = 1, fail_alloc_bound = 0, at_least = 1;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--mutations") == 0) {
            mutations = number(argv[i], argv[i + 1]), i++;
        } else if (strcmp(argv[i], "--seed") == 0) {
            seed = number(argv[i], argv[i + 1]), i++;
        } else if (strcmp(argv[i], "--fail-alloc") == 0) {
            fail_alloc_bound = number(argv[i], argv[i + 1]), i++;
        } else if (strcmp(argv[i], "--at-least") == 0) {
            at_least = number(argv[i], argv[i + 1]), i++;
        } else {
            add_path(argv[i]);
        }
    }
    catch_failures(argv[0]);
    for (size_t i = 0; i < file_count; i++) {
        run(files[i].data, files[i].size, fail_alloc_bound);
    }
    if (file_count > 0) {
        run_mutations(mutations, seed, fail_alloc_bound);
    }
    for (size_t i = 0; i < file_count; i++) {
        free(files[i].data);
    }
    (void)printf("replayed %llu inputs, %llu allocation failures\n", (unsigned long long)runs,
                 (unsigned long long)failed_allocations);
    if (runs < at_least) {
        (void)fprintf(stderr, "expected at least %lu inputs\n", at_least);
        return 1;
    }
    return 0;
}
