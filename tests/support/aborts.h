/* Tells whether something stops the program, as KN_ASSERT does, by trying it in a child.
 *
 *     static void misuse(void *user) { thing_use_twice(user); }
 *     assert_true(aborts(misuse, thing));
 *
 * Only while the test has no other threads. */
#ifndef TESTS_SUPPORT_ABORTS_H
#define TESTS_SUPPORT_ABORTS_H

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

static inline bool aborts(void (*run)(void *user), void *user) {
    pid_t child = fork();
    if (child == 0) {
        /* No core file, no report of a sanitizer, no line in the log: this abort is wanted. */
        (void)setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        (void)signal(SIGABRT, SIG_DFL);
        (void)dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
        run(user);
        _exit(0);
    }
    int status = 0;
    return child > 0 && waitpid(child, &status, 0) == child && WIFSIGNALED(status) &&
           WTERMSIG(status) == SIGABRT;
}

#endif
