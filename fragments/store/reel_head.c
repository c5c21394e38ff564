/* The first two pages of a reel, and what stands between them and the first cluster. */
#include <limits.h>
#include <string.h>

#include "base/crc.h"
#include "base/error.h"
#include "fragments/matroska.h"
#include "fragments/matroska/elements.h"
#include "fragments/matroska/ids.h"
#include "fragments/store/reel_inner.h"

#define PAGE_BYTES FRAG_REEL_SEEK_AT
#define NUMBER_LOW_MAX 0x0FFFFFFFu
/* Two numbers and two short texts of ours, and a title that fits the first page. */
#define INFO_MOST 8192u
/* KN_TRACKS_MAX times KN_TRACK_PRIVATE_MAX and a little. */
#define TRACKS_MOST (17u * 1024u * 1024u)
/* The header's bytes and 31 more for each piece. */
#define HEADER_MOST (FRAG_REEL_PRODUCER_HEADER_MAX + 16u * 1024u)
/* id 4, size 8, CRC-32 */
#define CHECKED_HEAD_BYTES (12u + CRC_ELEMENT_BYTES)

static const char reel_name[] = "KINORA_REEL";
static const char stream_tag_name[] = "KINORA_STREAM";
static const char header_name[] = "KINORA_HEADER";

/* EBML header, and the Segment's with a size that stays unknown. They are part of the format: what
 * a reel begins with does not follow changes of the Matroska writer. */
static const uint8_t start[] = {
    0x1A, 0x45, 0xDF, 0xA3, 0xA3,                                           /* EBML */
    0x42, 0x86, 0x81, 1,                                                    /* EBMLVersion */
    0x42, 0xF7, 0x81, 1,                                                    /* EBMLReadVersion */
    0x42, 0xF2, 0x81, 4,                                                    /* EBMLMaxIDLength */
    0x42, 0xF3, 0x81, 8,                                                    /* EBMLMaxSizeLength */
    0x42, 0x82, 0x88, 'm',  'a',  't',  'r',  'o',  's',  'k',  'a',        /* DocType */
    0x42, 0x87, 0x81, 4,                                                    /* DocTypeVersion */
    0x42, 0x85, 0x81, 2,                                                    /* DocTypeReadVersion */
    0x18, 0x53, 0x80, 0x67, 0x01, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, /* Segment */
};
_Static_assert(sizeof(start) == FRAG_REEL_SEGMENT_AT, "positions count from behind it");

/* ---- identity ---- */

static bool identity_can_be(const struct frag_reel_identity *identity) {
    bool relative = (identity->flags & FRAG_REEL_RELATIVE) != 0;
    return (identity->flags &
            ~(unsigned)(FRAG_REEL_KEPT | FRAG_REEL_RECORDS | FRAG_REEL_RELATIVE)) == 0 &&
           (relative || identity->producer_start.ns == 0) && identity->timecode_scale_ns >= 1 &&
           identity->timecode_scale_ns <= INT64_MAX && identity->number_low <= NUMBER_LOW_MAX &&
           identity->producer_header_bytes <= FRAG_REEL_PRODUCER_HEADER_MAX;
}

void frag_reel_write_identity(struct kn_writer *writer, const struct frag_reel_identity *identity) {
    kn_write_be16(writer, identity->flags);
    kn_write_bytes(writer, identity->store_id, FRAG_ID_BYTES);
    kn_write_bytes(writer, identity->stream_id, FRAG_ID_BYTES);
    kn_write_bytes(writer, identity->reel_id, FRAG_ID_BYTES);
    kn_write_bytes(writer, identity->session_id, FRAG_ID_BYTES);
    kn_write_be64(writer, identity->epoch);
    kn_write_be64(writer, (uint64_t)identity->opened.ns);
    kn_write_be64(writer, (uint64_t)identity->producer_start.ns);
    kn_write_be64(writer, identity->timecode_scale_ns);
    kn_write_be32(writer, identity->number_low);
    kn_write_be32(writer, identity->producer_header_bytes);
}

