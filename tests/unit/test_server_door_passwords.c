/* What a gate remembers: passwords that were right, addresses that were wrong; and many threads. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/error.h"
#include "tests/support/fail_alloc.h"
#include "tests/unit/server_door_world.h"

#define PASSWORD "correct horse"
#define MINUTE_NS (60 * KN_NS_PER_S)
#define THREADS 4

static void basic_question(struct question *question, const char *name_and_password) {
    char basic[256] = "";
    char text[512];
    (void)EVP_EncodeBlock((uint8_t *)basic, (const uint8_t *)name_and_password,
                          (int)strlen(name_and_password));
    (void)snprintf(text, sizeof(text), "GET /\nhost: a\nauthorization: Basic %s\n", basic);
    question_init(question, text);
}

/* 200: fine; 0: a worker is asked for; else how it was refused. */
static int ask(struct world *world, const struct question *question) {
    struct srv_door_answer answer;
    srv_door_ask(world->door, &question->visit, &answer);
    int status = answer.verdict == SRV_DOOR_FINE ? 200 : answer.status;
    srv_door_answer_finish(&answer);
    return status;
}

static int ask_blocking(struct world *world, const struct question *question, unsigned *ret_retry) {
    struct srv_door_answer answer;
    srv_door_ask_blocking(world->gate, &question->visit, &answer);
    assert_int_not_equal(answer.verdict, SRV_DOOR_ASK_WORKER);
    int status = answer.verdict == SRV_DOOR_FINE ? 200 : answer.status;
    *ret_retry = answer.retry_s;
    srv_door_answer_finish(&answer);
    return status;
}

/* ---- passwords ---- */

static void test_remembered(void **state) {
    static struct question question;
    static struct question wrong;
    struct world *world = *state;
    unsigned retry;
    struct srv_principal user = make_user("anna", PASSWORD, "admin:*");
    put(world, &user);
    basic_question(&question, "anna:" PASSWORD);
    basic_question(&wrong, "anna:correct horsf");
    assert_int_equal(ask(world, &question), 0);
    assert_int_equal(ask_blocking(world, &wrong, &retry), 401);
    assert_int_equal(ask(world, &wrong), 0);
    assert_int_equal(ask_blocking(world, &question, &retry), 200);
    assert_int_equal(ask(world, &question), 200);
    assert_int_equal(ask(world, &wrong), 0);
    assert_int_equal(srv_gate_stats(world->gate).passwords_hashed, 2);
    assert_int_equal(srv_gate_stats(world->gate).passwords_remembered, 1);
    /* For five minutes, and not into the past. */
    question.visit.now.ns = now.ns + SRV_REMEMBERED_NS - 1;
    assert_int_equal(ask(world, &question), 200);
    question.visit.now.ns++;
    assert_int_equal(ask(world, &question), 0);
    question.visit.now.ns = now.ns - 1;
    assert_int_equal(ask(world, &question), 0);
    question.visit.now = now;
    /* The same password stored anew is another one: so is each change of it. */
    user = make_user("anna", PASSWORD, "admin:*");
    put(world, &user);
    assert_int_equal(ask(world, &question), 0);
    assert_int_equal(ask_blocking(world, &question, &retry), 200);
    assert_int_equal(ask(world, &question), 200);
    /* Grants count at once. */
    user.grants[0].actions = SRV_ACTION_LIST;
    put(world, &user);
    question.route = route_of(SRV_ON_ALL, SRV_ACTION_ADMIN);
    assert_int_equal(ask(world, &question), 403);
    user.expires = now;
    put(world, &user);
    assert_int_equal(ask(world, &question), 0);
    assert_int_equal(ask_blocking(world, &question, &retry), 401);
    struct srv_principal other = make_user("bert", PASSWORD, "admin:*");
    put(world, &other);
    assert_int_equal(srv_principals_remove(world->principals, SRV_PRINCIPAL_USER, "anna"), 0);
    assert_int_equal(ask(world, &question), 0);
}

