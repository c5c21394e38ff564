/* Keys, users and tokens. Secrets go out once, when they are made; nothing that is shown later has
 * any. */
#include "server/api/api.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/quantity.h"
#include "server/api/api_inner.h"
#include "server/json/json.h"

#define NAME_RULE "a name has 1 to 64 of A-Z a-z 0-9 . _ @ -, but is not . or .."

/* By enum srv_principal_kind, less 1. */
static const char *const kind_names[] = {"key", "user", "token", NULL};

/* Rules about the table as a whole (an admin stays) are looked at and acted on by one request at a
 * time. Only workers take it, which may block. */
static pthread_mutex_t changes = PTHREAD_MUTEX_INITIALIZER;

/* ---- as JSON ---- */

json_t *srv_api_grants_json(const struct srv_principal *principal) {
    json_t *grants = json_array();
    for (size_t i = 0; i < principal->grant_count && grants != NULL; i++) {
        char text[SRV_GRANT_TEXT_BYTES];
        if (json_array_append_new(grants,
                                  json_string(srv_grant_text(&principal->grants[i], text))) < 0) {
            json_decref(grants);
            grants = NULL;
        }
    }
    return grants;
}

const char *srv_api_kind_name(const struct srv_principal *principal) {
    size_t kind = (size_t)principal->kind;
    return kind >= SRV_PRINCIPAL_KEY && kind <= SRV_PRINCIPAL_TOKEN ? kind_names[kind - 1]
                                                                    : "anyone";
}

json_t *srv_api_principal_json(const struct srv_principal *principal) {
    size_t kind = (size_t)principal->kind;
    bool known = kind >= SRV_PRINCIPAL_KEY && kind <= SRV_PRINCIPAL_TOKEN;
    return json_pack(
        "{s:o, s:s, s:o, s:o, s:o, s:o}", "kind",
        known ? json_string(kind_names[kind - 1]) : json_null(), "name", principal->name, "created",
        srv_json_time(principal->created), "expires",
        principal->expires.ns == SRV_NEVER.ns ? json_null() : srv_json_time(principal->expires),
        "grants", srv_api_grants_json(principal), "access_key",
        principal->kind == SRV_PRINCIPAL_KEY ? json_string(principal->access_key) : json_null());
}

/* ---- listing ---- */

static bool read_kind(const char *text, size_t size, enum srv_principal_kind *ret_kind) {
    for (unsigned i = 0; kind_names[i] != NULL; i++) {
        if (strlen(kind_names[i]) == size && memcmp(kind_names[i], text, size) == 0) {
            *ret_kind = (enum srv_principal_kind)(i + 1);
            return true;
        }
    }
    return false;
}

/* "user/anna"; empty: from the first on. */
static bool read_place(const char *after, enum srv_principal_kind *ret_kind,
                       const char **ret_name) {
    const char *slash = strchr(after, '/');
    if (*after == '\0') {
        *ret_kind = (enum srv_principal_kind)0;
        *ret_name = "";
        return true;
    }
    if (slash == NULL || !read_kind(after, (size_t)(slash - after), ret_kind)) {
        return false;
    }
    *ret_name = slash + 1;
    return true;
}

static int put_principals(struct srv_principals *principals, struct srv_api_list *list,
                          enum srv_principal_kind kind, const char *behind) {
    char name[SRV_PRINCIPAL_NAME_BYTES];
    (void)snprintf(name, sizeof(name), "%s", behind);
    for (;;) {
        const struct srv_principal *next = NULL;
        int rc = srv_principals_next(principals, kind, name, &next);
        if (rc < 0 || srv_api_list_full(list)) {
            srv_principal_unref(next);
            return rc == -ENOENT ? 0 : rc;
        }
        kind = next->kind;
        memcpy(name, next->name, sizeof(name));
        rc = srv_api_list_add(list, srv_api_principal_json(next), "%s/%s", kind_names[kind - 1],
                              name);
        srv_principal_unref(next);
        if (rc < 0) {
            return rc;
        }
    }
}

