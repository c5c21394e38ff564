#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/time.h"
#include "server/config/config.h"
#include "tests/support/fail_alloc.h"

/* ---- a table with a row of each kind ---- */

struct inner {
    struct srv_named named;
    uint64_t count;
};

struct thing {
    struct srv_named named;
    char *text, *name;
    bool on;
    uint64_t size;
    int64_t span_ns;
    int choice;
    struct srv_texts list;
    struct srv_pairs map;
    struct inner inner;
};

static const char *const colours[] = {"red", "green", NULL};

static const char *name_fault(const char *text) {
    return strcmp(text, "bad") == 0 ? "any name but one" : NULL;
}

static const struct srv_schema inner_rows[] = {
    {.name = "count",
     .kind = SRV_KIND_COUNT,
     .at = offsetof(struct inner, count),
     .least = 1,
     .most = 9},
    {.name = NULL},
};

#define AT(field) .at = offsetof(struct thing, field)
static const struct srv_schema rows[] = {
    {.name = "text", .kind = SRV_KIND_TEXT, AT(text), .most = 8},
    {.name = "name", .kind = SRV_KIND_TEXT, AT(name), .least = 1, .fault = name_fault},
    {.name = "on", .kind = SRV_KIND_BOOL, AT(on)},
    {.name = "size", .kind = SRV_KIND_SIZE, AT(size), .word = "auto"},
    {.name = "span", .kind = SRV_KIND_DURATION, AT(span_ns), .forever = true},
    {.name = "choice", .kind = SRV_KIND_CHOICE, AT(choice), .choices = colours},
    {.name = "list", .kind = SRV_KIND_TEXTS, AT(list), .most = 3, .fault = name_fault},
    {.name = "map", .kind = SRV_KIND_PAIRS, AT(map), .most = 2},
    {.name = "inner", .kind = SRV_KIND_TABLE, AT(inner), .table = inner_rows},
    {.name = "filed", .kind = SRV_KIND_BOOL, AT(on), .file_only = true},
    {.name = NULL},
};

static int read_text(const char *text, struct thing *thing,
                     char problem[static SRV_SCHEMA_PROBLEM_BYTES]) {
    json_error_t error;
    json_t *object = json_loads(text, JSON_DECODE_ANY, &error);
    assert_non_null(object);
    int rc = srv_schema_read_json(rows, object, thing, problem);
    json_decref(object);
    return rc;
}

static const char everything[] =
    "{\"text\": \"T\u00fcr\", \"name\": \"n\", \"on\": true, \"size\": \"1.5G\", \"span\": \"7d\","
    " \"choice\": \"green\", \"list\": [\"a\", \"b\"], \"map\": {\"k\": \"v\", \"l\": \"\"},"
    " \"inner\": {\"count\": 9}}";

static void assert_everything(const struct thing *thing) {
    assert_int_equal(thing->named.rows, 0x1ff);
    assert_string_equal(thing->text, "T\u00fcr");
    assert_true(thing->on);
    assert_int_equal(thing->size, UINT64_C(3) << 29);
    assert_int_equal(thing->span_ns, 7 * 86400 * KN_NS_PER_S);
    assert_int_equal(thing->choice, 1);
    assert_int_equal(thing->list.count, 2);
    assert_string_equal(thing->list.items[1], "b");
    assert_int_equal(thing->map.count, 2);
    assert_string_equal(thing->map.items[0].value, "v");
    assert_int_equal(thing->inner.count, 9);
    assert_int_equal(thing->inner.named.rows, 1);
}

static void test_read(void **state) {
    (void)state;
    struct thing thing = {0}, copy = {0};
    char problem[SRV_SCHEMA_PROBLEM_BYTES];
    assert_int_equal(read_text(everything, &thing, problem), 0);
    assert_everything(&thing);
    assert_int_equal(srv_schema_copy(rows, &thing, &copy), 0);
    /* Again over what is there: the old values go. */
    assert_int_equal(
        read_text("{\"text\": \"\", \"list\": \"x\", \"map\": {}, \"span\": \"forever\","
                  " \"size\": \"auto\", \"on\": false}",
                  &thing, problem),
        0);
    assert_null(thing.text);
    assert_int_equal(thing.list.count, 1);
    assert_int_equal(thing.map.count, 0);
    assert_true(thing.span_ns == INT64_MAX && thing.size == UINT64_MAX && !thing.on);
    srv_schema_finish(rows, &thing);
    assert_everything(&copy);
    srv_schema_finish(rows, &copy);
}

static void test_numbers(void **state) {
    (void)state;
    struct thing thing = {0};
    char problem[SRV_SCHEMA_PROBLEM_BYTES];
    assert_int_equal(
        read_text("{\"size\": 17, \"span\": 0, \"inner\": {\"count\": \"3\"}}", &thing, problem),
        0);
    assert_int_equal(thing.size, 17);
    assert_int_equal(thing.span_ns, 0);
    assert_int_equal(thing.inner.count, 3);
    assert_int_equal(thing.named.rows, 1 << 3 | 1 << 4 | 1 << 8);
}

