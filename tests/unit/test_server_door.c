#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/server_door_world.h"

#define SIGNED_AGO ((int64_t)SRV_SIGV4_SKEW_NS)

static const char *vector(const char *name) {
    for (size_t i = 0; i < KN_COUNT(signed_requests); i++) {
        if (strcmp(signed_requests[i].name, name) == 0) {
            return signed_requests[i].text;
        }
    }
    fail_msg("no request is called '%s'", name);
    return NULL;
}

/* What a test says of an answer. */
static void expect(const struct srv_door_answer *answer, int status, const char *code) {
    assert_int_equal(answer->verdict, status == 200 ? SRV_DOOR_FINE : SRV_DOOR_REFUSED);
    if (status != 200) {
        assert_int_equal(answer->status, status);
        assert_string_equal(answer->code, code);
        assert_null(answer->principal);
        assert_true(answer->message[0] != '\0');
    }
}

static void ask(struct world *world, const struct question *question, int status,
                const char *code) {
    struct srv_door_answer answer;
    srv_door_ask(world->door, &question->visit, &answer);
    if (answer.verdict == SRV_DOOR_ASK_WORKER) {
        srv_door_ask_blocking(world->gate, &question->visit, &answer);
    }
    expect(&answer, status, code);
    srv_door_answer_finish(&answer);
}

/* ---- every access, every kind of credentials, in every state ---- */

enum kind { SIGNED, PRESIGNED, BEARER, SESSION, BASIC, COOKIE, KINDS };
enum state { GOOD, LESSER, OVER, WRONG, UNKNOWN, STATES };

#define PASSWORD "correct horse"
static const char *const grants[STATES] = {"admin:*", "list:other", "admin:*", "admin:*",
                                           "admin:*"};

/* The principal that belongs to it; the secret's text where the request holds one. */
static void make_principal(struct world *world, enum kind kind, enum state state, char *text,
                           size_t room) {
    char token[SRV_TOKEN_BYTES];
    struct srv_principal made = {0};
    text[0] = '\0';
    if (kind == SIGNED || kind == PRESIGNED) {
        made = make_signer(grants[state]);
        made.secret[0] = state == WRONG ? '!' : made.secret[0];
        made.access_key[0] = state == UNKNOWN ? 'Z' : made.access_key[0];
    } else if (kind == BEARER) {
        made = make(SRV_PRINCIPAL_TOKEN, "token", grants[state]);
        assert_int_equal(srv_principal_make_token(&made, token), 0);
        (void)snprintf(text, room, "%s", token);
    } else {
        made = make_user("anna", PASSWORD, grants[state]);
    }
    made.expires = state == OVER ? (struct kn_wall){now.ns} : made.expires;
    if (kind == SESSION || kind == COOKIE) { /* made while the user's time lasted */
        struct kn_wall expires;
        struct srv_principal user = made;
        char session[SRV_SESSION_BYTES];
        user.expires = SRV_NEVER;
        assert_int_equal(srv_session_make(world->gate, &user, now, session, &expires), 0);
        (void)snprintf(text, room, "%s", session);
    }
    put(world, &made);
}

static void spoil(char *text, enum state state) {
    size_t size = strlen(text);
    if (size > 0 && state == WRONG) {
        text[size - 3] = text[size - 3] == 'A' ? 'B' : 'A';
    } else if (size > 0 && state == UNKNOWN) {
        text[8] = '\0';
    }
}

static void make_question(struct question *question, enum kind kind, enum state state,
                          const char *text, const char *also) {
    static const char *const passwords[STATES] = {"anna:" PASSWORD, "anna:" PASSWORD,
                                                  "anna:" PASSWORD, "anna:correct hors",
                                                  "bert:" PASSWORD};
    char whole[4096];
    char basic[128] = "";
    (void)EVP_EncodeBlock((uint8_t *)basic, (const uint8_t *)passwords[state],
                          (int)strlen(passwords[state]));
    if (kind == SIGNED || kind == PRESIGNED) {
        (void)snprintf(whole, sizeof(whole), "%s%s",
                       vector(kind == SIGNED ? "no body, no headers" : "a presigned GET"), also);
    } else {
        (void)snprintf(whole, sizeof(whole), "GET /\nhost: 127.0.0.1:5466\n%s%s%s\n%s",
                       kind == BASIC    ? "authorization: Basic "
                       : kind == COOKIE ? "cookie: a=b; kinora_session="
                                        : "authorization: Bearer ",
                       kind == BASIC ? basic : text, kind == COOKIE ? "; {\"x\":1}" : "", also);
    }
    question_init(question, whole);
}