static void pack_identity(uint8_t room[static FRAG_REEL_IDENTITY_BYTES],
                          const struct frag_reel_identity *identity) {
    struct kn_writer writer;
    kn_writer_init(&writer, room, FRAG_REEL_IDENTITY_BYTES);
    kn_write_be16(&writer, FRAG_REEL_VERSION);
    frag_reel_write_identity(&writer, identity);
    kn_write_be32(&writer, kn_crc32c(0, writer.data, writer.size));
    KN_ASSERT(kn_writer_status(&writer) == 0 && writer.size == FRAG_REEL_IDENTITY_BYTES);
}

static void read_id(struct kn_reader *reader, uint8_t ret_id[static FRAG_ID_BYTES]) {
    const uint8_t *id = kn_read_bytes(reader, FRAG_ID_BYTES);
    if (id != NULL) {
        memcpy(ret_id, id, FRAG_ID_BYTES);
    }
}

static int unpack_identity(struct kn_reader *reader, struct frag_reel_identity *ret_identity) {
    struct frag_reel_identity identity = {0};
    uint16_t version = kn_read_be16(reader);
    if (version > FRAG_REEL_VERSION) {
        return KN_E_UNSUPPORTED;
    }
    identity.flags = kn_read_be16(reader);
    read_id(reader, identity.store_id);
    read_id(reader, identity.stream_id);
    read_id(reader, identity.reel_id);
    read_id(reader, identity.session_id);
    identity.epoch = kn_read_be64(reader);
    identity.opened.ns = (int64_t)kn_read_be64(reader);
    identity.producer_start.ns = (int64_t)kn_read_be64(reader);
    identity.timecode_scale_ns = kn_read_be64(reader);
    identity.number_low = kn_read_be32(reader);
    identity.producer_header_bytes = kn_read_be32(reader);
    uint32_t checked = kn_crc32c(0, reader->data, reader->at);
    uint32_t crc = kn_read_be32(reader);
    if (kn_reader_status(reader) != 0 || kn_reader_left(reader) != 0 || crc != checked ||
        version != FRAG_REEL_VERSION || !identity_can_be(&identity)) {
        return KN_E_MALFORMED;
    }
    *ret_identity = identity;
    return 0;
}

/* A Void of zeros that fills the reader. */
static bool is_void(struct kn_reader *reader) {
    size_t left = kn_reader_left(reader);
    const uint8_t *found = kn_read_bytes(reader, left);
    uint8_t room[PAGE_BYTES];
    struct kn_writer writer;
    if (found == NULL || left < 2 || left > sizeof(room)) {
        return false;
    }
    kn_writer_init(&writer, room, sizeof(room));
    put_void(&writer, left);
    return memcmp(found, room, left) == 0;
}

static void write_first_page(struct kn_writer *writer, const struct frag_reel_identity *identity,
                             const char *stream_name) {
    uint8_t packed[FRAG_REEL_IDENTITY_BYTES];
    pack_identity(packed, identity);
    const struct frag_reel_value values[] = {
        {.name = reel_name, .slices = {packed}, .sizes = {sizeof(packed)}},
        {.name = stream_tag_name,
         .text = true,
         .slices = {(const uint8_t *)stream_name},
         .sizes = {strlen(stream_name)}},
    };
    size_t from = writer->size;
    kn_write_bytes(writer, start, sizeof(start));
    frag_reel_write_tags(writer, values, KN_COUNT(values));
    size_t used = writer->size - from;
    if (values[1].sizes[0] > FRAG_REEL_PIECE_BYTES || used + 2 > PAGE_BYTES) {
        frag_reel_fail(writer, KN_E_LIMIT);
        return;
    }
    put_void(writer, PAGE_BYTES - used);
}

void frag_reel_write_head(struct kn_writer *writer, const struct frag_reel_identity *identity,
                          const char *stream_name, struct kn_tracks *tracks,
                          const uint8_t *producer_header) {
    KN_ASSERT(producer_header != NULL || identity->producer_header_bytes == 0);
    if (identity->producer_header_bytes > FRAG_REEL_PRODUCER_HEADER_MAX) {
        frag_reel_fail(writer, KN_E_LIMIT);
    } else if (!identity_can_be(identity)) {
        frag_reel_fail(writer, KN_E_MALFORMED);
    }
    write_first_page(writer, identity, stream_name);
    if (kn_writer_status(writer) != 0) {
        return;
    }
    put_void(writer, FRAG_REEL_BODY_AT - FRAG_REEL_SEEK_AT);
    const struct frag_mkv_header header = {
        .timecode_scale_ns = identity->timecode_scale_ns,
        .duration_ns = -1,
        .title = stream_name,
        .segment_uid = identity->reel_id,
        .has_date = true,
        .date_ns = identity->opened.ns,
    };
    frag_mkv_write_info(writer, &header);
    frag_mkv_write_tracks(writer, tracks);
    if (identity->producer_header_bytes > 0) {
        const struct frag_reel_value value = {.name = header_name,
                                              .slices = {producer_header},
                                              .sizes = {identity->producer_header_bytes}};
        frag_reel_write_tags(writer, &value, 1);
    }
}

