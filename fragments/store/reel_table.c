/* The packed table: rows as differences, and the element that holds them. There is one way to write
 * given rows, and nothing else is read. */
#include <string.h>

#include "base/crc.h"
#include "base/error.h"
#include "fragments/store/reel_inner.h"

/* version, zero, rows; crc32c */
#define HEAD_BYTES 8u
#define CRC_BYTES 4u
/* shape, cluster, producer */
#define ROW_LEAST 3u

#define NS_PER_US 1000
#define US_PER_MS 1000

enum shape {
    SHAPE_PLACE = 1,
    SHAPE_DURATION = 2,
    SHAPE_SERVER = 4,
    SHAPE_SEQUENCE = 8,
    SHAPE_ORDINAL = 16,
    SHAPE_NUMBER = 32,
    SHAPE_REST = 64,
    SHAPE_NANOSECONDS = 128,
    SHAPE_ALL = 255
};

static const char table_name[] = "KINORA_TABLE";

/* What the first row is a difference to: the end of an empty reel, and one below 0. */
static const struct frag_reel_row before_first = {
    .cluster_at = FRAG_REEL_BODY_AT,
    .number = {.sequence = UINT64_MAX},
    .ordinal = UINT64_MAX,
};

/* Rows that can be, do not overflow. */
static uint64_t row_end(const struct frag_reel_row *row) {
    return row->cluster_at + row->cluster_bytes + row->trailer_bytes;
}

/* Rounded down, also below 0. */
static int64_t floor_div(int64_t value, int64_t by) {
    return value / by - (value % by < 0 ? 1 : 0);
}

static uint64_t floor_rest(int64_t value, int64_t by) {
    return (uint64_t)(value % by + (value % by < 0 ? by : 0));
}

/* A row's times as the table has them. */
struct times {
    int64_t producer_us, server_us, duration_us;
    uint64_t producer_rest, server_rest, duration_rest; /* ns */
};

static struct times times_of(const struct frag_reel_row *row) {
    return (struct times){
        .producer_us = floor_div(row->producer.ns, NS_PER_US),
        .server_us = floor_div(row->server.ns, NS_PER_US),
        .duration_us = floor_div(row->duration_ns, NS_PER_US),
        .producer_rest = floor_rest(row->producer.ns, NS_PER_US),
        .server_rest = floor_rest(row->server.ns, NS_PER_US),
        .duration_rest = floor_rest(row->duration_ns, NS_PER_US),
    };
}

/* ---- packing ---- */

static void put_varint(struct kn_writer *writer, uint64_t value) {
    while (value >= 0x80) {
        kn_write_u8(writer, (uint8_t)(value | 0x80));
        value >>= 7;
    }
    kn_write_u8(writer, (uint8_t)value);
}

static void put_signed(struct kn_writer *writer, int64_t value) {
    put_varint(writer, (uint64_t)value << 1 ^ (value < 0 ? UINT64_MAX : 0));
}

static bool row_follows(const struct frag_reel_row *row, const struct frag_reel_row *last) {
    bool first = last->number.sequence == UINT64_MAX;
    return frag_reel_row_can_be(row) && row->trailer_bytes >= FRAG_REEL_TRAILER_LEAST &&
           row->trailer_bytes <= FRAG_REEL_TRAILER_MOST && row->cluster_at >= row_end(last) &&
           (first ||
            (row->number.sequence > last->number.sequence && row->ordinal > last->ordinal)) &&
           row->discontinuities >= last->discontinuities;
}

/* One row's differences, in the order of the columns. */
struct differences {
    uint64_t gap, sequence, ordinal, discontinuities;
    int64_t cluster, producer, trailer, duration, server, number;
};

