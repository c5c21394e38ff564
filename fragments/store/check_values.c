/* What stands in the journal: every value is read, and has what it speaks of. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "fragments/store/check_inner.h"
#include "fragments/store/values.h"

#define KEY_TEXT_BYTES 40

struct values {
    struct frag_check *check;
    char path[FRAG_CHECK_PATH_BYTES]; /* of the main copy */
    bool numbers[UINT16_MAX + 1];     /* of storage directories */
    char (*names)[FRAG_STREAM_NAME_BYTES];
    size_t name_count, name_room;
    uint8_t gap_stream[FRAG_ID_BYTES]; /* whose gap is open */
    bool gap_open;
};

/* The first bytes of a key, as people see them in messages. */
static const char *key_text(struct frag_catalog_value key, char text[static KEY_TEXT_BYTES]) {
    size_t size = key.size < FRAG_ID_BYTES ? key.size : FRAG_ID_BYTES;
    text[0] = '\0';
    for (size_t i = 0; i < size; i++) {
        (void)snprintf(text + 2 * i, KEY_TEXT_BYTES - 2 * i, "%02x", key.data[i]);
    }
    return text;
}

static int tell_unread(struct values *values, const char *kind, struct frag_catalog_value key,
                       int rc) {
    char text[KEY_TEXT_BYTES];
    return frag_check_tell(values->check, FRAG_CHECK_DAMAGE, values->path, 0, 0, "",
                           "the journal has a %s (key %s) that cannot be read (%s): its record is "
                           "whole, so it was written wrong, or by a newer version",
                           kind, key_text(key, text), kn_error_text(rc));
}

static bool has_stream(const struct values *values, const uint8_t *id) {
    struct frag_catalog_value value;
    return frag_catalog_get(values->check->catalog, FRAG_CATALOG_STREAM, id, FRAG_ID_BYTES,
                            &value) == 0;
}

/* ---- kind STORE ---- */

static bool key_is(struct frag_catalog_value key, const char *word, bool with_id) {
    size_t size = strlen(word);
    return key.size == size + (with_id ? FRAG_ID_BYTES : 0) && memcmp(key.data, word, size) == 0;
}

static int check_folder_value(struct values *values, struct frag_catalog_value key,
                              struct frag_catalog_value value) {
    struct frag_value_folder folder;
    int rc = frag_value_read_folder(value, &folder);
    if (rc < 0) {
        return tell_unread(values, "storage directory", key, rc);
    }
    bool twice = values->numbers[folder.number];
    values->numbers[folder.number] = true;
    return twice ? frag_check_tell(values->check, FRAG_CHECK_DAMAGE, values->path, 0, 0, "",
                                   "two storage directories have the number %u in the journal: "
                                   "reels of both cannot be told apart",
                                   folder.number)
                 : 0;
}

static int check_store_value(struct frag_catalog_value key, struct frag_catalog_value value,
                             void *user) {
    struct values *values = user;
    struct frag_value_mark mark;
    if (key_is(key, FRAG_KEY_EPOCH, false)) {
        int rc = frag_value_read_u64(value, &values->check->epoch);
        return rc < 0 ? tell_unread(values, "epoch", key, rc) : 0;
    }
    if (key_is(key, FRAG_KEY_FOLDER, true)) {
        return check_folder_value(values, key, value);
    }
    if (key_is(key, FRAG_KEY_MARK, true)) {
        int rc = frag_value_read_mark(value, &mark);
        return rc < 0 ? tell_unread(values, "mark", key, rc) : 0;
    }
    return tell_unread(values, "value of the store", key, KN_E_UNSUPPORTED);
}

/* ---- streams ---- */

static int keep_name(struct values *values, const char *name) {
    if (values->name_count == values->name_room) {
        size_t room = values->name_room * 2 + 64; /* the catalog's size bounds it */
        void *grown = realloc(values->names, room * sizeof(*values->names));
        if (grown == NULL) {
            return -ENOMEM;
        }
        values->names = grown;
        values->name_room = room;
    }
    (void)snprintf(values->names[values->name_count++], FRAG_STREAM_NAME_BYTES, "%s", name);
    return 0;
}

static int check_stream(struct frag_catalog_value key, struct frag_catalog_value value,
                        void *user) {
    struct values *values = user;
    struct frag_value_stream stream;
    int rc = key.size == FRAG_ID_BYTES ? frag_value_read_stream(value, &stream) : KN_E_MALFORMED;
    if (rc < 0) {
        return rc == -ENOMEM ? rc : tell_unread(values, "stream", key, rc);
    }
    free(stream.tags);
    return stream.deleting ? 0 : keep_name(values, stream.name);
}