static void list_principals(struct srv_exchange *exchange) {
    struct srv_api_list list;
    enum srv_principal_kind kind;
    const char *name = NULL;
    if (!SRV_API_ONLY(exchange, "limit", "after") || !srv_api_list_begin(exchange, &list)) {
        return;
    }
    if (!read_place(list.after, &kind, &name)) {
        srv_api_list_refuse(exchange, &list);
        return;
    }
    int rc = put_principals(srv_exchange_world(exchange)->principals, &list, kind, name);
    srv_api_list_answer(exchange, &list, "principals", rc);
}

/* The one at {kind}/{name}: a reference. */
static const struct srv_principal *find_principal(struct srv_exchange *exchange) {
    const char *kind_name = srv_exchange_parameter(exchange, "kind");
    const struct srv_principal *found = NULL;
    enum srv_principal_kind kind;
    if (!read_kind(kind_name, strlen(kind_name), &kind) ||
        srv_principals_find(srv_exchange_world(exchange)->principals, kind,
                            srv_exchange_parameter(exchange, "name"), &found) < 0) {
        srv_answer_error(exchange, 404, SRV_API_NOT_FOUND, "there is no such principal");
        return NULL;
    }
    return found;
}

static void show_principal(struct srv_exchange *exchange) {
    const struct srv_principal *found = NULL;
    if (SRV_API_ONLY(exchange, NULL) && (found = find_principal(exchange)) != NULL) {
        srv_answer_json(exchange, 200, srv_api_principal_json(found));
        srv_principal_unref(found);
    }
}

/* ---- what bodies say ---- */

struct principal_body {
    struct srv_named named;
    int kind; /* -1: not said */
    char *name, *password, *access_key, *secret, *expires;
    struct srv_texts grants;
};

#define TEXT_ROW(member, longest, hidden)                                                          \
    {                                                                                              \
        .name = #member, .kind = SRV_KIND_TEXT, .at = offsetof(struct principal_body, member),     \
        .least = 1, .most = (longest), .secret = (hidden)                                          \
    }
#define GRANTS_ROW                                                                                 \
    {                                                                                              \
        .name = "grants", .kind = SRV_KIND_TEXTS, .at = offsetof(struct principal_body, grants),   \
        .least = 1, .most = SRV_GRANTS_MAX                                                         \
    }

static const struct srv_schema add_schema[] = {
    {.name = "kind",
     .kind = SRV_KIND_CHOICE,
     .at = offsetof(struct principal_body, kind),
     .choices = kind_names},
    TEXT_ROW(name, SRV_PRINCIPAL_NAME_BYTES - 1, false),
    TEXT_ROW(password, SRV_PASSWORD_MAX, true),
    TEXT_ROW(access_key, SRV_ACCESS_KEY_BYTES - 1, false),
    TEXT_ROW(secret, SRV_SECRET_MAX, true),
    TEXT_ROW(expires, 63, false),
    GRANTS_ROW,
    {.name = NULL},
};

static const struct srv_schema change_schema[] = {
    TEXT_ROW(password, SRV_PASSWORD_MAX, true),
    TEXT_ROW(expires, 63, false),
    GRANTS_ROW,
    {.name = NULL},
};

static void finish_body(const struct srv_schema *schema, struct principal_body *body) {
    if (body->password != NULL) {
        srv_wipe(body->password, strlen(body->password));
    }
    if (body->secret != NULL) {
        srv_wipe(body->secret, strlen(body->secret));
    }
    srv_schema_finish(schema, body);
}

static bool refuse(struct srv_exchange *exchange, const char *message) {
    srv_answer_error(exchange, 400, SRV_API_INVALID, "%s", message);
    return false;
}

static bool read_grants(struct srv_exchange *exchange, const struct srv_texts *texts,
                        struct srv_principal *principal) {
    bool right = texts->count >= 1 && texts->count <= SRV_GRANTS_MAX;
    for (size_t i = 0; i < texts->count && right; i++) {
        right = srv_grant_parse(texts->items[i], &principal->grants[i]) == 0;
    }
    if (!right) {
        return refuse(exchange, "grants: 1 to 16 such as \"admin\", \"viewer:door*\" or "
                                "\"list,record:gate\"");
    }
    principal->grant_count = texts->count;
    return true;
}

