"""A small EBML and Matroska reader and writer, enough for the sample clips.

Reading: Clip(data) holds the tracks, clusters, blocks and tags of one Matroska file and remembers
what is unusual about it. It stops quietly where a file is cut short and sets .truncated.
Writing: element(id, payload), number(), master().
"""

import struct

EBML, DOCTYPE, SEGMENT = 0x1A45DFA3, 0x4282, 0x18538067
EBML_VERSION, EBML_READ_VERSION, MAX_ID_LENGTH, MAX_SIZE_LENGTH = 0x4286, 0x42F7, 0x42F2, 0x42F3
DOCTYPE_VERSION, DOCTYPE_READ_VERSION = 0x4287, 0x4285
SEEK_HEAD, INFO, TRACKS, CLUSTER, CUES = 0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1F43B675, 0x1C53BB6B
TAGS, CHAPTERS, ATTACHMENTS, VOID, CRC32 = 0x1254C367, 0x1043A770, 0x1941A469, 0xEC, 0xBF
TIMECODE_SCALE, SEGMENT_UID, TITLE = 0x2AD7B1, 0x73A4, 0x7BA9
MUXING_APP, WRITING_APP = 0x4D80, 0x5741
TRACK_ENTRY, TRACK_NUMBER, TRACK_UID, TRACK_TYPE, NAME = 0xAE, 0xD7, 0x73C5, 0x83, 0x536E
CODEC_ID, CODEC_PRIVATE, DEFAULT_DURATION, FLAG_LACING = 0x86, 0x63A2, 0x23E383, 0x9C
CODEC_DELAY, SEEK_PRE_ROLL = 0x56AA, 0x56BB
VIDEO, PIXEL_WIDTH, PIXEL_HEIGHT = 0xE0, 0xB0, 0xBA
AUDIO, SAMPLING_FREQUENCY, CHANNELS, BIT_DEPTH = 0xE1, 0xB5, 0x9F, 0x6264
TIMECODE, POSITION, SIMPLE_BLOCK, BLOCK_GROUP, BLOCK = 0xE7, 0xA7, 0xA3, 0xA0, 0xA1
BLOCK_DURATION, REFERENCE_BLOCK = 0x9B, 0xFB
TAG, SIMPLE_TAG, TAG_NAME, TAG_STRING = 0x7373, 0x67C8, 0x45A3, 0x4487

# An element of unknown size ends where one of these begins.
LEVEL_1 = {SEEK_HEAD, INFO, TRACKS, CLUSTER, CUES, TAGS, CHAPTERS, ATTACHMENTS}

NO_LACE, XIPH, FIXED, EBML_LACE = 0, 1, 2, 3
LACING_NAMES = {XIPH: "xiph", FIXED: "fixed", EBML_LACE: "ebml"}


class Truncated(Exception):
    """The data ended inside an element."""


# ---- reading ----


def read_vint(data, at, end, keep_marker=False):
    """Returns (value, next position); value is None for the reserved all-ones "unknown" value."""
    if at >= end:
        raise Truncated
    first = data[at]
    if first == 0:
        raise ValueError("bad vint at %d" % at)
    length = 9 - first.bit_length()
    if at + length > end:
        raise Truncated
    value = int.from_bytes(data[at:at + length], "big")
    if not keep_marker:
        marker = 1 << (7 * length)
        value ^= marker
        if value == marker - 1:
            value = None
    return value, at + length


def read_header(data, at, end):
    """Returns (id, size or None when unknown, position of the payload)."""
    ident, at = read_vint(data, at, end, keep_marker=True)
    size, at = read_vint(data, at, end)
    return ident, size, at


def children(data, at, end):
    """Yields (id, start, end) of known-size elements lying between at and end."""
    while at < end:
        ident, size, at = read_header(data, at, end)
        if size is None:
            raise ValueError("unknown size inside an element at %d" % at)
        if at + size > end:
            raise Truncated
        yield ident, at, at + size
        at += size


def by_id(data):
    """The children of one element as {id: payload}; of equal ones the last."""
    return {ident: data[start:end] for ident, start, end in children(data, 0, len(data))}


def read_uint(data):
    return int.from_bytes(data, "big")


def read_int(data):
    return int.from_bytes(data, "big", signed=True)


def read_float(data):
    return struct.unpack(">f" if len(data) == 4 else ">d", data)[0]


def read_text(data):
    return bytes(data).rstrip(b"\0").decode()