static struct differences compare(const struct frag_reel_row *row,
                                  const struct frag_reel_row *last) {
    struct times now = times_of(row);
    struct times then = times_of(last);
    return (struct differences){
        .gap = row->cluster_at - row_end(last),
        .cluster = (int64_t)row->cluster_bytes - (int64_t)last->cluster_bytes,
        .producer = now.producer_us - (then.producer_us + then.duration_us),
        .trailer = (int64_t)row->trailer_bytes - (int64_t)last->trailer_bytes,
        .duration = now.duration_us - then.duration_us,
        .server = now.server_us - (then.server_us + (now.producer_us - then.producer_us)),
        .sequence = row->number.sequence - (last->number.sequence + 1),
        .ordinal = row->ordinal - (last->ordinal + 1),
        .number = (int64_t)row->number.server_ms - floor_div(now.server_us, US_PER_MS),
        .discontinuities = row->discontinuities - last->discontinuities,
    };
}

static unsigned shape_of(const struct frag_reel_row *row, const struct differences *differences) {
    struct times now = times_of(row);
    bool rest = now.producer_rest != 0 || now.server_rest != 0 || now.duration_rest != 0;
    return (differences->gap != 0 || differences->trailer != 0 ? SHAPE_PLACE : 0u) |
           (differences->duration != 0 ? SHAPE_DURATION : 0u) |
           (differences->server != 0 ? SHAPE_SERVER : 0u) |
           (differences->sequence != 0 ? SHAPE_SEQUENCE : 0u) |
           (differences->ordinal != 0 ? SHAPE_ORDINAL : 0u) |
           (differences->number != 0 ? SHAPE_NUMBER : 0u) |
           (row->flags != 0 || differences->discontinuities != 0 ? SHAPE_REST : 0u) |
           (rest ? SHAPE_NANOSECONDS : 0u);
}

static void pack_row(struct kn_writer *writer, const struct frag_reel_row *row,
                     const struct frag_reel_row *last) {
    struct differences differences = compare(row, last);
    unsigned shape = shape_of(row, &differences);
    put_varint(writer, shape);
    put_signed(writer, differences.cluster);
    put_signed(writer, differences.producer);
    if ((shape & SHAPE_PLACE) != 0) {
        put_varint(writer, differences.gap);
        put_signed(writer, differences.trailer);
    }
    if ((shape & SHAPE_DURATION) != 0) {
        put_signed(writer, differences.duration);
    }
    if ((shape & SHAPE_SERVER) != 0) {
        put_signed(writer, differences.server);
    }
    if ((shape & SHAPE_SEQUENCE) != 0) {
        put_varint(writer, differences.sequence);
    }
    if ((shape & SHAPE_ORDINAL) != 0) {
        put_varint(writer, differences.ordinal);
    }
    if ((shape & SHAPE_NUMBER) != 0) {
        put_signed(writer, differences.number);
    }
    if ((shape & SHAPE_REST) != 0) {
        put_varint(writer, row->flags);
        put_varint(writer, differences.discontinuities);
    }
    if ((shape & SHAPE_NANOSECONDS) != 0) {
        struct times now = times_of(row);
        put_varint(writer, now.producer_rest);
        put_varint(writer, now.server_rest);
        put_varint(writer, now.duration_rest);
    }
}

void frag_reel_pack_table(struct kn_writer *writer, const struct frag_reel_row *rows,
                          size_t count) {
    const struct frag_reel_row *last = &before_first;
    size_t from = writer->size;
    if (count > UINT32_MAX) {
        frag_reel_fail(writer, KN_E_LIMIT);
        return;
    }
    kn_write_be16(writer, FRAG_REEL_VERSION);
    kn_write_be16(writer, 0);
    kn_write_be32(writer, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        if (!row_follows(&rows[i], last)) {
            frag_reel_fail(writer, KN_E_MALFORMED);
        }
        if (kn_writer_status(writer) != 0) {
            return;
        }
        pack_row(writer, &rows[i], last);
        last = &rows[i];
    }
    if (kn_writer_status(writer) == 0) {
        kn_write_be32(writer, kn_crc32c(0, writer->data + from, writer->size - from));
    }
}

/* ---- unpacking ---- */

