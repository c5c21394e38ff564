/* Rows in the order in which they are tried: where two match, the first segment that differs
 * decides; a literal goes before a name, a name before {rest...}. */
#include "server/exchange/routes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

/* Of a row's path. */
#define SEGMENTS_MAX 12u

enum kind { LITERAL, NAME, REST };

struct segment {
    enum kind kind;
    struct srv_http_text text; /* into the row; of names without what is around them */
};

struct row {
    const struct srv_route *route;
    const struct srv_routes *table;
    size_t at; /* in order of the tables */
    size_t count;
    bool slash; /* the path ends in '/' */
    struct segment segments[SEGMENTS_MAX];
};

struct srv_router {
    size_t count;
    struct row *rows; /* as they are tried */
    const struct srv_route **in_order;
};

/* ---- a row's path ---- */

static bool same_text(struct srv_http_text a, struct srv_http_text b) {
    return a.size == b.size && memcmp(a.data, b.data, a.size) == 0;
}

/* NULL, or what is wrong. */
static const char *read_segment(struct srv_http_text text, bool last, struct segment *ret_segment) {
    struct segment segment = {LITERAL, text};
    if (text.data[0] == '{') {
        if (text.size < 3 || text.data[text.size - 1] != '}') {
            return "a name without an end";
        }
        segment.kind = NAME;
        segment.text = (struct srv_http_text){text.data + 1, text.size - 2};
        if (segment.text.size > 3 && memcmp(text.data + text.size - 4, "...", 3) == 0) {
            segment.kind = REST;
            segment.text.size -= 3;
        }
    } else if (memchr(text.data, '{', text.size) != NULL ||
               memchr(text.data, '%', text.size) != NULL) {
        return "a literal segment that no request can have";
    }
    if (segment.kind == REST && !last) {
        return "something stands behind {name...}";
    }
    *ret_segment = segment;
    return NULL;
}

static const char *read_path(struct row *row) {
    const char *at = row->route->path;
    if (at == NULL || at[0] != '/') {
        return "its path has no '/' in front";
    }
    for (at++; *at != '\0';) {
        size_t size = strcspn(at, "/");
        if (size == 0 || row->count == SEGMENTS_MAX) {
            return size == 0 ? "an empty segment" : "too many segments";
        }
        const char *wrong = read_segment((struct srv_http_text){at, size}, at[size] == '\0',
                                         &row->segments[row->count++]);
        if (wrong != NULL) {
            return wrong;
        }
        at += size + (at[size] == '/');
        row->slash = at[-1] == '/';
    }
    row->slash = row->slash || row->count == 0;
    return NULL;
}

/* ---- what may be a row ---- */

static const char *check_names(const struct row *row, bool *ret_has_stream) {
    static const struct srv_http_text stream = {"stream", 6};
    size_t names = 0;
    for (size_t i = 0; i < row->count; i++) {
        if (row->segments[i].kind == LITERAL) {
            continue;
        }
        names++;
        *ret_has_stream |=
            row->segments[i].kind == NAME && same_text(row->segments[i].text, stream);
        for (size_t j = 0; j < i; j++) {
            if (row->segments[j].kind != LITERAL &&
                same_text(row->segments[i].text, row->segments[j].text)) {
                return "a name is there twice";
            }
        }
    }
    return names > SRV_PARAMETERS_MAX ? "too many names" : NULL;
}

static const char *check_access(const struct srv_route *route, bool has_stream) {
    bool one = route->action != 0 && (route->action & (route->action - 1)) == 0;
    if (route->access == SRV_ON_STREAM && !has_stream) {
        return "it is about a stream, and has no {stream}";
    }
    if ((route->access == SRV_ON_STREAM || route->access == SRV_ON_ALL) && !one) {
        return "it needs one action";
    }
    return NULL;
}

static const char *check_row(const struct row *row) {
    const struct srv_route *route = row->route;
    bool has_stream = false;
    const char *wrong = check_names(row, &has_stream);
    if (wrong != NULL) {
        return wrong;
    }
    if (route->handle == NULL) {
        return "no handler";
    }
    if (route->method == SRV_HTTP_HEAD) {
        return "HEAD is answered by GET's row";
    }
    if (route->body == SRV_BODY_FLOW && (!route->on_loop || !route->unsigned_body)) {
        return "a body that flows is for the loop, and not part of a signature";
    }
    return check_access(route, has_stream);
}

/* ---- order ---- */

static int compare_segments(const struct segment *a, const struct segment *b) {
    if (a->kind != b->kind) {
        return a->kind < b->kind ? -1 : 1;
    }
    if (a->kind != LITERAL) {
        return 0;
    }
    size_t size = a->text.size < b->text.size ? a->text.size : b->text.size;
    int order = memcmp(a->text.data, b->text.data, size);
    return order != 0 ? order : (a->text.size > b->text.size) - (a->text.size < b->text.size);
}

/* 0: they take the same requests. */
static int compare_rows(const void *left, const void *right) {
    const struct row *a = left;
    const struct row *b = right;
    for (size_t i = 0; i < a->count && i < b->count; i++) {
        int order = compare_segments(&a->segments[i], &b->segments[i]);
        if (order != 0) {
            return order;
        }
    }
    if (a->count != b->count) {
        return a->count < b->count ? -1 : 1;
    }
    if (a->slash != b->slash) {
        return a->slash ? 1 : -1;
    }
    return (a->route->method > b->route->method) - (a->route->method < b->route->method);
}