int frag_reel_read_identity(const uint8_t *data, size_t size,
                            struct frag_reel_identity *ret_identity) {
    struct kn_reader page;
    struct kn_reader simple;
    struct kn_reader value;
    struct frag_reel_identity identity;
    size_t bytes = 0;
    if (size < PAGE_BYTES) {
        return KN_E_TRUNCATED;
    }
    kn_reader_init(&page, data, PAGE_BYTES);
    if (memcmp(kn_read_bytes(&page, sizeof(start)), start, sizeof(start)) != 0 ||
        frag_reel_open_tags(data + sizeof(start), PAGE_BYTES - sizeof(start), PAGE_BYTES, &simple,
                            &bytes) != 0 ||
        frag_reel_next_value(&simple, reel_name, false, &value) != 0) {
        return KN_E_MALFORMED;
    }
    int rc = unpack_identity(&value, &identity);
    if (rc != 0) {
        return rc;
    }
    kn_read_skip(&page, bytes);
    if (frag_reel_next_value(&simple, stream_tag_name, true, &value) != 0 ||
        kn_reader_left(&simple) != 0 || !is_void(&page)) {
        return KN_E_MALFORMED;
    }
    *ret_identity = identity;
    return 0;
}

/* ---- body ---- */

/* Info or Tracks as the Matroska writer has them: an 8-byte size and a CRC-32 that holds. */
static int take_checked(struct kn_reader *reader, uint32_t id, size_t most) {
    struct kn_reader head = *reader;
    uint32_t found = kn_read_be32(&head);
    uint64_t bytes = kn_read_be64(&head) ^ UINT64_C(0x0100000000000000);
    uint16_t crc_head = kn_read_be16(&head);
    uint32_t crc = kn_read_le32(&head);
    if (kn_reader_status(&head) != 0) {
        return KN_E_TRUNCATED;
    }
    if (found != id || bytes < CRC_ELEMENT_BYTES || bytes > most ||
        crc_head != (FRAG_MKV_CRC32 << 8 | 0x84)) {
        return KN_E_MALFORMED;
    }
    kn_read_skip(reader, CHECKED_HEAD_BYTES);
    size_t body_bytes = (size_t)bytes - CRC_ELEMENT_BYTES;
    const uint8_t *body = kn_read_bytes(reader, body_bytes);
    if (body == NULL) {
        return KN_E_TRUNCATED;
    }
    return kn_crc32(0, body, body_bytes) == crc ? 0 : KN_E_MALFORMED;
}

static int take_header(struct kn_reader *reader, size_t header_bytes, struct kn_writer *header) {
    struct kn_reader simple;
    size_t bytes = 0;
    int rc = frag_reel_open_tags(reader->data + reader->at, kn_reader_left(reader), HEADER_MOST,
                                 &simple, &bytes);
    if (rc != 0) {
        return rc;
    }
    struct kn_reader again = simple;
    if (frag_reel_join_pieces(&simple, header_name, NULL) != (int64_t)header_bytes) {
        return KN_E_MALFORMED;
    }
    kn_read_skip(reader, bytes);
    if (header != NULL) {
        (void)frag_reel_join_pieces(&again, header_name, header); /* good, as just seen */
        return kn_writer_status(header);
    }
    return 0;
}

