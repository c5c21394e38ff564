#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/auth/sigv4_inner.h"
#include "tests/support/fail_alloc.h"
#include "tests/support/signed_request.h"
#include "tests/unit/server_signatures.h"

#define ROOM 65536u

static const struct kn_wall signed_at = {SIGNED_AT_S * KN_NS_PER_S};

/* ---- a world with one key ---- */

struct world {
    struct srv_sigv4 *sigv4;
    struct srv_sigv4_key key;
    const char *access_key; /* NULL: any */
    int answer;             /* of the lookup, where not 0 */
    struct srv_sigv4_outcome outcome;
};

static int lookup(const char *access_key, struct srv_sigv4_key *ret_key, void *user) {
    const struct world *world = user;
    if (world->answer < 0) {
        return world->answer;
    }
    if (world->access_key != NULL && strcmp(access_key, world->access_key) != 0) {
        return -ENOENT;
    }
    *ret_key = world->key;
    return 0;
}

static void set_secret(struct world *world, const char *secret) {
    memset(&world->key, 0, sizeof(world->key));
    world->key.secret_bytes = strlen(secret);
    memcpy(world->key.secret, secret, strlen(secret));
    world->key.expires = (struct kn_wall){INT64_MAX};
}

static void set_token(struct world *world, const char *token) {
    world->key.has_session = true;
    assert_int_equal(srv_sha256(token, strlen(token), world->key.session_sha256), 0);
}

static void world_init(struct world *world, size_t cache_entries) {
    struct srv_sigv4_config config = srv_sigv4_config_defaults();
    memset(world, 0, sizeof(*world));
    world->access_key = SIGNED_ACCESS_KEY;
    set_secret(world, SIGNED_SECRET);
    config.lookup = lookup;
    config.user = world;
    config.cache_entries = cache_entries;
    assert_int_equal(srv_sigv4_create(&config, &world->sigv4), 0);
}

static int verify_bytes(struct world *world, const char *bytes, size_t size, struct kn_wall now) {
    static char room[ROOM];
    struct signed_request request;
    assert_true(size <= sizeof(room));
    memcpy(room, bytes, size);
    if (signed_request_read(room, size, &request) < 0) {
        return -EBADMSG;
    }
    return srv_sigv4_verify(world->sigv4, &request.request, now, &world->outcome);
}

static int verify(struct world *world, const char *text, struct kn_wall now) {
    return verify_bytes(world, text, strlen(text), now);
}

static void expect(struct world *world, const char *text, enum srv_auth_error error,
                   const char *says) {
    int rc = verify(world, text, signed_at);
    if (rc != (error == SRV_AUTH_FINE ? 0 : -EACCES) || world->outcome.error != error ||
        strstr(world->outcome.message, says) == NULL) {
        fail_msg("%s\n-> %d %s %s\n   wanted %s %s", text, rc,
                 srv_auth_error_name(world->outcome.error), world->outcome.message,
                 srv_auth_error_name(error), says);
    }
}

static const char *vector(const char *name) {
    for (size_t i = 0; i < KN_COUNT(signed_requests); i++) {
        if (strcmp(signed_requests[i].name, name) == 0) {
            return signed_requests[i].text;
        }
    }
    fail_msg("no request is called '%s'", name);
    return NULL;
}

/* A copy with the first `old` behind `behind` replaced; valid until the next call but one. */
static const char *with(const char *text, const char *behind, const char *old, const char *fresh) {
    static char rooms[2][ROOM];
    static unsigned turn;
    char *room = rooms[turn++ % 2];
    const char *from = strstr(text, behind);
    assert_non_null(from);
    const char *at = strstr(from, old);
    assert_non_null(at);
    int size = snprintf(room, ROOM, "%.*s%s%s", (int)(at - text), text, fresh, at + strlen(old));
    assert_true(size > 0 && (unsigned)size < ROOM);
    return room;
}

static const char *first_line(const char *text) {
    static char line[128];
    (void)snprintf(line, sizeof(line), "%.*s", (int)strcspn(text, "\n"), text);
    return line;
}

/* ---- botocore's signatures ---- */

static void test_vectors(void **state) {
    (void)state;
    struct world world;
    world_init(&world, 4);
    for (size_t i = 0; i < KN_COUNT(signed_requests); i++) {
        set_secret(&world, SIGNED_SECRET);
        if (signed_requests[i].has_token) {
            set_token(&world, SIGNED_TOKEN);
        }
        int rc = verify(&world, signed_requests[i].text, signed_at);
        if (rc != 0) {
            fail_msg("%s: %d %s", signed_requests[i].name, rc, world.outcome.message);
        }
        assert_string_equal(world.outcome.access_key, SIGNED_ACCESS_KEY);
        assert_string_equal(world.outcome.region, SIGNED_REGION);
        assert_string_equal(world.outcome.message, "");
    }
    /* All have one key, date and region. */
    assert_int_equal(srv_sigv4_stats(world.sigv4).cache_entries, 1);
    assert_int_equal(srv_sigv4_stats(world.sigv4).cache_misses, 1);
    srv_sigv4_destroy(world.sigv4);
}

