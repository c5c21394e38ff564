#include "fragments/store/values.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc.h"
#include "base/error.h"
#include "base/text.h"

#define VERSION 1u
#define VERSION_TEXT_BYTES 20u /* of a stream's version, without its NUL */
#define FLAG_DELETING 1u
#define FLAG_RECORDS 2u
#define FLAG_OPEN 1u
#define FLAG_MAIN 1u
#define IDENTITY_CHECKSUM_AT (FRAG_IDENTITY_BYTES - 4)
/* Gap times are keys: with the sign turned, order of bytes is order of time. */
#define SIGN (UINT64_C(1) << 63)

_Static_assert(sizeof(((struct frag_value_stream *)NULL)->version) == VERSION_TEXT_BYTES + 1,
               "a stream's version and its NUL");

static const uint8_t identity_magic[4] = {'K', 'N', 'S', '1'};

/* ---- what may be written ---- */

/* Keeps the writer's first failure. */
static void refuse(struct kn_writer *writer) {
    if (writer->error == 0) {
        writer->error = KN_E_MALFORMED;
    }
}

static bool is_text(const char *text, size_t size) {
    while (size > 0) {
        size_t length = kn_text_character(text, size);
        if (length == 0) {
            return false;
        }
        text += length;
        size -= length;
    }
    return true;
}

/* A NUL within `room`, and before it text of at least `least` bytes. */
static bool holds_text(const char *text, size_t room, size_t least) {
    size_t size = strnlen(text, room);
    return size < room && size >= least && is_text(text, size);
}

static bool is_name_character(char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

bool frag_stream_name_valid(const char *name) {
    size_t size = strnlen(name, FRAG_STREAM_NAME_BYTES);
    if (size == 0 || size == FRAG_STREAM_NAME_BYTES || strcmp(name, ".") == 0 ||
        strcmp(name, "..") == 0) {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        if (!is_name_character(name[i])) {
            return false;
        }
    }
    return true;
}

bool frag_stream_settings_valid(const struct frag_stream_settings *settings) {
    return settings->retention_ns >= 0 && settings->target_ns >= KN_NS_PER_S &&
           settings->target_ns <= 20 * KN_NS_PER_S &&
           holds_text(settings->media_type, sizeof(settings->media_type), 0) &&
           holds_text(settings->device_name, sizeof(settings->device_name), 0);
}

bool frag_stream_tag_valid(const struct frag_stream_tag *tag) {
    return holds_text(tag->key, sizeof(tag->key), 1) &&
           holds_text(tag->value, sizeof(tag->value), 0);
}

static bool version_valid(const char *version) {
    for (size_t i = 0; i < VERSION_TEXT_BYTES; i++) {
        char c = version[i];
        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))) {
            return false;
        }
    }
    return version[VERSION_TEXT_BYTES] == '\0';
}

/* Number 0 is the main directory, which is wherever the store is opened. */
static bool folder_valid(const struct frag_value_folder *folder) {
    size_t size = strnlen(folder->path, sizeof(folder->path));
    if (folder->number == 0) {
        return size == 0;
    }
    return folder->number < FRAG_FOLDER_ANY && size < sizeof(folder->path) &&
           folder->path[0] == '/';
}

static bool tags_valid(const struct frag_value_stream *stream) {
    if (stream->tag_count > FRAG_STREAM_TAGS_MAX) {
        return false;
    }
    for (size_t i = 0; i < stream->tag_count; i++) {
        if (!frag_stream_tag_valid(&stream->tags[i]) ||
            (i > 0 && strcmp(stream->tags[i - 1].key, stream->tags[i].key) >= 0)) {
            return false;
        }
    }
    return true;
}

static bool stream_valid(const struct frag_value_stream *stream) {
    return frag_stream_name_valid(stream->name) && version_valid(stream->version) &&
           frag_stream_settings_valid(&stream->settings) && tags_valid(stream);
}

static bool hold_valid(const struct frag_value_hold *hold) {
    bool clock = hold->clock == FRAG_CLOCK_PRODUCER || hold->clock == FRAG_CLOCK_SERVER;
    return clock && hold->from.ns <= hold->to.ns &&
           holds_text(hold->reason, sizeof(hold->reason), 0);
}

