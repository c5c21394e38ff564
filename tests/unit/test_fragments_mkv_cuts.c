#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/support/ebml_build.h"
#include "tests/support/mkv_watch.h"
#include "tests/support/sample_media.h"
#include "tests/unit/fragments_mkv_documents.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif

/* Every clip in two pushes cut at every byte takes over a minute, and many under a sanitizer. There
 * the head of each clip (all that stands before clusters, and one of them) and the whole clip are
 * cut at every n-th byte (from clip to clip they begin elsewhere); and in every build the whole
 * clip at every byte by combs of cuts, so far apart that what the parser holds over a cut is never
 * cut twice. */
#define HEAD_BYTES ((size_t)64 << 10)
#define COMB 1024
#ifdef SANITIZED
#define HEAD_STRIDE 61
#define CLIP_STRIDE 1009
#else
#define HEAD_STRIDE 1
#define CLIP_STRIDE 1
#endif

struct input {
    const char *name;
    const uint8_t *data;
    size_t size;
    bool verify_crc;
};

/* The first push of `first` bytes, the others of `piece`. */
static struct mkv_outcome run(const struct input *input, bool copies, size_t first, size_t piece) {
    struct mkv_watch watch = {.input = input->data,
                              .size = input->size,
                              .verify_crc = input->verify_crc,
                              .copies = copies};
    struct mkv_outcome outcome;

    assert_int_equal(mkv_watch_start(&watch), 0);
    mkv_watch_push(&watch, first);
    mkv_watch_push_rest(&watch, piece);
    mkv_watch_end(&watch, &outcome);
    return outcome;
}

static void check(const struct input *input, const struct mkv_outcome *whole, bool copies,
                  size_t first, size_t piece) {
    struct mkv_outcome outcome = run(input, copies, first, piece);
    if (!mkv_outcome_equal(whole, &outcome)) {
        fail_msg("%s of %zu bytes, first %zu, then %zu: %" PRIu64 " events, fault %d at %" PRIu64
                 " (%s); in one push %" PRIu64 ", %d at %" PRIu64 " (%s)",
                 input->name, input->size, first, piece, outcome.events, (int)outcome.error.fault,
                 outcome.error.offset, outcome.error.text, whole->events, (int)whole->error.fault,
                 whole->error.offset, whole->error.text);
    }
}

/* ---- documents: each cut, in copies that end where the push ends ---- */

static void check_document(const char *name, const char *text, bool verify_crc) {
    struct ebml_document document;

    ebml_build(&document, text);
    struct input input = {name, document.data, document.size, verify_crc};
    struct mkv_outcome whole = run(&input, true, input.size, 1);
    for (size_t at = 0; at < input.size; at++) {
        check(&input, &whole, true, at, input.size);
    }
    for (size_t piece = 1; piece <= 17; piece++) {
        check(&input, &whole, true, 0, piece);
    }
    ebml_free(&document);
}

static void test_refused_documents(void **state) {
    (void)state;
    for (size_t i = 0; i < KN_COUNT(mkv_refused); i++) {
        check_document(mkv_refused[i].name, mkv_refused[i].text, i % 2 == 1);
    }
}

static void test_taken_documents(void **state) {
    (void)state;
    for (size_t i = 0; i < KN_COUNT(mkv_taken); i++) {
        check_document(mkv_taken[i].name, mkv_taken[i].text, mkv_taken[i].verify_crc);
        check_document(mkv_taken[i].name, mkv_taken[i].text, !mkv_taken[i].verify_crc);
    }
}

/* ---- clips ---- */

static void check_two_pushes(const struct input *input, size_t from, size_t stride) {
    struct mkv_outcome whole = run(input, false, input->size, 1);

    for (size_t at = from % stride; at < input->size; at += stride) {
        check(input, &whole, false, at, input->size);
    }
}

static void check_clip(struct input *input, size_t index) {
    struct mkv_outcome whole = run(input, false, input->size, 1);
    struct input head = *input;

    assert_true(whole.frames > 100);
    head.size = HEAD_BYTES;
    if (HEAD_STRIDE < CLIP_STRIDE) {
        check_two_pushes(&head, index, HEAD_STRIDE);
    }
    check_two_pushes(input, index, CLIP_STRIDE);
    for (size_t at = 0; at < COMB; at++) {
        check(input, &whole, false, at, COMB);
    }
    for (size_t piece = 1; piece <= 13; piece += 4) {
        check(input, &whole, false, 0, piece);
    }
    input->verify_crc = true;
    check(input, &whole, true, 1, 1);
}

static void test_clips(void **state) {
    (void)state;
    for (size_t i = 0; i < SAMPLE_CLIPS; i++) {
        struct input input = {.name = sample_clips[i]};
        uint8_t *data = sample_load(sample_clips[i], &input.size);
        input.data = data;
        check_clip(&input, i * 89);
        free(data);
    }
    print_message(
        "# two pushes: cut at every %d. byte of the first %zu, every %d. of the whole clip; "
        "combs: every byte\n",
        HEAD_STRIDE, HEAD_BYTES, CLIP_STRIDE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused_documents),
        cmocka_unit_test(test_taken_documents),
        cmocka_unit_test(test_clips),
    };
    return cmocka_run_group_tests_name("fragments mkv cuts", tests, NULL, NULL);
}
