/* What a request brings (tests/support/signed_request.h) before anybody is believed: credentials in
 * Authorization, Cookie and query, Host, Origin, Sec-Fetch-Site. The same is read each time, from
 * within the request; a password is read as the bytes that were encoded; a session that nobody
 * sealed opens nowhere; a Host that is taken for this machine's is a name or an address of it. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/error.h"
#include "server/auth/door_inner.h"
#include "server/http/head.h"
#include "tests/support/signed_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_within(struct srv_http_text text, const char *from, size_t size) {
    uintptr_t begin = (uintptr_t)text.data;
    return begin >= (uintptr_t)from && begin + text.size <= (uintptr_t)from + size;
}

/* Encoded again it is what came. */
static void check_basic(struct srv_http_text text) {
    struct srv_basic basic;
    char plain[sizeof(basic)];
    char again[sizeof(basic) * 4 / 3 + 8];
    int rc = srv_basic_read(text, &basic);
    KN_ASSERT(rc == 0 || rc == KN_E_MALFORMED);
    if (rc < 0) {
        KN_ASSERT(basic.name[0] == '\0' && basic.password[0] == '\0');
        return;
    }
    size_t name = strlen(basic.name);
    size_t password = strlen(basic.password);
    KN_ASSERT(name > 0 && strchr(basic.name, ':') == NULL);
    memcpy(plain, basic.name, name);
    plain[name] = ':';
    memcpy(plain + name + 1, basic.password, password);
    int made =
        EVP_EncodeBlock((uint8_t *)again, (const uint8_t *)plain, (int)(name + password + 1));
    KN_ASSERT((size_t)made == text.size && memcmp(again, text.data, text.size) == 0);
}

static void check_session(struct srv_http_text text) {
    static struct srv_gate gate; /* with a key of zeros, and no table: nothing comes so far */
    const struct srv_principal *nobody = NULL;
    int rc = srv_session_read(&gate, text, (struct kn_wall){0}, &nobody);
    KN_ASSERT((rc == -EACCES || rc == -ENOMEM) && nobody == NULL);
}

static void check_credentials(const struct srv_http_request *request, const char *from,
                              size_t size) {
    struct srv_credentials credentials = {0};
    struct srv_credentials again = {0};
    int rc = srv_credentials_read(request, &credentials);
    KN_ASSERT(rc == 0 || rc == -EEXIST || rc == KN_E_UNSUPPORTED);
    KN_ASSERT(srv_credentials_read(request, &again) == rc && again.kind == credentials.kind &&
              again.text.data == credentials.text.data && again.text.size == credentials.text.size);
    if (credentials.kind == SRV_CREDENTIAL_NONE || credentials.kind == SRV_CREDENTIAL_SIGNED) {
        return;
    }
    KN_ASSERT(is_within(credentials.text, from, size));
    if (credentials.kind == SRV_CREDENTIAL_BASIC) {
        check_basic(credentials.text);
    } else {
        check_session(credentials.text);
    }
}

static void check_host(const struct srv_http_request *request) {
    char host[64] = "";
    struct in_addr four;
    if (!srv_host_is_loopback(request, 5466)) {
        return;
    }
    KN_ASSERT(request->host.size > 0 && request->host.size < sizeof(host));
    memcpy(host, request->host.data, request->host.size);
    KN_ASSERT(request->port < 0 || request->port == 5466);
    KN_ASSERT(srv_http_text_is(request->host, "localhost") || strchr(host, ':') != NULL ||
              (inet_pton(AF_INET, host, &four) == 1 && strncmp(host, "127.", 4) == 0));
}

/* What it says is said again the same way. */
static void check_origin(const struct srv_http_request *request) {
    const struct srv_http_field *field =
        srv_http_field_find(request->fields, request->field_count, "origin", NULL);
    bool ours = srv_origin_is_ours(request, false, NULL);
    struct srv_origin origin;
    KN_ASSERT(field != NULL || ours);
    if (field != NULL && srv_origin_read(field->value, false, &origin) == 0) {
        KN_ASSERT(origin.host.size > 0 && origin.port >= 0 && origin.port <= 65535);
        KN_ASSERT(is_within(origin.host, field->value.data, field->value.size));
        KN_ASSERT(!origin.tls || !ours);
    } else {
        KN_ASSERT(field == NULL || !ours);
    }
    (void)srv_fetch_site_of(request);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct signed_request parsed;
    char *text = malloc(size + 1);
    if (text == NULL) {
        return 0;
    }
    memcpy(text, data, size);
    if (signed_request_read(text, size, &parsed) == 0) {
        struct srv_http_request request = {
            .path = parsed.request.path,
            .query = parsed.request.query,
            .port = -1,
            .fields = parsed.request.fields,
            .field_count = parsed.request.field_count,
        };
        const struct srv_http_field *host =
            srv_http_field_find(request.fields, request.field_count, "host", NULL);
        bool good = host == NULL || srv_http_head_authority(host->value, &request);
        check_credentials(&request, text, size);
        if (good) {
            check_host(&request);
            check_origin(&request);
        }
    }
    free(text);
    return 0;
}