static bool gap_valid(const struct frag_gap_entry *gap) {
    return gap->gap.cause >= FRAG_GAP_SOURCE_REFUSED && gap->gap.cause <= FRAG_GAP_SHUTDOWN &&
           gap->ordinals <= UINT64_MAX - gap->ordinal;
}

/* ---- reading ---- */

struct value {
    struct kn_reader reader;
    bool bad;
};

/* 0; or the value is not one of this version. */
static int begin(struct value *value, struct frag_catalog_value bytes) {
    *value = (struct value){0};
    kn_reader_init(&value->reader, bytes.data, bytes.size);
    uint16_t version = kn_read_be16(&value->reader);
    int rc = kn_reader_status(&value->reader);
    if (rc < 0 || version == VERSION) {
        return rc;
    }
    return version == 0 ? KN_E_MALFORMED : KN_E_UNSUPPORTED;
}

/* What was read is all there is, and what there may be. */
static int end(const struct value *value) {
    int rc = kn_reader_status(&value->reader);
    if (rc < 0) {
        return rc;
    }
    return value->bad || kn_reader_left(&value->reader) > 0 ? KN_E_MALFORMED : 0;
}

static struct kn_wall read_wall(struct value *value) {
    return (struct kn_wall){(int64_t)kn_read_be64(&value->reader)};
}

static void read_id(struct value *value, uint8_t id[static FRAG_ID_BYTES]) {
    const uint8_t *bytes = kn_read_bytes(&value->reader, FRAG_ID_BYTES);
    if (bytes != NULL) {
        memcpy(id, bytes, FRAG_ID_BYTES);
    }
}

/* Text of a length that stands before it; a NUL in it would hide the rest. */
static void read_text(struct value *value, size_t width, char *room, size_t room_bytes) {
    size_t size = (size_t)kn_read_be(&value->reader, width);
    const uint8_t *text = kn_read_bytes(&value->reader, size);
    if (text == NULL) {
        return;
    }
    if (size >= room_bytes || memchr(text, '\0', size) != NULL) {
        value->bad = true;
        return;
    }
    memcpy(room, text, size);
}

static void write_text(struct kn_writer *writer, size_t width, const char *text) {
    size_t size = strlen(text);
    kn_write_be(writer, size, width);
    kn_write_bytes(writer, text, size);
}

/* ---- the store's own ---- */

size_t frag_key_of(const char *word, const uint8_t id[static FRAG_ID_BYTES],
                   uint8_t key[static FRAG_KEY_BYTES_MAX]) {
    struct kn_writer writer;
    kn_writer_init(&writer, key, FRAG_KEY_BYTES_MAX);
    kn_write_bytes(&writer, word, strlen(word));
    kn_write_bytes(&writer, id, FRAG_ID_BYTES);
    KN_ASSERT(kn_writer_status(&writer) == 0);
    return writer.size;
}

void frag_value_write_u64(struct kn_writer *writer, uint64_t value) {
    kn_write_be16(writer, VERSION);
    kn_write_be64(writer, value);
}

int frag_value_read_u64(struct frag_catalog_value value, uint64_t *ret_value) {
    struct value from;
    int rc = begin(&from, value);
    if (rc < 0) {
        return rc;
    }
    uint64_t number = kn_read_be64(&from.reader);
    rc = end(&from);
    if (rc == 0) {
        *ret_value = number;
    }
    return rc;
}

void frag_value_write_folder(struct kn_writer *writer, const struct frag_value_folder *folder) {
    if (!folder_valid(folder)) {
        refuse(writer);
        return;
    }
    kn_write_be16(writer, VERSION);
    kn_write_be16(writer, folder->number);
    write_text(writer, 2, folder->path);
}

int frag_value_read_folder(struct frag_catalog_value value, struct frag_value_folder *ret_folder) {
    struct value from;
    struct frag_value_folder folder = {0};
    int rc = begin(&from, value);
    if (rc < 0) {
        return rc;
    }
    folder.number = kn_read_be16(&from.reader);
    read_text(&from, 2, folder.path, sizeof(folder.path));
    from.bad = from.bad || !folder_valid(&folder);
    rc = end(&from);
    if (rc == 0) {
        *ret_folder = folder;
    }
    return rc;
}

