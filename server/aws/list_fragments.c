#include "server/aws/list_fragments.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "server/aws/inner.h"

#define RESULTS_USUAL 100
#define RESULTS_MOST 1000

/* ---- the token: version, clock, then times, sequence and stream as hex ---- */

static void write_hex(char **at, const uint8_t *bytes, size_t size) {
    for (size_t i = 0; i < size; i++) {
        *at += snprintf(*at, 3, "%02x", bytes[i]);
    }
}

const char *srv_fragments_token_write(const struct srv_fragments_page *page,
                                      char text[static SRV_FRAGMENTS_TOKEN_BYTES]) {
    int size =
        snprintf(text, SRV_FRAGMENTS_TOKEN_BYTES, "1%c%016" PRIx64 "%016" PRIx64 "%016" PRIx64,
                 page->clock == FRAG_CLOCK_PRODUCER ? 'p' : 's', (uint64_t)page->from.ns,
                 (uint64_t)page->to.ns, page->after);
    char *at = text + size;
    write_hex(&at, page->stream, sizeof(page->stream));
    return text;
}

static int digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* `digits` of them; false: there are others among them. */
static bool read_hex(const char **text, size_t digits, uint64_t *ret_value) {
    uint64_t value = 0;
    for (size_t i = 0; i < digits; i++) {
        int one = digit((*text)[i]);
        if (one < 0) {
            return false;
        }
        value = value << 4 | (uint64_t)one;
    }
    *text += digits;
    *ret_value = value;
    return true;
}

int srv_fragments_token_read(const char *text, struct srv_fragments_page *ret_page) {
    struct srv_fragments_page page;
    uint64_t from = 0;
    uint64_t to = 0;
    if (strlen(text) != SRV_FRAGMENTS_TOKEN_BYTES - 1 || text[0] != '1' ||
        (text[1] != 'p' && text[1] != 's')) {
        return KN_E_MALFORMED;
    }
    page.clock = text[1] == 'p' ? FRAG_CLOCK_PRODUCER : FRAG_CLOCK_SERVER;
    text += 2;
    if (!read_hex(&text, 16, &from) || !read_hex(&text, 16, &to) ||
        !read_hex(&text, 16, &page.after)) {
        return KN_E_MALFORMED;
    }
    for (size_t i = 0; i < sizeof(page.stream); i++) {
        uint64_t byte = 0;
        if (!read_hex(&text, 2, &byte)) {
            return KN_E_MALFORMED;
        }
        page.stream[i] = (uint8_t)byte;
    }
    page.from.ns = (int64_t)from;
    page.to.ns = (int64_t)to;
    if (page.from.ns > page.to.ns || page.after > FRAG_NUMBER_SEQUENCE_MAX) {
        return KN_E_MALFORMED;
    }
    *ret_page = page;
    return 0;
}

/* ---- what is asked for ---- */

static bool refuse(struct srv_exchange *exchange, const char *what) {
    srv_answer_error(exchange, 400, SRV_AWS_INVALID, "%s", what);
    return false;
}

static bool read_selector(struct srv_exchange *exchange, const json_t *selector,
                          struct srv_fragments_page *page) {
    const char *type = srv_aws_text(selector, "FragmentSelectorType");
    const json_t *range = json_object_get(selector, "TimestampRange");
    if (type == NULL) {
        return refuse(exchange, "Either FragmentSelector or NextToken is needed.");
    }
    page->clock = strcmp(type, "PRODUCER_TIMESTAMP") == 0 ? FRAG_CLOCK_PRODUCER : FRAG_CLOCK_SERVER;
    if (srv_aws_time(json_object_get(range, "StartTimestamp"), &page->from) < 0 ||
        srv_aws_time(json_object_get(range, "EndTimestamp"), &page->to) < 0) {
        return refuse(exchange, "TimestampRange needs StartTimestamp and EndTimestamp.");
    }
    return page->from.ns <= page->to.ns ||
           refuse(exchange, "EndTimestamp must not be before StartTimestamp.");
}

