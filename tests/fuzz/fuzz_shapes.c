/* A body of any bytes against the shape of an operation, which the first byte chooses: what is
 * refused is told in plain text, and what is taken has what the handlers go by. */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "server/aws/shapes.h"
#include "server/json/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_plain(const char *text) {
    for (size_t left = strlen(text); left > 0;) {
        size_t length = kn_text_character(text, left);
        KN_ASSERT(length > 0);
        text += length;
        left -= length;
    }
}

static void check_members(const struct srv_operation *operation, const json_t *body) {
    for (const struct srv_member *member = operation->members; member->name != NULL; member++) {
        const json_t *value = json_object_get(body, member->name);
        bool absent = value == NULL || json_is_null(value);
        KN_ASSERT(!absent || !member->required);
        KN_ASSERT(absent || member->shape->kind != SRV_SHAPE_TEXT || json_is_string(value));
        KN_ASSERT(absent || member->shape->kind != SRV_SHAPE_WHOLE || json_is_integer(value));
    }
}

static void check_body(const struct srv_operation *operation, const json_t *body) {
    char problem[SRV_SHAPE_PROBLEM_BYTES];
    int rc = srv_shape_check(operation->name, body, problem);
    KN_ASSERT(rc == 0 || rc == -ENOMEM || rc == KN_E_MALFORMED || rc == KN_E_LIMIT);
    if (rc == 0) {
        check_members(operation, body);
    } else if (rc != -ENOMEM) {
        check_plain(problem);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char problem[SRV_JSON_PROBLEM_BYTES];
    json_t *body;
    if (size == 0) {
        return 0;
    }
    size_t count = 0;
    while (srv_operation_at(count) != NULL) {
        count++;
    }
    if (srv_json_parse((const char *)data + 1, size - 1, &body, problem) < 0) {
        return 0;
    }
    if (json_is_object(body)) {
        check_body(srv_operation_at(data[0] % count), body);
    }
    json_decref(body);
    return 0;
}
