#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

#include "base/error.h"

static void own_codes_have_their_texts(void **state) {
    (void)state;
    static const int codes[] = {KN_E_TRUNCATED,   KN_E_MALFORMED, KN_E_LIMIT,
                                KN_E_UNSUPPORTED, KN_E_CLOSED,    KN_E_MEMORY_LIMIT};
    for (size_t i = 0; i < KN_COUNT(codes); i++) {
        const char *text = kn_error_text(codes[i]);
        assert_true(strlen(text) > 0);
        assert_string_not_equal(text, "Unknown error");
        for (size_t j = 0; j < i; j++) {
            assert_string_not_equal(text, kn_error_text(codes[j]));
        }
    }
    /* They are printed and documented: their numbers do not move. */
    assert_int_equal(KN_E_TRUNCATED, -10001);
    assert_int_equal(KN_E_MEMORY_LIMIT, -10006);
}

static void errnos_and_libuv_codes_have_texts(void **state) {
    (void)state;
    assert_string_equal(kn_error_text(-ENOENT), "No such file or directory");
    assert_string_equal(kn_error_text(-ENOMEM), "Cannot allocate memory");
    assert_string_equal(kn_error_text(UV_EOF), "end of file");
    assert_string_equal(kn_error_text(UV_EAI_NONAME), "unknown node or service");
}

static void strange_codes_still_have_a_text(void **state) {
    (void)state;
    assert_string_equal(kn_error_text(-9999), "Unknown error");
    assert_string_equal(kn_error_text(-10007), "Unknown error");
    assert_string_equal(kn_error_text(INT_MIN), "Unknown error");
    assert_string_equal(kn_error_text(INT_MIN + 1), "Unknown error");
    assert_string_equal(kn_error_text(0), "Success");
    assert_string_equal(kn_error_text(INT_MAX), "Success");
}

static void fail_in_child(int output) {
    /* No core file, and no report of a sanitizer: this abort is wanted. */
    (void)setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    (void)signal(SIGABRT, SIG_DFL);
    (void)dup2(output, STDERR_FILENO);
    KN_ASSERT(1 + 1 == 3);
    _exit(0);
}

static void a_failed_assertion_says_where_and_aborts(void **state) {
    (void)state;
    KN_ASSERT(1 + 1 == 2);

    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    if (child == 0) {
        fail_in_child(pipes[1]);
    }
    assert_true(child > 0);
    assert_int_equal(close(pipes[1]), 0);
    char line[1024] = "";
    ssize_t bytes = read(pipes[0], line, sizeof(line) - 1);
    assert_true(bytes > 0);
    assert_int_equal(close(pipes[0]), 0);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_non_null(strstr(line, "1 + 1 == 3"));
    assert_non_null(strstr(line, "test_base_error.c:"));
    assert_non_null(strstr(line, "fail_in_child"));
    assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(own_codes_have_their_texts),
        cmocka_unit_test(errnos_and_libuv_codes_have_texts),
        cmocka_unit_test(strange_codes_still_have_a_text),
        cmocka_unit_test(a_failed_assertion_says_where_and_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
