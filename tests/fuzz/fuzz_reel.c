/* All of fragments/store/reel_format.h. The first byte chooses what is run (low 3 bits); in modes 0
 * to 5 the rest is what the reader is given, checksums made right first where bit 7 is set; in
 * modes 6 and 7 it is what values are made of, which must come back from their bytes. */
#include <stdlib.h>
#include <string.h>

#include "base/crc.h"
#include "fragments/store/reel_format.h"

#define OUT_MAX ((size_t)4 << 20)
#define PAGE_BYTES 4096u
#define ROWS_MAX 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Where values are written to be read back, so that not every input allocates in many steps; what
 * is read from untrusted bytes is joined in growing writers. */
static uint8_t out_room[OUT_MAX];

static void seal_be32(uint8_t *data, size_t end) {
    struct kn_writer writer;
    kn_writer_init(&writer, data + end, 4);
    kn_write_be32(&writer, kn_crc32c(0, data, end));
}

/* The CRC-32 of a Tags (or, with 12 bytes of head, Info or Tracks) element that says its own size.
 */
static void seal_element(uint8_t *data, size_t size, size_t head) {
    size_t body = 0;
    struct kn_reader reader;
    struct kn_writer writer;
    kn_reader_init(&reader, data, size);
    kn_read_skip(&reader, 4);
    body = (size_t)kn_read_be(&reader, head - 4) & 0x0FFFFFFF;
    if (kn_reader_status(&reader) == 0 && body >= 6 && body <= size - head) {
        kn_writer_init(&writer, data + head + 2, 4);
        kn_write_le32(&writer, kn_crc32(0, data + head + 6, body - 6));
    }
}

/* The crc32c of a value behind a name, `bytes` long with it. */
static void seal_value(uint8_t *data, size_t size, const char *name, size_t bytes) {
    size_t head = strlen(name) + 6;
    for (size_t at = 0; at + head + bytes <= size; at++) {
        if (memcmp(data + at, name, head - 6) == 0) {
            seal_be32(data + at + head, bytes - 4);
            return;
        }
    }
}

static bool same(const void *a, const void *b, size_t size) {
    return size == 0 || memcmp(a, b, size) == 0;
}

/* ---- arbitrary bytes ---- */

static bool same_identity(const struct frag_reel_identity *a, const struct frag_reel_identity *b) {
    return a->flags == b->flags && same(a->store_id, b->store_id, FRAG_ID_BYTES) &&
           same(a->stream_id, b->stream_id, FRAG_ID_BYTES) &&
           same(a->reel_id, b->reel_id, FRAG_ID_BYTES) &&
           same(a->session_id, b->session_id, FRAG_ID_BYTES) && a->epoch == b->epoch &&
           a->opened.ns == b->opened.ns && a->producer_start.ns == b->producer_start.ns &&
           a->timecode_scale_ns == b->timecode_scale_ns && a->number_low == b->number_low &&
           a->producer_header_bytes == b->producer_header_bytes;
}

static void check_head(const struct frag_reel_identity *identity, const uint8_t *header) {
    static const struct kn_track track = {
        .number = 1, .media = KN_MEDIA_VIDEO, .codec_id = "V_VP8", .width = 64, .height = 48};
    struct frag_reel_identity found;
    struct frag_reel_body body;
    struct frag_reel_places places;
    struct kn_tracks *tracks = NULL;
    struct kn_writer head;
    struct kn_writer joined;
    if (kn_tracks_create(&track, 1, &tracks) != 0) {
        return;
    }
    kn_writer_init(&head, out_room, sizeof(out_room));
    kn_writer_init_growing(&joined, OUT_MAX);
    frag_reel_write_head(&head, identity, "fuzz", tracks, header);
    if (kn_writer_status(&head) == 0) {
        KN_ASSERT(frag_reel_read_identity(head.data, head.size, &found) == 0);
        KN_ASSERT(same_identity(identity, &found));
        KN_ASSERT(frag_reel_read_page(head.data + PAGE_BYTES, PAGE_BYTES, &places) == 0);
        if (frag_reel_read_body(head.data + FRAG_REEL_BODY_AT, head.size - FRAG_REEL_BODY_AT,
                                &found, &joined, &body) == 0) {
            KN_ASSERT(body.first_cluster_at == head.size);
            KN_ASSERT(joined.size == identity->producer_header_bytes);
            KN_ASSERT(same(joined.data, header, joined.size));
        } else {
            KN_ASSERT(kn_writer_status(&joined) != 0);
        }
    }
    kn_writer_finish(&joined);
    kn_tracks_unref(tracks);
}

