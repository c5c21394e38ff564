#include "server/aws/documents.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "fragments/fragments.h"
#include "server/json/json.h"

#define VERSION 1u
#define VERSION_BYTES 2u

/* Of all stores of the process, which has one. Held while the journal is written. */
static pthread_mutex_t changes = PTHREAD_MUTEX_INITIALIZER;

void srv_documents_lock(void) {
    (void)pthread_mutex_lock(&changes); /* of the default kind: cannot fail */
}

void srv_documents_unlock(void) {
    (void)pthread_mutex_unlock(&changes);
}

/* ---- as bytes: version u16, then JSON ---- */

static int read_value(const uint8_t *value, size_t size, json_t **ret_document) {
    char problem[SRV_JSON_PROBLEM_BYTES];
    struct kn_reader reader;
    json_t *document;
    kn_reader_init(&reader, value, size);
    uint16_t version = kn_read_be16(&reader);
    if (kn_reader_status(&reader) < 0) {
        return KN_E_MALFORMED;
    }
    if (version != VERSION) {
        return KN_E_UNSUPPORTED;
    }
    size_t left = kn_reader_left(&reader);
    int rc = srv_json_parse((const char *)kn_read_bytes(&reader, left), left, &document, problem);
    if (rc < 0) {
        return rc == KN_E_LIMIT ? KN_E_MALFORMED : rc;
    }
    if (!json_is_object(document)) {
        json_decref(document);
        return KN_E_MALFORMED;
    }
    *ret_document = document;
    return 0;
}

int srv_document_get(struct frag_store *store, enum srv_document_kind kind, const char *name,
                     json_t **ret_document) {
    uint8_t *value = NULL;
    size_t size = 0;
    int rc = frag_store_get(store, (uint16_t)kind, name, strlen(name), &value, &size);
    if (rc < 0) {
        return rc;
    }
    rc = read_value(value, size, ret_document);
    free(value);
    return rc;
}

int srv_document_put(struct frag_store *store, enum srv_document_kind kind, const char *name,
                     const json_t *document) {
    char *text = document == NULL ? NULL : json_dumps(document, JSON_COMPACT);
    struct kn_writer writer;
    if (text == NULL) {
        return -ENOMEM;
    }
    kn_writer_init_growing(&writer, SRV_DOCUMENT_MAX + VERSION_BYTES);
    kn_write_be16(&writer, VERSION);
    kn_write_bytes(&writer, text, strlen(text));
    free(text);
    int rc = kn_writer_status(&writer);
    rc = rc < 0
             ? rc
             : frag_store_put(store, (uint16_t)kind, name, strlen(name), writer.data, writer.size);
    kn_writer_finish(&writer);
    return rc;
}

int srv_document_forget(struct frag_store *store, enum srv_document_kind kind, const char *name) {
    int rc = frag_store_delete(store, (uint16_t)kind, name, strlen(name));
    return rc == -ENOENT ? 0 : rc;
}

/* ---- lists ---- */

/* One that was copied on the store's thread, to be parsed on ours. */
struct copied {
    char name[FRAG_STREAM_NAME_BYTES];
    uint8_t *value;
    size_t size;
};

struct collection {
    const char *after, *prefix;
    struct copied *rows;
    size_t count, room;
};

static void finish(struct collection *collection) {
    for (size_t i = 0; i < collection->count; i++) {
        free(collection->rows[i].value);
    }
    free(collection->rows);
}

static int make_room(struct collection *collection) {
    if (collection->count < collection->room) {
        return 0;
    }
    size_t room = collection->room == 0 ? 16 : collection->room * 2;
    struct copied *rows = realloc(collection->rows, room * sizeof(*rows));
    if (rows == NULL) {
        return -ENOMEM;
    }
    collection->rows = rows;
    collection->room = room;
    return 0;
}

static int collect(const void *key, size_t key_bytes, const void *value, size_t value_bytes,
                   void *user) {
    struct collection *collection = user;
    struct copied copied = {.size = value_bytes};
    if (key_bytes >= sizeof(copied.name)) {
        return 0; /* no name of ours */
    }
    memcpy(copied.name, key, key_bytes);
    if (strcmp(copied.name, collection->after) <= 0 ||
        strncmp(copied.name, collection->prefix, strlen(collection->prefix)) != 0) {
        return 0;
    }
    copied.value = malloc(value_bytes + 1);
    if (copied.value == NULL || make_room(collection) < 0) {
        free(copied.value);
        return -ENOMEM;
    }
    memcpy(copied.value, value, value_bytes);
    collection->rows[collection->count++] = copied;
    return 0;
}

static int parse_all(const struct collection *collection, json_t *rows) {
    for (size_t i = 0; i < collection->count; i++) {
        json_t *document = NULL;
        int rc = read_value(collection->rows[i].value, collection->rows[i].size, &document);
        if (rc < 0) {
            return rc;
        }
        json_t *row =
            json_pack("{s:s, s:o}", "name", collection->rows[i].name, "document", document);
        if (json_array_append_new(rows, row) < 0) {
            return -ENOMEM;
        }
    }
    return 0;
}

int srv_document_list(struct frag_store *store, enum srv_document_kind kind, const char *after,
                      const char *prefix, json_t **ret_rows) {
    struct collection collection = {.after = after, .prefix = prefix};
    json_t *rows = json_array();
    int rc = rows == NULL ? -ENOMEM : frag_store_each(store, (uint16_t)kind, collect, &collection);
    rc = rc < 0 ? rc : parse_all(&collection, rows);
    finish(&collection);
    if (rc < 0) {
        json_decref(rows);
        return rc;
    }
    *ret_rows = rows;
    return 0;
}
