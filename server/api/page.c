/* The page at /: a shell without data, which asks the API as whoever looks at it. */
#include "server/api/page.h"

#include <string.h>

#include "server/api/api.h"
#include "server/exchange/exchange.h"

/* Nothing but files of ours, nothing inline, in nobody's frame: a name of a stream cannot become a
 * script even if the page had a fault. */
#define POLICY                                                                                     \
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "            \
    "object-src 'none'"

static void answer_file(struct srv_exchange *exchange, const char *type, const char *text) {
    srv_answer_field(exchange, "Content-Security-Policy", POLICY);
    srv_answer_field(exchange, "Referrer-Policy", "no-referrer");
    srv_answer_field(exchange, "Cross-Origin-Opener-Policy", "same-origin");
    srv_answer_field(exchange, "Cache-Control", "no-cache"); /* another version, another page */
    srv_answer(exchange, 200, type, text, strlen(text));
}

static void handle_html(struct srv_exchange *exchange) {
    answer_file(exchange, "text/html; charset=utf-8", srv_page_html);
}

static void handle_css(struct srv_exchange *exchange) {
    answer_file(exchange, "text/css; charset=utf-8", srv_page_css);
}

static void handle_js(struct srv_exchange *exchange) {
    answer_file(exchange, "text/javascript; charset=utf-8", srv_page_js);
}

static void handle_svg(struct srv_exchange *exchange) {
    answer_file(exchange, "image/svg+xml", srv_page_svg);
}

#define ROW(row_name, row_path, function)                                                          \
    {                                                                                              \
        .name = (row_name), .method = SRV_HTTP_GET, .path = (row_path), .access = SRV_OPEN,        \
        .body = SRV_NO_BODY, .on_loop = true, .handle = (function)                                 \
    }

static const struct srv_route rows[] = {
    ROW("Page", "/", handle_html),
    ROW("PageStyle", "/page.css", handle_css),
    ROW("PageScript", "/page.js", handle_js),
    ROW("PageIcon", "/page.svg", handle_svg),
};

const struct srv_routes srv_page_routes = {.rows = rows, .count = KN_COUNT(rows)};
