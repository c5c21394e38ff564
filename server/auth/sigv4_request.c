#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "server/auth/sigv4_inner.h"
#include "server/http/chars.h"

#define UNSIGNED_PAYLOAD "UNSIGNED-PAYLOAD"
/* Of nothing. */
#define EMPTY_HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

void srv_sigv4_room_init(struct srv_sigv4_room *room) {
    kn_writer_init_growing(&room->text, SRV_SIGV4_CANONICAL_MAX);
    kn_writer_init_growing(&room->scratch, SRV_SIGV4_CANONICAL_MAX);
    for (size_t i = 0; i < SRV_SIGV4_QUERIES; i++) {
        kn_writer_init_growing(&room->queries[i], SRV_SIGV4_CANONICAL_MAX);
    }
}

void srv_sigv4_room_finish(struct srv_sigv4_room *room) {
    for (size_t i = 0; i < SRV_SIGV4_QUERIES; i++) {
        kn_writer_finish(&room->queries[i]);
    }
    kn_writer_finish(&room->scratch);
    kn_writer_finish(&room->text);
}

/* ---- which headers are signed ---- */

static bool is_signed(const struct srv_sigv4_claim *claim, struct srv_http_text name) {
    for (size_t i = 0; i < claim->signed_count; i++) {
        struct srv_http_text one = claim->signed_names[i];
        bool same = one.size == name.size;
        for (size_t k = 0; k < name.size && same; k++) {
            same = one.data[k] == srv_http_lower(name.data[k]);
        }
        if (same) {
            return true;
        }
    }
    return false;
}

static bool begins_with(struct srv_http_text text, const char *prefix) {
    size_t size = strlen(prefix);
    return text.size >= size && srv_http_text_is((struct srv_http_text){text.data, size}, prefix);
}

static bool must_be_signed(struct srv_http_text name) {
    if (srv_http_text_is(name, "x-amz-security-token") ||
        srv_http_text_is(name, "x-amzn-trace-id")) {
        return false;
    }
    return srv_http_text_is(name, "host") || begins_with(name, "x-amz-") ||
           begins_with(name, "x-amzn-");
}

static int refuse_header(struct srv_sigv4_outcome *outcome, struct srv_http_text name,
                         const char *what) {
    /* A token, so it can stand in a message. */
    int size = name.size > 64 ? 64 : (int)name.size;
    return srv_sigv4_refuse(outcome, SRV_AUTH_INVALID_SIGNATURE, "The header '%.*s' %s.", size,
                            name.data, what);
}

static int check_signed(const struct srv_sigv4_request *request,
                        const struct srv_sigv4_claim *claim, struct srv_sigv4_outcome *outcome) {
    static const char host[] = "host";
    if (!is_signed(claim, (struct srv_http_text){host, sizeof(host) - 1})) {
        return refuse_header(outcome, (struct srv_http_text){host, sizeof(host) - 1},
                             "is not signed");
    }
    for (size_t i = 0; i < request->field_count; i++) {
        struct srv_http_text name = request->fields[i].name;
        if (must_be_signed(name) && !is_signed(claim, name)) {
            return refuse_header(outcome, name, "is there and not signed");
        }
    }
    return 0;
}

/* ---- canonical form ---- */

/* Without its port; the same where it has none. */
static struct srv_http_text host_without_port(struct srv_http_text host) {
    size_t size = host.size;
    while (size > 0 && host.data[size - 1] >= '0' && host.data[size - 1] <= '9') {
        size--;
    }
    return size > 1 && host.data[size - 1] == ':' ? (struct srv_http_text){host.data, size - 1}
                                                  : host;
}

/* As it came, and as it would be without or with its port. */
static void set_hosts(struct srv_sigv4_canonical *canonical, struct srv_http_text host,
                      uint16_t port) {
    struct srv_http_text bare = host_without_port(host);
    canonical->hosts[0] = host;
    canonical->host_count = 1;
    if (bare.size < host.size) {
        canonical->hosts[canonical->host_count++] = bare;
    } else if (port != 0) {
        int size = snprintf(canonical->other_host, sizeof(canonical->other_host), "%.*s:%u",
                            (int)host.size, host.data, (unsigned)port);
        canonical->hosts[1] = (struct srv_http_text){canonical->other_host, (size_t)size};
        canonical->host_count += size > 0 && (size_t)size < sizeof(canonical->other_host) ? 1 : 0;
    }
}