/* `page->stream` is set. */
static bool read_page(struct srv_exchange *exchange, struct srv_fragments_page *page) {
    const json_t *body = srv_exchange_json(exchange);
    const char *token = srv_aws_text(body, "NextToken");
    struct srv_fragments_page next;
    if (token == NULL) {
        return read_selector(exchange, json_object_get(body, "FragmentSelector"), page);
    }
    if (srv_fragments_token_read(token, &next) < 0 ||
        memcmp(next.stream, page->stream, sizeof(next.stream)) != 0) {
        return refuse(exchange, "NextToken is none that was given for this stream.");
    }
    *page = next;
    return true;
}

static bool read_stream_id(struct srv_exchange *exchange, struct frag_stream *stream,
                           uint8_t id[static FRAG_ID_BYTES]) {
    struct frag_stream_info *info = malloc(sizeof(*info));
    int rc = info == NULL ? -ENOMEM : frag_stream_describe(stream, info);
    if (rc == 0) {
        memcpy(id, info->id, FRAG_ID_BYTES);
    } else {
        srv_answer_failure(exchange, rc, "stream");
    }
    free(info);
    return rc == 0;
}

/* ---- the list ---- */

static json_t *fragment_json(const struct frag_entry *entry) {
    char number[FRAG_NUMBER_TEXT_BYTES];
    return json_pack(
        "{s:s, s:I, s:o, s:o, s:I}", "FragmentNumber", frag_number_format(entry->number, number),
        "FragmentSizeInBytes", (json_int_t)entry->cluster_bytes, "ProducerTimestamp",
        srv_aws_json_time(entry->producer), "ServerTimestamp", srv_aws_json_time(entry->server),
        "FragmentLengthInMilliseconds", (json_int_t)(entry->duration_ns / KN_NS_PER_MS));
}

/* Where a page is full there may be another one, which may be empty. */
static json_t *page_json(const struct srv_fragments_page *page, const struct frag_entry *entries,
                         size_t count, size_t max) {
    json_t *list = json_array();
    char token[SRV_FRAGMENTS_TOKEN_BYTES];
    struct srv_fragments_page next = *page;
    bool whole = list != NULL;
    for (size_t i = 0; i < count && whole; i++) {
        whole = json_array_append_new(list, fragment_json(&entries[i])) == 0;
    }
    json_t *answer = whole ? json_pack("{s:O}", "Fragments", list) : NULL;
    json_decref(list);
    if (answer != NULL && count == max) {
        next.after = entries[count - 1].number.sequence;
        if (json_object_set_new(answer, "NextToken",
                                json_string(srv_fragments_token_write(&next, token))) < 0) {
            json_decref(answer);
            return NULL;
        }
    }
    return answer;
}

static void answer_page(struct srv_exchange *exchange, struct frag_stream *stream,
                        const struct srv_fragments_page *page, size_t max) {
    struct frag_archive *archive = srv_exchange_archive(exchange);
    struct frag_entry *entries = calloc(max, sizeof(*entries));
    int rc = archive == NULL ? -EIO : entries == NULL ? -ENOMEM : 0;
    if (rc == 0) {
        rc = frag_archive_range(archive, stream, page->clock, page->from, page->to, page->after,
                                entries, max);
    }
    if (rc == -ENOENT &&
        frag_stream_find(srv_exchange_world(exchange)->store, frag_stream_name(stream)) == stream) {
        rc = 0; /* nothing is stored */
    }
    if (rc < 0) {
        srv_answer_failure(exchange, rc, "listing fragments");
    } else {
        srv_answer_json(exchange, 200, page_json(page, entries, (size_t)rc, max));
    }
    free(entries);
}

void srv_aws_list_fragments(struct srv_exchange *exchange) {
    struct srv_fragments_page page = {.clock = FRAG_CLOCK_SERVER};
    srv_aws_begin(exchange);
    if (!srv_aws_valid(exchange, "ListFragments")) {
        return;
    }
    struct frag_stream *stream = srv_aws_body_stream(exchange, SRV_ACTION_READ);
    if (stream == NULL || !read_stream_id(exchange, stream, page.stream) ||
        !read_page(exchange, &page)) {
        return;
    }
    const json_t *wanted = json_object_get(srv_exchange_json(exchange), "MaxResults");
    json_int_t max = json_is_integer(wanted) ? json_integer_value(wanted) : RESULTS_USUAL;
    if (max < 1 || max > RESULTS_MOST) {
        (void)refuse(exchange, "MaxResults must be 1 to 1000.");
        return;
    }
    answer_page(exchange, stream, &page, (size_t)max);
}