static int compare_names(const void *a, const void *b) {
    return strcmp(a, b);
}

static int check_names(struct values *values) {
    int rc = 0;
    if (values->name_count > 0) {
        qsort(values->names, values->name_count, sizeof(*values->names), compare_names);
    }
    for (size_t i = 1; i < values->name_count && rc == 0; i++) {
        if (strcmp(values->names[i - 1], values->names[i]) == 0) {
            rc = frag_check_tell(values->check, FRAG_CHECK_DAMAGE, values->path, 0, 0,
                                 values->names[i],
                                 "two streams of the journal have this name: only one is found");
        }
    }
    return rc;
}

/* ---- what belongs to streams ---- */

static int check_hold(struct frag_catalog_value key, struct frag_catalog_value value, void *user) {
    struct values *values = user;
    struct frag_value_hold hold;
    char text[KEY_TEXT_BYTES];
    int rc = key.size == FRAG_ID_BYTES ? frag_value_read_hold(value, &hold) : KN_E_MALFORMED;
    if (rc < 0) {
        return tell_unread(values, "hold", key, rc);
    }
    return has_stream(values, hold.stream)
               ? 0
               : frag_check_tell(values->check, FRAG_CHECK_NOTE, values->path, 0, 0, "",
                                 "the stream of hold %s is gone: the hold keeps nothing and can be "
                                 "removed",
                                 key_text(key, text));
}

/* Keys come in order of streams. */
static int check_gap(struct frag_catalog_value key, struct frag_catalog_value value, void *user) {
    struct values *values = user;
    struct frag_check *check = values->check;
    struct frag_gap_key at;
    struct frag_gap_entry gap = {0};
    char name[FRAG_STREAM_NAME_BYTES];
    int rc = frag_gap_key_read(key, &at);
    if (rc == 0) {
        rc = frag_value_read_gap(value, &gap);
    }
    if (rc < 0) {
        return tell_unread(values, "gap", key, rc);
    }
    bool another = memcmp(at.stream, values->gap_stream, FRAG_ID_BYTES) != 0;
    if (another && !has_stream(values, at.stream)) {
        rc = frag_check_tell(check, FRAG_CHECK_NOTE, values->path, 0, 0, "",
                             "the journal has gaps of a stream that is gone (%s)",
                             frag_check_stream_name(check, at.stream, name));
    } else if (!another && gap.open && values->gap_open) {
        rc = frag_check_tell(check, FRAG_CHECK_DAMAGE, values->path, 0, 0,
                             frag_check_stream_name(check, at.stream, name),
                             "two gaps of this stream are open in the journal: only one will end");
    }
    values->gap_open = gap.open || (values->gap_open && !another);
    memcpy(values->gap_stream, at.stream, FRAG_ID_BYTES);
    return rc;
}

static int check_seal(struct frag_catalog_value key, struct frag_catalog_value value, void *user) {
    struct values *values = user;
    struct frag_value_seal seal;
    int rc = key.size == FRAG_ID_BYTES ? frag_value_read_seal(value, &seal) : KN_E_MALFORMED;
    return rc < 0 ? tell_unread(values, "seal", key, rc) : 0;
}

/* ---- all ---- */

static int check_all(struct values *values) {
    static const struct {
        uint16_t kind;
        int (*each)(struct frag_catalog_value key, struct frag_catalog_value value, void *user);
    } kinds[] = {
        {FRAG_CATALOG_STORE, check_store_value}, {FRAG_CATALOG_STREAM, check_stream},
        {FRAG_CATALOG_HOLD, check_hold},         {FRAG_CATALOG_GAP, check_gap},
        {FRAG_CATALOG_SEAL, check_seal},
    };
    int rc = 0;
    for (size_t i = 0; i < KN_COUNT(kinds) && rc == 0; i++) {
        rc = frag_catalog_each(values->check->catalog, kinds[i].kind, kinds[i].each, values);
    }
    if (rc == 0 && values->check->epoch == 0) {
        rc = frag_check_tell(values->check, FRAG_CHECK_DAMAGE, values->path, 0, 0, "",
                             "the journal does not know how often the store was started: numbers "
                             "of fragments could be given twice");
    }
    return rc == 0 ? check_names(values) : rc;
}

int frag_check_values(struct frag_check *check) {
    if (check->catalog == NULL) {
        return 0; /* told with the copies */
    }
    struct values *values = calloc(1, sizeof(*values));
    if (values == NULL) {
        return -ENOMEM;
    }
    values->check = check;
    (void)frag_check_join(check->config->data, "journal", values->path);
    int rc = check_all(values);
    free(values->names);
    free(values);
    return rc;
}