static bool read_expires(struct srv_exchange *exchange, const char *text,
                         struct kn_wall *ret_expires) {
    if (strcmp(text, "never") == 0) {
        *ret_expires = SRV_NEVER;
        return true;
    }
    return kn_when_ahead_parse(text, srv_api_now(exchange), ret_expires) == 0 ||
           refuse(exchange, "expires: never, 30d, or a time such as 2026-11-20T21:23:40Z");
}

static bool set_password(struct srv_exchange *exchange, const char *password,
                         struct srv_principal *principal) {
    int rc = srv_principal_set_password(principal, password);
    if (rc == -EINVAL) {
        return refuse(exchange, "password: 8 to 1024 bytes");
    }
    if (rc < 0) {
        srv_answer_failure(exchange, rc, "setting the password");
    }
    return rc == 0;
}

/* ---- adding ---- */

/* What is shown once. */
struct shown {
    const char *name; /* of the member; NULL: there is nothing to show */
    char text[SRV_SECRET_MAX + 1];
};

static bool take_secret(const struct principal_body *body, struct srv_principal *principal) {
    size_t size = strlen(body->secret);
    if (body->access_key == NULL || size > sizeof(principal->secret) ||
        strlen(body->access_key) >= sizeof(principal->access_key)) {
        return false;
    }
    (void)snprintf(principal->access_key, sizeof(principal->access_key), "%s", body->access_key);
    memcpy(principal->secret, body->secret, size);
    principal->secret_bytes = size;
    return true;
}

static int make_key(const struct principal_body *body, struct srv_principal *principal,
                    struct shown *shown) {
    if (body->secret != NULL || body->access_key != NULL) {
        return body->secret != NULL && take_secret(body, principal) ? 0 : -EINVAL;
    }
    int rc = srv_principal_make_key(principal);
    if (rc == 0) {
        shown->name = "secret";
        memcpy(shown->text, principal->secret, principal->secret_bytes);
        shown->text[principal->secret_bytes] = '\0';
    }
    return rc;
}

/* Which members go with which kind. */
static bool fits_kind(struct srv_exchange *exchange, const struct principal_body *body) {
    if (body->kind < 0) {
        return refuse(exchange, "kind: it is missing; key, user or token");
    }
    bool is_user = body->kind + 1 == SRV_PRINCIPAL_USER;
    bool is_key = body->kind + 1 == SRV_PRINCIPAL_KEY;
    if (is_user != (body->password != NULL)) {
        return refuse(exchange, is_user ? "password: it is missing; 8 to 1024 bytes"
                                        : "password: only users have one");
    }
    if (!is_key && (body->access_key != NULL || body->secret != NULL)) {
        return refuse(exchange, "access_key, secret: only keys have them");
    }
    return body->name != NULL || refuse(exchange, "name: it is missing; " NAME_RULE);
}

static bool make_secret(struct srv_exchange *exchange, const struct principal_body *body,
                        struct srv_principal *principal, struct shown *shown) {
    if (principal->kind == SRV_PRINCIPAL_USER) {
        return set_password(exchange, body->password, principal);
    }
    int rc = 0;
    if (principal->kind == SRV_PRINCIPAL_KEY) {
        rc = make_key(body, principal, shown);
    } else {
        shown->name = "token";
        rc = srv_principal_make_token(principal, shown->text);
    }
    if (rc == -EINVAL) {
        return refuse(exchange, "access_key and secret: both, or neither");
    }
    if (rc < 0) {
        srv_answer_failure(exchange, rc, "making the secret");
    }
    return rc == 0;
}

static bool fill_principal(struct srv_exchange *exchange, const struct principal_body *body,
                           struct srv_principal *principal, struct shown *shown) {
    if (!fits_kind(exchange, body) || !read_grants(exchange, &body->grants, principal)) {
        return false;
    }
    principal->kind = (enum srv_principal_kind)(body->kind + 1);
    principal->created = srv_api_now(exchange);
    principal->expires = SRV_NEVER;
    (void)snprintf(principal->name, sizeof(principal->name), "%s", body->name);
    if (body->expires != NULL && !read_expires(exchange, body->expires, &principal->expires)) {
        return false;
    }
    if (principal->expires.ns <= principal->created.ns) {
        return refuse(exchange, "expires: it is over already");
    }
    if (!make_secret(exchange, body, principal, shown)) {
        return false;
    }
    return srv_principal_valid(principal) ||
           refuse(exchange, NAME_RULE "; an access key 16 to 128 of A-Z a-z 0-9 _, a secret 16 or "
                                      "more of printable ASCII");
}