void frag_value_write_mark(struct kn_writer *writer, const struct frag_value_mark *mark) {
    if (mark->sequence > FRAG_NUMBER_SEQUENCE_MAX) {
        refuse(writer);
        return;
    }
    kn_write_be16(writer, VERSION);
    kn_write_be64(writer, mark->sequence);
    kn_write_be64(writer, mark->ordinal);
    kn_write_be64(writer, mark->discontinuities);
}

int frag_value_read_mark(struct frag_catalog_value value, struct frag_value_mark *ret_mark) {
    struct value from;
    struct frag_value_mark mark;
    int rc = begin(&from, value);
    if (rc < 0) {
        return rc;
    }
    mark.sequence = kn_read_be64(&from.reader);
    mark.ordinal = kn_read_be64(&from.reader);
    mark.discontinuities = kn_read_be64(&from.reader);
    from.bad = mark.sequence > FRAG_NUMBER_SEQUENCE_MAX;
    rc = end(&from);
    if (rc == 0) {
        *ret_mark = mark;
    }
    return rc;
}

/* ---- streams ---- */

void frag_value_write_stream(struct kn_writer *writer, const struct frag_value_stream *stream) {
    if (!stream_valid(stream)) {
        refuse(writer);
        return;
    }
    const struct frag_stream_settings *settings = &stream->settings;
    kn_write_be16(writer, VERSION);
    kn_write_be16(writer, (uint16_t)((stream->deleting ? FLAG_DELETING : 0) |
                                     (settings->records ? FLAG_RECORDS : 0)));
    kn_write_bytes(writer, stream->version, VERSION_TEXT_BYTES);
    kn_write_be64(writer, (uint64_t)stream->created.ns);
    kn_write_be64(writer, (uint64_t)settings->retention_ns);
    kn_write_be64(writer, settings->retention_bytes);
    kn_write_be64(writer, (uint64_t)settings->target_ns);
    kn_write_be16(writer, settings->folder);
    write_text(writer, 2, stream->name);
    write_text(writer, 1, settings->media_type);
    write_text(writer, 1, settings->device_name);
    kn_write_u8(writer, (uint8_t)stream->tag_count);
    for (size_t i = 0; i < stream->tag_count; i++) {
        write_text(writer, 1, stream->tags[i].key);
        write_text(writer, 2, stream->tags[i].value);
    }
}

/* All but the tags; their number. */
static size_t read_stream_head(struct value *from, struct frag_value_stream *stream) {
    struct frag_stream_settings *settings = &stream->settings;
    uint16_t flags = kn_read_be16(&from->reader);
    const uint8_t *version = kn_read_bytes(&from->reader, VERSION_TEXT_BYTES);
    if (version != NULL) {
        memcpy(stream->version, version, VERSION_TEXT_BYTES);
    }
    stream->deleting = (flags & FLAG_DELETING) != 0;
    settings->records = (flags & FLAG_RECORDS) != 0;
    stream->created = read_wall(from);
    settings->retention_ns = (int64_t)kn_read_be64(&from->reader);
    settings->retention_bytes = kn_read_be64(&from->reader);
    settings->target_ns = (int64_t)kn_read_be64(&from->reader);
    settings->folder = kn_read_be16(&from->reader);
    read_text(from, 2, stream->name, sizeof(stream->name));
    read_text(from, 1, settings->media_type, sizeof(settings->media_type));
    read_text(from, 1, settings->device_name, sizeof(settings->device_name));
    from->bad = from->bad || (flags & ~(FLAG_DELETING | FLAG_RECORDS)) != 0;
    return kn_read_u8(&from->reader);
}

