#include "tests/unit/server_api_world.h"

#define PASSWORD "correct horse"
#define ADD_ROOT "{'kind':'user','name':'root','grants':['admin'],'password':'" PASSWORD "'}"

static void add_root(struct api *api) {
    EXPECT(api, 201, .name = "AddPrincipal", .as = &api->admin, .body = ADD_ROOT);
}

static void test_the_first_one_is_an_admin(void **state) {
    struct api *api = *state;
    static const char *const locking[] = {
        "{'kind':'token','name':'a','grants':['viewer']}",
        "{'kind':'token','name':'a','grants':['admin:door*']}",
        "{'kind':'token','name':'a','grants':['admin'],'expires':'+1h'}",
    };
    for (size_t i = 0; i < KN_COUNT(locking); i++) {
        EXPECT(api, 409, .name = "AddPrincipal", .as = &api->admin, .body = locking[i]);
    }
    assert_true(srv_gate_is_open(api->world.gate));
    add_root(api);
    assert_true(json_is_true(json_object_get(api_told.json, "closed_open_mode")));
    assert_non_null(strstr(api_told.fields, "Location: /api/v1/principals/user/root\n"));
    assert_null(strstr(api_told.text, "correct"));
    assert_false(srv_gate_is_open(api->world.gate));
    EXPECT(api, 201, .name = "AddPrincipal", .as = &api->admin, .body = locking[0]);
    assert_true(json_is_false(json_object_get(api_told.json, "closed_open_mode")));
}

static void test_secrets_are_shown_once_and_work(void **state) {
    struct api *api = *state;
    struct kn_wall now = api->world.clock->wall(api->world.clock);
    const struct srv_principal *found = NULL;
    add_root(api);
    EXPECT(api, 201, .name = "AddPrincipal", .as = &api->admin,
           .body = "{'kind':'key','name':'cam','grants':['record:door'],'expires':'+30d'}");
    assert_int_equal(
        srv_principals_find_key(api->world.principals, api_text("access_key"), now, &found), 0);
    assert_int_equal(strlen(api_text("secret")), found->secret_bytes);
    assert_memory_equal(api_text("secret"), found->secret, found->secret_bytes);
    srv_principal_unref(found);
    EXPECT(api, 201, .name = "AddPrincipal", .as = &api->admin,
           .body = "{'kind':'token','name':'page','grants':['viewer:door*','hold']}");
    assert_int_equal(
        srv_principals_find_token(api->world.principals, api_text("token"), now, &found), 0);
    srv_principal_unref(found);
    EXPECT(api, 201, .name = "AddPrincipal", .as = &api->admin,
           .body = "{'kind':'key','name':'old','grants':['record'],"
                   "'access_key':'AKIAIOSFODNN7EXAMPLE',"
                   "'secret':'wJalrXUtnFEMI-K7MDENG-bPxRfiCYEXAMPLEKEY'}");
    assert_null(json_object_get(api_told.json, "secret"));
    assert_string_equal(api_text("access_key"), "AKIAIOSFODNN7EXAMPLE");
    for (unsigned limit = 1; limit <= 5; limit++) {
        assert_int_equal(api_walk(api, (struct ask){.name = "ListPrincipals", .as = &api->admin},
                                  "principals", limit, ""),
                         4);
    }
    EXPECT(api, 200, .name = "ListPrincipals", .as = &api->admin);
    assert_null(strstr(api_told.text, "secret"));
    assert_null(strstr(api_told.text, "\"token\":"));
    EXPECT(api, 200, .name = "DescribePrincipal", .as = &api->admin, .kind = "key",
           .principal = "cam");
    assert_string_equal(
        json_string_value(json_array_get(json_object_get(api_told.json, "grants"), 0)),
        "record:door");
    assert_true(json_is_string(json_object_get(api_told.json, "expires")));
    EXPECT(api, 404, .name = "DescribePrincipal", .as = &api->admin, .kind = "user",
           .principal = "cam");
    EXPECT(api, 404, .name = "DescribePrincipal", .as = &api->admin, .kind = "group",
           .principal = "cam");
}

