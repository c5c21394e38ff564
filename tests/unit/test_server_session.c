#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/server_door_world.h"

#define PASSWORD "correct horse"
#define LIFE_NS (12 * 3600 * KN_NS_PER_S)

static int read_session(struct world *world, const char *text, struct kn_wall at) {
    const struct srv_principal *found = NULL;
    int rc = srv_session_read(world->gate, (struct srv_http_text){text, strlen(text)}, at, &found);
    assert_true((rc == 0) == (found != NULL));
    if (rc == 0) {
        assert_string_equal(found->name, "anna");
    }
    srv_principal_unref(found);
    return rc;
}

static struct srv_principal add(struct world *world, const char *password) {
    struct srv_principal user = make_user("anna", password, "admin:*");
    put(world, &user);
    return user;
}

static void begin(struct world *world, const struct srv_principal *user,
                  char session[static SRV_SESSION_BYTES], struct kn_wall *ret_expires) {
    memset(session, 'x', SRV_SESSION_BYTES);
    assert_int_equal(srv_session_make(world->gate, user, now, session, ret_expires), 0);
    assert_true(strlen(session) < SRV_SESSION_BYTES);
}

static void test_life(void **state) {
    struct world *world = *state;
    char session[SRV_SESSION_BYTES];
    struct kn_wall expires;
    struct srv_principal user = add(world, PASSWORD);
    begin(world, &user, session, &expires);
    assert_int_equal(expires.ns, now.ns + LIFE_NS);
    assert_int_equal(read_session(world, session, now), 0);
    assert_int_equal(read_session(world, session, (struct kn_wall){expires.ns - 1}), 0);
    assert_int_equal(read_session(world, session, expires), -EKEYEXPIRED);
    /* Never longer than the user; and the user's end counts whenever it is set. */
    user.expires = (struct kn_wall){now.ns + 5};
    put(world, &user);
    assert_int_equal(read_session(world, session, (struct kn_wall){now.ns + 5}), -EKEYEXPIRED);
    begin(world, &user, session, &expires);
    assert_int_equal(expires.ns, now.ns + 5);
    assert_int_equal(read_session(world, session, (struct kn_wall){now.ns + 4}), 0);
}

static void test_ends_with_its_user(void **state) {
    struct world *world = *state;
    char session[SRV_SESSION_BYTES];
    struct kn_wall expires;
    struct srv_principal user = add(world, PASSWORD);
    struct srv_principal other = make_user("bert", PASSWORD, "admin:*");
    begin(world, &user, session, &expires);
    put(world, &other);
    user.grants[0].actions = SRV_ACTION_LIST; /* goes on with other grants */
    put(world, &user);
    assert_int_equal(read_session(world, session, now), 0);
    (void)add(world, PASSWORD); /* the same password set anew */
    assert_int_equal(read_session(world, session, now), -EACCES);
    put(world, &user);
    assert_int_equal(read_session(world, session, now), 0);
    assert_int_equal(srv_principals_remove(world->principals, SRV_PRINCIPAL_USER, "anna"), 0);
    assert_int_equal(read_session(world, session, now), -EACCES);
    user.created.ns++; /* another one of that name, with the same password */
    put(world, &user);
    assert_int_equal(read_session(world, session, now), -EACCES);
}

static void test_longest_name(void **state) {
    struct world *world = *state;
    char session[SRV_SESSION_BYTES];
    char name[SRV_PRINCIPAL_NAME_BYTES];
    struct kn_wall expires;
    const struct srv_principal *found = NULL;
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    struct srv_principal user = make_user(name, PASSWORD, "admin:*");
    put(world, &user);
    begin(world, &user, session, &expires);
    assert_int_equal(srv_session_read(world->gate, (struct srv_http_text){session, strlen(session)},
                                      now, &found),
                     0);
    assert_string_equal(found->name, name);
    srv_principal_unref(found);
}

/* Every character counts, and nothing else is a session. */
static void test_forged(void **state) {
    struct world *world = *state;
    char session[SRV_SESSION_BYTES];
    char other[SRV_SESSION_BYTES];
    struct kn_wall expires;
    struct srv_principal user = add(world, PASSWORD);
    begin(world, &user, session, &expires);
    begin(world, &user, other, &expires);
    assert_string_not_equal(session, other);
    size_t size = strlen(session);
    for (size_t i = 0; i < size; i++) {
        memcpy(other, session, size + 1);
        other[i] = other[i] == 'A' ? 'B' : 'A';
        assert_int_equal(read_session(world, other, now), -EACCES);
        memcpy(other, session, size + 1);
        other[i] = '\0'; /* cut short */
        assert_int_equal(read_session(world, other, now), -EACCES);
    }
    (void)snprintf(other, sizeof(other), "%s%c", session, 'A');
    assert_int_equal(read_session(world, other, now), -EACCES);
    (void)snprintf(other, sizeof(other), "%s%c", session, '=');
    assert_int_equal(read_session(world, other, now), -EACCES);
    memset(other, 'A', sizeof(other) - 1);
    memcpy(other, session, strlen("kinora-session_"));
    other[sizeof(other) - 1] = '\0';
    assert_int_equal(read_session(world, other, now), -EACCES);
    assert_int_equal(read_session(world, "", now), -EACCES);
    /* With another key file it does not open. */
    struct srv_gate_config config = srv_gate_config_defaults();
    struct srv_keyfile keyfile = world->keyfile;
    struct srv_gate *gate = NULL;
    const struct srv_principal *found = NULL;
    keyfile.key[0] ^= 1;
    config.principals = world->principals;
    config.keyfile = &keyfile;
    assert_int_equal(srv_gate_create(&config, &gate), 0);
    assert_int_equal(srv_session_read(gate, (struct srv_http_text){session, size}, now, &found),
                     -EACCES);
    srv_gate_destroy(gate);
    /* A restart ends none. */
    config.keyfile = &world->keyfile;
    assert_int_equal(srv_gate_create(&config, &gate), 0);
    assert_int_equal(srv_session_read(gate, (struct srv_http_text){session, size}, now, &found), 0);
    srv_principal_unref(found);
    srv_gate_destroy(gate);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_life, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_ends_with_its_user, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_longest_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_forged, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