static int read_tags(struct value *from, size_t count, struct frag_value_stream *stream) {
    if (count > FRAG_STREAM_TAGS_MAX) {
        return KN_E_MALFORMED;
    }
    if (count == 0) {
        return 0;
    }
    stream->tags = calloc(count, sizeof(*stream->tags));
    if (stream->tags == NULL) {
        return -ENOMEM;
    }
    stream->tag_count = count;
    for (size_t i = 0; i < count; i++) {
        read_text(from, 1, stream->tags[i].key, sizeof(stream->tags[i].key));
        read_text(from, 2, stream->tags[i].value, sizeof(stream->tags[i].value));
    }
    return 0;
}

int frag_value_read_stream(struct frag_catalog_value value, struct frag_value_stream *ret_stream) {
    struct value from;
    struct frag_value_stream stream = {0};
    int rc = begin(&from, value);
    if (rc < 0) {
        return rc;
    }
    size_t tags = read_stream_head(&from, &stream);
    rc = read_tags(&from, tags, &stream);
    if (rc == 0) {
        from.bad = from.bad || !stream_valid(&stream);
        rc = end(&from);
    }
    if (rc < 0) {
        free(stream.tags);
        return rc;
    }
    *ret_stream = stream;
    return 0;
}

/* ---- holds ---- */

void frag_value_write_hold(struct kn_writer *writer, const struct frag_value_hold *hold) {
    if (!hold_valid(hold)) {
        refuse(writer);
        return;
    }
    kn_write_be16(writer, VERSION);
    kn_write_bytes(writer, hold->stream, FRAG_ID_BYTES);
    kn_write_u8(writer, (uint8_t)hold->clock);
    kn_write_be64(writer, (uint64_t)hold->from.ns);
    kn_write_be64(writer, (uint64_t)hold->to.ns);
    kn_write_be64(writer, (uint64_t)hold->created.ns);
    write_text(writer, 2, hold->reason);
}

int frag_value_read_hold(struct frag_catalog_value value, struct frag_value_hold *ret_hold) {
    struct value from;
    struct frag_value_hold hold = {0};
    int rc = begin(&from, value);
    if (rc < 0) {
        return rc;
    }
    read_id(&from, hold.stream);
    hold.clock = (enum frag_clock)kn_read_u8(&from.reader);
    hold.from = read_wall(&from);
    hold.to = read_wall(&from);
    hold.created = read_wall(&from);
    read_text(&from, 2, hold.reason, sizeof(hold.reason));
    from.bad = from.bad || !hold_valid(&hold);
    rc = end(&from);
    if (rc == 0) {
        *ret_hold = hold;
    }
    return rc;
}

/* ---- gaps ---- */

void frag_gap_key_write(const struct frag_gap_key *key, uint8_t room[static FRAG_GAP_KEY_BYTES]) {
    struct kn_writer writer;
    kn_writer_init(&writer, room, FRAG_GAP_KEY_BYTES);
    kn_write_bytes(&writer, key->stream, FRAG_ID_BYTES);
    kn_write_be64(&writer, (uint64_t)key->from.ns ^ SIGN);
    kn_write_be32(&writer, key->number);
    KN_ASSERT(kn_writer_status(&writer) == 0 && writer.size == FRAG_GAP_KEY_BYTES);
}

int frag_gap_key_read(struct frag_catalog_value value, struct frag_gap_key *ret_key) {
    struct value from = {0};
    struct frag_gap_key key = {0};
    kn_reader_init(&from.reader, value.data, value.size);
    read_id(&from, key.stream);
    key.from.ns = (int64_t)(kn_read_be64(&from.reader) ^ SIGN);
    key.number = kn_read_be32(&from.reader);
    int rc = end(&from);
    if (rc == 0) {
        *ret_key = key;
    }
    return rc;
}

void frag_value_write_gap(struct kn_writer *writer, const struct frag_gap_entry *gap) {
    if (!gap_valid(gap)) {
        refuse(writer);
        return;
    }
    kn_write_be16(writer, VERSION);
    kn_write_u8(writer, (uint8_t)gap->gap.cause);
    kn_write_u8(writer, gap->open ? FLAG_OPEN : 0);
    kn_write_be64(writer, (uint64_t)gap->gap.to.ns);
    kn_write_be64(writer, gap->ordinal);
    kn_write_be32(writer, gap->ordinals);
}