/* The message of a refusal tells the hash of the form that most sign, which is botocore's own where
 * the request is written as it signs it. */
static void test_canonical_hash(void **state) {
    (void)state;
    static const char *const others[] = {"a plus as it stands",
                                         "lower case escapes",
                                         "needless escapes",
                                         "signs unescaped",
                                         "empty members",
                                         "a value with an equals sign",
                                         "a percent that escapes nothing",
                                         "PutMedia unsigned without a word",
                                         "signed without the port, sent with it",
                                         "signed with the port, sent without it"};
    struct world world;
    world_init(&world, 0);
    for (size_t i = 0; i < KN_COUNT(signed_requests); i++) {
        bool other = false;
        for (size_t k = 0; k < KN_COUNT(others); k++) {
            other = other || strcmp(others[k], signed_requests[i].name) == 0;
        }
        set_secret(&world, "another secret, as long as theirs, 40 char");
        if (signed_requests[i].has_token) {
            set_token(&world, SIGNED_TOKEN);
        }
        assert_int_equal(verify(&world, signed_requests[i].text, signed_at), -EACCES);
        assert_int_equal(world.outcome.error, SRV_AUTH_INVALID_SIGNATURE);
        bool told = strstr(world.outcome.message, signed_requests[i].canonical_hex) != NULL;
        if (told == other) {
            fail_msg("%s: %s", signed_requests[i].name, world.outcome.message);
        }
        assert_null(strstr(world.outcome.message, "another secret"));
        assert_string_equal(world.outcome.access_key, "");
    }
    srv_sigv4_destroy(world.sigv4);
}

/* ---- every byte counts ---- */

/* The name "Host" and the digits of escapes have no case. */
static bool has_no_case(const char *text, size_t i) {
    const char *host = strstr(text, "Host");
    return (text + i >= host && text + i < host + 4) || (i > 0 && text[i - 1] == '%') ||
           (i > 1 && text[i - 2] == '%');
}

/* Each byte in three other ways. */
static unsigned flip_all(struct world *world, const char *text) {
    static char room[ROOM];
    size_t size = strlen(text);
    unsigned refused = 0;
    memcpy(room, text, size + 1);
    for (size_t i = 0; i < size; i++) {
        static const char turns[] = {1, 0x20, 2};
        for (size_t k = 0; k < sizeof(turns); k++) {
            room[i] = (char)(text[i] ^ turns[k]);
            int rc = verify_bytes(world, room, size, signed_at);
            if (rc == 0 && !(turns[k] == 0x20 && has_no_case(text, i))) {
                fail_msg("byte %zu, '%c' as '%c', was taken:\n%s", i, text[i], room[i], room);
            }
            assert_true(rc == 0 || rc == -EACCES || rc == -EBADMSG);
            refused += rc != 0;
        }
        room[i] = text[i];
    }
    assert_int_equal(verify(world, text, signed_at), 0);
    return refused;
}

static void test_every_byte(void **state) {
    (void)state;
    struct world world;
    world_init(&world, 4);
    const char *text = vector("the aws cli");
    /* Names of header fields have no case, User-Agent is not signed; the rest is, or is the
     * signature. */
    const char *agent = strstr(text, "User-Agent");
    const char *agent_end = strchr(agent, '\n');
    static char room[ROOM];
    size_t size = strlen(text);
    memcpy(room, text, size + 1);
    for (size_t i = 0; i < size - 1; i++) { /* the last byte ends the last line */
        bool line = i == 0 || text[i - 1] == '\n';
        if (line && text + i > strstr(text, "POST")) { /* past a field's name */
            i += (size_t)(strchr(text + i, ':') - (text + i));
        }
        if (text + i >= agent && text + i <= agent_end) {
            i = (size_t)(agent_end - text);
            continue;
        }
        for (int turn = 1; turn < 0x80; turn = turn * 2 + 1) {
            room[i] = (char)(text[i] ^ turn);
            if (verify_bytes(&world, room, size, signed_at) == 0 &&
                !(text[i] == ' ' && room[i] == '\t')) {
                fail_msg("byte %zu, 0x%02x as 0x%02x, was taken", i, (unsigned char)text[i],
                         (unsigned char)room[i]);
            }
        }
        room[i] = text[i];
    }
    srv_sigv4_destroy(world.sigv4);
}

static void test_every_byte_presigned(void **state) {
    (void)state;
    struct world world;
    world_init(&world, 4);
    set_token(&world, SIGNED_TOKEN);
    assert_true(flip_all(&world, vector("presigned with a token")) > 900);
    set_secret(&world, SIGNED_SECRET);
    assert_true(flip_all(&world, vector("a presigned GET")) > 700);
    srv_sigv4_destroy(world.sigv4);
}