static void test_what_cannot_be_is_refused_by_name(void **state) {
    struct api *api = *state;
    add_root(api);
    static const struct {
        const char *body, *names;
    } wrong[] = {
        {"{}", "kind"},
        {"{'kind':'group','name':'a','grants':['list']}", "kind"},
        {"{'kind':'token','grants':['list']}", "name"},
        {"{'kind':'token','name':'a b','grants':['list']}", "name"},
        {"{'kind':'token','name':'.','grants':['list']}", "name"},
        {"{'kind':'token','name':'..','grants':['list']}", "name"},
        {"{'kind':'token','name':'a'}", "grants"},
        {"{'kind':'token','name':'a','grants':[]}", "grants"},
        {"{'kind':'token','name':'a','grants':['fly']}", "grants"},
        {"{'kind':'token','name':'a','grants':['list:a*b']}", "grants"},
        {"{'kind':'token','name':'a','grants':['list'],'expires':'soon'}", "expires"},
        {"{'kind':'token','name':'a','grants':['list'],'expires':'-1h'}", "expires"},
        {"{'kind':'token','name':'a','grants':['list'],'password':'12345678'}", "password"},
        {"{'kind':'user','name':'a','grants':['list']}", "password"},
        {"{'kind':'user','name':'a','grants':['list'],'password':'short'}", "password"},
        {"{'kind':'key','name':'a','grants':['list'],'secret':'0123456789abcdef'}", "access_key"},
        {"{'kind':'user','name':'a','grants':['list'],'password':'12345678','secret':'x'}",
         "secret"},
        {"{'kind':'token','name':'a','grants':['list'],'colour':'red'}", "colour"},
    };
    for (size_t i = 0; i < KN_COUNT(wrong); i++) {
        EXPECT(api, 400, .name = "AddPrincipal", .as = &api->admin, .body = wrong[i].body);
        if (strstr(api_told.text, wrong[i].names) == NULL) {
            print_message("# %s: %s\n", wrong[i].body, api_told.text);
        }
        assert_non_null(strstr(api_told.text, wrong[i].names));
        assert_null(strstr(api_told.text, "12345678"));
    }
    EXPECT(api, 409, .name = "AddPrincipal", .as = &api->admin, .body = ADD_ROOT);
    assert_int_equal(srv_principals_count(api->world.principals), 1);
}

static void test_the_last_admin_stays_beyond_loopback(void **state) {
    struct api *api = *state;
    add_root(api);
    EXPECT(api, 201, .name = "AddPrincipal", .as = &api->admin,
           .body = "{'kind':'token','name':'page','grants':['viewer']}");
    api->world.beyond_loopback = true;
    const struct ask root = {.as = &api->admin, .kind = "user", .principal = "root"};
    struct ask remove = root;
    remove.name = "RemovePrincipal";
    (void)api_expect(api, 409, &remove);
    struct ask change = root;
    change.name = "UpdatePrincipal";
    change.body = "{'grants':['viewer']}";
    (void)api_expect(api, 409, &change);
    change.body = "{'expires':'now'}";
    (void)api_expect(api, 409, &change);
    change.body = "{'expires':'+1h'}";
    (void)api_expect(api, 409, &change);
    /* One that will be over, or is, is no admin that could help. */
    EXPECT(api, 201, .name = "AddPrincipal", .as = &api->admin,
           .body = "{'kind':'token','name':'other','grants':['admin'],'expires':'+1m'}");
    (void)api_expect(api, 409, &change);
    (void)api_expect(api, 409, &remove);
    fake_clock_advance(&api->store->clock, 120 * KN_NS_PER_S);
    (void)api_expect(api, 409, &remove);
    EXPECT(api, 200, .name = "UpdatePrincipal", .as = &api->admin, .kind = "token",
           .principal = "other", .body = "{'expires':'never'}");
    (void)api_expect(api, 200, &remove);
    assert_true(json_is_false(json_object_get(api_told.json, "open_mode")));
    EXPECT(api, 200, .name = "RemovePrincipal", .as = &api->admin, .kind = "token",
           .principal = "page");
    const struct ask other = {
        .name = "RemovePrincipal", .as = &api->admin, .kind = "token", .principal = "other"};
    (void)api_expect(api, 409, &other);
    api->world.beyond_loopback = false;
    (void)api_expect(api, 200, &other);
    assert_true(json_is_true(json_object_get(api_told.json, "open_mode")));
    (void)api_expect(api, 404, &other);
}

