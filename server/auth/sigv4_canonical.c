#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "server/auth/sigv4_inner.h"
#include "server/http/chars.h"

static bool is_unreserved(char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

static void encode_byte(struct kn_writer *writer, char c) {
    static const char digits[] = "0123456789ABCDEF";
    if (is_unreserved(c)) {
        kn_write_u8(writer, (uint8_t)c);
        return;
    }
    const char escape[3] = {'%', digits[(uint8_t)c >> 4], digits[(uint8_t)c & 15]};
    kn_write_bytes(writer, escape, sizeof(escape));
}

/* ---- path ---- */

static bool text_is(struct srv_http_text text, const char *literal) {
    return text.size == strlen(literal) && memcmp(text.data, literal, text.size) == 0;
}

/* Segments are encoded, so a '/' in the writer is one of ours. */
static void drop_segment(struct kn_writer *writer, size_t from) {
    while (writer->size > from) {
        writer->size--;
        if (writer->data[writer->size] == '/') {
            return;
        }
    }
}

static void add_segment(struct kn_writer *writer, size_t from, struct srv_http_text segment) {
    if (segment.size == 0 || text_is(segment, ".")) {
        return;
    }
    if (text_is(segment, "..")) {
        drop_segment(writer, from);
        return;
    }
    kn_write_u8(writer, '/');
    for (size_t i = 0; i < segment.size; i++) {
        encode_byte(writer, segment.data[i]);
    }
}

void srv_canonical_path(struct kn_writer *writer, struct srv_http_text path) {
    size_t from = writer->size;
    size_t at = 0;
    while (at < path.size) {
        const char *slash = memchr(path.data + at, '/', path.size - at);
        size_t end = slash == NULL ? path.size : (size_t)(slash - path.data);
        add_segment(writer, from, (struct srv_http_text){path.data + at, end - at});
        at = end + 1;
    }
    if (writer->size == from || path.data[path.size - 1] == '/') {
        kn_write_u8(writer, '/');
    }
}

/* ---- query ---- */

struct member {
    size_t name_at, name_bytes, value_at, value_bytes;
    const uint8_t *base; /* what the places count from, once all are there */
};

bool srv_sigv4_query_take(struct srv_http_text *query, struct srv_http_text *ret_name,
                          struct srv_http_text *ret_value) {
    const char *end = query->size == 0 ? NULL : memchr(query->data, '&', query->size);
    size_t size = end == NULL ? query->size : (size_t)(end - query->data);
    const char *equals = size == 0 ? NULL : memchr(query->data, '=', size);
    size_t name_bytes = equals == NULL ? size : (size_t)(equals - query->data);
    size_t value_at = equals == NULL ? size : name_bytes + 1;
    *ret_name = (struct srv_http_text){query->data, name_bytes};
    *ret_value = (struct srv_http_text){query->data + value_at, size - value_at};
    if (end != NULL) {
        *query = (struct srv_http_text){end + 1, query->size - size - 1};
    }
    return end != NULL;
}

static int decode_at(struct srv_http_text text, size_t at) {
    if (text.data[at] != '%' || text.size - at < 3) {
        return -1;
    }
    int high = srv_http_hex_value(text.data[at + 1]);
    int low = srv_http_hex_value(text.data[at + 2]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* The next character of `text`, decoded; `at` moves on. */
static char take_character(struct srv_http_text text, bool plus_is_space, size_t *at) {
    int decoded = decode_at(text, *at);
    char c = text.data[*at];
    *at += decoded < 0 ? 1 : 3;
    if (decoded >= 0) {
        return (char)decoded;
    }
    return c == '+' && plus_is_space ? ' ' : c;
}

void srv_percent_decode(struct kn_writer *writer, struct srv_http_text text, bool plus_is_space) {
    for (size_t at = 0; at < text.size;) {
        kn_write_u8(writer, (uint8_t)take_character(text, plus_is_space, &at));
    }
}

static void write_part(struct kn_writer *writer, struct srv_http_text text,
                       enum srv_canonical_query how) {
    if (how == SRV_QUERY_AS_SENT) {
        kn_write_bytes(writer, text.data, text.size);
        return;
    }
    for (size_t at = 0; at < text.size;) {
        encode_byte(writer, take_character(text, true, &at));
    }
}

static int compare_parts(const uint8_t *a, size_t a_bytes, const uint8_t *b, size_t b_bytes) {
    size_t both = a_bytes < b_bytes ? a_bytes : b_bytes;
    int order = both == 0 ? 0 : memcmp(a, b, both);
    return order != 0 ? order : (a_bytes > b_bytes) - (a_bytes < b_bytes);
}

static int compare_members(const void *left, const void *right) {
    const struct member *a = left;
    const struct member *b = right;
    int order =
        compare_parts(a->base + a->name_at, a->name_bytes, b->base + b->name_at, b->name_bytes);
    return order != 0 ? order
                      : compare_parts(a->base + a->value_at, a->value_bytes, b->base + b->value_at,
                                      b->value_bytes);
}

/* Every member as it is to be signed, in the order in which they came. */
static int gather(struct kn_writer *scratch, struct srv_http_text query,
                  enum srv_canonical_query how, struct member *members, size_t *ret_count) {
    static const char signature[] = "X-Amz-Signature";
    struct srv_http_text name;
    struct srv_http_text value;
    size_t count = 0;
    for (bool more = query.size > 0; more;) {
        more = srv_sigv4_query_take(&query, &name, &value);
        struct member member = {.name_at = scratch->size};
        write_part(scratch, name, how);
        member.name_bytes = scratch->size - member.name_at;
        member.value_at = scratch->size;
        write_part(scratch, value, how);
        member.value_bytes = scratch->size - member.value_at;
        int rc = kn_writer_status(scratch);
        if (rc < 0) {
            return rc;
        }
        bool empty = member.name_bytes == 0 && member.value_bytes == 0;
        if ((empty && how == SRV_QUERY_NORMAL) ||
            (member.name_bytes == sizeof(signature) - 1 &&
             memcmp(scratch->data + member.name_at, signature, member.name_bytes) == 0)) {
            continue;
        }
        if (count == SRV_SIGV4_QUERY_MAX) {
            return KN_E_LIMIT;
        }
        members[count++] = member;
    }
    *ret_count = count;
    return 0;
}

int srv_canonical_query(struct kn_writer *writer, struct kn_writer *scratch,
                        struct srv_http_text query, enum srv_canonical_query how) {
    struct member members[SRV_SIGV4_QUERY_MAX];
    size_t count = 0;
    kn_writer_clear(scratch);
    kn_write_u8(scratch, 0); /* so that it has an address, whatever the query */
    int rc = gather(scratch, query, how, members, &count);
    if (rc < 0) {
        return rc;
    }
    for (size_t i = 0; i < count; i++) {
        members[i].base = scratch->data;
    }
    if (count > 1) {
        qsort(members, count, sizeof(members[0]), compare_members);
    }
    for (size_t i = 0; i < count; i++) {
        if (i > 0) {
            kn_write_u8(writer, '&');
        }
        kn_write_bytes(writer, scratch->data + members[i].name_at, members[i].name_bytes);
        kn_write_u8(writer, '=');
        kn_write_bytes(writer, scratch->data + members[i].value_at, members[i].value_bytes);
    }
    return 0;
}

/* ---- header ---- */

void srv_canonical_value(struct kn_writer *writer, struct srv_http_text value) {
    bool space = false;
    value = srv_http_trim(value);
    for (size_t i = 0; i < value.size; i++) {
        char c = value.data[i];
        if (c == ' ' || c == '\t') {
            space = true;
            continue;
        }
        if (space) {
            kn_write_u8(writer, ' ');
            space = false;
        }
        kn_write_u8(writer, (uint8_t)c);
    }
}
