-- The index, version 1 (docs/index-schema.md). It can be made again from reels and journal.
-- This file is the step from an empty database to version 1; a later version is a step of its own in
-- index_schema.c. PRAGMA user_version says which steps were taken.
--
-- Units: _ns are nanoseconds since 1970, UTC; ids are 16 bytes. Every number fits a signed 64-bit one.

PRAGMA application_id = 0x4b4e4931; -- "KNI1"

-- Streams get small numbers here, of no meaning outside. A stream without reels has no row.
CREATE TABLE stream (
    stream INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    -- No reel of the stream has ever held more than this between its first and last sequence, so a
    -- reel with sequence s in it has a first_sequence of s - sequence_span or more.
    sequence_span INTEGER NOT NULL CHECK (sequence_span >= 0)
) STRICT;

-- One reel file. AUTOINCREMENT: who remembers a deleted reel never finds another in its place.
CREATE TABLE reel (
    reel INTEGER PRIMARY KEY AUTOINCREMENT,
    stream INTEGER NOT NULL,
    state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 2), -- 0 open, 1 closed, 2 deleting
    folder INTEGER NOT NULL CHECK (folder BETWEEN 0 AND 65535), -- storage directory
    path TEXT NOT NULL CHECK (length(path) BETWEEN 1 AND 511), -- below it
    bytes INTEGER NOT NULL CHECK (bytes >= 0), -- up to the end of the last trailer; closed: the file
    fragments INTEGER NOT NULL CHECK (fragments BETWEEN 0 AND 262144),

    -- The reel's identity, as its file has it.
    flags INTEGER NOT NULL CHECK (flags BETWEEN 0 AND 7), -- 1 kept, 2 records, 4 relative
    store_id BLOB NOT NULL CHECK (length(store_id) = 16),
    reel_id BLOB NOT NULL UNIQUE CHECK (length(reel_id) = 16),
    session_id BLOB NOT NULL CHECK (length(session_id) = 16),
    epoch INTEGER NOT NULL CHECK (epoch >= 0),
    opened_ns INTEGER NOT NULL,
    producer_start_ns INTEGER NOT NULL,
    timecode_scale_ns INTEGER NOT NULL CHECK (timecode_scale_ns > 0),
    number_low INTEGER NOT NULL CHECK (number_low BETWEEN 0 AND 268435455),
    producer_header_bytes INTEGER NOT NULL CHECK (producer_header_bytes BETWEEN 0 AND 4294967295),

    -- Of all its fragments; NULL while there are none. Times are of their beginnings and lie within
    -- 20 minutes on each clock.
    first_sequence INTEGER CHECK (first_sequence >= 1),
    last_sequence INTEGER CHECK (last_sequence BETWEEN first_sequence AND 1748095099948350601),
    first_ordinal INTEGER CHECK (first_ordinal >= 0),
    last_ordinal INTEGER CHECK (last_ordinal >= first_ordinal),
    discontinuities INTEGER CHECK (discontinuities >= 0), -- up to and with the last one
    producer_min_ns INTEGER,
    producer_max_ns INTEGER CHECK (producer_max_ns >= producer_min_ns),
    server_min_ns INTEGER,
    server_max_ns INTEGER CHECK (server_max_ns >= server_min_ns),

    packed INTEGER CHECK (packed >= 1), -- row of `packed`, NULL while fragments have rows
    table_crc32c INTEGER CHECK (table_crc32c BETWEEN 0 AND 4294967295), -- its last 4 bytes
    sum INTEGER NOT NULL CHECK (sum BETWEEN 0 AND 4294967295), -- crc32c of this row

    CHECK ((fragments = 0) = (first_sequence IS NULL)),
    CHECK ((first_sequence IS NULL) = (last_sequence IS NULL)),
    CHECK ((first_sequence IS NULL) = (first_ordinal IS NULL)),
    CHECK ((first_sequence IS NULL) = (last_ordinal IS NULL)),
    CHECK ((first_sequence IS NULL) = (discontinuities IS NULL)),
    CHECK ((first_sequence IS NULL) = (producer_min_ns IS NULL)),
    CHECK ((first_sequence IS NULL) = (producer_max_ns IS NULL)),
    CHECK ((first_sequence IS NULL) = (server_min_ns IS NULL)),
    CHECK ((first_sequence IS NULL) = (server_max_ns IS NULL)),
    CHECK ((packed IS NULL) = (table_crc32c IS NULL)),
    CHECK ((state = 0) <= (packed IS NULL)),
    CHECK ((state = 1) <= (packed IS NOT NULL))
) STRICT;

CREATE INDEX reel_by_sequence ON reel (stream, first_sequence);
CREATE INDEX reel_by_producer ON reel (stream, producer_min_ns);
CREATE INDEX reel_by_server ON reel (stream, server_min_ns);

-- Packed tables (docs/store-format.md), in the order of closing: with keys that only rise pages fill
-- up, which the size of the whole hangs on.
CREATE TABLE packed (
    packed INTEGER PRIMARY KEY,
    data BLOB NOT NULL CHECK (length(data) BETWEEN 12 AND 16777216)
) STRICT;

-- A fragment of a reel without a packed table: what a packed table would say of it.
CREATE TABLE fragment (
    reel INTEGER NOT NULL,
    sequence INTEGER NOT NULL CHECK (sequence BETWEEN 1 AND 1748095099948350601),
    server_ms INTEGER NOT NULL CHECK (server_ms >= 0), -- of the number
    ordinal INTEGER NOT NULL CHECK (ordinal >= 0),
    discontinuities INTEGER NOT NULL CHECK (discontinuities >= 0),
    cluster_at INTEGER NOT NULL CHECK (cluster_at >= 8192),
    cluster_bytes INTEGER NOT NULL CHECK (cluster_bytes >= 12),
    trailer_bytes INTEGER NOT NULL CHECK (trailer_bytes > 0),
    producer_ns INTEGER NOT NULL,
    server_ns INTEGER NOT NULL,
    duration_ns INTEGER NOT NULL CHECK (duration_ns >= 0),
    flags INTEGER NOT NULL CHECK (flags BETWEEN 0 AND 3),
    sum INTEGER NOT NULL CHECK (sum BETWEEN 0 AND 4294967295), -- crc32c of this row
    PRIMARY KEY (reel, sequence)
) STRICT, WITHOUT ROWID;

-- A key of a batch of records: the fragment with this sequence, in this reel, has records with it.
-- There while its reel has a row, open or closed.
CREATE TABLE record_key (
    reel INTEGER NOT NULL,
    slot INTEGER NOT NULL CHECK (slot BETWEEN 0 AND 3),
    key INTEGER NOT NULL, -- its 64 bits, taken for a signed number
    sequence INTEGER NOT NULL CHECK (sequence BETWEEN 1 AND 1748095099948350601),
    sum INTEGER NOT NULL CHECK (sum BETWEEN 0 AND 4294967295), -- crc32c of this row
    PRIMARY KEY (reel, slot, key, sequence)
) STRICT, WITHOUT ROWID;