static void run_identity(uint8_t *data, size_t size, bool seal) {
    struct frag_reel_identity identity;
    uint8_t *page = calloc(1, PAGE_BYTES);
    if (page == NULL) {
        return;
    }
    /* A short input ends in a Void of zeros. */
    memcpy(page, data, size < PAGE_BYTES ? size : PAGE_BYTES);
    if (size + 9 <= PAGE_BYTES) {
        struct kn_writer writer;
        kn_writer_init(&writer, page + size, 9);
        kn_write_u8(&writer, 0xEC);
        kn_write_be64(&writer, UINT64_C(1) << 56 | (PAGE_BYTES - size - 9));
    }
    if (seal) {
        seal_value(page, PAGE_BYTES, "KINORA_REEL", FRAG_REEL_IDENTITY_BYTES);
        seal_element(page + FRAG_REEL_SEGMENT_AT, PAGE_BYTES - FRAG_REEL_SEGMENT_AT,
                     FRAG_REEL_TAGS_HEAD_BYTES);
    }
    if (frag_reel_read_identity(page, PAGE_BYTES, &identity) == 0) {
        identity.producer_header_bytes = 0;
        check_head(&identity, NULL);
    }
    free(page);
}

static void run_body(uint8_t *data, size_t size, bool seal) {
    struct frag_reel_identity identity = {.producer_header_bytes = size > 0 ? data[0] : 0};
    struct frag_reel_body body;
    struct kn_writer joined;
    if (size == 0) {
        return;
    }
    data++, size--;
    for (size_t at = 0; seal && at + 18 <= size; at++) {
        if (same(data + at, "\x15\x49\xa9\x66", 4) || same(data + at, "\x16\x54\xae\x6b", 4)) {
            seal_element(data + at, size - at, 12);
        } else if (same(data + at, "\x12\x54\xc3\x67", 4)) {
            seal_element(data + at, size - at, FRAG_REEL_TAGS_HEAD_BYTES);
        }
    }
    kn_writer_init_growing(&joined, OUT_MAX);
    int rc = frag_reel_read_body(data, size, &identity, &joined, &body);
    if (rc == 0) {
        KN_ASSERT(joined.size == identity.producer_header_bytes);
        KN_ASSERT(body.first_cluster_at <= FRAG_REEL_BODY_AT + size);
        KN_ASSERT(body.tracks_at < body.first_cluster_at);
    } else {
        KN_ASSERT(joined.size == 0 || kn_writer_status(&joined) != 0);
    }
    kn_writer_finish(&joined);
}

static bool same_row(const struct frag_reel_row *a, const struct frag_reel_row *b) {
    return a->cluster_at == b->cluster_at && a->cluster_bytes == b->cluster_bytes &&
           a->trailer_bytes == b->trailer_bytes && a->cluster_crc32c == b->cluster_crc32c &&
           frag_number_compare(a->number, b->number) == 0 && a->ordinal == b->ordinal &&
           a->discontinuities == b->discontinuities && a->producer.ns == b->producer.ns &&
           a->server.ns == b->server.ns && a->duration_ns == b->duration_ns &&
           a->frames == b->frames && a->flags == b->flags &&
           a->received_unknown == b->received_unknown && a->received_width == b->received_width &&
           a->before_bytes == b->before_bytes && a->after_bytes == b->after_bytes;
}