static int expected_status(enum kind kind, enum state state, const struct srv_route *route,
                           const char **ret_code) {
    static const char *const codes[STATES] = {
        [OVER] = "ExpiredTokenException",
        [WRONG] = "UnrecognizedClientException",
        [UNKNOWN] = "UnrecognizedClientException",
    };
    bool is_signed = kind == SIGNED || kind == PRESIGNED;
    *ret_code = "AccessDeniedException";
    if (route->access == SRV_OPEN) {
        return 200;
    }
    if (codes[state] != NULL) {
        *ret_code = is_signed && state == WRONG ? "InvalidSignatureException" : codes[state];
        return is_signed ? 403 : 401;
    }
    return state == GOOD || route->access == SRV_SIGNED_IN ? 200 : 403;
}

static void test_walk(void **state) {
    static struct question question;
    const struct srv_route routes[] = {
        route_of(SRV_OPEN, 0),
        route_of(SRV_SIGNED_IN, 0),
        route_of(SRV_ON_STREAM, SRV_ACTION_READ),
        route_of(SRV_ON_STREAM, SRV_ACTION_LIST),
        route_of(SRV_ON_ALL, SRV_ACTION_ADMIN),
    };
    char text[SRV_SESSION_BYTES];
    for (enum kind kind = SIGNED; kind < KINDS; kind++) {
        for (enum state one = GOOD; one < STATES; one++) {
            struct world *world = NULL;
            assert_int_equal(set_up((void **)&world), 0);
            make_principal(world, kind, one, text, sizeof(text));
            spoil(text, one);
            make_question(&question, kind, one, text, "");
            for (size_t i = 0; i < KN_COUNT(routes); i++) {
                const char *code = NULL;
                int status = expected_status(kind, one, &routes[i], &code);
                question.route = routes[i];
                ask(world, &question, status, code);
            }
            assert_int_equal(tear_down((void **)&world), 0);
        }
    }
    (void)state;
}

static void test_nobody(void **state) {
    static struct question question;
    struct world *world = *state;
    struct srv_principal user = make_user("anna", PASSWORD, "admin:*");
    struct srv_door_answer answer;
    put(world, &user);
    question_init(&question, "GET /\nhost: 127.0.0.1:5466\n");
    ask(world, &question, 401, "MissingAuthenticationTokenException");
    question.peer = near_peer(); /* of this machine or not */
    srv_door_ask(world->door, &question.visit, &answer);
    expect(&answer, 401, "MissingAuthenticationTokenException");
    assert_string_equal(answer.challenge, "Bearer realm=\"kinora\"");
    question_init(&question, "GET /\nhost: a\naccept: text/html,*/*\n");
    srv_door_ask(world->door, &question.visit, &answer);
    assert_non_null(strstr(answer.challenge, "Basic realm=\"kinora\""));
    question.route.access = SRV_OPEN;
    srv_door_ask(world->door, &question.visit, &answer);
    assert_int_equal(answer.verdict, SRV_DOOR_FINE);
    assert_null(answer.principal);
}

/* ---- two at once, and what is none ---- */

