#!/usr/bin/python3
"""What PutMedia costs: many producers at the pace of cameras, plain and with TLS, and one at full
speed. Prints one JSON object.

    tests/bench/put_media.py BUILD-FOLDER [SECONDS]

The producers run on the same machine and take their share of its processors, TLS above all: the
server's CPU seconds count, latencies only where the machine has room. Fragments of 2 s. An
acknowledgement's latency is from the fragment's end having been sent to PERSISTED.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time

BUILD = os.path.abspath(sys.argv[1])
SECONDS = float(sys.argv[2]) if len(sys.argv) > 2 else 8
KINORA = os.path.join(BUILD, "kinora")
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "flow"))
import producer  # noqa: E402

TICKS = os.sysconf("SC_CLK_TCK")
FRAGMENT_S = 2
FLAT_OUT_BYTES = 1 << 30
START = 1700000000000


def cpu_s(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return int(re.search(r"Private_Dirty:\s+(\d+)", file.read())[1]) * 1024


class Server:
    def __init__(self, folder):
        self.folder = folder
        self.certificate = os.path.join(folder, "certificate.pem")
        key = os.path.join(folder, "key.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                        "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out",
                        self.certificate], check=True, capture_output=True)  # fmt: skip
        config = os.path.join(folder, "kinora.yml")
        with open(config, "w", encoding="utf-8") as file:
            file.write("http: {connections: 4000, connections_per_address: 4000}\nlog: {requests: none}\n"
                       f'tls: {{listen: ["127.0.0.1:0"], certificate: {self.certificate}, key: {key}}}\n')  # fmt: skip
        self.log = os.path.join(folder, "log")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([KINORA, "serve", "-c", config, "--data", os.path.join(folder, "store"),
                                             "--listen", "127.0.0.1:0", "--min-free", "1M"],
                                            stdout=log, stderr=log)  # fmt: skip
        self.pid = self.process.pid
        end = time.monotonic() + 20
        while len(found := re.findall(r"(https?)://127.0.0.1:(\d+)", self.said())) < 2:
            if time.monotonic() > end or self.process.poll() is not None:
                raise RuntimeError(self.said())
            time.sleep(0.05)
        self.ports = {scheme: int(port) for scheme, port in found}

    def said(self):
        with open(self.log, encoding="utf-8") as file:
            return file.read()

    def create(self, name):
        subprocess.run(["curl", "-sf", "-o", "/dev/null", "-H", "Content-Type: application/json", "-d",
                        json.dumps({"name": name, "retention": "1h"}),
                        f"http://127.0.0.1:{self.ports['http']}/api/v1/streams"], check=True)  # fmt: skip

    def connect(self, name, tls):
        trust = producer.trust(self.certificate) if tls else None
        return producer.Producer(self.ports["https" if tls else "http"], name, tls=trust)


def pieces(timecode, size, count):
    """A fragment in as many chunks as it has pictures, the first one with the cluster's head."""
    payload = os.urandom(1024) * (size // count // 1024 + 1)
    parts = [producer.block(1, i * FRAGMENT_S * 1000 // count, payload[:size // count], i == 0) for i in range(count)]
    parts[0] = producer.cluster(timecode) + parts[0]
    return parts


def percentile(values, share):
    values = sorted(values)
    return round(values[min(len(values) - 1, int(share * len(values)))] * 1000, 1) if values else None


class Camera(threading.Thread):
    def __init__(self, peer, rate, begin):
        super().__init__(daemon=True)
        self.peer, self.size, self.begin = peer, int(rate * FRAGMENT_S / 8), begin
        self.ended = {}
        self.failure = None
        self.start()

    def run(self):
        try:
            self.peer.send(producer.head())
            for at in range(int(SECONDS / FRAGMENT_S)):
                timecode = START + at * FRAGMENT_S * 1000
                parts = pieces(timecode, self.size, 10)
                for i, part in enumerate(parts):
                    due = self.begin + at * FRAGMENT_S + i * FRAGMENT_S / len(parts)
                    time.sleep(max(0, due - time.monotonic()))
                    self.peer.send(part, piece=1 << 20)
                self.peer.send(producer.END_OF_FRAGMENT)
                self.ended[timecode] = time.monotonic()
        except OSError as failure:
            self.failure = failure


def pace(server, label, count, rate, tls):
    for i in range(count):
        server.create(f"{label}-{i}")
    memory = resident(server.pid)
    peers = [server.connect(f"{label}-{i}", tls) for i in range(count)]
    time.sleep(0.5)
    connected = resident(server.pid)
    begin = time.monotonic() + 0.5
    before = cpu_s(server.pid)
    # Not all at once: as cameras are.
    cameras = [Camera(peer, rate, begin + i * FRAGMENT_S / count) for i, peer in enumerate(peers)]
    time.sleep(max(0, begin - time.monotonic()) + SECONDS * 3 / 4)
    at_work = resident(server.pid)
    for camera in cameras:
        camera.join(60)
    took = time.monotonic() - begin
    waits, missing = [], 0
    for camera in cameras:
        if camera.ended:
            camera.peer.wait("PERSISTED", max(camera.ended), 10)
        persisted = {ack["FragmentTimecode"]: when for when, ack in camera.peer.acks if ack["EventType"] == "PERSISTED"}
        waits += [persisted[timecode] - end for timecode, end in camera.ended.items() if timecode in persisted]
        missing += sum(timecode not in persisted for timecode in camera.ended) + bool(camera.failure)
        camera.peer.close()
    sent = sum(len(camera.ended) * camera.size for camera in cameras)
    fragments = sum(len(camera.ended) for camera in cameras)
    return {
        "producers": count, "rate_bits_per_s": rate, "tls": tls, "took_s": round(took, 1), "missing": missing,
        "sent_bytes_per_s": round(sent / took),
        "cpu_s_per_stream_minute": round((cpu_s(server.pid) - before) / (fragments * FRAGMENT_S / 60), 4),
        "ack_p50_ms": percentile(waits, 0.5), "ack_p99_ms": percentile(waits, 0.99),
        "idle_bytes_per_connection": (connected - memory) // count,
        "working_bytes_per_connection": (at_work - memory) // count,
    }  # fmt: skip


def flat_out(server, label, tls):
    server.create(label)
    peer = server.connect(label, tls)
    size = 8 << 20
    parts = pieces(START, size, 8)
    head_bytes = len(producer.cluster(START))
    peer.send(producer.head())
    before, begin, sent = cpu_s(server.pid), time.monotonic(), 0
    while sent < FLAT_OUT_BYTES:
        timecode = START + sent // size * FRAGMENT_S * 1000
        peer.send(producer.cluster(timecode) + parts[0][head_bytes:], piece=1 << 20)
        for part in parts[1:]:
            peer.send(part, piece=1 << 20)
        sent += size
    peer.send(producer.END_OF_FRAGMENT)
    whole = peer.wait("PERSISTED", timecode, 60) is not None
    took, cpu = time.monotonic() - begin, cpu_s(server.pid) - before
    peer.close()
    return {"tls": tls, "whole": whole, "bytes_per_s": round(sent / took), "bytes_per_cpu_s": round(sent / cpu)}


def main():
    results = {}
    # On a disk, since each fragment is synced.
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        server = Server(folder)
        try:
            for tls in (False, True):
                way = "tls" if tls else "plain"
                results[f"200x2M {way}"] = pace(server, f"a-{way}", 200, 2_000_000, tls)
                results[f"100x4M {way}"] = pace(server, f"b-{way}", 100, 4_000_000, tls)
                results[f"flat out {way}"] = flat_out(server, f"c-{way}", tls)
        finally:
            server.process.terminate()
            server.process.wait()
    print(json.dumps(results, indent=1))


main()