/* Every field of the name, in one line. -ENOENT: there is none. */
static int write_values(struct kn_writer *writer, const struct srv_sigv4_request *request,
                        struct srv_http_text name) {
    char plain[256];
    const struct srv_http_field *field = NULL;
    bool first = true;
    if (name.size >= sizeof(plain)) {
        return -ENOENT;
    }
    memcpy(plain, name.data, name.size);
    plain[name.size] = '\0';
    while ((field = srv_http_field_find(request->fields, request->field_count, plain, field)) !=
           NULL) {
        if (!first) {
            kn_write_u8(writer, ',');
        }
        first = false;
        srv_canonical_value(writer, field->value);
    }
    return first ? -ENOENT : 0;
}

static void write_text(struct kn_writer *writer, const char *text) {
    kn_write_bytes(writer, text, strlen(text));
}

/* Places in the text, which moves while it grows. */
struct places {
    size_t before_host, host, after_host, end;
};

static int write_headers(struct kn_writer *writer, const struct srv_sigv4_request *request,
                         const struct srv_sigv4_claim *claim, struct places *places,
                         struct srv_sigv4_outcome *outcome) {
    for (size_t i = 0; i < claim->signed_count; i++) {
        struct srv_http_text name = claim->signed_names[i];
        kn_write_bytes(writer, name.data, name.size);
        kn_write_u8(writer, ':');
        bool host = srv_http_text_is(name, "host");
        places->host = host ? writer->size : places->host;
        if (write_values(writer, request, name) < 0) {
            return refuse_header(outcome, name, "is signed and not there");
        }
        places->after_host = host ? writer->size : places->after_host;
        kn_write_u8(writer, '\n');
    }
    return 0;
}

static struct srv_bytes between(const struct kn_writer *writer, size_t from, size_t to) {
    return (struct srv_bytes){writer->data + from, to - from};
}

static int refuse_limit(struct srv_sigv4_outcome *outcome, int rc) {
    return rc == KN_E_LIMIT
               ? srv_sigv4_refuse(outcome, SRV_AUTH_INCOMPLETE, "more to sign than is taken here")
               : rc;
}

/* All but the queries and the payload. */
static int write_frame(const struct srv_sigv4_request *request, const struct srv_sigv4_claim *claim,
                       struct kn_writer *text, struct srv_sigv4_canonical *canonical,
                       struct srv_sigv4_outcome *outcome) {
    struct places places = {0};
    kn_writer_clear(text);
    write_text(text, request->method);
    kn_write_u8(text, '\n');
    srv_canonical_path(text, request->path);
    kn_write_u8(text, '\n');
    places.before_host = text->size;
    kn_write_u8(text, '\n');
    int rc = write_headers(text, request, claim, &places, outcome);
    if (rc < 0) {
        return rc;
    }
    kn_write_u8(text, '\n');
    write_text(text, claim->signed_list);
    kn_write_u8(text, '\n');
    rc = kn_writer_status(text);
    if (rc < 0) {
        return refuse_limit(outcome, rc);
    }
    canonical->begin = between(text, 0, places.before_host);
    canonical->before_host = between(text, places.before_host, places.host);
    canonical->after_host = between(text, places.after_host, text->size);
    set_hosts(canonical,
              (struct srv_http_text){(const char *)text->data + places.host,
                                     places.after_host - places.host},
              request->port);
    return 0;
}

static int write_queries(struct srv_sigv4_room *room, struct srv_http_text query,
                         struct srv_sigv4_canonical *canonical, struct srv_sigv4_outcome *outcome) {
    static const enum srv_canonical_query how[SRV_SIGV4_QUERIES] = {SRV_QUERY_NORMAL,
                                                                    SRV_QUERY_AS_SENT};
    for (size_t i = 0; i < SRV_SIGV4_QUERIES; i++) {
        struct kn_writer *writer = &room->queries[i];
        kn_writer_clear(writer);
        int rc = srv_canonical_query(writer, &room->scratch, query, how[i]);
        rc = rc < 0 ? rc : kn_writer_status(writer);
        if (rc < 0) {
            return refuse_limit(outcome, rc);
        }
        canonical->queries[i] = (struct srv_http_text){
            writer->size > 0 ? (const char *)writer->data : "", writer->size};
    }
    bool same = canonical->queries[0].size == canonical->queries[1].size &&
                memcmp(canonical->queries[0].data, canonical->queries[1].data,
                       canonical->queries[0].size) == 0;
    canonical->query_count = same ? 1 : SRV_SIGV4_QUERIES;
    return 0;
}

