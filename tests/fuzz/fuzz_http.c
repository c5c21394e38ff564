/* server/http on any bytes. The first byte chooses: bits 0-1 what is run (requests, a path, a
 * query, the head of a response); for requests bit 2 small limits, bit 3 upgrades are taken, bit 4
 * memory is given back behind each, bit 5 bodies without a limit. The second seeds the cuts. The
 * rest is the input. */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "server/http/path.h"
#include "server/http/query.h"
#include "server/http/response.h"
#include "tests/support/http_watch.h"

#define ROOM ((size_t)64 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- requests: any cut gives the same events and the same end ---- */

struct choice {
    bool small, upgrade, rest, endless;
    uint64_t seed;
};

struct outcome {
    int result;
    uint64_t digest;
    size_t requests;
};

static size_t next_piece(uint64_t *seed) {
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    unsigned wide = (unsigned)(*seed >> 60);
    return 1 + (size_t)((*seed >> 33) % (UINT64_C(1) << (wide % 9)));
}

static const struct srv_http_limits small_limits = {
    .request_line_bytes = 48,
    .head_bytes = 96,
    .head_fields = 4,
    .chunk_line_bytes = 10,
    .extension_bytes = 16,
    .trailer_bytes = 24,
    .trailer_fields = 2,
    .body_bytes = 16,
};

static struct outcome parse(const uint8_t *data, size_t size, struct choice choice, bool in_cuts) {
    struct http_watch watch;
    char room[1];
    struct outcome outcome = {.result = -ENOMEM};
    if (http_watch_start(&watch, choice.small ? &small_limits : NULL, room, sizeof(room)) != 0) {
        return outcome;
    }
    watch.upgrade = choice.upgrade;
    watch.rest = choice.rest;
    watch.body_max = choice.endless ? UINT64_MAX : 0;
    for (size_t at = 0; at < size;) {
        size_t piece = in_cuts ? next_piece(&choice.seed) : size;
        piece = piece < size - at ? piece : size - at;
        http_watch_push(&watch, data + at, piece);
        at += piece;
    }
    http_watch_end(&watch);
    outcome = (struct outcome){watch.result, watch.digest, watch.requests};
    return outcome;
}

static void run_requests(const uint8_t *data, size_t size, struct choice choice) {
    struct outcome whole = parse(data, size, choice, false);
    struct outcome cut = parse(data, size, choice, true);
    if (whole.result != -ENOMEM && cut.result != -ENOMEM) {
        KN_ASSERT(whole.result == cut.result && whole.digest == cut.digest);
        KN_ASSERT(whole.requests == cut.requests);
    }
}

/* ---- a path: what comes out is clean, and stays what it is ---- */

static void check_segment(struct srv_http_text segment) {
    KN_ASSERT(memchr(segment.data, '/', segment.size) == NULL);
    KN_ASSERT(memchr(segment.data, '\0', segment.size) == NULL);
    KN_ASSERT(!srv_http_text_is(segment, ".") && !srv_http_text_is(segment, ".."));
}

static size_t write_path(const struct srv_http_path *path, char *raw) {
    static const char digits[] = "0123456789abcdef";
    size_t used = 0;
    for (size_t i = 0; i < path->count; i++) {
        raw[used++] = '/';
        for (size_t j = 0; j < path->segments[i].size; j++) {
            unsigned char byte = (unsigned char)path->segments[i].data[j];
            raw[used++] = '%';
            raw[used++] = digits[byte >> 4];
            raw[used++] = digits[byte & 15];
        }
    }
    if (path->slash) {
        raw[used++] = '/';
    }
    return used;
}