/* An admin as the first one has to be: no clock takes the rights away. */
static bool is_lasting_admin(const struct srv_principal *principal) {
    return principal->expires.ns == SRV_NEVER.ns &&
           srv_principal_may(principal, SRV_ACTION_ADMIN, NULL);
}

static bool is_admin(const struct srv_principal *principal, struct kn_wall now) {
    return principal->expires.ns > now.ns && srv_principal_may(principal, SRV_ACTION_ADMIN, NULL);
}

static void audit(const struct srv_exchange *exchange, const char *what,
                  const struct srv_principal *object, const char *changed) {
    srv_api_audit(exchange, what, kn_str("object_kind", srv_api_kind_name(object)),
                  kn_str("object", object->name), kn_str("changed", changed));
}

static void answer_added(struct srv_exchange *exchange, const struct srv_principal *principal,
                         int rc, json_t *answer) {
    char location[sizeof("/api/v1/principals/token/") + SRV_PRINCIPAL_NAME_BYTES];
    if (rc == 0) {
        (void)snprintf(location, sizeof(location), "/api/v1/principals/%s/%s",
                       srv_api_kind_name(principal), principal->name);
        srv_answer_field(exchange, "Location", location);
        srv_answer_json(exchange, 201, json_incref(answer));
    } else if (rc == -EEXIST) {
        const struct srv_principal *same = NULL;
        bool named = srv_principals_find(srv_exchange_world(exchange)->principals, principal->kind,
                                         principal->name, &same) == 0;
        srv_principal_unref(same);
        srv_answer_error(exchange, 409, SRV_API_CONFLICT,
                         named ? "its name is taken" : "its access key is taken");
    } else if (rc == KN_E_LIMIT) {
        srv_answer_error(exchange, 409, SRV_API_CONFLICT,
                         "there are %u principals, which is the most", SRV_PRINCIPALS_MAX);
    } else {
        srv_answer_failure(exchange, rc, "adding the principal");
    }
}

/* `answer` is whole before anything is added: a secret that cannot be shown is of no use. */
static void add_made(struct srv_exchange *exchange, const struct srv_principal *principal,
                     json_t *answer) {
    struct srv_principals *principals = srv_exchange_world(exchange)->principals;
    (void)pthread_mutex_lock(&changes);
    bool first = srv_principals_count(principals) == 0;
    bool locks_out = first && !is_lasting_admin(principal);
    int rc = -ENOMEM;
    if (!locks_out && json_object_set_new(answer, "closed_open_mode", json_boolean(first)) == 0) {
        rc = srv_principals_add(principals, principal);
    }
    (void)pthread_mutex_unlock(&changes);
    if (rc == 0) {
        audit(exchange, "principal added", principal, "all");
    }
    if (rc == 0 && first) {
        kn_log_info("the open mode ends: from now on everybody needs credentials",
                    kn_str("first", principal->name));
    }
    if (locks_out) {
        srv_answer_error(exchange, 409, SRV_API_CONFLICT,
                         "the first one closes the open mode: it must have the grant \"admin\" and "
                         "never expire, or nobody could add others");
        return;
    }
    answer_added(exchange, principal, rc, answer);
}

static void add_principal(struct srv_exchange *exchange) {
    struct principal_body body = {.kind = -1};
    struct srv_principal principal = {0};
    struct shown shown = {0};
    if (SRV_API_ONLY(exchange, NULL) && srv_api_body(exchange, add_schema, &body) &&
        fill_principal(exchange, &body, &principal, &shown)) {
        json_t *answer = srv_api_principal_json(&principal);
        if (answer == NULL ||
            (shown.name != NULL &&
             json_object_set_new(answer, shown.name, json_string(shown.text)) < 0)) {
            srv_answer_failure(exchange, -ENOMEM, "adding the principal");
        } else {
            add_made(exchange, &principal, answer);
        }
        json_decref(answer);
    }
    srv_wipe(&shown, sizeof(shown));
    srv_wipe(&principal, sizeof(principal));
    finish_body(add_schema, &body);
}

