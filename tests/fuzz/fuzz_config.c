/* A configuration of any bytes: what is taken is printed, and read again as what prints the same;
 * what is not, is told in plain text. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "server/config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const environment[] = {
    "HOME=/srv/kinora",
    "EMPTY=",
    "KINORA_HTTP_WORKERS=8",
    "KINORA_STREAMS_GATE_TAGS=a=b",
    "KINORA_NOTHING=1",
    "ODD=a: [b\x01",
    NULL,
};

static void check_problem(const struct srv_config_problem *problem, void *user) {
    size_t *errors = user;
    const char *text = problem->text;
    *errors += problem->warning ? 0 : 1;
    for (size_t left = strlen(text); left > 0;) {
        size_t length = kn_text_character(text, left);
        KN_ASSERT(length > 0);
        text += length;
        left -= length;
    }
}

/* NULL: no memory. free() it. */
static char *print(const struct srv_config *config, size_t *ret_size) {
    char *text = NULL;
    FILE *out = open_memstream(&text, ret_size);
    if (out == NULL) {
        return NULL;
    }
    srv_config_print(config, out);
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

static void check_again(const struct srv_config *config) {
    const struct srv_config *again = NULL;
    size_t size = 0, again_size = 0, errors = 0;
    char *text = print(config, &size);
    if (text == NULL) {
        return;
    }
    int rc = srv_config_parse(text, size, "/other", NULL, NULL, check_problem, &errors, &again);
    KN_ASSERT(rc == 0 || rc == -ENOMEM);
    char *again_text = rc == 0 ? print(again, &again_size) : NULL;
    if (again_text != NULL) {
        KN_ASSERT(again_size == size && memcmp(text, again_text, size) == 0);
    }
    srv_config_unref(again);
    free(again_text);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const struct srv_config *config = NULL;
    size_t errors = 0;
    int rc = srv_config_parse((const char *)data, size, "/etc/kinora", (char *const *)environment,
                              NULL, check_problem, &errors, &config);
    KN_ASSERT(rc == 0 || rc == -ENOMEM || rc == KN_E_MALFORMED);
    KN_ASSERT(rc == -ENOMEM || (rc == 0) == (errors == 0));
    if (rc == 0) {
        check_again(config);
        srv_config_unref(config);
    }
    return 0;
}