int frag_value_read_gap(struct frag_catalog_value value, struct frag_gap_entry *ret_gap) {
    struct value from;
    struct frag_gap_entry gap = {0};
    int rc = begin(&from, value);
    if (rc < 0) {
        return rc;
    }
    gap.gap.cause = (enum frag_gap_cause)kn_read_u8(&from.reader);
    uint8_t flags = kn_read_u8(&from.reader);
    gap.open = flags == FLAG_OPEN;
    gap.gap.to = read_wall(&from);
    gap.ordinal = kn_read_be64(&from.reader);
    gap.ordinals = kn_read_be32(&from.reader);
    from.bad = flags > FLAG_OPEN || !gap_valid(&gap);
    rc = end(&from);
    if (rc == 0) {
        *ret_gap = gap;
    }
    return rc;
}

/* ---- seals ---- */

void frag_value_write_seal(struct kn_writer *writer, const struct frag_value_seal *seal) {
    if (seal->bytes > INT64_MAX) {
        refuse(writer);
        return;
    }
    kn_write_be16(writer, VERSION);
    kn_write_bytes(writer, seal->stream, FRAG_ID_BYTES);
    kn_write_be64(writer, seal->bytes);
}

int frag_value_read_seal(struct frag_catalog_value value, struct frag_value_seal *ret_seal) {
    struct value from;
    struct frag_value_seal seal = {0};
    int rc = begin(&from, value);
    if (rc < 0) {
        return rc;
    }
    read_id(&from, seal.stream);
    seal.bytes = kn_read_be64(&from.reader);
    from.bad = seal.bytes > INT64_MAX;
    rc = end(&from);
    if (rc == 0) {
        *ret_seal = seal;
    }
    return rc;
}

/* ---- the identity file ---- */

void frag_identity_write(const struct frag_folder_identity *identity,
                         uint8_t room[static FRAG_IDENTITY_BYTES]) {
    struct kn_writer writer;
    kn_writer_init(&writer, room, FRAG_IDENTITY_BYTES);
    kn_write_bytes(&writer, identity_magic, sizeof(identity_magic));
    kn_write_be16(&writer, VERSION);
    kn_write_be16(&writer, identity->main ? FLAG_MAIN : 0);
    kn_write_bytes(&writer, identity->store_id, FRAG_ID_BYTES);
    kn_write_bytes(&writer, identity->folder_id, FRAG_ID_BYTES);
    kn_write_be32(&writer, 0);
    kn_write_be32(&writer, kn_crc32c(0, room, IDENTITY_CHECKSUM_AT));
    KN_ASSERT(kn_writer_status(&writer) == 0 && writer.size == FRAG_IDENTITY_BYTES);
}

int frag_identity_read(const uint8_t *data, size_t size,
                       struct frag_folder_identity *ret_identity) {
    struct value from = {0};
    struct frag_folder_identity identity = {0};
    kn_reader_init(&from.reader, data, size);
    const uint8_t *magic = kn_read_bytes(&from.reader, sizeof(identity_magic));
    uint16_t version = kn_read_be16(&from.reader);
    uint16_t flags = kn_read_be16(&from.reader);
    read_id(&from, identity.store_id);
    read_id(&from, identity.folder_id);
    uint32_t zero = kn_read_be32(&from.reader);
    uint32_t checksum = kn_read_be32(&from.reader);
    int rc = kn_reader_status(&from.reader);
    if (rc < 0) {
        return rc;
    }
    /* The checksum first: only then is another version a version and not a wrong bit. */
    if (magic == NULL || memcmp(magic, identity_magic, sizeof(identity_magic)) != 0 ||
        checksum != kn_crc32c(0, data, IDENTITY_CHECKSUM_AT) || version == 0) {
        return KN_E_MALFORMED;
    }
    if (version > VERSION) {
        return KN_E_UNSUPPORTED;
    }
    identity.main = flags == FLAG_MAIN;
    from.bad = flags > FLAG_MAIN || zero != 0;
    rc = end(&from);
    if (rc == 0) {
        *ret_identity = identity;
    }
    return rc;
}
