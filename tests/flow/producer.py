"""A PutMedia producer for flow tests and benches: Matroska as the C SDK writes it, a chunked upload,
and the acknowledgements as they come, each in the chunk it came in."""

import http.client
import json
import socket
import ssl
import threading
import time


def vint(number, width=4):
    return (number | 1 << 7 * width).to_bytes(width, "big")


def element(name, *bodies):
    body = b"".join(bodies)
    return bytes.fromhex(name) + vint(len(body)) + body


def number(value, width=8):
    return value.to_bytes(width, "big")


def entry(track, kind, codec):
    # Strings of a fixed width, with zeros behind them, as older SDKs have them.
    return element("AE", element("D7", number(track, 1)), element("73C5", number(track)),
                   element("83", number(kind, 1)), element("86", codec.ljust(32, b"\0")))  # fmt: skip


VIDEO = entry(1, 1, b"V_VP8")
AUDIO = entry(2, 2, b"A_AAC")


def head(*tracks):
    return (element("1A45DFA3", element("4286", number(1, 1)), element("4282", b"matroska"),
                    element("4287", number(2, 1)), element("4285", number(2, 1)))
            + bytes.fromhex("18538067FF")
            + element("1549A966", element("2AD7B1", number(1000000)))
            + element("1654AE6B", *(tracks or (VIDEO,))))  # fmt: skip


def block(track, at_ms, data, key=True):
    body = bytes([0x80 | track]) + at_ms.to_bytes(2, "big", signed=True) + (b"\x80" if key else b"\0") + data
    return bytes.fromhex("A3") + vint(len(body), 8) + body


def cluster(timecode, *blocks):
    """Of unknown size."""
    return bytes.fromhex("1F43B675FF") + element("E7", number(timecode)) + b"".join(blocks)


def fragment(timecode, payload=b"picture", pictures=2):
    """Pictures over a second, their time in each."""
    return cluster(timecode, *(block(1, i * 1000 // pictures, b"%d/%d " % (timecode, i) + payload, i == 0)
                               for i in range(pictures)))  # fmt: skip


def tags(*pairs):
    return element("1254C367", *(element("7373", element("67C8", element("45A3", name.encode()),
                                                         element("4487", value.encode())))
                                 for name, value in pairs))  # fmt: skip


END_OF_FRAGMENT = tags(("AWS_KINESISVIDEO_END_OF_FRAGMENT", ""))


class Producer:
    """One connection. `acks` are (when it came, what it says); `problems` what a client would not
    understand."""

    def __init__(self, port, stream, fields=(), kind="ABSOLUTE", expect=False, tls=None, acks=True):
        self.acks, self.problems = [], []
        self.over = threading.Event()
        self.changed = threading.Condition()
        self.peer = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.peer = tls.wrap_socket(self.peer, server_hostname="localhost")
        lines = ["POST /putMedia HTTP/1.1", "host: 127.0.0.1", f"x-amzn-stream-name: {stream}",
                 f"x-amzn-fragment-timecode-type: {kind}", f"x-amzn-fragment-acknowledgment-required: {acks:d}",
                 "transfer-encoding: chunked", "connection: keep-alive", "content-type: application/json",
                 *(["expect: 100-continue"] if expect else []), *fields]  # fmt: skip
        self.peer.sendall("\r\n".join([*lines, "", ""]).encode())
        self.file = self.peer.makefile("rb")
        self.went_on = False
        self.status, self.fields = self.read_head()
        if self.status == 100:
            self.went_on = True
            self.status, self.fields = self.read_head()
        if self.status == 200:
            self.reader = threading.Thread(target=self.read, daemon=True)
            self.reader.start()

    def read_head(self):
        line = self.file.readline().split()
        fields = {name.lower(): value for name, value in http.client.parse_headers(self.file).items()}
        return int(line[1]) if len(line) > 1 else 0, fields

    def read(self):
        try:
            while size := int(self.file.readline() or b"-1", 16):
                if size < 0:
                    break
                chunk = self.file.read(size)
                self.file.readline()
                if size > 1024:
                    self.problems.append(f"a chunk of {size} bytes")
                self.take(json.loads(chunk))  # two in one chunk are an error here
        except (OSError, ValueError) as failure:
            if not isinstance(failure, OSError):
                self.problems.append(f"{failure}")
        self.over.set()
        with self.changed:
            self.changed.notify_all()

    def take(self, ack):
        with self.changed:
            self.acks.append((time.monotonic(), ack))
            self.changed.notify_all()

    def send(self, data, piece=65536):
        for at in range(0, len(data), piece):
            part = data[at:at + piece]
            self.peer.sendall(b"%x\r\n" % len(part) + part + b"\r\n")

    def end(self):
        self.peer.sendall(b"0\r\n\r\n")

    def close(self):
        """shutdown: the file that reads keeps the socket open."""
        try:
            self.peer.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.peer.close()

    def told(self, kind, timecode=None):
        return [ack for _, ack in list(self.acks) if ack["EventType"] == kind
                and (timecode is None or ack.get("FragmentTimecode") == timecode)]  # fmt: skip

    def wait(self, kind, timecode=None, seconds=10):
        """Its first acknowledgement of this kind; None: none came."""
        end = time.monotonic() + seconds
        with self.changed:
            while not (found := self.told(kind, timecode)):
                left = end - time.monotonic()
                if left <= 0 or self.over.is_set():
                    return None
                self.changed.wait(left)
        return found[0]


def trust(certificate):
    return ssl.create_default_context(cafile=certificate)