/* A trailer that was read is written again in the same bytes. */
static void check_trailer(const uint8_t *data, const struct frag_reel_row *row,
                          const struct frag_reel_identity *identity) {
    struct frag_reel_row again = *row;
    struct kn_writer around;
    struct kn_writer written;
    kn_writer_init_growing(&around, OUT_MAX);
    kn_writer_init(&written, out_room, sizeof(out_room));
    int rc = frag_reel_read_around(data, row->trailer_bytes, row, &around);
    KN_ASSERT(rc == kn_writer_status(&around));
    if (rc == 0) {
        static const uint8_t none[1];
        const uint8_t *bytes = around.size == 0 ? none : around.data;
        KN_ASSERT(around.size == (size_t)row->before_bytes + row->after_bytes);
        frag_reel_write_trailer(&written, &again, identity->reel_id, bytes,
                                bytes + row->before_bytes);
        if (kn_writer_status(&written) == 0) {
            KN_ASSERT(written.size == row->trailer_bytes && same_row(row, &again));
            KN_ASSERT(same(written.data, data, written.size));
        }
    }
    kn_writer_finish(&around);
}

/* Where it says it stands, or where the first bytes of the input do. */
static void run_trailer(uint8_t *data, size_t size, bool seal) {
    struct frag_reel_identity identity = {.number_low = 5};
    struct frag_reel_row row;
    struct kn_reader reader;
    if (seal) {
        seal_value(data, size, "KINORA_FRAGMENT", FRAG_REEL_TRAILER_BYTES);
        seal_element(data, size, FRAG_REEL_TAGS_HEAD_BYTES);
    }
    kn_reader_init(&reader, data, size);
    kn_read_skip(&reader, FRAG_REEL_TRAILER_LEAST - FRAG_REEL_TRAILER_BYTES + 4);
    const uint8_t *id = kn_read_bytes(&reader, FRAG_ID_BYTES);
    uint64_t offset = kn_read_be64(&reader);
    if (id != NULL) {
        memcpy(identity.reel_id, id, FRAG_ID_BYTES);
    }
    if (frag_reel_read_trailer(data, size, offset, &identity, &row) == 0) {
        KN_ASSERT(row.cluster_at + row.cluster_bytes == offset && row.number.low == 5);
        KN_ASSERT(row.trailer_bytes <= size);
        check_trailer(data, &row, &identity);
        identity.reel_id[0] ^= 1;
        KN_ASSERT(frag_reel_read_trailer(data, size, offset, &identity, &row) < 0);
    }
}

/* A table that was read is packed again in the same bytes. */
static void run_table(uint8_t *data, size_t size, bool seal) {
    struct frag_reel_table table;
    struct frag_reel_row *rows = malloc(sizeof(*rows) * (size + 1));
    struct kn_writer again;
    size_t count = 0;
    int rc;
    if (rows == NULL) {
        return;
    }
    if (seal && size >= 4) {
        seal_be32(data, size - 4);
    }
    rc = frag_reel_table_open(&table, data, size, 9);
    while (rc == 0 && (rc = frag_reel_table_next(&table, &rows[count])) == 1) {
        uint64_t end = count == 0 ? FRAG_REEL_BODY_AT
                                  : rows[count - 1].cluster_at + rows[count - 1].cluster_bytes +
                                        rows[count - 1].trailer_bytes;
        KN_ASSERT(rows[count].cluster_at >= end && rows[count].number.low == 9);
        KN_ASSERT(count == 0 ||
                  frag_number_compare(rows[count - 1].number, rows[count].number) < 0);
        count++;
        rc = 0;
        if (table.rows_left == 0) {
            rc = frag_reel_table_next(&table, &rows[count]);
            KN_ASSERT(rc <= 0);
            break;
        }
    }
    if (rc == 0) {
        kn_writer_init(&again, out_room, sizeof(out_room));
        frag_reel_pack_table(&again, rows, count);
        if (kn_writer_status(&again) == 0) {
            KN_ASSERT(again.size == size && same(again.data, data, size));
        }
    }
    free(rows);
}

