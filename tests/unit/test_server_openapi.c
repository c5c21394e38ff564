/* The document beside the API, against the tables: neither has what the other has not. */
#include "tests/unit/server_api_world.h"

#include "server/server.h"

static const char *const methods[] = {
    [SRV_HTTP_GET] = "get",       [SRV_HTTP_POST] = "post",   [SRV_HTTP_PUT] = "put",
    [SRV_HTTP_DELETE] = "delete", [SRV_HTTP_PATCH] = "patch",
};

static json_t *document;

static const struct srv_routes *const tables[] = {
    &srv_api_streams_routes, &srv_api_upkeep_routes, &srv_api_principals_routes,
    &srv_api_server_routes,  &srv_events_routes,
};

static int load(void **state) {
    (void)state;
    document = json_loads(srv_openapi(), JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(document);
    return 0;
}

static int unload(void **state) {
    (void)state;
    json_decref(document);
    return 0;
}

static json_t *operation_of(const struct srv_route *route) {
    json_t *path = json_object_get(json_object_get(document, "paths"), route->path);
    return json_object_get(path, methods[route->method]);
}

static const json_t *resolve(const char *ref) {
    char name[256];
    const json_t *at = document;
    assert_int_equal(strncmp(ref, "#/", 2), 0);
    ref += 2;
    while (*ref != '\0' && at != NULL) {
        size_t size = strcspn(ref, "/");
        assert_true(size < sizeof(name));
        memcpy(name, ref, size);
        name[size] = '\0';
        at = json_object_get(at, name);
        ref += size + (ref[size] == '/' ? 1 : 0);
    }
    return at;
}

/* The parameters of an operation in the path: how many, each in the route's path. */
static size_t path_parameters(const json_t *operation, const char *path) {
    const json_t *value = NULL;
    size_t index = 0;
    size_t count = 0;
    json_array_foreach(json_object_get(operation, "parameters"), index, value) {
        const char *ref = json_string_value(json_object_get(value, "$ref"));
        const json_t *parameter = ref == NULL ? value : resolve(ref);
        if (strcmp(json_string_value(json_object_get(parameter, "in")), "path") == 0) {
            char name[64];
            (void)snprintf(name, sizeof(name), "{%s}",
                           json_string_value(json_object_get(parameter, "name")));
            assert_non_null(strstr(path, name));
            count++;
        }
    }
    return count;
}

static void check_row(const struct srv_route *route) {
    const json_t *operation = operation_of(route);
    if (operation == NULL) {
        fail_msg("%s %s is not in the document", methods[route->method], route->path);
    }
    assert_string_equal(json_string_value(json_object_get(operation, "operationId")), route->name);
    size_t braces = 0;
    for (const char *at = route->path; *at != '\0'; at++) {
        braces += *at == '{';
    }
    assert_int_equal(path_parameters(operation, route->path), braces);
    assert_true((json_object_get(operation, "requestBody") != NULL) ==
                (route->body == SRV_BODY_JSON));
    /* Without credentials: exactly the open ones. */
    const json_t *security = json_object_get(operation, "security");
    assert_true((security != NULL) == (route->access == SRV_OPEN));
    assert_int_equal(json_array_size(security), 0);
}

static void test_each_row_is_in_the_document(void **state) {
    (void)state;
    for (size_t i = 0; i < KN_COUNT(tables); i++) {
        for (size_t k = 0; k < tables[i]->count; k++) {
            check_row(&tables[i]->rows[k]);
        }
    }
}

static bool is_row(const char *path, const char *method) {
    for (size_t i = 0; i < KN_COUNT(tables); i++) {
        for (size_t k = 0; k < tables[i]->count; k++) {
            const struct srv_route *route = &tables[i]->rows[k];
            if (strcmp(route->path, path) == 0 && strcmp(methods[route->method], method) == 0) {
                return true;
            }
        }
    }
    return false;
}

static void test_nothing_else_is_in_the_document(void **state) {
    (void)state;
    const char *path = NULL;
    const char *method = NULL;
    json_t *operations = NULL;
    json_t *operation = NULL;
    json_object_foreach(json_object_get(document, "paths"), path, operations) {
        json_object_foreach(operations, method, operation) {
            if (!is_row(path, method)) {
                fail_msg("%s %s is no route", method, path);
            }
        }
    }
}

/* As deep as the document, which is ours. */
// NOLINTNEXTLINE(misc-no-recursion)
static void check_refs(const json_t *value, unsigned *count) {
    const char *name = NULL;
    json_t *member = NULL;
    size_t index = 0;
    if (json_is_object(value)) {
        json_object_foreach((json_t *)(uintptr_t)value, name, member) {
            if (strcmp(name, "$ref") == 0) {
                if (resolve(json_string_value(member)) == NULL) {
                    fail_msg("%s is nowhere", json_string_value(member));
                }
                (*count)++;
            }
            check_refs(member, count);
        }
    }
    json_array_foreach(value, index, member) {
        check_refs(member, count);
    }
}

static void test_all_references_lead_somewhere(void **state) {
    (void)state;
    unsigned count = 0;
    check_refs(document, &count);
    assert_true(count > 50);
}

static const json_t *properties_of(const char *schema) {
    const json_t *schemas = json_object_get(json_object_get(document, "components"), "schemas");
    const json_t *properties = json_object_get(json_object_get(schemas, schema), "properties");
    assert_non_null(properties);
    return properties;
}

static void test_bodies_of_streams_have_the_rows_of_the_table(void **state) {
    (void)state;
    static const char *const schemas[] = {"StreamCreation", "StreamChange", "Stream"};
    for (size_t i = 0; i < KN_COUNT(schemas); i++) {
        const json_t *properties = properties_of(schemas[i]);
        size_t count = 0;
        for (size_t k = 0; k < SRV_STREAM_ROWS; k++) {
            if (!srv_stream_schema[k].file_only) {
                assert_non_null(json_object_get(properties, srv_stream_schema[k].name));
                count++;
            }
        }
        /* Besides them a body has its name or version. */
        assert_true(i == 2 || json_object_size(properties) == count + 1);
    }
}

/* Every member of an answer is described. */
static void check_members(const json_t *object, const char *schema) {
    const json_t *properties = properties_of(schema);
    const char *name = NULL;
    json_t *member = NULL;
    assert_true(json_object_size(object) > 0);
    json_object_foreach((json_t *)(uintptr_t)object, name, member) {
        if (json_object_get(properties, name) == NULL) {
            fail_msg("%s of %s is not described", name, schema);
        }
    }
    json_object_foreach((json_t *)(uintptr_t)properties, name, member) {
        if (json_object_get(object, name) == NULL) {
            fail_msg("%s of %s is not answered", name, schema);
        }
    }
}

static void test_answers_are_as_described(void **state) {
    struct api *api = *state;
    api_record(api, "door", 1);
    EXPECT(api, 200, .name = "DescribeStream", .as = &api->admin, .stream = "door");
    check_members(api_told.json, "Stream");
    check_members(json_object_get(api_told.json, "counters"), "Counters");
    EXPECT(api, 200, .name = "ListFragments", .as = &api->admin, .stream = "door");
    check_members(json_array_get(json_object_get(api_told.json, "fragments"), 0), "Fragment");
    EXPECT(api, 200, .name = "ListGaps", .as = &api->admin);
    check_members(json_array_get(json_object_get(api_told.json, "gaps"), 0), "Gap");
    EXPECT(api, 201, .name = "AddHold", .as = &api->admin, .stream = "door",
           .body = "{'from':'-1h','to':'now'}");
    check_members(api_told.json, "Hold");
    EXPECT(api, 200, .name = "DescribeServer", .as = &api->admin);
    check_members(api_told.json, "Server");
    check_members(json_object_get(api_told.json, "store"), "Store");
    EXPECT(api, 200, .name = "DescribeSession", .as = &api->admin);
    assert_int_equal(json_object_del(api_told.json, "open_mode"), 0);
    check_members(api_told.json, "Principal");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_row_is_in_the_document),
        cmocka_unit_test(test_nothing_else_is_in_the_document),
        cmocka_unit_test(test_all_references_lead_somewhere),
        cmocka_unit_test(test_bodies_of_streams_have_the_rows_of_the_table),
        cmocka_unit_test_setup_teardown(test_answers_are_as_described, api_setup, api_teardown),
    };
    int failed = cmocka_run_group_tests(tests, load, unload);
    api_forget();
    return failed;
}