static void test_problems(void **state) {
    (void)state;
    static const struct {
        const char *text, *problem;
    } cases[] = {
        {"[]", "an object is wanted"},
        {"{\"txet\": 1}", "txet: no such member; text?"},
        {"{\"other\": 1}", "other: no such member"},
        {"{\"\\u001b[1m\": 1}", "?[1m: no such member"},
        {"{\"text\": 7}", "text: a text of 0 to 8 bytes without control characters"},
        {"{\"text\": \"123456789\"}", "text: a text of 0 to 8 bytes without control characters"},
        {"{\"text\": \"a\\nb\"}", "text: a text of 0 to 8 bytes without control characters"},
        {"{\"text\": null}", "text: a text of 0 to 8 bytes without control characters"},
        {"{\"name\": \"\"}", "name: a text of 1 to 4095 bytes without control characters"},
        {"{\"name\": \"bad\"}", "name: any name but one"},
        {"{\"on\": \"true\"}", "on: true or false"},
        {"{\"on\": 1}", "on: true or false"},
        {"{\"size\": -1}", "size: a size in bytes, or such as 500M or 5G, or auto"},
        {"{\"size\": 1.5}", "size: a size in bytes, or such as 500M or 5G, or auto"},
        {"{\"span\": 5}", "span: a duration such as 500ms, 10s or 7d, or forever"},
        {"{\"span\": \"-5s\"}", "span: a duration such as 500ms, 10s or 7d, or forever"},
        {"{\"choice\": \"blue\"}", "choice: one of red or green"},
        {"{\"list\": [1]}", "list: a list of texts, at most 3"},
        {"{\"list\": [\"a\", \"b\", \"c\", \"d\"]}", "list: a list of texts, at most 3"},
        {"{\"list\": [\"a\", \"bad\"]}", "list: any name but one"},
        {"{\"list\": [\"\"]}", "list: a text of 1 to 4095 bytes without control characters"},
        {"{\"map\": {\"\": \"a\"}}", "map: a map of texts, names of at most 128 bytes to values of "
                                     "at most 256, at most 2"},
        {"{\"map\": {\"a\": 1}}", "map: a map of texts, names of at most 128 bytes to values of "
                                  "at most 256, at most 2"},
        {"{\"inner\": {\"count\": 10}}", "inner: count: a whole number, from 1 to 9"},
        {"{\"inner\": {\"count\": \"07\"}}", "inner: count: a whole number, from 1 to 9"},
        {"{\"inner\": {\"cuont\": 1}}", "inner: cuont: no such member; count?"},
        {"{\"inner\": 1}", "inner: an object is wanted"},
        {"{\"filed\": true}", "filed: only the configuration file says this"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct thing thing = {0};
        char problem[SRV_SCHEMA_PROBLEM_BYTES] = "";
        assert_int_equal(read_text(cases[i].text, &thing, problem), KN_E_MALFORMED);
        assert_string_equal(problem, cases[i].problem);
        srv_schema_finish(rows, &thing);
    }
}

static void assert_near(const char *name, const char *expected) {
    const char *near = srv_schema_near(srv_config_schema, name, strlen(name));
    if (expected == NULL) {
        assert_null(near);
    } else {
        assert_non_null(near);
        assert_string_equal(near, expected);
    }
}

static void test_near(void **state) {
    (void)state;
    assert_near("lisetn", "listen"); /* swapped */
    assert_near("listn", "listen");  /* left out */
    assert_near("listenn", "listen");
    assert_near("Listen", "listen");
    assert_near("min-free", "min_free");
    assert_near("keyfile", "key_file");
    assert_near("zebra", NULL);
    assert_near("", NULL);
    assert_near("x", NULL);
    assert_near("a name that is much longer than any of the keys that there are", NULL);
}

/* Every text that was taken is still whole, or free, whichever allocation fails. */
static void test_no_memory(void **state) {
    (void)state;
    json_error_t error;
    json_t *object = json_loads(everything, 0, &error);
    assert_non_null(object);
    unsigned long n = 0;
    int rc;
    do {
        struct thing thing = {0}, copy = {0};
        char problem[SRV_SCHEMA_PROBLEM_BYTES];
        fail_alloc_at(++n);
        rc = srv_schema_read_json(rows, object, &thing, problem);
        rc = rc < 0 ? rc : srv_schema_copy(rows, &thing, &copy);
        fail_alloc_stop();
        assert_true(rc == 0 || rc == -ENOMEM);
        srv_schema_finish(rows, &thing);
        srv_schema_finish(rows, &copy);
    } while (rc != 0);
    assert_true(n > 10);
    json_decref(object);
}

/* What the documentation is made of is there, and short enough for a page. */
static void check_table(const struct srv_schema *table) {
    size_t count = 0;
    for (const struct srv_schema *row = table; row->name != NULL; row++, count++) {
        assert_non_null(row->help);
        assert_true(strlen(row->name) <= 32);
        assert_true((row->kind == SRV_KIND_TABLE) == (row->table != NULL));
        assert_true((row->kind == SRV_KIND_CHOICE) == (row->choices != NULL));
        bool optional = row->kind == SRV_KIND_TEXT || row->kind == SRV_KIND_TABLE;
        assert_true(optional || row->fallback != NULL);
        if (row->table != NULL) {
            check_table(row->table);
        }
    }
    assert_true(count <= 64);
}

static void test_tables(void **state) {
    (void)state;
    check_table(srv_config_schema);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),      cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_problems),  cmocka_unit_test(test_near),
        cmocka_unit_test(test_no_memory), cmocka_unit_test(test_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