static void test_two_kinds(void **state) {
    static struct question question;
    struct world *world = *state;
    struct srv_principal signer = make_signer("admin:*");
    char token[SRV_TOKEN_BYTES];
    char text[1024];
    struct srv_principal bearer = make(SRV_PRINCIPAL_TOKEN, "token", "admin:*");
    assert_int_equal(srv_principal_make_token(&bearer, token), 0);
    put(world, &signer);
    put(world, &bearer);
    /* Good ones, and still two. */
    (void)snprintf(text, sizeof(text), "%sauthorization: Bearer %s\n", vector("a presigned GET"),
                   token);
    question_init(&question, text);
    ask(world, &question, 400, "InvalidArgumentException");
    (void)snprintf(text, sizeof(text), "%sauthorization: Bearer %s\n",
                   vector("no body, no headers"), token);
    question_init(&question, text);
    ask(world, &question, 400, "InvalidArgumentException");
    question_init(&question, "GET /\nhost: a\nauthorization:\nauthorization:\n");
    ask(world, &question, 400, "InvalidArgumentException");
    question_init(&question, "GET /\nhost: a\ncookie: kinora_session=a; kinora_session=a\n");
    ask(world, &question, 400, "InvalidArgumentException");
    question_init(&question,
                  "GET /\nhost: a\ncookie: kinora_session=a\ncookie: kinora_session=b\n");
    ask(world, &question, 400, "InvalidArgumentException");
    /* A browser sends cookies unasked, also to other ports. */
    (void)snprintf(text, sizeof(text), "%scookie: kinora_session=stale\n",
                   vector("no body, no headers"));
    question_init(&question, text);
    ask(world, &question, 200, NULL);
    static const char *const none[] = {
        "",           "Bearer",       "Bearer ",        "Basic",     "Digest username=x",
        "Bearer a b", "Bearer \"a\"", "Basic {}",       "Token abc", "kinora_abc",
        "Bearer =",   "Bearer a,b",   "Bearer \xc3\xa4"};
    for (size_t i = 0; i < KN_COUNT(none); i++) {
        (void)snprintf(text, sizeof(text), "GET /\nhost: a\nauthorization: %s\n", none[i]);
        question_init(&question, text);
        ask(world, &question, 401, "UnrecognizedClientException");
    }
    static const char *const cookies[] = {"kinora_session=x=y", "kinora_session",
                                          "a=kinora_session; kinora_session=\"z\"",
                                          ";;; kinora_session= ;"};
    for (size_t i = 0; i < KN_COUNT(cookies); i++) {
        (void)snprintf(text, sizeof(text), "GET /\nhost: a\ncookie: %s\n", cookies[i]);
        question_init(&question, text);
        ask(world, &question, 401, "UnrecognizedClientException");
    }
    static const char *const others[] = {"a=kinora_session=b", "Kinora_Session=a",
                                         "xkinora_session=a", "kinora_session2=a; =; ;a"};
    for (size_t i = 0; i < KN_COUNT(others); i++) {
        (void)snprintf(text, sizeof(text), "GET /\nhost: a\ncookie: %s\n", others[i]);
        question_init(&question, text);
        ask(world, &question, 401, "MissingAuthenticationTokenException");
    }
}

/* ---- signatures and bodies ---- */

static void ask_once(struct world *world, const struct question *question, enum srv_verdict verdict,
                     const char *code) {
    struct srv_door_answer answer;
    srv_door_ask(world->door, &question->visit, &answer);
    assert_int_equal(answer.verdict, verdict);
    if (code != NULL) {
        assert_string_equal(answer.code, code);
    }
    srv_door_answer_finish(&answer);
}

