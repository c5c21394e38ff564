/* A scripted load of changes for catalogs, what came of each, and what a store may hold afterwards.
 */
#ifndef TESTS_UNIT_FRAGMENTS_CATALOG_LOAD_H
#define TESTS_UNIT_FRAGMENTS_CATALOG_LOAD_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "fragments/store/catalog.h"
#include "tests/support/fault_io.h"
#include "tests/support/mem_io.h"

#define LOAD_CHANGES 220
#define LOAD_KINDS 3
#define LOAD_KEYS 8
#define LOAD_COPIES 3

static const char *const load_folders[LOAD_COPIES] = {"a", "b", "c"};

/* By kind and key the number of the change that put its value; -1: none. */
struct load_model {
    int put[LOAD_KINDS][LOAD_KEYS];
};

/* What change `i` does. */
struct load_change {
    int kind, key;
    bool is_delete;
};

static inline struct load_change load_change(int i) {
    return (struct load_change){
        .kind = i * 5 % LOAD_KINDS, .key = i * 3 % 7 + i / 50 % 2, .is_delete = i % 9 == 4};
}

static inline size_t load_key(struct load_change change, char room[static 16]) {
    return (size_t)snprintf(room, 16, "key-%d", change.key);
}

static inline size_t load_value(int i, char room[static 96]) {
    size_t size = (size_t)snprintf(room, 96, "value %d", i);
    memset(room + size, 'a' + i % 26, 95 - size);
    return i % 13 == 0 ? 0 : size + (size_t)(i * 31 % 60);
}

static inline struct load_model load_model_empty(void) {
    struct load_model model;
    memset(&model, 0xff, sizeof(model));
    return model;
}

static inline void load_model_apply(struct load_model *model, int i) {
    struct load_change change = load_change(i);
    model->put[change.kind][change.key] = change.is_delete ? -1 : i;
}

static inline bool load_model_has(const struct load_model *model, int i) {
    return model->put[load_change(i).kind][load_change(i).key] >= 0;
}

static inline int load_count_one(struct frag_catalog_value key, struct frag_catalog_value value,
                                 void *user) {
    (void)value;
    assert_true(key.size == 5);
    (*(size_t *)user)++;
    return 0;
}

/* Whether the catalog holds just that. */
static inline bool load_matches(const struct frag_catalog *catalog,
                                const struct load_model *model) {
    for (int kind = 0; kind < LOAD_KINDS; kind++) {
        size_t expected = 0, found = 0;
        for (int k = 0; k < LOAD_KEYS; k++) {
            char key[16], value[96];
            size_t key_bytes = load_key((struct load_change){.key = k}, key);
            struct frag_catalog_value got;
            int i = model->put[kind][k];
            int rc = frag_catalog_get(catalog, (uint16_t)(kind + 1), key, key_bytes, &got);
            if (i < 0) {
                if (rc != -ENOENT) {
                    return false;
                }
                continue;
            }
            expected++;
            size_t size = load_value(i, value);
            if (rc != 0 || got.size != size || memcmp(got.data, value, size) != 0) {
                return false;
            }
        }
        assert_int_equal(frag_catalog_each(catalog, (uint16_t)(kind + 1), load_count_one, &found),
                         0);
        if (found != expected) {
            return false;
        }
    }
    return true;
}

/* What came of the changes. */
struct load_history {
    int count; /* tried */
    int result[LOAD_CHANGES];
    size_t begun[LOAD_CHANGES];    /* steps recorded when it began ... */
    size_t answered[LOAD_CHANGES]; /* ... and when it ended */
};

static inline struct frag_catalog_config load_config(struct frag_io *io, size_t copies) {
    return (struct frag_catalog_config){.io = io,
                                        .folders = load_folders,
                                        .folder_count = copies,
                                        .store_id = "the load's store",
                                        .compact_bytes = 1500};
}

static inline int load_do(struct frag_catalog *catalog, int i) {
    char key[16], value[96];
    struct load_change change = load_change(i);
    size_t key_bytes = load_key(change, key);
    uint16_t kind = (uint16_t)(change.kind + 1);
    return change.is_delete
               ? frag_catalog_delete(catalog, kind, key, key_bytes)
               : frag_catalog_put(catalog, kind, key, key_bytes, value, load_value(i, value));
}

/* Opens, does the changes up to `count` and closes. Every change that fails must not show, every
 * other one must. The answer is the opening's. */
