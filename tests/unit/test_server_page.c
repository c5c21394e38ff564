/* The page: what it is sent with, and that nothing in it stands inline or comes from elsewhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <string.h>
#include <cmocka.h>

#include "server/api/api.h"
#include "tests/support/fake_exchange.h"

static struct srv_exchange *ask(const char *route) {
    const struct fake_exchange_config config = {0};
    struct srv_exchange *exchange = fake_exchange_create(&config);
    fake_exchange_handle(exchange, &srv_page_routes, route);
    assert_int_equal(fake_exchange_status(exchange), 200);
    return exchange;
}

static void every_file_is_sent_with_its_policy(void **state) {
    (void)state;
    static const struct {
        const char *route, *type, *begins;
    } files[] = {
        {"Page", "text/html; charset=utf-8", "<!DOCTYPE html>"},
        {"PageStyle", "text/css; charset=utf-8", ":root {"},
        {"PageScript", "text/javascript; charset=utf-8", "// "},
        {"PageIcon", "image/svg+xml", "<svg "},
    };
    assert_int_equal(srv_page_routes.count, KN_COUNT(files));
    for (size_t i = 0; i < KN_COUNT(files); i++) {
        struct srv_exchange *exchange = ask(files[i].route);
        const char *fields = fake_exchange_fields(exchange);
        assert_string_equal(fake_exchange_type(exchange), files[i].type);
        assert_int_equal(
            strncmp(fake_exchange_text(exchange), files[i].begins, strlen(files[i].begins)), 0);
        assert_non_null(strstr(fields, "Content-Security-Policy: default-src 'self';"));
        assert_non_null(strstr(fields, "frame-ancestors 'none'"));
        assert_null(strstr(fields, "unsafe"));
        assert_int_equal(srv_page_routes.rows[i].access, SRV_OPEN);
        fake_exchange_destroy(exchange);
    }
}

static void nothing_stands_inline_or_elsewhere(void **state) {
    (void)state;
    struct srv_exchange *exchange = ask("Page");
    const char *html = fake_exchange_text(exchange);
    static const char *const banned[] = {"<style",      " style=", " onclick", " onload",
                                         "javascript:", "http://", "https://", "\"//"};
    for (size_t i = 0; i < KN_COUNT(banned); i++) {
        assert_null(strstr(html, banned[i]));
    }
    const char *script = strstr(html, "<script");
    assert_non_null(script);
    assert_int_equal(strncmp(script, "<script src=\"/page.js\" defer></script>", 38), 0);
    assert_null(strstr(script + 1, "<script"));
    fake_exchange_destroy(exchange);

    exchange = ask("PageScript");
    const char *js = fake_exchange_text(exchange);
    static const char *const dangerous[] = {"innerHTML",      "outerHTML", "insertAdjacentHTML",
                                            "document.write", "eval(",     "localStorage"};
    for (size_t i = 0; i < KN_COUNT(dangerous); i++) {
        assert_null(strstr(js, dangerous[i]));
    }
    fake_exchange_destroy(exchange);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_file_is_sent_with_its_policy),
        cmocka_unit_test(nothing_stands_inline_or_elsewhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
