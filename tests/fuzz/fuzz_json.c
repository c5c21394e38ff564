/* JSON of strangers: what is taken is written, and read again as the same value; what is not, is
 * told in plain text. A stream's members are read from it too. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "server/config/config.h"
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

static void check_again(const json_t *value) {
    char problem[SRV_JSON_PROBLEM_BYTES];
    json_t *again = NULL;
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    if (text == NULL) {
        return; /* no memory */
    }
    int rc = srv_json_parse(text, strlen(text), &again, problem);
    KN_ASSERT(rc == -ENOMEM || (rc == 0 && json_equal(value, again)));
    json_decref(again);
    free(text);
}

static void check_stream(json_t *value) {
    char problem[SRV_SCHEMA_PROBLEM_BYTES];
    struct srv_config_stream stream = {0}, copy = {0};
    int rc = srv_schema_read_json(srv_stream_schema, value, &stream, problem);
    KN_ASSERT(rc == 0 || rc == -ENOMEM || rc == KN_E_MALFORMED);
    if (rc == KN_E_MALFORMED) {
        check_plain(problem);
    }
    rc = srv_schema_copy(srv_stream_schema, &stream, &copy);
    KN_ASSERT(rc == 0 || rc == -ENOMEM);
    srv_schema_finish(srv_stream_schema, &stream);
    srv_schema_finish(srv_stream_schema, &copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char problem[SRV_JSON_PROBLEM_BYTES];
    json_t *value;
    int rc = srv_json_parse((const char *)data, size, &value, problem);
    KN_ASSERT(rc == 0 || rc == -ENOMEM || rc == KN_E_MALFORMED || rc == KN_E_LIMIT);
    if (rc == 0) {
        check_again(value);
        check_stream(value);
        json_decref(value);
    } else if (rc != -ENOMEM) {
        check_plain(problem);
    }
    return 0;
}
