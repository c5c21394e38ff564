/* Lists in parts. A token is the last row's name in hex: it stays good whatever comes and goes. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "server/aws/inner.h"

#define TOKEN_BYTES (2 * FRAG_STREAM_NAME_BYTES)

static int digit(char character) {
    static const char digits[] = "0123456789abcdef";
    const char *at = character == '\0' ? NULL : strchr(digits, character);
    return at == NULL ? -1 : (int)(at - digits);
}

static bool read_token(const char *token, char name[static FRAG_STREAM_NAME_BYTES]) {
    size_t size = strlen(token);
    if (size % 2 != 0 || size / 2 >= FRAG_STREAM_NAME_BYTES) {
        return false;
    }
    for (size_t i = 0; i < size / 2; i++) {
        int high = digit(token[2 * i]);
        int low = digit(token[2 * i + 1]);
        if (high < 0 || low < 0 || high + low == 0) {
            return false;
        }
        name[i] = (char)(high << 4 | low);
    }
    name[size / 2] = '\0';
    return true;
}

static json_t *write_token(const char *name) {
    char token[TOKEN_BYTES] = "";
    for (size_t i = 0; name[i] != '\0'; i++) {
        (void)snprintf(token + 2 * i, 3, "%02x", (unsigned)(unsigned char)name[i]);
    }
    return json_string(token);
}

bool srv_aws_page_begin(struct srv_exchange *exchange, size_t limit, const char *condition,
                        struct srv_aws_page *page) {
    const json_t *body = srv_exchange_json(exchange);
    const json_t *most = srv_aws_member(body, "MaxResults");
    const char *token = srv_aws_text(body, "NextToken");
    const char *prefix =
        condition == NULL ? NULL : srv_aws_text(srv_aws_member(body, condition), "ComparisonValue");
    *page = (struct srv_aws_page){.limit = limit, .prefix = prefix == NULL ? "" : prefix};
    if (most != NULL) {
        page->limit = (size_t)json_integer_value(most);
    }
    if (token != NULL && !read_token(token, page->after)) {
        srv_answer_error(exchange, 400, SRV_AWS_INVALID, "NextToken is none of this list.");
        return false;
    }
    page->rows = json_array();
    if (page->rows == NULL) {
        srv_answer_failure(exchange, -ENOMEM, "making the list");
    }
    return page->rows != NULL;
}

bool srv_aws_page_has(const struct srv_aws_page *page, const char *name) {
    return strncmp(name, page->prefix, strlen(page->prefix)) == 0;
}

bool srv_aws_page_full(struct srv_aws_page *page) {
    page->more = json_array_size(page->rows) >= page->limit;
    return page->more;
}

int srv_aws_page_add(struct srv_aws_page *page, const char *name, json_t *row) {
    (void)snprintf(page->last, sizeof(page->last), "%s", name);
    return json_array_append_new(page->rows, row) < 0 ? -ENOMEM : 0;
}

void srv_aws_page_answer(struct srv_exchange *exchange, struct srv_aws_page *page,
                         const char *member, int rc) {
    if (rc < 0) {
        json_decref(page->rows);
        srv_answer_failure(exchange, rc, "making the list");
        return;
    }
    json_t *answer = json_pack("{s:o}", member, page->rows);
    if (page->more && json_object_set_new(answer, "NextToken", write_token(page->last)) < 0) {
        json_decref(answer);
        answer = NULL;
    }
    srv_answer_json(exchange, 200, answer);
}
