/* What the benches share: CPU time, medians, and one clip. They print one JSON object and never
 * judge by time; ratios come from runs that alternate, so a machine that slows down slows both. */
#ifndef TESTS_BENCH_BENCH_H
#define TESTS_BENCH_BENCH_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define BENCH_ROUNDS 9

/* CPU seconds of this process, user and system. */
static inline double bench_cpu_s(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static inline double bench_wall_s(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static inline int bench_compare(const void *a, const void *b) {
    double left = *(const double *)a;
    double right = *(const double *)b;
    return (left > right) - (left < right);
}

/* Sorts its argument. */
static inline double bench_median(double *values, size_t count) {
    qsort(values, count, sizeof(*values), bench_compare);
    return values[count / 2];
}

static inline _Noreturn void bench_die(const char *what) {
    fprintf(stderr, "bench: %s\n", what);
    exit(1);
}

#endif
