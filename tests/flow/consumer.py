"""A consumer of GetMedia as the Java parser library is one: strict about what it is told to find
where, and about nothing else. Reads as the bytes come."""

MASTERS = {0x18538067, 0x1254C367, 0x7373, 0x67C8}
EBML, SEGMENT, TRACKS, CLUSTER, TAGS = 0x1A45DFA3, 0x18538067, 0x1654AE6B, 0x1F43B675, 0x1254C367
INSERTED = "AWS_KINESISVIDEO_"


class Fragment:
    def __init__(self):
        self.tags, self.header, self.tracks, self.frames = {}, b"", b"", []
        self.timecode, self.has_cluster, self.own_tags = None, False, []

    @property
    def number(self):
        return self.tags.get(INSERTED + "FRAGMENT_NUMBER")

    @property
    def complete(self):
        return all(INSERTED + name in self.tags for name in ("MILLIS_BEHIND_NOW", "CONTINUATION_TOKEN"))

    @property
    def error(self):
        for name in ("ERROR_ID", "EXCEPTION_ERROR_CODE"):
            if INSERTED + name in self.tags:
                return int(self.tags[INSERTED + name])
        return None


class Consumer:
    """feed() bytes; .fragments as far as they are known. Raises ValueError at what breaks a rule."""

    def __init__(self):
        self.rest, self.fragments, self.inside, self.name = b"", [], None, None

    @staticmethod
    def vint(data, at, keep):
        """(value, bytes, whether it is unknown), or None: more is needed."""
        if at >= len(data):
            return None
        width = 9 - data[at].bit_length()
        if width > 8:
            raise ValueError(f"no variable length integer: {data[at : at + 8].hex()}")
        if at + width > len(data):
            return None
        value = int.from_bytes(data[at : at + width], "big")
        plain = value & ((1 << 7 * width) - 1)
        return (value if keep else plain), width, plain == (1 << 7 * width) - 1

    def feed(self, data):
        data = self.rest + data
        at = 0
        while (took := self.element(data, at)) is not None:
            at += took
        self.rest = data[at:]

    def element(self, data, at):
        found = self.vint(data, at, True)
        size = self.vint(data, at + found[1], False) if found else None
        if size is None:
            return None
        kind, head = found[0], found[1] + size[1]
        if kind in (SEGMENT, CLUSTER, TAGS, 0x7373):
            if size[2] and kind in (TAGS, 0x7373):
                raise ValueError("a Tags of unknown size")
            if kind == SEGMENT and not size[2]:
                raise ValueError("a Segment of known size")
            self.begin(kind, data[at : at + head], size[0])
            return head
        if size[2]:
            raise ValueError(f"element {kind:x} of unknown size")
        if at + head + size[0] > len(data):
            return None
        self.body(kind, data[at : at + head + size[0]], head)
        return head + size[0]

    def begin(self, kind, head, size):
        here = self.fragments[-1] if self.fragments else None
        if here is None:
            raise ValueError("it does not begin with EBML")
        if kind == SEGMENT:
            here.header += head
        if kind == CLUSTER:
            for name in ("FRAGMENT_NUMBER", "SERVER_TIMESTAMP", "PRODUCER_TIMESTAMP"):
                if INSERTED + name not in here.tags:
                    raise ValueError(f"{name} is not before the cluster")
            if here.has_cluster:
                raise ValueError("a second cluster")
            here.has_cluster = True

    def body(self, kind, data, head):
        if kind == EBML:
            self.finish()
            self.fragments.append(Fragment())
        here = self.fragments[-1]
        body = data[head:]
        if kind == 0x67C8:
            self.tag(here, body)
        elif kind == 0xE7:
            here.timecode = int.from_bytes(body, "big")
        elif kind == 0xA3:
            here.frames.append(self.frame(here, body))
        elif kind == 0xA0:
            inner = self.vint(body, 1, False)
            here.frames.append(self.frame(here, body[1 + inner[1] : 1 + inner[1] + inner[0]]))
        elif not here.has_cluster:
            here.header += data
            if kind == TRACKS:
                here.tracks = data

    def frame(self, here, body):
        track = self.vint(body, 0, False)
        relative = int.from_bytes(body[track[1] : track[1] + 2], "big", signed=True)
        return track[0], here.timecode + relative, bytes(body[track[1] + 3 :])

    def tag(self, here, body):
        name = self.vint(body, 2, False)
        text = body[2 + name[1] : 2 + name[1] + name[0]].rstrip(b"\0").decode()
        value = body[2 + name[1] + name[0] :]
        size = self.vint(value, 2, False)
        text_of = value[2 + size[1] : 2 + size[1] + size[0]].rstrip(b"\0").decode()
        if not text.startswith(INSERTED):
            here.own_tags.append((text, text_of))
            return
        if text in here.tags:
            raise ValueError(f"{text} twice")
        here.tags[text] = text_of
        if text.endswith(("_TIMESTAMP",)) and len(text_of.partition(".")[2]) != 3:
            raise ValueError(f"{text}: {text_of}")
        if text.endswith("MILLIS_BEHIND_NOW"):
            int(text_of)

    def finish(self):
        """What is left of a document when the next one begins."""
        if not self.fragments:
            return
        last = self.fragments[-1]
        if last.error is None and (not last.complete or not last.has_cluster or not last.frames):
            raise ValueError(f"fragment {last.number} is not complete")
        before = self.fragments[-2] if len(self.fragments) > 1 else None
        if last.error is None and last.tags[INSERTED + "CONTINUATION_TOKEN"] != last.number:
            raise ValueError("the token is not the number")
        if before and before.error is None and last.error is None and before.tracks == last.tracks:
            if before.header != last.header:
                raise ValueError("another header with the same tracks")

    def end(self):
        if self.rest:
            raise ValueError(f"it ends inside an element: {self.rest[:8].hex()}")
        self.finish()