static void test_room_for_remembered(void **state) {
    (void)state;
    static struct srv_remembered remembered;
    uint8_t code[SRV_SHA256_BYTES] = {0};
    for (unsigned i = 0; i <= SRV_REMEMBERED_MAX; i++) {
        code[0] = (uint8_t)i;
        code[1] = (uint8_t)(i >> 8);
        srv_remembered_add(&remembered, code, (struct kn_wall){i});
        srv_remembered_add(&remembered, code, (struct kn_wall){i}); /* once */
    }
    assert_int_equal(remembered.count, SRV_REMEMBERED_MAX);
    assert_true(srv_remembered_has(&remembered, code, (struct kn_wall){SRV_REMEMBERED_MAX}));
    memset(code, 0, sizeof(code)); /* the oldest made room */
    assert_false(srv_remembered_has(&remembered, code, (struct kn_wall){SRV_REMEMBERED_MAX}));
    code[0] = 1;
    assert_true(srv_remembered_has(&remembered, code, (struct kn_wall){SRV_REMEMBERED_MAX}));
}

/* ---- attempts ---- */

static void set_address(struct question *question, const char *address) {
    (void)snprintf(question->peer.address, sizeof(question->peer.address), "%s", address);
}

static void test_attempts(void **state) {
    static struct question wrong;
    static struct question right;
    struct world *world = *state;
    struct srv_principal user = make_user("anna", PASSWORD, "admin:*");
    unsigned retry;
    put(world, &user);
    basic_question(&wrong, "anna:wrong wrong");
    basic_question(&right, "anna:" PASSWORD);
    assert_int_equal(ask_blocking(world, &right, &retry), 200);
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(ask(world, &right), 200); /* these are none */
        assert_int_equal(ask_blocking(world, &wrong, &retry), 401);
    }
    wrong.visit.now.ns += KN_NS_PER_S;
    assert_int_equal(ask_blocking(world, &wrong, &retry), 429);
    assert_int_equal(retry, 59);
    /* Also the right one, else it could be guessed; from another port too, not another address. */
    set_address(&right, "192.0.2.7:1");
    assert_int_equal(ask(world, &right), 429);
    assert_int_equal(ask_blocking(world, &right, &retry), 429);
    set_address(&right, "192.0.2.8:1");
    assert_int_equal(ask(world, &right), 200);
    set_address(&wrong, "192.0.2.8:1");
    assert_int_equal(ask_blocking(world, &wrong, &retry), 401);
    /* A minute later, or where the clock was set back. */
    set_address(&right, "192.0.2.7:1");
    right.visit.now.ns = now.ns + MINUTE_NS - 1;
    assert_int_equal(ask(world, &right), 429);
    right.visit.now.ns++;
    assert_int_equal(ask(world, &right), 200);
    right.visit.now.ns = now.ns - 1;
    assert_int_equal(ask_blocking(world, &right, &retry), 200);
    assert_int_equal(srv_gate_stats(world->gate).too_many, 4);
    /* A page that signs in is counted with them. */
    struct srv_door_answer answer;
    const struct srv_peer peer = {.address = "198.51.100.1:9", .port = 5466};
    for (unsigned i = 0; i <= 20; i++) {
        srv_gate_password(world->gate, &peer, "anna", "wrong wrong", now, &answer);
        assert_int_equal(answer.status, i < 20 ? 401 : 429);
    }
}

static void test_never_locked_out(void **state) {
    static struct question wrong;
    static struct question right;
    struct world *world = *state;
    struct srv_principal user = make_user("anna", PASSWORD, "admin:*");
    unsigned retry;
    put(world, &user);
    basic_question(&wrong, "anna:wrong wrong");
    basic_question(&right, "anna:" PASSWORD);
    for (unsigned turn = 0; turn < 2; turn++) {
        wrong.peer = near_peer();
        if (turn == 1) {
            wrong.peer = (struct srv_peer){.local = true, .uid = geteuid(), .address = "unix:0"};
        }
        for (unsigned i = 0; i < 25; i++) {
            assert_int_equal(ask_blocking(world, &wrong, &retry), 401);
        }
        right.peer = wrong.peer;
        assert_int_equal(ask_blocking(world, &right, &retry), 200);
    }
}

static void test_tokens_counted(void **state) {
    static struct question wrong;
    static struct question right;
    struct world *world = *state;
    char token[SRV_TOKEN_BYTES];
    char text[256];
    struct srv_principal made = make(SRV_PRINCIPAL_TOKEN, "token", "admin:*");
    assert_int_equal(srv_principal_make_token(&made, token), 0);
    put(world, &made);
    (void)snprintf(text, sizeof(text), "GET /\nhost: a\nauthorization: Bearer %s\n", token);
    question_init(&right, text);
    question_init(&wrong, "GET /\nhost: a\nauthorization: Bearer kinora_wrong\n");
    for (unsigned i = 0; i < 25; i++) {
        assert_int_equal(ask(world, &wrong), i < 20 ? 401 : 429);
        assert_int_equal(ask(world, &right), 200);
    }
}