static void test_other_secret(void **state) {
    (void)state;
    struct world world;
    world_init(&world, 4);
    expect(&world, vector("the aws cli"), SRV_AUTH_FINE, "");
    set_secret(&world, "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEy"); /* though the other was kept */
    expect(&world, vector("the aws cli"), SRV_AUTH_INVALID_SIGNATURE, "does not match");
    set_secret(&world, SIGNED_SECRET);
    expect(&world, vector("the aws cli"), SRV_AUTH_FINE, "");
    srv_sigv4_destroy(world.sigv4);
}

/* ---- what is refused by name ---- */

#define AUTHORIZATION "Authorization: AWS4-HMAC-SHA256 "
#define SCOPE SIGNED_ACCESS_KEY "/20261120/eu-central-1/kinesisvideo/aws4_request"
#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define PLAIN "GET /\nHost: h\nX-Amz-Date: 20261120T212340Z\n"

static void test_refusals(void **state) {
    (void)state;
    static const struct {
        const char *text;
        enum srv_auth_error error;
        const char *says;
    } cases[] = {
        {"GET /\nHost: h\n", SRV_AUTH_MISSING_TOKEN, "Missing Authentication Token"},
        {"GET /?a=b\nHost: h\nX-Amz-Date: 20261120T212340Z\n", SRV_AUTH_MISSING_TOKEN, "Missing"},
        {PLAIN "Authorization: Bearer abc\n", SRV_AUTH_INCOMPLETE, "algorithm"},
        {PLAIN "Authorization:\n", SRV_AUTH_INCOMPLETE, "algorithm"},
        {PLAIN "Authorization: AWS4-HMAC-SHA25\n", SRV_AUTH_INCOMPLETE, "algorithm"},
        {PLAIN "Authorization: AWS4-ECDSA-P256-SHA256 Credential=a\n", SRV_AUTH_INCOMPLETE,
         "AWS4-ECDSA-P256-SHA256 is not served"},
        {PLAIN AUTHORIZATION "\n", SRV_AUTH_INCOMPLETE, "'Credential'"},
        {PLAIN AUTHORIZATION "Credential=" SCOPE "\n", SRV_AUTH_INCOMPLETE, "'SignedHeaders'"},
        {PLAIN AUTHORIZATION "Credential=" SCOPE ",SignedHeaders=host\n", SRV_AUTH_INCOMPLETE,
         "'Signature'"},
        {PLAIN AUTHORIZATION "Credential=a, Credential=b\n", SRV_AUTH_INCOMPLETE, "one Credential"},
        {PLAIN AUTHORIZATION "Credential=a, Other=b\n", SRV_AUTH_INCOMPLETE, "one Credential"},
        {PLAIN AUTHORIZATION "Credential\n", SRV_AUTH_INCOMPLETE, "'SignedHeaders'"},
        {PLAIN AUTHORIZATION "Credential=" SCOPE ", SignedHeaders=host, Signature=" HEX64
                             "\nAuthorization: x\n",
         SRV_AUTH_INCOMPLETE, "two authorization"},
        {"GET /?X-Amz-Signature=a\nHost: h\n" AUTHORIZATION "x\n", SRV_AUTH_INCOMPLETE, "both"},
        {"GET /\nHost: h\n" AUTHORIZATION "Credential=" SCOPE
         ", SignedHeaders=host, Signature=" HEX64 "\n",
         SRV_AUTH_INCOMPLETE, "'Date' header"},
        {"GET /\nHost: h\nDate: Fri, 20 Nox 2026 21:23:40 GMT\n" AUTHORIZATION "Credential=" SCOPE
         ", SignedHeaders=host, Signature=" HEX64 "\n",
         SRV_AUTH_INCOMPLETE, "not a time"},
        {"GET /\nHost: h\nDate: Fri, 31 Nov 2026 21:23:40 GMT\n" AUTHORIZATION "Credential=" SCOPE
         ", SignedHeaders=host, Signature=" HEX64 "\n",
         SRV_AUTH_INCOMPLETE, "not a time"},
        {PLAIN "X-Amz-Date: 20261120T212341Z\n" AUTHORIZATION "Credential=" SCOPE
               ", SignedHeaders=host, Signature=" HEX64 "\n",
         SRV_AUTH_INCOMPLETE, "two x-amz-date"},
    };
    struct world world;
    world_init(&world, 4);
    for (size_t i = 0; i < KN_COUNT(cases); i++) {
        expect(&world, cases[i].text, cases[i].error, cases[i].says);
    }
    srv_sigv4_destroy(world.sigv4);
}