static void test_body(void **state) {
    static struct question question;
    struct world *world = *state;
    struct srv_principal signer = make_signer("list:other");
    uint8_t hash[SRV_SHA256_BYTES];
    put(world, &signer);
    question_init(&question, vector("the aws cli"));
    memcpy(hash, question.parsed.body_sha256, sizeof(hash));
    ask_once(world, &question, SRV_DOOR_FINE, NULL);
    /* Before the body: nothing about grants, as nobody has proved to be anybody. */
    question.visit.body_sha256 = NULL;
    question.route = route_of(SRV_ON_ALL, SRV_ACTION_ADMIN);
    ask_once(world, &question, SRV_DOOR_AFTER_BODY, NULL);
    question.visit.body_sha256 = hash;
    ask_once(world, &question, SRV_DOOR_REFUSED, "AccessDeniedException");
    hash[0] ^= 1;
    ask_once(world, &question, SRV_DOOR_REFUSED, "InvalidSignatureException");
    /* What needs no body is refused at once. */
    question.visit.body_sha256 = NULL;
    question.visit.now.ns = now.ns + SIGNED_AGO + 1;
    ask_once(world, &question, SRV_DOOR_REFUSED, "InvalidSignatureException");
    question.visit.now = now;
    signer.access_key[0] = 'Z';
    assert_int_equal(srv_principals_replace(world->principals, &signer), 0);
    ask_once(world, &question, SRV_DOOR_REFUSED, "UnrecognizedClientException");
    question_init(&question, vector("a session token"));
    question.visit.has_body = true;
    question.visit.body_sha256 = NULL;
    signer = make_signer("admin:*");
    put(world, &signer);
    ask_once(world, &question, SRV_DOOR_REFUSED, "UnrecognizedClientException");
    signer.has_session = true;
    assert_int_equal(srv_sha256(SIGNED_TOKEN, strlen(SIGNED_TOKEN), signer.session_sha256), 0);
    put(world, &signer);
    ask_once(world, &question, SRV_DOOR_AFTER_BODY, NULL);
}

static void test_unsigned_body(void **state) {
    static struct question question;
    static const char *const names[] = {"PutMedia as the C SDK signs it", "PutMedia unsigned",
                                        "PutMedia with the hash of nothing told",
                                        "PutMedia unsigned without a word"};
    struct world *world = *state;
    struct srv_principal signer = make_signer("record:door");
    uint8_t hash[SRV_SHA256_BYTES];
    put(world, &signer);
    assert_int_equal(srv_sha256("video", 5, hash), 0);
    for (size_t i = 0; i < KN_COUNT(names); i++) {
        question_init(&question, vector(names[i]));
        question.visit.has_body = true;
        question.route = route_of(SRV_SIGNED_IN, 0);
        question.route.unsigned_body = true;
        ask_once(world, &question, SRV_DOOR_FINE, NULL);
        /* On any other route a body that nobody signed is nobody's. */
        question.route.unsigned_body = false;
        question.visit.body_sha256 = hash;
        ask_once(world, &question, SRV_DOOR_REFUSED, "InvalidSignatureException");
    }
}

static void test_region_and_replay(void **state) {
    static const char *const names[] = {"no body, no headers", "a presigned GET"};
    static struct question question;
    struct world *world = *state;
    struct srv_principal signer = make_signer("admin:*");
    struct srv_door_answer answer;
    put(world, &signer);
    for (size_t i = 0; i < KN_COUNT(names); i++) {
        int64_t life_ns = i == 0 ? SIGNED_AGO : 300 * KN_NS_PER_S;
        question_init(&question, vector(names[i]));
        srv_door_ask(world->door, &question.visit, &answer);
        assert_int_equal(answer.verdict, SRV_DOOR_FINE);
        assert_string_equal(answer.region, SIGNED_REGION);
        assert_string_equal(answer.principal->access_key, SIGNED_ACCESS_KEY);
        srv_door_answer_finish(&answer);
        question.visit.now.ns = now.ns + life_ns;
        ask(world, &question, 200, NULL);
        question.visit.now.ns++;
        ask(world, &question, 403, "InvalidSignatureException");
        question.visit.now.ns = now.ns - SIGNED_AGO - 1;
        ask(world, &question, 403, "InvalidSignatureException");
    }
    /* HEAD is signed as HEAD. */
    question_init(&question, vector(names[0]));
    question.request.method = SRV_HTTP_HEAD;
    ask(world, &question, 403, "InvalidSignatureException");
}

/* ---- other sites' pages ---- */