int frag_reel_table_open(struct frag_reel_table *table, const uint8_t *data, size_t size,
                         uint32_t number_low) {
    struct kn_reader reader;
    if (size < HEAD_BYTES + CRC_BYTES) {
        return KN_E_TRUNCATED;
    }
    kn_reader_init(&reader, data + size - CRC_BYTES, CRC_BYTES);
    if (kn_read_be32(&reader) != kn_crc32c(0, data, size - CRC_BYTES)) {
        return KN_E_MALFORMED;
    }
    kn_reader_init(&reader, data, size - CRC_BYTES);
    uint16_t version = kn_read_be16(&reader);
    uint16_t zero = kn_read_be16(&reader);
    uint32_t rows = kn_read_be32(&reader);
    if (version > FRAG_REEL_VERSION) {
        return KN_E_UNSUPPORTED;
    }
    if (version != FRAG_REEL_VERSION || zero != 0 || number_low >> 28 != 0 ||
        rows > kn_reader_left(&reader) / ROW_LEAST) {
        return KN_E_MALFORMED;
    }
    *table = (struct frag_reel_table){
        .reader = reader, .rows_left = rows, .last = before_first, .number_low = number_low};
    return 0;
}

/* In the fewest bytes, or the reader fails: so does every read after it. */
static uint64_t take_varint(struct kn_reader *reader) {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = kn_read_u8(reader);
        uint64_t bits = byte & 0x7fu;
        if ((byte == 0 && shift > 0) || (shift == 63 && byte > 1)) {
            break;
        }
        value |= bits << shift;
        if (byte < 0x80) {
            return value;
        }
    }
    reader->failed = true;
    return 0;
}

static int64_t take_signed(struct kn_reader *reader) {
    uint64_t value = take_varint(reader);
    return (int64_t)(value >> 1 ^ ((value & 1) != 0 ? UINT64_MAX : 0));
}

static struct differences take_differences(struct kn_reader *reader, uint64_t shape) {
    struct differences taken = {0};
    taken.cluster = take_signed(reader);
    taken.producer = take_signed(reader);
    if ((shape & SHAPE_PLACE) != 0) {
        taken.gap = take_varint(reader);
        taken.trailer = take_signed(reader);
    }
    if ((shape & SHAPE_DURATION) != 0) {
        taken.duration = take_signed(reader);
    }
    if ((shape & SHAPE_SERVER) != 0) {
        taken.server = take_signed(reader);
    }
    if ((shape & SHAPE_SEQUENCE) != 0) {
        taken.sequence = take_varint(reader);
    }
    if ((shape & SHAPE_ORDINAL) != 0) {
        taken.ordinal = take_varint(reader);
    }
    if ((shape & SHAPE_NUMBER) != 0) {
        taken.number = take_signed(reader);
    }
    return taken;
}

static bool add_lengths(const struct frag_reel_row *last, const struct differences *differences,
                        struct frag_reel_row *row) {
    int64_t cluster = 0;
    int64_t trailer = 0;
    if (!kn_u64_add(row_end(last), differences->gap, &row->cluster_at) ||
        !kn_i64_add((int64_t)last->cluster_bytes, differences->cluster, &cluster) ||
        !kn_i64_add((int64_t)last->trailer_bytes, differences->trailer, &trailer) || cluster < 0 ||
        trailer < 0 || trailer > FRAG_REEL_TRAILER_MOST) {
        return false;
    }
    row->cluster_bytes = (uint64_t)cluster;
    row->trailer_bytes = (uint32_t)trailer;
    return true;
}

/* Below 0 from the µs above and back, so that the lowest int64 is reached without a step over it.
 */
static bool to_ns(int64_t us, uint64_t rest, int64_t *ret_ns) {
    int64_t ns = 0;
    int64_t above = us < 0 ? 1 : 0;
    return rest < NS_PER_US && kn_i64_mul(us + above, NS_PER_US, &ns) &&
           kn_i64_add(ns, (int64_t)rest - above * NS_PER_US, ret_ns);
}

/* `times` has the rests, and gets the µs. Sums of what stood in a row stay far below int64's end.
 */