static void test_addresses(void **state) {
    (void)state;
    static struct srv_attempts attempts;
    static const struct {
        const char *a, *b;
        bool same;
    } cases[] = {
        {"192.0.2.1:1", "192.0.2.1:65535", true},
        {"192.0.2.1:1", "192.0.2.11:1", false},
        {"192.0.2.1:1", "[::ffff:192.0.2.1]:1", true},
        {"[2001:db8::1]:1", "[2001:db8:0:0:ffff::9]:2", true},
        {"[2001:db8::1]:1", "[2001:db8:0:1::1]:1", false},
        {"[::1]:1", "[::2]:1", true},
        {"255.255.255.255:1", "255.255.255.254:1", false},
        {"", "", true},
        {"unix:1", "unix:2", true},
    };
    for (size_t i = 0; i < KN_COUNT(cases); i++) {
        memset(&attempts, 0, sizeof(attempts));
        assert_int_equal(srv_attempts_take(&attempts, cases[i].a, 1, now), 0);
        assert_int_equal(srv_attempts_take(&attempts, cases[i].b, 1, now) > 0, cases[i].same);
        srv_attempts_give_back(&attempts, cases[i].a);
        assert_int_equal(srv_attempts_take(&attempts, cases[i].a, 1, now), 0);
    }
    /* Bounded: the oldest address is forgotten. */
    char address[32];
    memset(&attempts, 0, sizeof(attempts));
    for (unsigned i = 0; i <= SRV_ATTEMPTS_MAX; i++) {
        (void)snprintf(address, sizeof(address), "10.1.%u.%u:1", i / 256, i % 256);
        assert_int_equal(
            srv_attempts_take(&attempts, address, 1, (struct kn_wall){now.ns + (int64_t)i}), 0);
    }
    assert_int_equal(attempts.count, SRV_ATTEMPTS_MAX);
    const struct kn_wall then = {now.ns + SRV_ATTEMPTS_MAX};
    assert_int_equal(srv_attempts_wait(&attempts, "10.1.0.0:1", 1, then), 0);
    assert_int_equal(srv_attempts_wait(&attempts, "10.1.0.1:1", 1, then), 60);
    assert_int_equal(srv_attempts_wait(&attempts, address, 1, then), 60);
}

/* ---- out of memory ---- */

static void test_no_memory(void **state) {
    static struct question question;
    struct world *world = *state;
    struct srv_principal signer = make_signer("admin:*");
    struct srv_gate_config config = srv_gate_config_defaults();
    struct srv_gate *gate = NULL;
    struct srv_door *door = NULL;
    struct srv_door_answer answer;
    put(world, &signer);
    config.principals = world->principals;
    config.keyfile = &world->keyfile;
    config.public_url = "ftp://cams.example";
    assert_int_equal(srv_gate_create(&config, &gate), KN_E_MALFORMED);
    config.public_url = NULL;
    for (unsigned long n = 1;; n++) {
        fail_alloc_at(n);
        int rc = srv_gate_create(&config, &gate);
        rc = rc < 0 ? rc : srv_door_open(gate, &door);
        fail_alloc_stop();
        if (rc == 0) {
            assert_true(n > 4);
            break;
        }
        assert_int_equal(rc, -ENOMEM);
        srv_gate_destroy(gate);
        gate = NULL;
    }
    question_init(&question, signed_requests[1].text);
    bool failed = false;
    for (unsigned long n = 1;; n++) {
        fail_alloc_at(n);
        srv_door_ask_blocking(gate, &question.visit, &answer);
        fail_alloc_stop();
        if (answer.verdict == SRV_DOOR_FINE) {
            srv_door_answer_finish(&answer);
            break;
        }
        assert_int_equal(answer.verdict, SRV_DOOR_REFUSED);
        assert_int_equal(answer.status, 503);
        failed = true;
    }
    assert_true(failed);
    srv_door_close(door);
    srv_gate_destroy(gate);
    srv_door_close(NULL);
    srv_gate_destroy(NULL);
}

