#include "server/config/yaml.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "base/error.h"

struct tree {
    struct srv_yaml *root;
    struct srv_yaml *open[SRV_YAML_DEPTH]; /* the lists and maps around */
    size_t depth, nodes, documents;
    struct srv_yaml_fault *fault;
};

/* ---- nodes ---- */

// NOLINTNEXTLINE(misc-no-recursion): as deep as SRV_YAML_DEPTH
void srv_yaml_free(struct srv_yaml *node) {
    if (node == NULL) {
        return;
    }
    for (size_t i = 0; i < node->count; i++) {
        srv_yaml_free(node->items[i]);
    }
    free((void *)node->items);
    free(node->text);
    free(node);
}

bool srv_yaml_is_nothing(const struct srv_yaml *node) {
    return node->kind == SRV_YAML_TEXT && node->plain && node->text[0] == '\0';
}

static int refuse(struct tree *tree, yaml_mark_t mark, const char *text) {
    *tree->fault =
        (struct srv_yaml_fault){.line = mark.line + 1, .column = mark.column + 1, .text = text};
    return KN_E_MALFORMED;
}

static bool wants_key(const struct srv_yaml *around) {
    return around->kind == SRV_YAML_MAP && around->count % 2 == 0;
}

static int append(struct srv_yaml *around, struct srv_yaml *node) {
    if (around->count == around->room) {
        size_t room = around->room == 0 ? 8 : 2 * around->room;
        void *items = realloc((void *)around->items, room * sizeof(around->items[0]));
        if (items == NULL) {
            return -ENOMEM;
        }
        around->items = (struct srv_yaml **)items;
        around->room = room;
    }
    around->items[around->count++] = node;
    return 0;
}

/* Gives the node to what is around it, whatever the result. */
static int place(struct tree *tree, struct srv_yaml *node) {
    if (tree->depth == 0) {
        srv_yaml_free(tree->root); /* there is none: a document is one node */
        tree->root = node;
        return 0;
    }
    int rc = append(tree->open[tree->depth - 1], node);
    if (rc < 0) {
        srv_yaml_free(node);
    }
    return rc;
}

static int make(struct tree *tree, enum srv_yaml_kind kind, const yaml_event_t *event,
                struct srv_yaml **ret_node) {
    if (tree->depth > 0 && kind != SRV_YAML_TEXT && wants_key(tree->open[tree->depth - 1])) {
        return refuse(tree, event->start_mark, "a key is a text");
    }
    if (++tree->nodes > SRV_YAML_NODES_MAX) {
        return refuse(tree, event->start_mark, "this is more than a configuration has");
    }
    struct srv_yaml *node = calloc(1, sizeof(*node));
    if (node == NULL) {
        return -ENOMEM;
    }
    node->kind = kind;
    node->line = event->start_mark.line + 1;
    node->column = event->start_mark.column + 1;
    *ret_node = node;
    return 0;
}

/* ---- events ---- */

static int check_plain(struct tree *tree, const yaml_event_t *event, const yaml_char_t *anchor,
                       const yaml_char_t *tag) {
    if (anchor != NULL) {
        return refuse(tree, event->start_mark, "anchors (&name) are not taken");
    }
    return tag == NULL ? 0 : refuse(tree, event->start_mark, "tags (!name) are not taken");
}

static int add_text(struct tree *tree, const yaml_event_t *event) {
    struct srv_yaml *node;
    const char *value = (const char *)event->data.scalar.value;
    size_t size = event->data.scalar.length;
    int rc = check_plain(tree, event, event->data.scalar.anchor, event->data.scalar.tag);
    if (rc == 0 && memchr(value, '\0', size) != NULL) {
        rc = refuse(tree, event->start_mark, "a text with \\0");
    }
    rc = rc < 0 ? rc : make(tree, SRV_YAML_TEXT, event, &node);
    if (rc < 0) {
        return rc;
    }
    node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    node->text = malloc(size + 1);
    if (node->text == NULL) {
        srv_yaml_free(node);
        return -ENOMEM;
    }
    memcpy(node->text, value, size);
    node->text[size] = '\0';
    return place(tree, node);
}

