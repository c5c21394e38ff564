#!/usr/bin/python3
"""Readers of one live stream by GetMedia: what they cost the server. Prints JSON.

    get_media.py KINORA [readers] [seconds]"""

import json
import os
import re
import selectors
import socket
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CLIP = os.path.join(ROOT, "sample-media", "aws-sdk.mkv")


def used(pid):
    """CPU seconds, and memory in bytes."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        resident = int(re.search(r"VmRSS:\s+(\d+)", file.read())[1]) * 1024
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), resident


def connect(port):
    body = json.dumps({"StreamName": "door", "StartSelector": {"StartSelectorType": "NOW"}}).encode()
    peer = socket.create_connection(("127.0.0.1", port))
    peer.sendall(b"POST /getMedia HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                 b"Content-Length: %d\r\n\r\n%s" % (len(body), body))  # fmt: skip
    peer.setblocking(False)
    return peer


def read_for(peers, seconds):
    """Bytes received, and how many readers got any."""
    selector = selectors.DefaultSelector()
    got = {peer: 0 for peer in peers}
    for peer in peers:
        selector.register(peer, selectors.EVENT_READ)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for key, _ in selector.select(0.1):
            got[key.fileobj] += len(key.fileobj.recv(1 << 18))
    return sum(got.values()), sum(count > 0 for count in got.values())


def measure(pid, port, readers, seconds):
    before = used(pid)
    time.sleep(seconds)
    idle = used(pid)
    peers = [connect(port) for _ in range(readers)]
    read_for(peers, 4)  # all have begun
    begun = used(pid)
    received, served = read_for(peers, seconds)
    ended = used(pid)
    for peer in peers:
        peer.close()
    cpu = (ended[0] - begun[0]) - (idle[0] - before[0])
    return {
        "readers": readers, "served": served, "seconds": seconds,
        "megabits_per_s": round(received * 8 / seconds / 1e6, 2),
        "cpu_percent_recording_alone": round(100 * (idle[0] - before[0]) / seconds, 2),
        "cpu_percent_of_readers": round(100 * cpu / seconds, 2),
        "bytes_per_reader": (ended[1] - idle[1]) // readers,
        "resident_bytes": ended[1],
    }  # fmt: skip


def main(program, readers="200", seconds="10"):
    with tempfile.TemporaryDirectory() as folder:
        config = os.path.join(folder, "kinora.yml")
        with open(config, "w", encoding="utf-8") as file:
            file.write(f'data: {folder}/store\nlisten: 127.0.0.1:0\nstreams:\n  door: {{source: "file:{CLIP}", retention: 1h}}\n')
        server = subprocess.Popen([program, "serve", "-c", config, "--min-free", "1M"], stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True)  # fmt: skip
        try:
            for line in server.stdout:
                if found := re.search(r"listens on http://127\.0\.0\.1:(\d+)", line):
                    break
            else:
                sys.exit("kinora serve did not start")
            time.sleep(2)
            print(json.dumps(measure(server.pid, int(found[1]), int(readers), int(seconds)), indent=2))
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