def split_lace(data, at, end, lacing):
    """Returns the (start, end) of each frame of a block whose payload lies between at and end."""
    if lacing == NO_LACE:
        return [(at, end)]
    count = data[at] + 1
    at += 1
    sizes = []
    if lacing == XIPH:
        for _ in range(count - 1):
            size = 0
            while True:
                size += data[at]
                at += 1
                if data[at - 1] != 255:
                    break
            sizes.append(size)
    elif lacing == EBML_LACE and count > 1:
        size, at = read_vint(data, at, end)
        sizes.append(size)
        for _ in range(count - 2):
            before = at
            raw, at = read_vint(data, at, end)
            size += raw - ((1 << (7 * (at - before) - 1)) - 1)
            sizes.append(size)
    elif lacing == FIXED:
        if (end - at) % count:
            raise ValueError("fixed-size lace does not divide evenly at %d" % at)
        sizes = [(end - at) // count] * (count - 1)
    frames = []
    for size in sizes:
        frames.append((at, at + size))
        at += size
    frames.append((at, end))
    if any(start > stop for start, stop in frames):
        raise ValueError("lace runs over its block at %d" % at)
    return frames


class Track:
    def __init__(self, fields):
        self.fields = fields
        self.number = read_uint(fields[TRACK_NUMBER])
        self.type = {1: "video", 2: "audio"}.get(read_uint(fields[TRACK_TYPE]), "other")
        self.codec = read_text(fields[CODEC_ID])
        self.private = bytes(fields.get(CODEC_PRIVATE, b""))
        self.default_duration_ns = read_uint(fields.get(DEFAULT_DURATION, b""))
        shape = by_id(fields.get(VIDEO if self.type == "video" else AUDIO, b""))
        if self.type == "video":
            self.width = read_uint(shape[PIXEL_WIDTH])
            self.height = read_uint(shape[PIXEL_HEIGHT])
        elif self.type == "audio":
            self.sample_rate = read_float(shape[SAMPLING_FREQUENCY])
            # mkvmerge leaves values out that are the default.
            self.channels = read_uint(shape.get(CHANNELS, b"\1"))


class Block:
    """One SimpleBlock or BlockGroup. time is in timecode-scale units, from the segment's start."""

    def __init__(self, track, time, key, lacing, frames, start, end):
        self.track, self.time, self.key, self.lacing = track, time, key, lacing
        self.frames = frames  # (start, end) of each frame in the file
        self.start, self.end = start, end  # of the frame data, lace sizes included
        self.in_group = False
        self.duration = None
        self.references = []


class Cluster:
    def __init__(self, start, known_size):
        self.start, self.known_size = start, known_size
        self.time = None
        self.blocks = []


class Clip:
    def __init__(self, data):
        self.data = data
        self.doctype = None
        self.scale_ns = 1000000
        self.info = {}
        self.tracks = []
        self.clusters = []
        self.tags = []  # (number of clusters before it, [[(name, value), ...] per Tag])
        self.known_segment_size = True
        self.truncated = False
        try:
            self._read()
        except Truncated:
            self.truncated = True

    def _read(self):
        data, end = self.data, len(self.data)
        ident, size, at = read_header(data, 0, end)
        if ident != EBML:
            raise ValueError("no EBML header")
        header = by_id(data[at:at + size])
        self.doctype = read_text(header[DOCTYPE])
        ident, segment_size, at = read_header(data, at + size, end)
        if ident != SEGMENT:
            raise ValueError("no Segment")
        self.known_segment_size = segment_size is not None
        if segment_size is not None:
            # A segment that says it goes on after the file's end is read as far as it goes.
            self.truncated = at + segment_size > end
            end = min(end, at + segment_size)
        while at < end:
            start = at
            ident, size, at = read_header(data, at, end)
            if ident == CLUSTER:
                at = self._read_cluster(start, at, size, end)
                continue
            if at + size > end:
                raise Truncated
            if ident == INFO:
                self.info = by_id(data[at:at + size])
                if TIMECODE_SCALE in self.info:
                    self.scale_ns = read_uint(self.info[TIMECODE_SCALE])
            elif ident == TRACKS:
                for i, s, e in children(data, at, at + size):
                    if i == TRACK_ENTRY:
                        self.tracks.append(Track(by_id(data[s:e])))
            elif ident == TAGS:
                self.tags.append((len(self.clusters), self._read_tags(at, at + size)))
            at += size

    def _read_tags(self, at, end):
        found = []
        for ident, start, stop in children(self.data, at, end):
            if ident != TAG:
                continue
            items = []
            for i, s, e in children(self.data, start, stop):
                if i == SIMPLE_TAG:
                    item = by_id(self.data[s:e])
                    items.append((read_text(item.get(TAG_NAME, b"")),
                                  read_text(item.get(TAG_STRING, b""))))
            found.append(items)
        return found

    def _read_cluster(self, start, at, size, end):
        cluster = Cluster(start, size is not None)
        self.clusters.append(cluster)
        stop = end if size is None else min(end, at + size)
        while at < stop:
            ident, child_size, payload = read_header(self.data, at, stop)
            if size is None and ident in LEVEL_1:
                return at
            if payload + child_size > stop:
                raise Truncated
            at = payload + child_size
            if ident == TIMECODE:
                cluster.time = read_uint(self.data[payload:at])
            elif ident == SIMPLE_BLOCK:
                cluster.blocks.append(self._read_block(cluster, payload, at))
            elif ident == BLOCK_GROUP:
                cluster.blocks.append(self._read_group(cluster, payload, at))
        if size is not None and stop < payload_end(self.data, start):
            raise Truncated
        return at

    def _read_block(self, cluster, at, end):
        track, at = read_vint(self.data, at, end)
        relative = read_int(self.data[at:at + 2])
        flags = self.data[at + 2]
        at += 3
        lacing = (flags >> 1) & 3
        return Block(track, cluster.time + relative, bool(flags & 0x80), lacing,
                     split_lace(self.data, at, end, lacing), at, end)

    def _read_group(self, cluster, at, end):
        block = duration = None
        references = []
        for i, s, e in children(self.data, at, end):
            if i == BLOCK:
                block = self._read_block(cluster, s, e)
            elif i == BLOCK_DURATION:
                duration = read_uint(self.data[s:e])
            elif i == REFERENCE_BLOCK:
                references.append(read_int(self.data[s:e]))
        block.in_group, block.duration, block.references = True, duration, references
        block.key = not references
        return block

    def track(self, kind):
        """The first track of that type."""
        return next(t for t in self.tracks if t.type == kind)

    def frames(self, number):
        """[(time in ns, key, bytes)] of one track, in file order, laces taken apart."""
        step = next(t for t in self.tracks if t.number == number).default_duration_ns
        found = []
        for cluster in self.clusters:
            for block in cluster.blocks:
                if block.track != number:
                    continue
                for i, (start, end) in enumerate(block.frames):
                    time_ns = block.time * self.scale_ns + i * step
                    found.append((time_ns, block.key, self.data[start:end]))
        return found


def payload_end(data, start):
    """Where the known-size element at start says that it ends."""
    _, size, at = read_header(data, start, len(data))
    return at + size


# ---- writing ----


def vint(value, length=0):
    """value as a vint of that many bytes, or of the fewest that hold it."""
    if not length:
        length = 1
        while value >= (1 << (7 * length)) - 1:
            length += 1
    return (value | 1 << (7 * length)).to_bytes(length, "big")


def ident_bytes(ident):
    return ident.to_bytes((ident.bit_length() + 7) // 8, "big")


def element(ident, payload, size_bytes=0):
    return ident_bytes(ident) + vint(len(payload), size_bytes) + payload


def master(ident, *parts, size_bytes=0):
    return element(ident, b"".join(parts), size_bytes)


def unknown_size(ident):
    """The head of an element of unknown size, in the one-byte form."""
    return ident_bytes(ident) + b"\xff"


def number(ident, value, length=0, size_bytes=0):
    """An unsigned number, in that many bytes or the fewest."""
    length = length or max(1, (value.bit_length() + 7) // 8)
    return element(ident, value.to_bytes(length, "big"), size_bytes)


def signed(ident, value):
    length = 1
    while not -(1 << (8 * length - 1)) <= value < 1 << (8 * length - 1):
        length += 1
    return element(ident, value.to_bytes(length, "big", signed=True))


def float64(ident, value):
    return element(ident, struct.pack(">d", value))


def text(ident, value, padded_to=0, size_bytes=0):
    """A string, filled up with NUL bytes when padded_to asks for it."""
    return element(ident, value.encode().ljust(padded_to, b"\0"), size_bytes)


def ebml_header(doctype_version, doctype_read_version, doctype="matroska"):
    return master(EBML,
                  number(EBML_VERSION, 1), number(EBML_READ_VERSION, 1),
                  number(MAX_ID_LENGTH, 4), number(MAX_SIZE_LENGTH, 8),
                  text(DOCTYPE, doctype),
                  number(DOCTYPE_VERSION, doctype_version),
                  number(DOCTYPE_READ_VERSION, doctype_read_version))


def block_bytes(track, relative, flags, payload):
    return vint(track) + struct.pack(">hB", relative, flags) + payload


def lace(frames, lacing):
    """The payload of a block that holds several frames."""
    head = bytes([len(frames) - 1])
    sizes = [len(f) for f in frames]
    if lacing == XIPH:
        for size in sizes[:-1]:
            head += b"\xff" * (size // 255) + bytes([size % 255])
    elif lacing == EBML_LACE:
        head += vint(sizes[0])
        for before, size in zip(sizes[:-2], sizes[1:-1]):
            head += signed_vint(size - before)
    elif lacing == FIXED and len(set(sizes)) != 1:
        raise ValueError("fixed-size lacing needs frames of one size")
    return head + b"".join(frames)


def signed_vint(value):
    """The signed form used for size differences in EBML lacing."""
    length = 1
    while not -((1 << (7 * length - 1)) - 1) < value < (1 << (7 * length - 1)) - 1:
        length += 1
    return vint(value + (1 << (7 * length - 1)) - 1, length)
