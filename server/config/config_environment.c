/* What KINORA_ variables and the command line say over the file. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "server/config/config_inner.h"

#define PREFIX "KINORA_"
#define STREAMS "STREAMS_"
#define VARIABLE_SHOWN_BYTES 400u

/* A variable: its name behind what was understood of it already, and its value. */
struct variable {
    const char *name;
    size_t size;
    const char *value;
};

/* ---- names ---- */

static char raised(char c) {
    if (c >= 'a' && c <= 'z') {
        return (char)(c - 'a' + 'A');
    }
    return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ? c : '_';
}

/* How many bytes of it `name` is, raised; 0: it begins otherwise. */
static size_t begins(const struct variable *variable, const char *name) {
    size_t size = strlen(name);
    if (size > variable->size) {
        return 0;
    }
    for (size_t i = 0; i < size; i++) {
        if (raised(name[i]) != variable->name[i]) {
            return 0;
        }
    }
    return size;
}

/* Behind "NAME_". */
static bool step_into(const struct variable *variable, const char *name, struct variable *ret) {
    size_t size = begins(variable, name);
    if (size == 0 || variable->size <= size || variable->name[size] != '_') {
        return false;
    }
    *ret = (struct variable){.name = variable->name + size + 1,
                             .size = variable->size - size - 1,
                             .value = variable->value};
    return true;
}

/* ---- rows ---- */

/* The row it names, with its table and struct. */
struct found {
    const struct srv_schema *table, *row;
    void *target;
};

// NOLINTNEXTLINE(misc-no-recursion): tables are two deep
static bool find_row(const struct srv_schema *table, const struct variable *variable, void *target,
                     struct found *ret) {
    struct variable inner;
    for (const struct srv_schema *row = table; row->name != NULL; row++) {
        void *at = srv_schema_at(row, target);
        if (row->kind == SRV_KIND_TABLE) {
            if (step_into(variable, row->name, &inner) && find_row(row->table, &inner, at, ret)) {
                srv_schema_name(table, row, target);
                return true;
            }
        } else if (begins(variable, row->name) == variable->size && variable->size > 0) {
            *ret = (struct found){.table = table, .row = row, .target = target};
            return true;
        }
    }
    return false;
}

/* How many streams have what it names. */
static size_t find_in_streams(struct srv_making *making, const struct variable *variable,
                              struct found *ret) {
    size_t count = 0;
    struct variable inner;
    for (size_t i = 0; i < making->stream_count; i++) {
        struct srv_config_stream *stream = &making->streams[i].stream;
        if (step_into(variable, stream->name, &inner) &&
            find_row(srv_stream_schema, &inner, stream, ret)) {
            count++;
        }
    }
    return count;
}

static int apply(struct srv_making *making, const struct variable *variable) {
    struct found found;
    size_t count = 0;
    if (strncmp(variable->name, STREAMS, strlen(STREAMS)) == 0) {
        struct variable inner = {.name = variable->name + strlen(STREAMS),
                                 .size = variable->size - strlen(STREAMS),
                                 .value = variable->value};
        count = find_in_streams(making, &inner, &found);
    } else {
        count = find_row(srv_config_schema, variable, making->config, &found) ? 1 : 0;
    }
    if (count == 0) {
        return srv_making_tell(making, true, "the variable names no key of the configuration");
    }
    if (count > 1) {
        return srv_making_tell(making, false, "the variable names several streams");
    }
    return srv_making_variable(making, found.table, found.row, variable->value, found.target);
}

int srv_making_environment(struct srv_making *making) {
    int rc = 0;
    making->base = making->cwd;
    making->expands = false;
    for (char *const *at = making->environment;
         at != NULL && *at != NULL && rc == 0 && !srv_making_is_full(making); at++) {
        char shown[VARIABLE_SHOWN_BYTES];
        const char *equals = strchr(*at, '=');
        size_t prefix = strlen(PREFIX);
        if (strncmp(*at, PREFIX, prefix) != 0 || equals == NULL || equals == *at + prefix) {
            continue;
        }
        struct variable variable = {
            .name = *at + prefix, .size = (size_t)(equals - *at) - prefix, .value = equals + 1};
        making->place = (struct srv_place){
            .path = kn_text_plain(*at, (size_t)(equals - *at), shown, sizeof(shown))};
        rc = apply(making, &variable);
    }
    return rc;
}

/* ---- the command line ---- */

static int said_list(struct srv_making *making, const char *option, const char *name,
                     const char *const *texts, size_t count) {
    char problem[SRV_SCHEMA_PROBLEM_BYTES];
    const struct srv_schema *row = srv_schema_find(srv_config_schema, name, strlen(name));
    struct srv_config *config = making->config;
    making->place = (struct srv_place){.path = option};
    bool whole = true;
    char **made = (char **)calloc(count + 1, sizeof(made[0]));
    int rc = made == NULL ? -ENOMEM : 0;
    for (size_t i = 0; i < count && rc == 0; i++) {
        rc = srv_making_text(making, row, texts[i], &made[i]);
        whole = whole && made[i] != NULL;
    }
    if (rc == 0 && whole) { /* else it was told */
        rc = srv_schema_take_list(srv_config_schema, row, (const char *const *)made, count, config,
                                  problem);
    }
    for (size_t i = 0; i < count && made != NULL; i++) {
        free(made[i]);
    }
    free((void *)made);
    return rc == KN_E_MALFORMED ? srv_making_tell(making, false, problem) : rc;
}

static int said_data(struct srv_making *making, const char *data) {
    const struct srv_schema *row = srv_schema_find(srv_config_schema, "data", strlen("data"));
    making->place = (struct srv_place){.path = "--data"};
    return srv_making_variable(making, srv_config_schema, row, data, making->config);
}

int srv_making_said(struct srv_making *making, const struct srv_config_said *said) {
    int rc = 0;
    making->base = making->cwd;
    making->expands = false;
    if (said == NULL) {
        return 0;
    }
    if (said->data != NULL) {
        rc = said_data(making, said->data);
    }
    if (rc == 0 && said->listen_count > 0) {
        rc = said_list(making, "--listen", "listen", said->listen, said->listen_count);
    }
    if (rc == 0 && said->storage_count > 0) {
        rc = said_list(making, "--storage", "storage", said->storage, said->storage_count);
    }
    if (said->has_min_free) {
        making->config->min_free = said->min_free;
    }
    return rc;
}