static void run_path(struct srv_http_text raw) {
    static struct srv_http_path path, again;
    static char written[3 * SRV_HTTP_PATH_BYTES + SRV_HTTP_PATH_SEGMENTS + 1];
    int rc = srv_http_path_split(raw, &path);
    KN_ASSERT(rc == 0 || rc == KN_E_MALFORMED || rc == KN_E_LIMIT);
    if (rc != 0) {
        return;
    }
    size_t size = write_path(&path, written);
    KN_ASSERT(srv_http_path_split((struct srv_http_text){written, size}, &again) == 0);
    KN_ASSERT(again.count == path.count && again.slash == path.slash);
    for (size_t i = 0; i < path.count; i++) {
        check_segment(path.segments[i]);
        KN_ASSERT(again.segments[i].size == path.segments[i].size);
        KN_ASSERT(memcmp(again.segments[i].data, path.segments[i].data, path.segments[i].size) ==
                  0);
    }
}

/* ---- a query: every byte is in one place, and a name that is there once is found ---- */

static void check_decoded(struct srv_http_text raw) {
    static char room[ROOM];
    struct srv_http_text text;
    int rc = srv_http_query_decode(raw, room, sizeof(room), &text);
    KN_ASSERT(rc == 0 || rc == KN_E_MALFORMED || rc == KN_E_LIMIT);
    KN_ASSERT(rc != 0 || (text.size <= raw.size && memchr(room, '\0', text.size) == NULL));
}

static void run_query(struct srv_http_text raw) {
    static char room[ROOM];
    struct srv_http_query query = srv_http_query_begin(raw);
    struct srv_http_pair pair;
    const char *at = raw.data;
    struct srv_http_text text;
    while (srv_http_query_next(&query, &pair)) {
        KN_ASSERT(pair.name.data >= at);
        KN_ASSERT(pair.value.data == pair.name.data + pair.name.size + pair.has_value);
        at = pair.value.data + pair.value.size;
        KN_ASSERT(at <= raw.data + raw.size && (at == raw.data + raw.size || *at == '&'));
        check_decoded(pair.name);
        check_decoded(pair.value);
    }
    int rc = srv_http_query_find(raw, "a", room, sizeof(room), &text);
    KN_ASSERT(rc == 0 || rc == -ENOENT || rc == KN_E_MALFORMED || rc == KN_E_LIMIT);
}

/* ---- a response: no field splits it ---- */

static size_t count_lines(const char *data, size_t size) {
    size_t lines = 0;
    for (size_t i = 0; i < size; i++) {
        KN_ASSERT(data[i] != '\0');
        KN_ASSERT((data[i] == '\r') == (i + 1 < size && data[i + 1] == '\n'));
        lines += data[i] == '\n';
    }
    return lines;
}

/* The name up to the first ':', the value behind it. */
static void run_response(struct srv_http_text bytes) {
    static char room[ROOM];
    struct srv_http_response response;
    struct kn_writer writer;
    const char *colon = bytes.size == 0 ? NULL : memchr(bytes.data, ':', bytes.size);
    if (colon == NULL) {
        return;
    }
    size_t name = (size_t)(colon - bytes.data);
    const struct srv_http_field field = {{bytes.data, name}, {colon + 1, bytes.size - name - 1}};
    kn_writer_init(&writer, room, sizeof(room));
    srv_http_response_init(&response, NULL, NULL);
    int rc = srv_http_response_head(&response, &writer, 200, &field, 1, 0);
    KN_ASSERT(rc == 0 || rc == -EINVAL);
    if (rc == 0 && kn_writer_status(&writer) == 0) {
        /* Status line, Connection, Content-Length, the field, the empty line. */
        KN_ASSERT(count_lines(room, writer.size) == 5);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) {
        return 0;
    }
    const struct srv_http_text rest = {(const char *)data + 2, size - 2};
    switch (data[0] & 3) {
    case 0:
        run_requests(data + 2, size - 2,
                     (struct choice){(data[0] & 4) != 0, (data[0] & 8) != 0, (data[0] & 16) != 0,
                                     (data[0] & 32) != 0, data[1]});
        break;
    case 1:
        run_path(rest);
        break;
    case 2:
        run_query(rest);
        break;
    default:
        run_response(rest);
        break;
    }
    return 0;
}