static bool add_times(const struct frag_reel_row *last, const struct differences *differences,
                      struct times *times, struct frag_reel_row *row) {
    struct times then = times_of(last);
    int64_t step = 0;
    int64_t server_step = 0;
    int64_t server_ms = 0;
    if (!kn_i64_add(then.duration_us, differences->producer, &step) ||
        !kn_i64_add(then.producer_us, step, &times->producer_us) ||
        !kn_i64_add(then.duration_us, differences->duration, &times->duration_us) ||
        !kn_i64_add(step, differences->server, &server_step) ||
        !kn_i64_add(then.server_us, server_step, &times->server_us) ||
        !kn_i64_add(floor_div(times->server_us, US_PER_MS), differences->number, &server_ms) ||
        !to_ns(times->producer_us, times->producer_rest, &row->producer.ns) ||
        !to_ns(times->server_us, times->server_rest, &row->server.ns) ||
        !to_ns(times->duration_us, times->duration_rest, &row->duration_ns)) {
        return false;
    }
    row->number.server_ms = (uint64_t)server_ms; /* below 0: too large to be */
    return true;
}

/* The first row's numbers are the differences themselves: UINT64_MAX + 1 is 0. */
static bool add_numbers(const struct frag_reel_row *last, const struct differences *differences,
                        struct frag_reel_row *row) {
    return kn_u64_add(last->number.sequence + 1, differences->sequence, &row->number.sequence) &&
           kn_u64_add(last->ordinal + 1, differences->ordinal, &row->ordinal) &&
           kn_u64_add(last->discontinuities, differences->discontinuities, &row->discontinuities);
}

static bool take_row(struct frag_reel_table *table, struct frag_reel_row *ret_row) {
    struct kn_reader *reader = &table->reader;
    struct frag_reel_row row = {.number.low = table->number_low};
    struct times times = {0};
    uint64_t flags = 0;
    uint64_t shape = take_varint(reader);
    struct differences differences = take_differences(reader, shape);
    if ((shape & SHAPE_REST) != 0) {
        flags = take_varint(reader);
        differences.discontinuities = take_varint(reader);
    }
    if ((shape & SHAPE_NANOSECONDS) != 0) {
        times.producer_rest = take_varint(reader);
        times.server_rest = take_varint(reader);
        times.duration_rest = take_varint(reader);
    }
    if (kn_reader_status(reader) != 0 || shape > SHAPE_ALL || flags > UINT16_MAX ||
        !add_lengths(&table->last, &differences, &row) ||
        !add_times(&table->last, &differences, &times, &row) ||
        !add_numbers(&table->last, &differences, &row)) {
        return false;
    }
    row.flags = (uint16_t)flags;
    if (!row_follows(&row, &table->last) || shape_of(&row, &differences) != shape) {
        return false;
    }
    *ret_row = row;
    return true;
}

int frag_reel_table_next(struct frag_reel_table *table, struct frag_reel_row *ret_row) {
    if (kn_reader_status(&table->reader) != 0) {
        return KN_E_MALFORMED;
    }
    if (table->rows_left == 0 && kn_reader_left(&table->reader) == 0) {
        return 0;
    }
    if (table->rows_left == 0 || !take_row(table, &table->last)) {
        table->reader.failed = true;
        return KN_E_MALFORMED;
    }
    table->rows_left--;
    *ret_row = table->last;
    return 1;
}

/* ---- the element ---- */

void frag_reel_write_table_element(struct kn_writer *writer, const uint8_t *table, size_t size) {
    const struct frag_reel_value value = {.name = table_name, .slices = {table}, .sizes = {size}};
    frag_reel_write_tags(writer, &value, 1);
}

int frag_reel_read_table_element(const uint8_t *data, size_t size, struct kn_writer *table) {
    struct kn_reader simple;
    size_t bytes = 0;
    int rc = frag_reel_open_tags(data, size, SIZE_MAX, &simple, &bytes);
    if (rc != 0) {
        return rc;
    }
    struct kn_reader again = simple;
    if (frag_reel_join_pieces(&simple, table_name, NULL) <= 0) {
        return KN_E_MALFORMED;
    }
    (void)frag_reel_join_pieces(&again, table_name, table); /* good, as just seen */
    return kn_writer_status(table);
}
