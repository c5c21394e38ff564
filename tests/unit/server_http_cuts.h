/* One input in all ways to cut it, for the tests of server/http. */
#ifndef TESTS_UNIT_SERVER_HTTP_CUTS_H
#define TESTS_UNIT_SERVER_HTTP_CUTS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/http_watch.h"

#define TRANSCRIPT_BYTES 8192u

struct bytes {
    const char *data;
    size_t size;
};

/* With NULs inside, without the last one. */
#define BYTES(literal)                                                                             \
    { (literal), sizeof(literal) - 1 }

struct cuts_config {
    const struct srv_http_limits *limits;
    uint64_t body_max;
    bool upgrade, rest;
};

/* Pushes of `first` bytes and of the rest in pieces of `step`. Returns the last fault. */
static inline struct srv_http_fault push_in_pieces(struct bytes input, size_t first, size_t step,
                                                   const struct cuts_config *config,
                                                   char transcript[TRANSCRIPT_BYTES]) {
    struct http_watch watch;
    assert_int_equal(http_watch_start(&watch, config->limits, transcript, TRANSCRIPT_BYTES), 0);
    watch.body_max = config->body_max;
    watch.upgrade = config->upgrade;
    watch.rest = config->rest;
    for (size_t at = 0; at < input.size;) {
        size_t piece = at == 0 && first > 0 ? first : step;
        piece = piece < input.size - at ? piece : input.size - at;
        http_watch_push(&watch, input.data + at, piece);
        at += piece;
    }
    struct srv_http_fault fault = *srv_http_parser_fault(watch.parser);
    http_watch_end(&watch);
    return fault;
}

/* Whole, byte by byte, and in two pushes cut at every byte: always the same. */
static inline struct srv_http_fault push_in_all_cuts(struct bytes input,
                                                     const struct cuts_config *config,
                                                     char transcript[TRANSCRIPT_BYTES]) {
    static char other[TRANSCRIPT_BYTES];
    struct srv_http_fault fault = push_in_pieces(input, 0, input.size + 1, config, transcript);
    (void)push_in_pieces(input, 0, 1, config, other);
    assert_string_equal(other, transcript);
    for (size_t cut = 1; cut < input.size; cut++) {
        (void)push_in_pieces(input, cut, input.size, config, other);
        assert_string_equal(other, transcript);
    }
    return fault;
}

#endif