static void test_changes_change_what_they_name(void **state) {
    struct api *api = *state;
    struct kn_wall now = api->world.clock->wall(api->world.clock);
    const struct srv_principal *found = NULL;
    add_root(api);
    EXPECT(api, 200, .name = "UpdatePrincipal", .as = &api->admin, .kind = "user",
           .principal = "root", .body = "{'grants':['operator:door*','admin']}");
    assert_int_equal(json_array_size(json_object_get(api_told.json, "grants")), 2);
    assert_int_equal(
        srv_principals_check_password(api->world.principals, "root", PASSWORD, now, &found), 0);
    srv_principal_unref(found);
    EXPECT(api, 200, .name = "UpdatePrincipal", .as = &api->admin, .kind = "user",
           .principal = "root", .body = "{'password':'another horse'}");
    assert_int_equal(json_array_size(json_object_get(api_told.json, "grants")), 2);
    assert_int_equal(
        srv_principals_check_password(api->world.principals, "root", PASSWORD, now, &found),
        -EACCES);
    assert_int_equal(
        srv_principals_check_password(api->world.principals, "root", "another horse", now, &found),
        0);
    srv_principal_unref(found);
    EXPECT(api, 201, .name = "AddPrincipal", .as = &api->admin,
           .body = "{'kind':'token','name':'page','grants':['viewer']}");
    EXPECT(api, 400, .name = "UpdatePrincipal", .as = &api->admin, .kind = "token",
           .principal = "page", .body = "{'password':'another horse'}");
    EXPECT(api, 400, .name = "UpdatePrincipal", .as = &api->admin, .kind = "token",
           .principal = "page", .body = "{'name':'leaf'}");
}

/* ---- sessions ---- */

static void test_a_session_for_a_password(void **state) {
    struct api *api = *state;
    add_root(api);
    EXPECT(api, 200, .name = "CreateSession", .body = "{'name':'root','password':'" PASSWORD "'}");
    assert_true(strlen(api_text("token")) > 20);
    char cookie[SRV_SESSION_BYTES + 64];
    (void)snprintf(cookie, sizeof(cookie), "Set-Cookie: kinora_session=%s; Path=/;",
                   api_text("token"));
    assert_non_null(strstr(api_told.fields, cookie));
    assert_non_null(strstr(api_told.fields, "; HttpOnly; SameSite=Strict\n"));
    EXPECT(api, 200, .name = "CreateSession", .base_url = "https://cam.example",
           .body = "{'name':'root','password':'" PASSWORD "'}");
    assert_non_null(strstr(api_told.fields, "; HttpOnly; SameSite=Strict; Secure\n"));
    struct told wrong = *EXPECT(api, 401, .name = "CreateSession",
                                .body = "{'name':'root','password':'wrong horse'}");
    assert_null(strstr(wrong.fields, "Set-Cookie"));
    assert_non_null(strstr(wrong.fields, "WWW-Authenticate: Bearer")); /* no browser asks */
    const struct told *nobody = EXPECT(api, 401, .name = "CreateSession",
                                       .body = "{'name':'nobody','password':'wrong horse'}");
    assert_string_equal(nobody->text, wrong.text);
    EXPECT(api, 400, .name = "CreateSession", .body = "{'name':'root'}");
    EXPECT(api, 204, .name = "DeleteSession");
    assert_non_null(strstr(api_told.fields, "Set-Cookie: kinora_session=; Path=/; Max-Age=0;"));
    EXPECT(api, 200, .name = "DescribeSession", .as = &api->viewer);
    assert_string_equal(api_text("name"), "guest");
    assert_true(json_is_false(json_object_get(api_told.json, "open_mode")));
}

static void test_too_many_passwords(void **state) {
    struct api *api = *state;
    add_root(api);
    for (unsigned i = 0; i < 30; i++) {
        const struct told *told =
            api_ask(api, &(struct ask){.name = "CreateSession",
                                       .body = "{'name':'root','password':'wrong horse'}"});
        if (told->status == 429) {
            assert_non_null(strstr(told->fields, "Retry-After: "));
            return;
        }
        assert_int_equal(told->status, 401);
    }
    fail_msg("nobody stopped it");
}

int main(void) {
#define API_TEST(test) cmocka_unit_test_setup_teardown(test, api_setup, api_teardown)
    const struct CMUnitTest tests[] = {
        API_TEST(test_the_first_one_is_an_admin),
        API_TEST(test_secrets_are_shown_once_and_work),
        API_TEST(test_what_cannot_be_is_refused_by_name),
        API_TEST(test_the_last_admin_stays_beyond_loopback),
        API_TEST(test_changes_change_what_they_name),
        API_TEST(test_a_session_for_a_password),
        API_TEST(test_too_many_passwords),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    api_forget();
    return failed;
}