/* One part of a good Authorization put wrong. */
static void test_parts(void **state) {
    (void)state;
    static const struct {
        const char *old, *fresh;
        enum srv_auth_error error;
        const char *says;
    } cases[] = {
        {"kinesisvideo/", "kinesis/", SRV_AUTH_INVALID_SIGNATURE, "correct service"},
        {"kinesisvideo/", "", SRV_AUTH_INCOMPLETE, "scope"},
        {"aws4_request", "aws3_request", SRV_AUTH_INCOMPLETE, "scope"},
        {"aws4_request", "aws4_request/x", SRV_AUTH_INCOMPLETE, "scope"},
        {"eu-central-1", "", SRV_AUTH_INCOMPLETE, "scope"},
        {"eu-central-1", "eu_central", SRV_AUTH_INCOMPLETE, "scope"},
        {"eu-central-1", "us-west-2", SRV_AUTH_INVALID_SIGNATURE, "does not match"},
        {"/20261120/", "/20261121/", SRV_AUTH_INVALID_SIGNATURE, "Date in Credential scope"},
        {"/20261120/", "/2026112/", SRV_AUTH_INVALID_SIGNATURE, "Date in Credential scope"},
        {"/20261120/", "//", SRV_AUTH_INCOMPLETE, "scope"},
        {"/20261120/", "/202611200/", SRV_AUTH_INCOMPLETE, "scope"},
        {"AKIAIOSFODNN7EXAMPLE", "", SRV_AUTH_INCOMPLETE, "access key"},
        {"AKIAIOSFODNN7EXAMPLE", "AKIA IOS", SRV_AUTH_INCOMPLETE, "access key"},
        {"AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLF", SRV_AUTH_UNRECOGNIZED_CLIENT, "invalid"},
        {"content-type;host;", "host;", SRV_AUTH_INVALID_SIGNATURE, "does not match"},
        {"content-type;host;", "content-type;", SRV_AUTH_INVALID_SIGNATURE, "'host' is not signed"},
        {"content-type;host;", "content-type;Host;", SRV_AUTH_INCOMPLETE, "lower case"},
        {"content-type;host;", "content-type;host;host;", SRV_AUTH_INCOMPLETE, "different"},
        {"content-type;host;", "content-type;;host;", SRV_AUTH_INCOMPLETE, "SignedHeaders"},
        {"host;x-amz-date", "host;x-amz-date;", SRV_AUTH_INCOMPLETE, "SignedHeaders"},
        {"content-type;host;", "content-type;ho st;", SRV_AUTH_INCOMPLETE, "SignedHeaders"},
        {"content-type;host;", "content-type;host;missing;", SRV_AUTH_INVALID_SIGNATURE,
         "'missing' is signed and not there"},
        {"host;x-amz-date", "host", SRV_AUTH_INVALID_SIGNATURE,
         "'x-amz-date' is there and not signed"},
        {"Signature=a", "Signature=", SRV_AUTH_INCOMPLETE, "64 hexadecimal"},
        {"Signature=a", "Signature=A", SRV_AUTH_INCOMPLETE, "64 hexadecimal"},
        {"Signature=a", "Signature=b", SRV_AUTH_INVALID_SIGNATURE, "does not match"},
    };
    struct world world;
    world_init(&world, 4);
    for (size_t i = 0; i < KN_COUNT(cases); i++) {
        expect(&world, with(vector("the aws cli"), "Authorization", cases[i].old, cases[i].fresh),
               cases[i].error, cases[i].says);
    }
    /* Written tighter and in another order it is the same. */
    const char *text =
        with(vector("the aws cli"), "Authorization", ", SignedHeaders", ",SignedHeaders");
    expect(&world, with(text, "Authorization", ", Signature", "  ,\tSignature"), SRV_AUTH_FINE, "");
    srv_sigv4_destroy(world.sigv4);
}

static void test_unsigned_headers(void **state) {
    (void)state;
    static const struct {
        const char *line;
        enum srv_auth_error error;
        const char *says;
    } cases[] = {
        {"Host: 127.0.0.1:5466\nAccept: x", SRV_AUTH_FINE, ""},
        {"Host: 127.0.0.1:5466\nX-Amzn-Trace-Id: Root=1", SRV_AUTH_FINE, ""},
        {"Host: 127.0.0.1:5466\nX-Amz-Target: x", SRV_AUTH_INVALID_SIGNATURE, "'x-amz-target'"},
        {"Host: 127.0.0.1:5466\nX-Amzn-Stream-Name: x", SRV_AUTH_INVALID_SIGNATURE,
         "'x-amzn-stream-name' is there and not signed"},
        {"Host: 127.0.0.1:5466\nContent-Type: text/plain", SRV_AUTH_INVALID_SIGNATURE, "match"},
        {"Host: 127.0.0.1:5466\nHost: other", SRV_AUTH_INVALID_SIGNATURE, "match"},
        {"Host: 127.0.0.1:5467", SRV_AUTH_INVALID_SIGNATURE, "match"},
        {"Accept: x", SRV_AUTH_INVALID_SIGNATURE, "'host' is signed and not there"},
    };
    struct world world;
    world_init(&world, 4);
    for (size_t i = 0; i < KN_COUNT(cases); i++) {
        expect(&world, with(vector("the aws cli"), "POST", "Host: 127.0.0.1:5466", cases[i].line),
               cases[i].error, cases[i].says);
    }
    srv_sigv4_destroy(world.sigv4);
}