int frag_reel_read_body(const uint8_t *data, size_t size, const struct frag_reel_identity *identity,
                        struct kn_writer *producer_header, struct frag_reel_body *ret_body) {
    struct kn_reader reader;
    struct frag_reel_body body;
    kn_reader_init(&reader, data, size);
    int rc = take_checked(&reader, FRAG_MKV_INFO, INFO_MOST);
    if (rc != 0) {
        return rc;
    }
    body.tracks_at = FRAG_REEL_BODY_AT + reader.at;
    rc = take_checked(&reader, FRAG_MKV_TRACKS, TRACKS_MOST);
    if (rc == 0 && identity->producer_header_bytes > 0) {
        rc = take_header(&reader, identity->producer_header_bytes, producer_header);
    }
    if (rc != 0) {
        return rc;
    }
    body.first_cluster_at = FRAG_REEL_BODY_AT + reader.at;
    *ret_body = body;
    return 0;
}

/* ---- the page that closes ---- */

static bool places_can_be(const struct frag_reel_places *places) {
    uint64_t before_table = places->cues_at == 0 ? places->tracks_at : places->cues_at;
    return places->tracks_at > FRAG_REEL_BODY_AT && places->table_at <= INT64_MAX &&
           (places->cues_at == 0 || places->cues_at > places->tracks_at) &&
           places->table_at > before_table;
}

void frag_reel_close_page(struct kn_writer *writer, const struct frag_reel_places *places) {
    struct frag_mkv_seek seeks[4];
    size_t count = 0;
    if (!places_can_be(places)) {
        frag_reel_fail(writer, KN_E_MALFORMED);
        return;
    }
    seeks[count++] =
        (struct frag_mkv_seek){FRAG_MKV_INFO, FRAG_REEL_BODY_AT - FRAG_REEL_SEGMENT_AT};
    seeks[count++] =
        (struct frag_mkv_seek){FRAG_MKV_TRACKS, places->tracks_at - FRAG_REEL_SEGMENT_AT};
    if (places->cues_at != 0) {
        seeks[count++] =
            (struct frag_mkv_seek){FRAG_MKV_CUES, places->cues_at - FRAG_REEL_SEGMENT_AT};
    }
    seeks[count++] = (struct frag_mkv_seek){FRAG_MKV_TAGS, places->table_at - FRAG_REEL_SEGMENT_AT};
    /* The room suffices; the writer keeps its own failure. */
    (void)frag_mkv_write_seek_head(writer, seeks, count, PAGE_BYTES);
}

static uint64_t read_seek(struct kn_reader *seeks, uint32_t id) {
    struct kn_reader seek = *seeks;
    kn_read_skip(&seek, 6); /* Seek: id 2, size 1; SeekID: id 2, size 1 */
    uint32_t found = kn_read_be32(&seek);
    kn_read_skip(&seek, 2); /* SeekPosition: id */
    uint8_t width = kn_read_u8(&seek) ^ 0x80;
    uint64_t position = width <= 8 ? kn_read_be(&seek, width) : 0;
    if (found != id || width > 8 || kn_reader_status(&seek) != 0 || position > INT64_MAX) {
        return 0;
    }
    *seeks = seek;
    return position + FRAG_REEL_SEGMENT_AT;
}

/* Reads the positions where close_page puts them, whatever is around them; the page is right when
 * close_page makes the same one of them. */
int frag_reel_read_page(const uint8_t *data, size_t size, struct frag_reel_places *ret_places) {
    struct kn_reader reader;
    uint8_t room[PAGE_BYTES];
    struct kn_writer writer;
    if (size < PAGE_BYTES) {
        return KN_E_TRUNCATED;
    }
    kn_reader_init(&reader, data, PAGE_BYTES);
    if (is_void(&reader)) {
        return 0;
    }
    kn_reader_init(&reader, data, PAGE_BYTES);
    kn_read_skip(&reader, CHECKED_HEAD_BYTES);
    (void)read_seek(&reader, FRAG_MKV_INFO); /* close_page knows where it is */
    struct frag_reel_places places;
    places.tracks_at = read_seek(&reader, FRAG_MKV_TRACKS);
    places.cues_at = read_seek(&reader, FRAG_MKV_CUES);
    places.table_at = read_seek(&reader, FRAG_MKV_TAGS);
    kn_writer_init(&writer, room, sizeof(room));
    frag_reel_close_page(&writer, &places);
    if (kn_writer_status(&writer) != 0 || memcmp(data, room, PAGE_BYTES) != 0) {
        return KN_E_MALFORMED;
    }
    *ret_places = places;
    return 1;
}
