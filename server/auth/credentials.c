#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "server/auth/base64.h"
#include "server/auth/door_inner.h"
#include "server/auth/sigv4_inner.h"
#include "server/http/chars.h"

/* The text before `separator`, of which *rest is what stands behind it; all of it where there is
 * none. */
static struct srv_http_text cut(struct srv_http_text *rest, char separator) {
    const char *at = rest->size == 0 ? NULL : memchr(rest->data, separator, rest->size);
    size_t size = at == NULL ? rest->size : (size_t)(at - rest->data);
    size_t used = at == NULL ? size : size + 1;
    struct srv_http_text first = {rest->data, size};
    rest->data += used;
    rest->size -= used;
    return first;
}

/* ---- Authorization ---- */

/* RFC 9110 11.4: letters, digits, -._~+/, and '=' at the end. Nothing else is a token of anyone. */
static bool is_token68(struct srv_http_text text) {
    size_t size = text.size;
    while (size > 0 && text.data[size - 1] == '=') {
        size--;
    }
    for (size_t i = 0; i < size; i++) {
        char c = text.data[i];
        bool good = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                    (c != '\0' && strchr("-._~+/", c) != NULL);
        if (!good) {
            return false;
        }
    }
    return size > 0;
}

/* "AWS4-HMAC-SHA256", and its relatives, which the verifier refuses in words. */
static bool is_aws(struct srv_http_text scheme) {
    return scheme.size >= 3 && srv_http_text_is((struct srv_http_text){scheme.data, 3}, "aws");
}

static int read_authorization(struct srv_http_text value, struct srv_credentials *credentials) {
    struct srv_http_text scheme = cut(&value, ' ');
    if (is_aws(scheme)) {
        credentials->kind = SRV_CREDENTIAL_SIGNED;
        return 0;
    }
    credentials->text = srv_http_trim(value);
    if (!is_token68(credentials->text)) {
        return KN_E_UNSUPPORTED;
    }
    if (srv_http_text_is(scheme, "bearer")) {
        credentials->kind = SRV_CREDENTIAL_BEARER;
        return 0;
    }
    if (srv_http_text_is(scheme, "basic")) {
        credentials->kind = SRV_CREDENTIAL_BASIC;
        return 0;
    }
    return KN_E_UNSUPPORTED;
}

/* ---- Cookie ---- */

/* Other programs of the host have cookies of any form: they are passed over. -ENOENT; -EEXIST: ours
 * stands twice, and which one counts must not be a guess. */
static int find_session(struct srv_http_text cookies, struct srv_http_text *session) {
    static const char name[] = SRV_SESSION_COOKIE;
    bool found = session->data != NULL;
    while (cookies.size > 0) {
        struct srv_http_text value = srv_http_trim(cut(&cookies, ';'));
        struct srv_http_text key = cut(&value, '=');
        if (key.size != sizeof(name) - 1 || memcmp(key.data, name, key.size) != 0) {
            continue;
        }
        if (found) {
            return -EEXIST;
        }
        found = true;
        *session = value;
    }
    return found ? 0 : -ENOENT;
}

static int read_cookies(const struct srv_http_request *request,
                        struct srv_credentials *credentials) {
    const struct srv_http_field *field = NULL;
    struct srv_http_text session = {NULL, 0};
    int rc = -ENOENT;
    while ((field = srv_http_field_find(request->fields, request->field_count, "cookie", field)) !=
           NULL) {
        rc = find_session(field->value, &session);
        if (rc == -EEXIST) {
            return rc;
        }
    }
    if (rc == 0) {
        *credentials = (struct srv_credentials){SRV_CREDENTIAL_COOKIE, session};
    }
    return 0;
}

/* ---- all of it ---- */

int srv_credentials_read(const struct srv_http_request *request,
                         struct srv_credentials *ret_credentials) {
    static const char name[] = "authorization";
    struct srv_credentials credentials = {.kind = SRV_CREDENTIAL_NONE};
    const struct srv_http_field *field =
        srv_http_field_find(request->fields, request->field_count, name, NULL);
    bool query = srv_sigv4_query_is_signed(request->query);
    int rc = 0;
    if (field != NULL &&
        (query || srv_http_field_find(request->fields, request->field_count, name, field))) {
        return -EEXIST;
    }
    if (field != NULL) {
        rc = read_authorization(field->value, &credentials);
    } else if (query) {
        credentials.kind = SRV_CREDENTIAL_SIGNED;
    } else {
        rc = read_cookies(request, &credentials);
    }
    if (rc == 0) {
        *ret_credentials = credentials;
    }
    return rc;
}

/* ---- Basic ---- */

/* Name and password with a colon between them; neither can hold a NUL. */
static int split_basic(char *plain, size_t size, struct srv_basic *basic) {
    const char *colon = memchr(plain, ':', size);
    if (colon == NULL || memchr(plain, '\0', size) != NULL) {
        return KN_E_MALFORMED;
    }
    size_t name = (size_t)(colon - plain);
    size_t password = size - name - 1;
    if (name == 0 || name >= sizeof(basic->name) || password >= sizeof(basic->password)) {
        return KN_E_MALFORMED;
    }
    memcpy(basic->name, plain, name);
    basic->name[name] = '\0';
    memcpy(basic->password, colon + 1, password);
    basic->password[password] = '\0';
    return 0;
}

int srv_basic_read(struct srv_http_text text, struct srv_basic *basic) {
    uint8_t plain[SRV_PRINCIPAL_NAME_BYTES + SRV_PASSWORD_MAX];
    size_t size = 0;
    int rc = srv_base64_read(SRV_BASE64_PLAIN, text, plain, sizeof(plain), &size);
    rc = rc < 0 ? KN_E_MALFORMED : split_basic((char *)plain, size, basic);
    srv_wipe(plain, sizeof(plain));
    if (rc < 0) {
        srv_wipe(basic, sizeof(*basic));
    }
    return rc;
}