static void test_foreign_pages(void **state) {
    static const struct {
        const char *fields;
        bool fine;
    } cases[] = {
        {"", true},
        {"origin: http://127.0.0.1:5466\n", true},
        {"origin: https://cams.example\n", true},
        {"origin: https://CAMS.example:443\n", true},
        {"origin: http://cams.example\n", false},
        {"origin: https://cams.example:8443\n", false},
        {"origin: https://127.0.0.1:5466\n", false},
        {"origin: http://127.0.0.1\n", false},
        {"origin: http://127.0.0.1:5466/\n", false},
        {"origin: http://evil.example\n", false},
        {"origin: http://127.0.0.1:5466.evil.example\n", false},
        {"origin: null\n", false},
        {"origin:\n", false},
        {"origin: http://127.0.0.1:5466\norigin: http://evil.example\n", false},
        {"sec-fetch-site: same-origin\n", true},
        {"sec-fetch-site: none\n", true},
        {"sec-fetch-site: cross-site\n", false},
        {"sec-fetch-site: whatever\n", false},
        {"sec-fetch-site: none\nsec-fetch-site: none\n", false},
    };
    static struct question question;
    for (enum kind kind = SIGNED; kind < KINDS; kind++) {
        struct world *world = NULL;
        char text[SRV_SESSION_BYTES];
        bool ambient = kind == BASIC || kind == COOKIE;
        assert_int_equal(set_up((void **)&world), 0);
        make_principal(world, kind, GOOD, text, sizeof(text));
        for (size_t i = 0; i < KN_COUNT(cases); i++) {
            make_question(&question, kind, GOOD, text, cases[i].fields);
            ask(world, &question, 200, NULL); /* reading: the browser keeps the answer to itself */
            if (ambient) {
                question.request.upgrade = SRV_HTTP_TEXT("websocket");
                ask(world, &question, cases[i].fine ? 200 : 403, "AccessDeniedException");
                question.request.upgrade.size = 0;
            }
            for (int method = SRV_HTTP_POST; method <= SRV_HTTP_PATCH && ambient; method++) {
                question.request.method = (enum srv_http_method)method;
                ask(world, &question, cases[i].fine ? 200 : 403, "AccessDeniedException");
            }
            if (kind == BEARER) {
                question.request.method = SRV_HTTP_POST;
                ask(world, &question, 200, NULL);
            }
        }
        assert_int_equal(tear_down((void **)&world), 0);
    }
    (void)state;
}

/* ---- nobody has credentials ---- */