static void run_table_element(uint8_t *data, size_t size, bool seal) {
    struct kn_writer joined;
    struct kn_writer again;
    if (seal) {
        seal_element(data, size, FRAG_REEL_TAGS_HEAD_BYTES);
    }
    kn_writer_init_growing(&joined, OUT_MAX);
    kn_writer_init(&again, out_room, sizeof(out_room));
    if (frag_reel_read_table_element(data, size, &joined) == 0) {
        KN_ASSERT(joined.size > 0);
        frag_reel_write_table_element(&again, joined.data, joined.size);
        if (kn_writer_status(&again) == 0) {
            KN_ASSERT(again.size <= size && same(again.data, data, again.size));
        }
    }
    kn_writer_finish(&joined);
}

static void run_page(uint8_t *data, size_t size) {
    struct frag_reel_places places;
    uint8_t *page = calloc(1, PAGE_BYTES);
    uint32_t id = 0;
    uint64_t bytes = 0;
    (void)!frag_reel_read_element(data, size, &id, &bytes);
    if (page == NULL) {
        return;
    }
    memcpy(page, data, size < PAGE_BYTES ? size : PAGE_BYTES);
    if (frag_reel_read_page(page, PAGE_BYTES, &places) == 1) {
        KN_ASSERT(places.tracks_at > FRAG_REEL_BODY_AT && places.table_at > places.cues_at);
    }
    free(page);
}

/* ---- values ---- */

/* Small numbers, large ones, and any. */
static uint64_t take_number(struct kn_reader *reader) {
    uint8_t form = kn_read_u8(reader);
    uint64_t value = kn_read_be(reader, form % 9);
    return (form & 0x80) != 0 ? ~value : value;
}

static struct frag_reel_row take_row(struct kn_reader *reader, const struct frag_reel_row *last) {
    struct frag_reel_row row = *last;
    row.before_bytes = 0;
    row.after_bytes = 0;
    uint8_t what = kn_read_u8(reader);
    row.cluster_at += row.cluster_bytes + row.trailer_bytes;
    row.number.sequence++;
    row.ordinal++;
    row.cluster_bytes = take_number(reader);
    if ((what & 1) != 0) {
        row.cluster_at += take_number(reader);
        row.trailer_bytes = FRAG_REEL_TRAILER_LEAST + kn_read_be16(reader);
    }
    if ((what & 2) != 0) {
        row.duration_ns = (int64_t)take_number(reader);
        row.producer.ns = (int64_t)take_number(reader);
    }
    if ((what & 4) != 0) {
        row.server.ns = (int64_t)take_number(reader);
    }
    if ((what & 8) != 0) {
        row.number.sequence += take_number(reader);
        row.ordinal += take_number(reader);
    }
    if ((what & 16) != 0) {
        row.number.server_ms = take_number(reader);
    }
    if ((what & 32) != 0) {
        row.flags = kn_read_u8(reader) & 7;
        row.discontinuities += take_number(reader);
        row.frames = kn_read_be32(reader);
        row.cluster_crc32c = kn_read_be32(reader);
        row.received_unknown = kn_read_u8(reader) & 3;
        row.received_width = kn_read_u8(reader) & 15;
        row.before_bytes = kn_read_u8(reader);
        row.after_bytes = kn_read_u8(reader);
    }
    if ((what & 64) != 0) {
        row.before_bytes += FRAG_REEL_PIECE_BYTES - 64; /* two pieces, or nearly */
    }
    return row;
}

static void check_row_as_trailer(struct frag_reel_row row) {
    static const uint8_t around[2 * FRAG_REEL_PIECE_BYTES];
    struct frag_reel_identity identity = {.number_low = row.number.low};
    struct frag_reel_row found;
    struct kn_writer written;
    kn_writer_init(&written, out_room, sizeof(out_room));
    frag_reel_write_trailer(&written, &row, identity.reel_id, around, around);
    if (kn_writer_status(&written) == 0) {
        KN_ASSERT(frag_reel_read_trailer(written.data, written.size,
                                         row.cluster_at + row.cluster_bytes, &identity,
                                         &found) == 0);
        KN_ASSERT(same_row(&row, &found));
    }
}