/* ---- changing and removing: with `changes` locked ---- */

/* Whether an admin is left besides this one; a lasting one where `lasting`. */
static bool has_other_admin(struct srv_principals *principals, const struct srv_principal *one,
                            struct kn_wall now, bool lasting) {
    const struct srv_principal *next = NULL;
    enum srv_principal_kind kind = (enum srv_principal_kind)0;
    char name[SRV_PRINCIPAL_NAME_BYTES] = "";
    bool found = false;
    while (!found && srv_principals_next(principals, kind, name, &next) == 0) {
        kind = next->kind;
        memcpy(name, next->name, sizeof(name));
        found = (lasting ? is_lasting_admin(next) : is_admin(next, now)) &&
                (kind != one->kind || strcmp(name, one->name) != 0);
        srv_principal_unref(next);
    }
    return found;
}

/* Nobody could come in from elsewhere any more, and at the next start the server would refuse to
 * listen there. `after` NULL: `before` goes. */
static bool leaves_no_admin(struct srv_exchange *exchange, const struct srv_principal *before,
                            const struct srv_principal *after) {
    const struct srv_world *world = srv_exchange_world(exchange);
    struct kn_wall now = srv_api_now(exchange);
    bool lasting = is_lasting_admin(before); /* then a lasting one has to be left */
    if (!world->beyond_loopback ||
        (after != NULL && (lasting ? is_lasting_admin(after) : is_admin(after, now)))) {
        return false;
    }
    bool last = after == NULL && srv_principals_count(world->principals) <= 1;
    return last ||
           (is_admin(before, now) && !has_other_admin(world->principals, before, now, lasting));
}

static void refuse_last(struct srv_exchange *exchange) {
    srv_answer_error(
        exchange, 409, SRV_API_CONFLICT,
        "the last admin that does not expire stays as long as the server listens beyond "
        "loopback");
}

/* `changed` has what is to be; -EACCES: it must not. */
static int replace_principal(struct srv_exchange *exchange, const struct srv_principal *found,
                             const struct srv_principal *changed) {
    return leaves_no_admin(exchange, found, changed)
               ? -EACCES
               : srv_principals_replace(srv_exchange_world(exchange)->principals, changed);
}

static bool read_change(struct srv_exchange *exchange, const struct principal_body *body,
                        struct srv_principal *change) {
    return (body->grants.count == 0 || read_grants(exchange, &body->grants, change)) &&
           (body->expires == NULL || read_expires(exchange, body->expires, &change->expires)) &&
           (body->password == NULL || set_password(exchange, body->password, change));
}

static void put_change(const struct principal_body *body, const struct srv_principal *change,
                       struct srv_principal *principal) {
    if (body->grants.count > 0) {
        memcpy(principal->grants, change->grants, sizeof(principal->grants));
        principal->grant_count = change->grant_count;
    }
    if (body->expires != NULL) {
        principal->expires = change->expires;
    }
    if (body->password != NULL) {
        principal->password = change->password;
    }
}

static void answer_changed(struct srv_exchange *exchange, int rc,
                           const struct srv_principal *changed) {
    if (rc == 0) {
        srv_answer_json(exchange, 200, srv_api_principal_json(changed));
    } else if (rc == -EACCES) {
        refuse_last(exchange);
    } else {
        srv_answer_failure(exchange, rc, "changing the principal");
    }
}

/* For the audit: what, not to what. */
static const char *names_of(const struct principal_body *body) {
    static const char *const names[] = {
        "nothing", "password",         "expires",         "password, expires",
        "grants",  "password, grants", "expires, grants", "password, expires, grants"};
    return names[(body->password != NULL ? 1 : 0) + (body->expires != NULL ? 2 : 0) +
                 (body->grants.count > 0 ? 4 : 0)];
}