static void test_payloads(void **state) {
    (void)state;
    struct world world;
    world_init(&world, 4);
    /* A body that was read must be the one that was signed, whatever is said of it. */
    const char *told = vector("its hash told");
    expect(&world, with(told, "@body", "cc94", "dc94"), SRV_AUTH_INVALID_SIGNATURE,
           "X-Amz-Content-Sha256 is not the hash of the body that came, dc94");
    expect(&world, with(told, "\nPOST", "cc94", "dc94"), SRV_AUTH_INVALID_SIGNATURE,
           "is not the hash");
    expect(&world, with(vector("the aws cli"), "@body", "cc94", "dc94"), SRV_AUTH_INVALID_SIGNATURE,
           "does not match");
    /* One that streams is taken in three forms, and those only for it. */
    const char *unsigned_ = vector("PutMedia unsigned");
    expect(&world, with(unsigned_, "@body", "@body streamed\n", ""), SRV_AUTH_INVALID_SIGNATURE,
           "UNSIGNED-PAYLOAD is not taken for this call");
    expect(&world,
           with(vector("PutMedia unsigned without a word"), "@body", "@body streamed\n", ""),
           SRV_AUTH_INVALID_SIGNATURE, "does not match");
    expect(&world, with(told, "@body", first_line(told), "@body streamed"),
           SRV_AUTH_INVALID_SIGNATURE, "no end to be hashed at");
    static const char *const others[] = {
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"};
    for (size_t i = 0; i < KN_COUNT(others); i++) {
        expect(&world, with(unsigned_, "@body", "UNSIGNED-PAYLOAD", others[i]),
               SRV_AUTH_INVALID_SIGNATURE, others[i]);
    }
    expect(&world, with(unsigned_, "@body", "UNSIGNED-PAYLOAD", HEX64), SRV_AUTH_INVALID_SIGNATURE,
           "no end to be hashed at");
    expect(&world,
           with(unsigned_, "@body", "X-Amz-Content-SHA256: UNSIGNED-PAYLOAD",
                "X-Amz-Content-SHA256: UNSIGNED-PAYLOAD\nX-Amz-Content-SHA256: x"),
           SRV_AUTH_INVALID_SIGNATURE, "two X-Amz-Content-Sha256");
    srv_sigv4_destroy(world.sigv4);
}

/* ---- presigned ---- */

static void test_query_parts(void **state) {
    (void)state;
    static const struct {
        const char *old, *fresh;
        enum srv_auth_error error;
        const char *says;
    } cases[] = {
        {"X-Amz-Algorithm=AWS4-HMAC-SHA256&", "", SRV_AUTH_INCOMPLETE, "'X-Amz-Algorithm'"},
        {"AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1", SRV_AUTH_INCOMPLETE, "algorithm"},
        {"X-Amz-Credential", "x-amz-credential", SRV_AUTH_INCOMPLETE, "'X-Amz-Credential'"},
        {"X-Amz-Date=20261120T212340Z&", "", SRV_AUTH_INCOMPLETE, "'X-Amz-Date'"},
        {"20261120T212340Z", "20261320T212340Z", SRV_AUTH_INCOMPLETE, "not a time"},
        {"20261120T212340Z", "20261120T212360Z", SRV_AUTH_INCOMPLETE, "not a time"},
        {"20261120T212340Z", "20261120t212340Z", SRV_AUTH_INCOMPLETE, "not a time"},
        {"20261120T212340Z", "2026-11-20T21:23:40Z", SRV_AUTH_INCOMPLETE, "not a time"},
        {"20261120T212340Z", "99991120T212340Z", SRV_AUTH_INCOMPLETE, "not a time"},
        {"Expires=300&", "Expires=&", SRV_AUTH_INCOMPLETE, "1 to 604800"},
        {"Expires=300&", "Expires=0&", SRV_AUTH_INCOMPLETE, "1 to 604800"},
        {"Expires=300&", "Expires=-1&", SRV_AUTH_INCOMPLETE, "1 to 604800"},
        {"Expires=300&", "Expires=604801&", SRV_AUTH_INCOMPLETE, "1 to 604800"},
        {"Expires=300&", "Expires=9999999999999999999999&", SRV_AUTH_INCOMPLETE, "1 to 604800"},
        {"Expires=300&", "Expires=3e2&", SRV_AUTH_INCOMPLETE, "1 to 604800"},
        {"Expires=300&", "Expires=301&", SRV_AUTH_INVALID_SIGNATURE, "does not match"},
        {"Expires=300&", "Expires=300&X-Amz-Expires=301&", SRV_AUTH_INCOMPLETE, "twice"},
        {"Expires=300&", "Expires=300&X-Amz-Expire%73=301&", SRV_AUTH_INCOMPLETE, "twice"},
        {"Expires=300&", "Expires=300&x=1&", SRV_AUTH_INVALID_SIGNATURE, "does not match"},
        {"Expires=300&", "Expires=300&X-Amz-Security-Token=&", SRV_AUTH_INCOMPLETE, "empty"},
        {"Expires=300&", "Expires=300&X-Amz-Security-Token=x&", SRV_AUTH_UNRECOGNIZED_CLIENT, ""},
        {"SignedHeaders=host", "SignedHeaders=host%3Bx", SRV_AUTH_INVALID_SIGNATURE, "'x'"},
        {"SignedHeaders=host", "SignedHeaders=", SRV_AUTH_INCOMPLETE, "SignedHeaders"},
        {"SignedHeaders=host", "SignedHeaders=ho%00st", SRV_AUTH_INCOMPLETE, "SignedHeaders"},
        {"SignedHeaders=host", "SignedHeaders=ho%73t", SRV_AUTH_FINE, ""},
        {"X-Amz-Signature=", "X-Amz-Signature=0", SRV_AUTH_INCOMPLETE, "64 hexadecimal"},
    };
    struct world world;
    world_init(&world, 4);
    for (size_t i = 0; i < KN_COUNT(cases); i++) {
        expect(&world, with(vector("a presigned GET"), "GET", cases[i].old, cases[i].fresh),
               cases[i].error, cases[i].says);
    }
    srv_sigv4_destroy(world.sigv4);
}

/* ---- time ---- */

static int at(struct world *world, const char *text, int64_t seconds, int64_t ns) {
    return verify(world, text, (struct kn_wall){signed_at.ns + seconds * KN_NS_PER_S + ns});
}

static void test_skew(void **state) {
    (void)state;
    struct world world;
    world_init(&world, 4);
    static const char *const names[] = {"the aws cli", "Date instead of X-Amz-Date"};
    for (size_t i = 0; i < KN_COUNT(names); i++) {
        const char *text = vector(names[i]);
        assert_int_equal(at(&world, text, 900, 0), 0);
        assert_int_equal(world.outcome.good_until.ns, signed_at.ns + 900 * KN_NS_PER_S);
        assert_int_equal(at(&world, text, -900, 0), 0);
        assert_int_equal(at(&world, text, 900, 1), -EACCES);
        assert_int_equal(world.outcome.error, SRV_AUTH_INVALID_SIGNATURE);
        assert_non_null(strstr(world.outcome.message, "Signature expired: 20261120T212340Z"));
        assert_int_equal(world.outcome.good_until.ns, 0);
        assert_int_equal(at(&world, text, -900, -1), -EACCES);
        assert_int_equal(world.outcome.error, SRV_AUTH_INVALID_SIGNATURE);
        assert_non_null(strstr(world.outcome.message, "Signature not yet current"));
    }
    /* At the ends of time nothing overflows. */
    assert_int_equal(verify(&world, vector("the aws cli"), (struct kn_wall){INT64_MAX}), -EACCES);
    assert_int_equal(verify(&world, vector("the aws cli"), (struct kn_wall){INT64_MIN}), -EACCES);
    srv_sigv4_destroy(world.sigv4);
}

static void test_presigned_times(void **state) {
    (void)state;
    static const struct {
        const char *name;
        int64_t life_s;
    } cases[] = {{"a presigned GET", 300},
                 {"presigned with members", 604800},
                 {"presigned with a header", 1}};
    struct world world;
    world_init(&world, 4);
    for (size_t i = 0; i < KN_COUNT(cases); i++) {
        const char *text = vector(cases[i].name);
        assert_int_equal(at(&world, text, cases[i].life_s, 0), 0);
        assert_int_equal(world.outcome.form, SRV_SIGV4_QUERY);
        assert_int_equal(at(&world, text, cases[i].life_s, 1), -EACCES);
        assert_non_null(strstr(world.outcome.message, "Signature expired"));
        assert_int_equal(at(&world, text, -900, 0), 0);
        assert_int_equal(at(&world, text, -900, -1), -EACCES);
        assert_non_null(strstr(world.outcome.message, "Signature not yet current"));
    }
    srv_sigv4_destroy(world.sigv4);
}

/* ---- keys ---- */

static void test_session_tokens(void **state) {
    (void)state;
    struct world world;
    world_init(&world, 4);
    static const char *const tokens[] = {"a session token", "presigned with a token",
                                         "PutMedia with its token unsigned"};
    for (size_t i = 0; i < KN_COUNT(tokens); i++) {
        set_secret(&world, SIGNED_SECRET); /* has none */
        expect(&world, vector(tokens[i]), SRV_AUTH_UNRECOGNIZED_CLIENT, "");
        set_token(&world, SIGNED_TOKEN "x");
        expect(&world, vector(tokens[i]), SRV_AUTH_UNRECOGNIZED_CLIENT, "");
        set_token(&world, SIGNED_TOKEN);
        expect(&world, vector(tokens[i]), SRV_AUTH_FINE, "");
    }
    expect(&world, vector("the aws cli"), SRV_AUTH_UNRECOGNIZED_CLIENT, ""); /* brings none */
    srv_sigv4_destroy(world.sigv4);
}

static void test_expired_key(void **state) {
    (void)state;
    struct world world;
    world_init(&world, 4);
    world.key.expires = signed_at;
    expect(&world, vector("the aws cli"), SRV_AUTH_EXPIRED_TOKEN, "expired");
    /* Whoever does not have the secret does not learn it. */
    expect(&world, with(vector("the aws cli"), "Auth", "Signature=a", "Signature=b"),
           SRV_AUTH_INVALID_SIGNATURE, "does not match");
    world.key.expires.ns++;
    expect(&world, vector("the aws cli"), SRV_AUTH_FINE, "");
    srv_sigv4_destroy(world.sigv4);
}

static void test_lookup_fails(void **state) {
    (void)state;
    struct world world;
    world_init(&world, 4);
    world.answer = -EIO;
    world.outcome.error = SRV_AUTH_EXPIRED_TOKEN;
    assert_int_equal(verify(&world, vector("the aws cli"), signed_at), -EIO);
    assert_int_equal(world.outcome.error, SRV_AUTH_EXPIRED_TOKEN); /* untouched */
    srv_sigv4_destroy(world.sigv4);
}

/* ---- the derived keys ---- */

static void add_key(struct srv_sigv4_keys *keys, const char *access_key, const char *secret,
                    uint8_t value) {
    uint8_t key[SRV_SHA256_BYTES];
    memset(key, value, sizeof(key));
    const struct srv_sigv4_scope scope = {access_key, "20261120", "r", secret, strlen(secret)};
    srv_sigv4_keys_add(keys, &scope, key);
}

/* What is kept for it; 0: nothing. */
static uint8_t find_key(struct srv_sigv4_keys *keys, const char *access_key, const char *date,
                        const char *region, const char *secret) {
    uint8_t key[SRV_SHA256_BYTES];
    const struct srv_sigv4_scope scope = {access_key, date, region, secret, strlen(secret)};
    return srv_sigv4_keys_find(keys, &scope, key) ? key[31] : 0;
}

static void test_cache(void **state) {
    (void)state;
    struct srv_sigv4_keys *keys = NULL;
    assert_int_equal(srv_sigv4_keys_create(3, &keys), 0);
    add_key(keys, "a", "s", 1);
    add_key(keys, "b", "s", 2);
    add_key(keys, "c", "s", 3);
    assert_int_equal(find_key(keys, "a", "20261120", "r", "s"), 1);
    assert_int_equal(find_key(keys, "a", "20261121", "r", "s"), 0);
    assert_int_equal(find_key(keys, "a", "20261120", "q", "s"), 0);
    assert_int_equal(find_key(keys, "a", "20261120", "r", "t"), 0);
    assert_int_equal(find_key(keys, "a", "20261120", "r", "ss"), 0);
    add_key(keys, "d", "s", 4); /* "b" was used least recently */
    assert_int_equal(srv_sigv4_keys_count(keys), 3);
    assert_int_equal(find_key(keys, "b", "20261120", "r", "s"), 0);
    assert_int_equal(find_key(keys, "a", "20261120", "r", "s"), 1);
    assert_int_equal(find_key(keys, "c", "20261120", "r", "s"), 3);
    assert_int_equal(find_key(keys, "d", "20261120", "r", "s"), 4);
    srv_sigv4_keys_destroy(keys);
    assert_int_equal(srv_sigv4_keys_create(0, &keys), 0);
    add_key(keys, "a", "s", 1);
    assert_int_equal(find_key(keys, "a", "20261120", "r", "s"), 0);
    srv_sigv4_keys_destroy(keys);
    srv_sigv4_keys_destroy(NULL);
}

/* A wrong signature brings nothing in, nor does a key that nobody has. */
static void test_cache_entry(void **state) {
    (void)state;
    struct world world;
    world_init(&world, 2);
    const char *good = vector("the aws cli");
    (void)verify(&world, with(good, "Auth", "Signature=a", "Signature=b"), signed_at);
    (void)verify(&world, with(good, "Auth", "AKIAI", "AKIAJ"), signed_at);
    assert_int_equal(srv_sigv4_stats(world.sigv4).cache_entries, 0);
    assert_int_equal(verify(&world, good, signed_at), 0);
    assert_int_equal(verify(&world, good, signed_at), 0);
    assert_int_equal(srv_sigv4_stats(world.sigv4).cache_entries, 1);
    assert_int_equal(srv_sigv4_stats(world.sigv4).cache_hits, 1);
    assert_int_equal(srv_sigv4_stats(world.sigv4).cache_misses, 3);
    srv_sigv4_destroy(world.sigv4);
}

/* ---- limits ---- */

static void test_token_limit(void **state) {
    (void)state;
    static char token[SRV_SIGV4_TOKEN_MAX + 2];
    static const char *const names[] = {"a session token", "presigned with a token"};
    static const char *const sent[] = {SIGNED_TOKEN, "IQoJb3JpZ2luX2VjEJr"};
    struct world world;
    world_init(&world, 0);
    memset(token, 'x', sizeof(token) - 1);
    for (size_t i = 0; i < KN_COUNT(names); i++) {
        token[SRV_SIGV4_TOKEN_MAX] = 'x';
        expect(&world, with(vector(names[i]), "", sent[i], token), SRV_AUTH_INCOMPLETE, "too long");
    }
    token[SRV_SIGV4_TOKEN_MAX] = '\0';
    expect(&world, with(vector(names[0]), "", sent[0], token), SRV_AUTH_UNRECOGNIZED_CLIENT, "");
    srv_sigv4_destroy(world.sigv4);
}

static void test_limits(void **state) {
    (void)state;
    static char text[ROOM];
    struct world world;
    world_init(&world, 0);
    /* Members of a query, at the bound and one beyond. */
    for (size_t members = SRV_SIGV4_QUERY_MAX; members <= SRV_SIGV4_QUERY_MAX + 1; members++) {
        size_t size = (size_t)snprintf(text, sizeof(text), "GET /?");
        for (size_t i = 0; i < members; i++) {
            size +=
                (size_t)snprintf(text + size, sizeof(text) - size, "%sa=%zu", i > 0 ? "&" : "", i);
        }
        (void)snprintf(text + size, sizeof(text) - size,
                       "\nHost: h\nX-Amz-Date: 20261120T212340Z\n" AUTHORIZATION "Credential=" SCOPE
                       ", SignedHeaders=host;x-amz-date, Signature=" HEX64 "\n");
        bool over = members > SRV_SIGV4_QUERY_MAX;
        expect(&world, text, over ? SRV_AUTH_INCOMPLETE : SRV_AUTH_INVALID_SIGNATURE,
               over ? "more to sign than is taken" : "does not match");
    }
    /* Signed headers. */
    for (size_t names = SRV_SIGV4_SIGNED_MAX; names <= SRV_SIGV4_SIGNED_MAX + 1; names++) {
        size_t size = (size_t)snprintf(text, sizeof(text),
                                       PLAIN AUTHORIZATION "Credential=" SCOPE ", SignedHeaders=");
        for (size_t i = 0; i < names; i++) {
            size +=
                (size_t)snprintf(text + size, sizeof(text) - size, "%sh%zu", i > 0 ? ";" : "", i);
        }
        (void)snprintf(text + size, sizeof(text) - size, ", Signature=" HEX64 "\n");
        bool over = names > SRV_SIGV4_SIGNED_MAX;
        expect(&world, text, over ? SRV_AUTH_INCOMPLETE : SRV_AUTH_INVALID_SIGNATURE,
               over ? "SignedHeaders" : "'host' is not signed");
    }
    srv_sigv4_destroy(world.sigv4);
}

static void test_out_of_memory(void **state) {
    (void)state;
    struct world world = {.access_key = SIGNED_ACCESS_KEY};
    struct srv_sigv4_config config = srv_sigv4_config_defaults();
    config.lookup = lookup;
    config.user = &world;
    set_secret(&world, SIGNED_SECRET);
    unsigned long tried = 0;
    int rc = -ENOMEM;
    while (rc == -ENOMEM) {
        fail_alloc_at(++tried);
        rc = srv_sigv4_create(&config, &world.sigv4);
        if (rc == 0) {
            rc = verify(&world, vector("order of cases"), signed_at);
            srv_sigv4_destroy(world.sigv4);
        }
        fail_alloc_stop();
    }
    assert_int_equal(rc, 0);
    assert_true(tried > 8);
}

static void test_error_names(void **state) {
    (void)state;
    assert_string_equal(srv_auth_error_name(SRV_AUTH_FINE), "none");
    assert_string_equal(srv_auth_error_name(SRV_AUTH_MISSING_TOKEN),
                        "MissingAuthenticationTokenException");
    assert_string_equal(srv_auth_error_name(SRV_AUTH_INCOMPLETE), "IncompleteSignatureException");
    assert_string_equal(srv_auth_error_name(SRV_AUTH_INVALID_SIGNATURE),
                        "InvalidSignatureException");
    assert_string_equal(srv_auth_error_name(SRV_AUTH_UNRECOGNIZED_CLIENT),
                        "UnrecognizedClientException");
    assert_string_equal(srv_auth_error_name(SRV_AUTH_EXPIRED_TOKEN), "ExpiredTokenException");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),        cmocka_unit_test(test_canonical_hash),
        cmocka_unit_test(test_every_byte),     cmocka_unit_test(test_every_byte_presigned),
        cmocka_unit_test(test_other_secret),   cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_parts),          cmocka_unit_test(test_unsigned_headers),
        cmocka_unit_test(test_payloads),       cmocka_unit_test(test_query_parts),
        cmocka_unit_test(test_skew),           cmocka_unit_test(test_presigned_times),
        cmocka_unit_test(test_session_tokens), cmocka_unit_test(test_expired_key),
        cmocka_unit_test(test_lookup_fails),   cmocka_unit_test(test_cache),
        cmocka_unit_test(test_cache_entry),    cmocka_unit_test(test_limits),
        cmocka_unit_test(test_token_limit),    cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_error_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