static void run_rows(const uint8_t *data, size_t size) {
    struct frag_reel_row rows[ROWS_MAX];
    struct frag_reel_row row = {.cluster_at = FRAG_REEL_BODY_AT,
                                .trailer_bytes = FRAG_REEL_TRAILER_LEAST};
    struct frag_reel_table table;
    struct kn_reader reader;
    struct kn_writer packed;
    size_t count = 0;
    kn_reader_init(&reader, data, size);
    while (count < ROWS_MAX && kn_reader_left(&reader) > 0) {
        row = take_row(&reader, &row);
        rows[count++] = row;
        check_row_as_trailer(row);
    }
    kn_writer_init_growing(&packed, OUT_MAX);
    frag_reel_pack_table(&packed, rows, count);
    if (kn_writer_status(&packed) == 0) {
        KN_ASSERT(frag_reel_table_open(&table, packed.data, packed.size, 0) == 0);
        for (size_t i = 0; i < count; i++) {
            KN_ASSERT(frag_reel_table_next(&table, &row) == 1);
            /* The rest is in the trailers. */
            row.cluster_crc32c = rows[i].cluster_crc32c;
            row.frames = rows[i].frames;
            row.received_unknown = rows[i].received_unknown;
            row.received_width = rows[i].received_width;
            row.before_bytes = rows[i].before_bytes;
            row.after_bytes = rows[i].after_bytes;
            KN_ASSERT(same_row(&row, &rows[i]));
        }
        KN_ASSERT(frag_reel_table_next(&table, &row) == 0);
    }
    kn_writer_finish(&packed);
}

static void run_values(const uint8_t *data, size_t size) {
    struct frag_reel_identity identity = {0};
    struct frag_reel_places places;
    struct frag_reel_places found;
    struct kn_reader reader;
    struct kn_writer writer;
    uint8_t page[PAGE_BYTES];
    kn_reader_init(&reader, data, size);
    places.tracks_at = take_number(&reader);
    places.cues_at = take_number(&reader);
    places.table_at = take_number(&reader);
    kn_writer_init(&writer, page, sizeof(page));
    frag_reel_close_page(&writer, &places);
    if (kn_writer_status(&writer) == 0) {
        KN_ASSERT(frag_reel_read_page(page, sizeof(page), &found) == 1);
        KN_ASSERT(found.tracks_at == places.tracks_at && found.cues_at == places.cues_at &&
                  found.table_at == places.table_at);
    }
    identity.flags = kn_read_u8(&reader) & 15;
    identity.epoch = take_number(&reader);
    identity.opened.ns = (int64_t)take_number(&reader);
    identity.producer_start.ns = (int64_t)take_number(&reader);
    identity.timecode_scale_ns = take_number(&reader);
    identity.number_low = kn_read_be32(&reader);
    size_t left = kn_reader_left(&reader);
    identity.producer_header_bytes = (uint32_t)left;
    const uint8_t *header = kn_read_bytes(&reader, left);
    check_head(&identity, header);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    bool seal = (data[0] & 0x80) != 0;
    size_t bytes = size - 1;
    /* Of exactly its size, and to be sealed in. */
    uint8_t *copy = malloc(bytes > 0 ? bytes : 1);
    if (copy == NULL) {
        return 0;
    }
    memcpy(copy, data + 1, bytes);
    switch (data[0] & 7) {
    case 0:
        run_identity(copy, bytes, seal);
        break;
    case 1:
        run_body(copy, bytes, seal);
        break;
    case 2:
        run_trailer(copy, bytes, seal);
        break;
    case 3:
        run_table(copy, bytes, seal);
        break;
    case 4:
        run_table_element(copy, bytes, seal);
        break;
    case 5:
        run_page(copy, bytes);
        break;
    case 6:
        run_rows(copy, bytes);
        break;
    default:
        run_values(copy, bytes);
        break;
    }
    free(copy);
    return 0;
}