/* ---- threads ---- */

struct asker {
    struct world *world;
    struct question questions[3];
    struct srv_door *door;
    unsigned fine, refused;
    bool odd;
};

static void *ask_for_long(void *user) {
    struct asker *asker = user;
    for (unsigned i = 0; i < 300; i++) {
        const struct question *question = &asker->questions[i % KN_COUNT(asker->questions)];
        struct srv_door_answer answer;
        srv_door_ask(asker->door, &question->visit, &answer);
        if (answer.verdict == SRV_DOOR_ASK_WORKER) {
            srv_door_ask_blocking(asker->world->gate, &question->visit, &answer);
        }
        asker->fine += answer.verdict == SRV_DOOR_FINE ? 1 : 0;
        asker->refused += answer.verdict == SRV_DOOR_REFUSED ? 1 : 0;
        /* Whoever is let in is one of the table; the server is never open in between. */
        asker->odd = asker->odd || (answer.verdict == SRV_DOOR_FINE &&
                                    answer.principal->kind == SRV_PRINCIPAL_ANYONE);
        srv_door_answer_finish(&answer);
    }
    return NULL;
}

static void test_threads(void **state) {
    static struct asker askers[THREADS];
    struct world *world = *state;
    pthread_t threads[THREADS];
    struct srv_principal signer = make_signer("admin:*");
    struct srv_principal user = make_user("anna", PASSWORD, "admin:*");
    put(world, &signer);
    for (size_t i = 0; i < THREADS; i++) {
        askers[i].world = world;
        assert_int_equal(srv_door_open(world->gate, &askers[i].door), 0);
        question_init(&askers[i].questions[0], signed_requests[1].text);
        basic_question(&askers[i].questions[1], "anna:" PASSWORD);
        question_init(&askers[i].questions[2], "GET /\nhost: localhost\n");
        for (size_t k = 0; k < KN_COUNT(askers[i].questions); k++) {
            askers[i].questions[k].peer = near_peer();
        }
    }
    put(world, &user); /* so that there always is one of that name */
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, ask_for_long, &askers[i]), 0);
    }
    for (unsigned i = 0; i < 50; i++) {
        signer.secret[0] = (char)('a' + i % 2);
        put(world, &signer);
        user.grants[0].actions = i % 2 == 0 ? SRV_ACTION_LIST : SRV_ACTIONS_ALL;
        put(world, &user);
    }
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(askers[i].fine + askers[i].refused, 300);
        assert_true(askers[i].fine >= 100);    /* the password is right all the time */
        assert_true(askers[i].refused >= 100); /* nobody never */
        assert_false(askers[i].odd);
        srv_door_close(askers[i].door);
    }
    struct srv_gate_stats stats = srv_gate_stats(world->gate);
    assert_int_equal(stats.fine + stats.refused, THREADS * 300);
}

struct watch {
    struct srv_gate *gate;
    _Atomic bool stop;
    bool opened;
};

static void *watch_gate(void *user) {
    struct watch *watch = user;
    while (!atomic_load(&watch->stop)) {
        watch->opened = watch->opened || srv_gate_is_open(watch->gate);
    }
    return NULL;
}

/* Replacing the only principal never looks as if there were none. */
static void test_never_open_in_between(void **state) {
    struct world *world = *state;
    struct srv_principal signer = make_signer("admin:*");
    struct watch watch = {.gate = world->gate};
    pthread_t thread;
    put(world, &signer);
    assert_int_equal(pthread_create(&thread, NULL, watch_gate, &watch), 0);
    for (unsigned i = 0; i < 2000; i++) {
        signer.access_key[0] = (char)('A' + i % 26);
        assert_int_equal(srv_principals_replace(world->principals, &signer), 0);
    }
    atomic_store(&watch.stop, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_false(watch.opened);
    assert_int_equal(srv_principals_remove(world->principals, SRV_PRINCIPAL_KEY, "signer"), 0);
    assert_true(srv_gate_is_open(world->gate));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_remembered, set_up, tear_down),
        cmocka_unit_test(test_room_for_remembered),
        cmocka_unit_test_setup_teardown(test_attempts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_never_locked_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_tokens_counted, set_up, tear_down),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test_setup_teardown(test_no_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_threads, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_never_open_in_between, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