static void change_read(struct srv_exchange *exchange, const struct principal_body *body,
                        const struct srv_principal *change) {
    (void)pthread_mutex_lock(&changes);
    const struct srv_principal *found = find_principal(exchange);
    if (found != NULL && body->password != NULL && found->kind != SRV_PRINCIPAL_USER) {
        (void)refuse(exchange, "password: only users have one");
    } else if (found != NULL) {
        struct srv_principal changed = *found;
        put_change(body, change, &changed);
        int rc = replace_principal(exchange, found, &changed);
        if (rc == 0) {
            audit(exchange, "principal changed", found, names_of(body));
        }
        answer_changed(exchange, rc, &changed);
        srv_wipe(&changed, sizeof(changed));
    }
    srv_principal_unref(found);
    (void)pthread_mutex_unlock(&changes);
}

static void change_principal(struct srv_exchange *exchange) {
    struct principal_body body = {0};
    struct srv_principal change = {0};
    if (SRV_API_ONLY(exchange, NULL) && srv_api_body(exchange, change_schema, &body) &&
        read_change(exchange, &body, &change)) {
        change_read(exchange, &body, &change);
    }
    srv_wipe(&change, sizeof(change));
    finish_body(change_schema, &body);
}

static void remove_principal(struct srv_exchange *exchange) {
    struct srv_principals *principals = srv_exchange_world(exchange)->principals;
    if (!SRV_API_ONLY(exchange, NULL)) {
        return;
    }
    (void)pthread_mutex_lock(&changes);
    const struct srv_principal *found = find_principal(exchange);
    if (found != NULL && leaves_no_admin(exchange, found, NULL)) {
        refuse_last(exchange);
    } else if (found != NULL) {
        int rc = srv_principals_remove(principals, found->kind, found->name);
        if (rc == 0) {
            bool open = srv_principals_count(principals) == 0;
            audit(exchange, "principal removed", found, "all");
            if (open) {
                kn_log_warn("nobody has credentials any more: whoever is on this machine may do "
                            "everything",
                            kn_str("last", found->name));
            }
            srv_answer_json(exchange, 200, json_pack("{s:b}", "open_mode", open));
        } else {
            srv_answer_failure(exchange, rc, "removing the principal");
        }
    }
    srv_principal_unref(found);
    (void)pthread_mutex_unlock(&changes);
}

/* ---- the table ---- */

static const struct srv_route rows[] = {
    {.name = "ListPrincipals",
     .method = SRV_HTTP_GET,
     .path = "/api/v1/principals",
     .access = SRV_ON_ALL,
     .action = SRV_ACTION_ADMIN,
     .handle = list_principals},
    {.name = "AddPrincipal",
     .method = SRV_HTTP_POST,
     .path = "/api/v1/principals",
     .access = SRV_ON_ALL,
     .action = SRV_ACTION_ADMIN,
     .body = SRV_BODY_JSON,
     .handle = add_principal},
    {.name = "DescribePrincipal",
     .method = SRV_HTTP_GET,
     .path = "/api/v1/principals/{kind}/{name}",
     .access = SRV_ON_ALL,
     .action = SRV_ACTION_ADMIN,
     .handle = show_principal},
    {.name = "UpdatePrincipal",
     .method = SRV_HTTP_PATCH,
     .path = "/api/v1/principals/{kind}/{name}",
     .access = SRV_ON_ALL,
     .action = SRV_ACTION_ADMIN,
     .body = SRV_BODY_JSON,
     .handle = change_principal},
    {.name = "RemovePrincipal",
     .method = SRV_HTTP_DELETE,
     .path = "/api/v1/principals/{kind}/{name}",
     .access = SRV_ON_ALL,
     .action = SRV_ACTION_ADMIN,
     .handle = remove_principal},
    {.name = "CreateSession",
     .method = SRV_HTTP_POST,
     .path = "/api/v1/session",
     .access = SRV_OPEN,
     .body = SRV_BODY_JSON,
     .body_max = SRV_API_SESSION_BODY_MAX,
     .hashes = true,
     .handle = srv_api_sign_in},
    {.name = "DeleteSession",
     .method = SRV_HTTP_DELETE,
     .path = "/api/v1/session",
     .access = SRV_OPEN,
     .handle = srv_api_sign_out},
    {.name = "DescribeSession",
     .method = SRV_HTTP_GET,
     .path = "/api/v1/session",
     .access = SRV_SIGNED_IN,
     .handle = srv_api_who},
};

const struct srv_routes srv_api_principals_routes = {.rows = rows, .count = KN_COUNT(rows)};