/* ---- payload ---- */

static void add_payload(struct srv_sigv4_canonical *canonical, const char *text) {
    canonical->payloads[canonical->payload_count++] = (struct srv_http_text){text, strlen(text)};
}

static bool text_is(struct srv_http_text text, const char *literal) {
    return text.size == strlen(literal) && memcmp(text.data, literal, text.size) == 0;
}

static int refuse_payload(struct srv_sigv4_outcome *outcome, const char *what) {
    return srv_sigv4_refuse(outcome, SRV_AUTH_INVALID_SIGNATURE, "%s", what);
}

/* What X-Amz-Content-Sha256 says of a body whose hash is not known. */
static int streamed_payload(struct srv_sigv4_canonical *canonical, struct srv_http_text told,
                            struct srv_sigv4_outcome *outcome) {
    if (text_is(told, EMPTY_HASH)) {
        add_payload(canonical, EMPTY_HASH);
        return 0;
    }
    if (text_is(told, UNSIGNED_PAYLOAD)) {
        add_payload(canonical, UNSIGNED_PAYLOAD);
        return 0;
    }
    return refuse_payload(outcome, "The body of this call has no end to be hashed at: "
                                   "X-Amz-Content-Sha256 must be " UNSIGNED_PAYLOAD
                                   " or the hash of nothing.");
}

static int read_payload(struct srv_sigv4_canonical *canonical, struct srv_http_text told,
                        struct srv_sigv4_outcome *outcome) {
    if (text_is(told, UNSIGNED_PAYLOAD)) {
        return refuse_payload(outcome, UNSIGNED_PAYLOAD " is not taken for this call: its body "
                                                        "must be signed.");
    }
    if (!text_is(told, canonical->body_hex)) {
        return srv_sigv4_refuse(outcome, SRV_AUTH_INVALID_SIGNATURE,
                                "X-Amz-Content-Sha256 is not the hash of the body that came, %s.",
                                canonical->body_hex);
    }
    add_payload(canonical, canonical->body_hex);
    return 0;
}

static int set_payloads(const struct srv_sigv4_request *request,
                        struct srv_sigv4_canonical *canonical, struct srv_sigv4_outcome *outcome) {
    static const char name[] = "x-amz-content-sha256";
    const struct srv_http_field *told =
        srv_http_field_find(request->fields, request->field_count, name, NULL);
    bool streamed = request->body == SRV_BODY_STREAMED;
    if (request->body_sha256 != NULL) {
        (void)srv_sha256_hex(request->body_sha256, canonical->body_hex);
    } else {
        memcpy(canonical->body_hex, EMPTY_HASH, sizeof(EMPTY_HASH));
    }
    if (told == NULL) {
        add_payload(canonical, streamed ? EMPTY_HASH : canonical->body_hex);
        if (streamed) {
            add_payload(canonical, UNSIGNED_PAYLOAD);
        }
        return 0;
    }
    if (srv_http_field_find(request->fields, request->field_count, name, told) != NULL) {
        return refuse_payload(outcome, "the header has two X-Amz-Content-Sha256");
    }
    struct srv_http_text value = srv_http_trim(told->value);
    if (begins_with(value, "streaming-")) {
        char plain[64];
        return srv_sigv4_refuse(outcome, SRV_AUTH_INVALID_SIGNATURE,
                                "A body signed in chunks (%s) is not served here.",
                                kn_text_plain(value.data, value.size, plain, sizeof(plain)));
    }
    return streamed ? streamed_payload(canonical, value, outcome)
                    : read_payload(canonical, value, outcome);
}

/* ---- all of it ---- */

int srv_sigv4_canonical(const struct srv_sigv4_request *request,
                        const struct srv_sigv4_claim *claim, struct srv_sigv4_room *room,
                        struct srv_sigv4_canonical *canonical, struct srv_sigv4_outcome *outcome) {
    int rc = check_signed(request, claim, outcome);
    rc = rc < 0 ? rc : set_payloads(request, canonical, outcome);
    rc = rc < 0 ? rc : write_frame(request, claim, &room->text, canonical, outcome);
    return rc < 0 ? rc : write_queries(room, request->query, canonical, outcome);
}