static void test_open(void **state) {
    static const struct {
        const char *fields;
        int status;
    } cases[] = {
        {"host: localhost:5466\n", 200},
        {"host: LocalHost\n", 200},
        {"host: 127.0.0.1:5466\n", 200},
        {"host: 127.255.1.2\n", 200},
        {"host: [::1]:5466\n", 200},
        {"host: [0:0:0:0:0:0:0:1]\n", 200},
        {"", 421},
        {"host: localhost:5467\n", 421},
        {"host: evil.example:5466\n", 421},
        {"host: localhost.evil.example\n", 421},
        {"host: a.localhost\n", 421},
        {"host: localhost.\n", 421},
        {"host: 127.0.0.1.evil.example\n", 421},
        {"host: 128.0.0.1\n", 421},
        {"host: 127.1\n", 421},
        {"host: 0.0.0.0\n", 421},
        {"host: [::ffff:127.0.0.1]\n", 421},
        {"host: [::]\n", 421},
        {"host: cams.example\n", 421},
        {"host: localhost:5466\norigin: http://localhost:5466\n", 200},
        {"host: localhost:5466\norigin: http://127.0.0.1:5466\n", 403},
        {"host: localhost:5466\norigin: https://localhost:5466\n", 403},
        {"host: localhost:5466\norigin: http://localhost\n", 403},
        {"host: localhost:5466\norigin: https://cams.example\n", 403},
        {"host: localhost:5466\norigin: null\n", 403},
        {"host: localhost:5466\nsec-fetch-site: same-origin\n", 200},
        {"host: localhost:5466\nsec-fetch-site: none\n", 200},
        {"host: localhost:5466\nsec-fetch-site: same-site\n", 403},
        {"host: localhost:5466\nsec-fetch-site: cross-site\n", 403},
        {"host: localhost:5466\nauthorization: Bearer whatever\n", 200},
        {"host: localhost:5466\nx-forwarded-for: 192.0.2.7\n", 403},
        {"host: localhost:5466\nforwarded: for=192.0.2.7\n", 403},
        {"host: localhost:5466\nx-forwarded-host: cams.example\n", 403},
        {"host: localhost:5466\nx-real-ip: 192.0.2.7\n", 403},
        {"host: localhost:5466\nvia: 1.1 proxy\n", 403},
    };
    static struct question question;
    struct world *world = *state;
    struct srv_door_answer answer;
    char text[256];
    assert_true(srv_gate_is_open(world->gate));
    for (size_t i = 0; i < KN_COUNT(cases); i++) {
        (void)snprintf(text, sizeof(text), "GET /\n%s", cases[i].fields);
        question_init(&question, text);
        question.peer = near_peer();
        question.route = route_of(SRV_ON_ALL, SRV_ACTION_ADMIN);
        const char *code =
            cases[i].status == 421 ? "MisdirectedRequestException" : "AccessDeniedException";
        ask(world, &question, cases[i].status, code);
        question.route.access = SRV_OPEN;
        ask(world, &question, cases[i].status, code);
        question.peer = far_peer(); /* from afar nothing at all */
        ask(world, &question, 403, "AccessDeniedException");
    }
    /* With any key, and the region that was meant. */
    question_init(&question, vector("the aws cli"));
    question.peer = near_peer();
    question.visit.body_sha256 = NULL;
    question.route = route_of(SRV_ON_STREAM, SRV_ACTION_RECORD);
    srv_door_ask(world->door, &question.visit, &answer);
    assert_int_equal(answer.verdict, SRV_DOOR_FINE);
    assert_string_equal(answer.region, SIGNED_REGION);
    assert_string_equal(answer.principal->name, "anyone");
    const struct srv_principal *kept = srv_principal_ref(answer.principal);
    srv_door_answer_finish(&answer);
    /* The first principal closes it, also one whose time is over. */
    struct srv_principal user = make_user("anna", PASSWORD, "admin:*");
    user.expires = (struct kn_wall){1};
    put(world, &user);
    assert_false(srv_gate_is_open(world->gate));
    ask(world, &question, 403, "UnrecognizedClientException");
    assert_true(srv_principal_may(kept, SRV_ACTION_ADMIN, NULL));
    srv_principal_unref(kept);
}

/* ---- the unix socket ---- */

static void test_local(void **state) {
    static struct question question;
    struct world *world = *state;
    struct srv_door_answer answer;
    struct srv_peer peer = {.address = "unix:0", .local = true, .uid = geteuid()};
    struct srv_principal user = make_user("anna", PASSWORD, "list:other");
    for (int closed = 0; closed < 2; closed++) {
        question_init(&question, "POST /\nhost: anything\n");
        question.peer = peer;
        question.route = route_of(SRV_ON_ALL, SRV_ACTION_ADMIN);
        for (size_t i = 0; i < 2; i++) {
            srv_door_ask(world->door, &question.visit, &answer);
            assert_int_equal(answer.verdict, SRV_DOOR_FINE);
            assert_string_equal(answer.principal->name, "local");
            srv_door_answer_finish(&answer);
            question.peer.uid = 0;
        }
        question.peer.uid = geteuid() + 4711;
        ask(world, &question, closed ? 401 : 403,
            closed ? "MissingAuthenticationTokenException" : "AccessDeniedException");
        put(world, &user);
    }
    /* Who brings credentials is who they say. */
    question_init(&question, "GET /\nhost: a\nauthorization: Basic YW5uYTpjb3JyZWN0IGhvcnNl\n");
    question.peer = peer;
    question.route = route_of(SRV_ON_ALL, SRV_ACTION_ADMIN);
    ask(world, &question, 403, "AccessDeniedException");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_walk),
        cmocka_unit_test_setup_teardown(test_nobody, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_two_kinds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_body, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unsigned_body, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_region_and_replay, set_up, tear_down),
        cmocka_unit_test(test_foreign_pages),
        cmocka_unit_test_setup_teardown(test_open, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_local, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