static inline int load_run(struct fault_io *fault, size_t copies, int count,
                           struct load_history *ret_history) {
    struct frag_catalog_config config = load_config(&fault->io, copies);
    struct frag_catalog *catalog;
    struct load_model model = load_model_empty();
    *ret_history = (struct load_history){.count = 0};
    int rc = frag_catalog_open(&config, &catalog, NULL);
    if (rc < 0) {
        return rc;
    }
    for (int i = 0; i < count; i++) {
        ret_history->begun[i] = fault->step_count;
        int result = load_do(catalog, i);
        ret_history->result[i] = result;
        ret_history->answered[i] = fault->step_count;
        ret_history->count++;
        assert_true(result <= 0);
        if (load_change(i).is_delete && !load_model_has(&model, i)) {
            assert_true(result == -ENOENT || result == KN_E_CLOSED);
        } else if (result == 0) {
            load_model_apply(&model, i);
        }
        if (result < 0 || i % 64 == 0) {
            assert_true(load_matches(catalog, &model));
        }
        if (result == -ECANCELED) {
            break;
        }
    }
    assert_true(load_matches(catalog, &model));
    frag_catalog_close(catalog);
    return 0;
}

/* Whether the catalog may hold what it does when the machine stopped after `steps` recorded steps:
 * all changes that had returned 0 by then, and perhaps one that was asked for since. */
static inline bool load_is_allowed(const struct frag_catalog *catalog,
                                   const struct load_history *history, size_t steps) {
    struct load_model model = load_model_empty();
    int next = 0;
    for (int i = 0; i < history->count; i++) {
        if (history->result[i] == 0 && history->answered[i] <= steps) {
            load_model_apply(&model, i);
            next = i + 1;
        }
    }
    if (load_matches(catalog, &model)) {
        return true;
    }
    for (int i = next; i < history->count && history->begun[i] <= steps; i++) {
        struct load_model doubtful = model;
        load_model_apply(&doubtful, i);
        if (load_matches(catalog, &doubtful)) {
            return true;
        }
    }
    return false;
}

static inline struct mem_io *load_folders_create(void) {
    struct mem_io *mem = mem_io_create();
    for (size_t i = 0; i < LOAD_COPIES; i++) {
        assert_int_equal(mem_io(mem)->make_folder(mem_io(mem), load_folders[i]), 0);
    }
    return mem;
}

static inline uint64_t load_random(uint64_t *seed) {
    uint64_t z = *seed += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

/* Opens what is left, now and then twice: it holds what it may, and it can be changed. */
static inline void load_check_left(struct mem_io *mem, size_t copies,
                                   const struct load_history *history, size_t steps) {
    struct frag_catalog_config config = load_config(mem_io(mem), copies);
    static unsigned calls;
    int rounds = calls++ % 8 == 0 ? 2 : 1;
    for (int round = 0; round < rounds; round++) {
        struct frag_catalog *catalog;
        struct frag_catalog_report report;
        struct frag_catalog_value got;
        assert_int_equal(frag_catalog_open(&config, &catalog, &report), 0);
        assert_true(load_is_allowed(catalog, history, steps));
        for (size_t i = 0; i < copies; i++) {
            assert_true(round == 0 ? report.copies[i] <= FRAG_COPY_BEHIND
                                   : report.copies[i] == FRAG_COPY_GOOD);
        }
        assert_int_equal(frag_catalog_get(catalog, 64, "round", 5, &got), round == 0 ? -ENOENT : 0);
        assert_int_equal(frag_catalog_put(catalog, 64, "round", 5, "x", 1), 0);
        frag_catalog_close(catalog);
    }
}

/* Without faults: how many operations the load has. */
static inline uint64_t load_count_operations(size_t copies, uint64_t *ret_opening) {
    struct mem_io *mem = load_folders_create();
    struct fault_io fault;
    struct load_history history;
    fault_io_init(&fault, mem_io(mem));
    assert_int_equal(load_run(&fault, copies, 0, &history), 0);
    *ret_opening = fault.operations;
    assert_int_equal(load_run(&fault, copies, LOAD_CHANGES, &history), 0);
    uint64_t all = fault.operations - *ret_opening;
    size_t size = 0;
    for (size_t i = 0; i < copies; i++) {
        char path[16];
        (void)snprintf(path, sizeof(path), "%s/journal", load_folders[i]);
        assert_non_null(mem_io_peek(mem, path, &size));
        assert_true(size < 3500); /* it was compacted */
    }
    load_check_left(mem, copies, &history, SIZE_MAX);
    fault_io_finish(&fault);
    mem_io_destroy(mem);
    return all + *ret_opening;
}

#endif