static int open_node(struct tree *tree, const yaml_event_t *event, enum srv_yaml_kind kind,
                     const yaml_char_t *anchor, const yaml_char_t *tag) {
    struct srv_yaml *node;
    int rc = check_plain(tree, event, anchor, tag);
    if (rc == 0 && tree->depth == SRV_YAML_DEPTH) {
        rc = refuse(tree, event->start_mark, "this is nested deeper than a configuration is");
    }
    rc = rc < 0 ? rc : make(tree, kind, event, &node);
    rc = rc < 0 ? rc : place(tree, node);
    if (rc == 0) {
        tree->open[tree->depth++] = node;
    }
    return rc;
}

static int begin_document(struct tree *tree, const yaml_event_t *event) {
    if (++tree->documents > 1) {
        return refuse(tree, event->start_mark, "a second document (---) is not taken");
    }
    const yaml_tag_directive_t *first = event->data.document_start.tag_directives.start;
    const yaml_tag_directive_t *end = event->data.document_start.tag_directives.end;
    return first == end ? 0 : refuse(tree, event->start_mark, "%TAG is not taken");
}

static int handle(struct tree *tree, const yaml_event_t *event) {
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        return begin_document(tree, event);
    case YAML_ALIAS_EVENT:
        return refuse(tree, event->start_mark, "aliases (*name) are not taken");
    case YAML_SCALAR_EVENT:
        return add_text(tree, event);
    case YAML_SEQUENCE_START_EVENT:
        return open_node(tree, event, SRV_YAML_LIST, event->data.sequence_start.anchor,
                         event->data.sequence_start.tag);
    case YAML_MAPPING_START_EVENT:
        return open_node(tree, event, SRV_YAML_MAP, event->data.mapping_start.anchor,
                         event->data.mapping_start.tag);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        tree->depth--;
        return 0;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        return 0;
    }
    return 0;
}

/* ---- the library ---- */

/* Of characters that YAML does not have it knows the byte alone. */
static yaml_mark_t mark_of(const char *text, size_t size, size_t offset) {
    yaml_mark_t mark = {0};
    for (size_t i = 0; i < size && i < offset; i++) {
        mark.column = text[i] == '\n' ? 0 : mark.column + 1;
        mark.line += text[i] == '\n' ? 1 : 0;
    }
    return mark;
}

static int library_fault(struct tree *tree, const yaml_parser_t *parser, const char *text,
                         size_t size) {
    if (parser->error == YAML_MEMORY_ERROR) {
        return -ENOMEM;
    }
    if (parser->error == YAML_READER_ERROR) {
        return refuse(tree, mark_of(text, size, parser->problem_offset),
                      "this is not UTF-8, or a control character");
    }
    return refuse(tree, parser->problem_mark,
                  parser->problem == NULL ? "this is no YAML" : parser->problem);
}

static int read_events(struct tree *tree, yaml_parser_t *parser, const char *text, size_t size) {
    bool more = true;
    int rc = 0;
    while (more && rc == 0) {
        yaml_event_t event;
        if (yaml_parser_parse(parser, &event) == 0) {
            return library_fault(tree, parser, text, size);
        }
        rc = handle(tree, &event);
        more = event.type != YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
    return rc;
}

int srv_yaml_parse(const char *text, size_t size, struct srv_yaml **ret_root,
                   struct srv_yaml_fault *fault) {
    struct tree tree = {.fault = fault};
    yaml_parser_t parser;
    if (size > SRV_YAML_BYTES_MAX) {
        return refuse(&tree, (yaml_mark_t){0}, "more than 4 MiB are no configuration");
    }
    if (yaml_parser_initialize(&parser) == 0) {
        return -ENOMEM;
    }
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
    int rc = read_events(&tree, &parser, text, size);
    yaml_parser_delete(&parser);
    if (rc < 0) {
        srv_yaml_free(tree.root);
        return rc;
    }
    *ret_root = tree.root;
    return 0;
}
