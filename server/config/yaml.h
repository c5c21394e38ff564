/* A YAML document as a tree with places: texts, lists, maps; nothing that refers to elsewhere.
 * Pure.
 */
#ifndef SERVER_CONFIG_YAML_H
#define SERVER_CONFIG_YAML_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attributes.h"

#define SRV_YAML_BYTES_MAX ((size_t)4 << 20)
#define SRV_YAML_DEPTH 8u
/* Ten thousand streams with forty texts each. */
#define SRV_YAML_NODES_MAX 800000u

enum srv_yaml_kind { SRV_YAML_TEXT, SRV_YAML_LIST, SRV_YAML_MAP };

struct srv_yaml {
    enum srv_yaml_kind kind;
    size_t line, column; /* from 1 on */
    char *text;          /* TEXT: without NUL inside */
    bool plain;          /* TEXT: without quotes */
    /* Of a LIST its items; of a MAP a key (a TEXT) and its value in turn. */
    struct srv_yaml **items;
    size_t count, room;
};

struct srv_yaml_fault {
    size_t line, column;
    const char *text; /* a literal of ours or of the YAML library: nothing of the document */
};

/* *ret_root is NULL where the document is empty. 0; KN_E_MALFORMED with *fault; -ENOMEM. */
KN_MUST_CHECK int srv_yaml_parse(const char *text, size_t size, struct srv_yaml **ret_root,
                                 struct srv_yaml_fault *fault);
/* NULL is fine. */
void srv_yaml_free(struct srv_yaml *node);
/* Nothing stands there: "key:" */
bool srv_yaml_is_nothing(const struct srv_yaml *node);

#endif