static int complain(const struct srv_route *route, const char *wrong) {
    kn_log_error("a route cannot be", kn_str("route", route->name), kn_str("path", route->path),
                 kn_str("reason", wrong));
    return -EEXIST;
}

static int check_pairs(const struct srv_router *router) {
    for (size_t i = 1; i < router->count; i++) {
        if (compare_rows(&router->rows[i - 1], &router->rows[i]) == 0) {
            return complain(router->rows[i].route, "another takes the same requests");
        }
    }
    for (size_t i = 0; i < router->count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (strcmp(router->in_order[i]->name, router->in_order[j]->name) == 0) {
                return complain(router->in_order[i], "another has its name");
            }
        }
    }
    return 0;
}

/* ---- making one ---- */

static int add_row(struct srv_router *router, const struct srv_routes *table,
                   const struct srv_route *route) {
    struct row *row = &router->rows[router->count];
    *row = (struct row){.route = route, .table = table, .at = router->count};
    router->in_order[router->count++] = route;
    if (route->name == NULL) {
        return complain(route, "no name");
    }
    const char *wrong = read_path(row);
    if (wrong == NULL) {
        wrong = check_row(row);
    }
    return wrong == NULL ? 0 : complain(route, wrong);
}

static int add_table(struct srv_router *router, const struct srv_routes *table) {
    for (size_t i = 0; i < table->count; i++) {
        int rc = add_row(router, table, &table->rows[i]);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

static int fill(struct srv_router *router, const struct srv_routes *const *tables, size_t count) {
    for (size_t i = 0; i < count; i++) {
        int rc = add_table(router, tables[i]);
        if (rc != 0) {
            return rc;
        }
    }
    qsort(router->rows, router->count, sizeof(*router->rows), compare_rows);
    return check_pairs(router);
}

int srv_router_create(const struct srv_routes *const *tables, size_t count,
                      struct srv_router **ret_router) {
    size_t rows = 0;
    for (size_t i = 0; i < count; i++) {
        rows += tables[i]->count;
    }
    int rc = -ENOMEM;
    struct srv_router *router = calloc(1, sizeof(*router));
    if (router == NULL) {
        goto fail;
    }
    router->rows = calloc(rows + 1, sizeof(*router->rows));
    router->in_order = calloc(rows + 1, sizeof(*router->in_order));
    if (router->rows == NULL || router->in_order == NULL) {
        goto fail;
    }
    rc = fill(router, tables, count);
    if (rc != 0) {
        goto fail;
    }
    *ret_router = router;
    return 0;
fail:
    srv_router_destroy(router);
    return rc;
}

void srv_router_destroy(struct srv_router *router) {
    if (router != NULL) {
        free(router->rows);
        free(router->in_order);
        free(router);
    }
}

/* ---- finding ---- */

static bool takes(const struct row *row, const struct srv_http_path *path) {
    bool rest = row->count > 0 && row->segments[row->count - 1].kind == REST;
    if (path->count < row->count || (path->count > row->count && !rest) ||
        path->slash != row->slash) {
        return false;
    }
    for (size_t i = 0; i < row->count; i++) {
        const struct segment *segment = &row->segments[i];
        if (segment->kind == LITERAL ? !same_text(segment->text, path->segments[i])
                                     : path->segments[i].size == 0) {
            return false;
        }
    }
    return true;
}

static void settle(const struct row *row, const struct srv_http_path *path,
                   struct srv_match *match) {
    match->route = row->route;
    match->table = row->table;
    match->row = row->at;
    for (size_t i = 0; i < row->count; i++) {
        if (row->segments[i].kind == LITERAL) {
            continue;
        }
        size_t at = match->parameter_count++;
        match->parameters[at].name = row->segments[i].text;
        match->parameters[at].value = path->segments[i];
        match->parameters[at].first = i;
        match->parameters[at].segments = row->segments[i].kind == REST ? path->count - i : 1;
    }
}

void srv_router_find(const struct srv_router *router, enum srv_http_method method,
                     const struct srv_http_path *path, struct srv_match *ret_match) {
    struct srv_match match = {.route = NULL};
    enum srv_http_method wanted = method == SRV_HTTP_HEAD ? SRV_HTTP_GET : method;
    for (size_t i = 0; i < router->count; i++) {
        const struct row *row = &router->rows[i];
        if (!takes(row, path)) {
            continue;
        }
        match.path_known = true;
        match.methods |= UINT32_C(1) << row->route->method;
        if (match.table == NULL) {
            match.table = row->table; /* shapes the error of a wrong method */
        }
        if (match.route == NULL && row->route->method == wanted) {
            settle(row, path, &match);
        }
    }
    if ((match.methods & UINT32_C(1) << SRV_HTTP_GET) != 0) {
        match.methods |= UINT32_C(1) << SRV_HTTP_HEAD;
    }
    *ret_match = match;
}

const struct srv_route *srv_router_row(const struct srv_router *router, size_t at) {
    return at < router->count ? router->in_order[at] : NULL;
}
