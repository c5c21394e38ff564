#!/usr/bin/python3
"""Kinora's HTTP beside nginx with the same bytes, and what connections cost. Prints one JSON object.

    tests/bench/http_peers.py BUILD-FOLDER [SECONDS]

Both servers run on this machine with as many loops (workers) as processors, one after the other for each
figure, three times; medians; wrk and the uploads take their share of the same processors, so ratios count, not
figures.
"""

import json
import os
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

BUILD = os.path.abspath(sys.argv[1])
SECONDS = float(sys.argv[2]) if len(sys.argv) > 2 else 5
ROUNDS = 3
PROBE = os.path.join(BUILD, "tests", "http_probe")
KINORA = os.path.join(BUILD, "kinora")
TICKS = os.sysconf("SC_CLK_TCK")
NGINX = """
daemon off; worker_processes auto; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ worker_connections 10000; }}
http {{
    access_log off; sendfile on; tcp_nodelay on; keepalive_requests 100000000; keepalive_timeout 600;
    client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
    uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
    server {{
        listen 127.0.0.1:{port}; listen 127.0.0.1:{tls} ssl; root {folder};
        ssl_certificate {folder}/certificate.pem; ssl_certificate_key {folder}/key.pem;
        location / {{ }}
    }}
}}
"""


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def of_processes(root, read):
    """The sum over a process and its children."""
    children = subprocess.run(["pgrep", "-P", str(root)], capture_output=True, text=True, check=False).stdout
    return sum(read(int(pid)) for pid in [root, *map(int, children.split())])


def cpu_s(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return int(re.search(r"Private_Dirty:\s+(\d+)", file.read())[1]) * 1024


def wrk(url, connections=32, script=None):
    """{requests_per_s, bytes_per_s}"""
    command = ["wrk", "-t", "2", "-c", str(connections), "-d", f"{SECONDS:.0f}s"]
    told = subprocess.run([*command, *(["-s", script] if script else []), url], capture_output=True, text=True,
                          check=True).stdout  # fmt: skip
    if "Non-2xx" in told or "Socket errors" in told:
        raise RuntimeError(told)
    requests, seconds = re.search(r"(\d+) requests in ([\d.]+)s", told).groups()
    amount, unit = re.search(r"requests in [\d.]+s, ([\d.]+)(\w+) read", told).groups()
    scale = {"B": 1, "KB": 2**10, "MB": 2**20, "GB": 2**30, "TB": 2**40}[unit]
    return {"requests_per_s": int(requests) / float(seconds), "bytes_per_s": float(amount) * scale / float(seconds)}


def measure(pid, work):
    """What `work` tells, and the server's CPU meanwhile."""
    cpu, start = of_processes(pid, cpu_s), time.monotonic()
    told = work()
    spent = time.monotonic() - start
    return {**told, "server_cores": round((of_processes(pid, cpu_s) - cpu) / spent, 3)}


def connect(port, tls):
    peer = socket.create_connection(("127.0.0.1", port))
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        peer = context.wrap_socket(peer)
    return peer


def idle(pid, port, tls, count):
    """Memory of connections that had one answer, and CPU while they idle."""
    before = of_processes(pid, resident)
    peers = [connect(port, tls) for _ in range(count)]
    for peer in peers:
        peer.sendall(b"GET /small HTTP/1.1\r\nHost: localhost\r\n\r\n")
    for peer in peers:
        peer.recv(4096)
    time.sleep(1)
    told = measure(pid, lambda: time.sleep(SECONDS) or {})
    told["bytes_per_connection"] = round((of_processes(pid, resident) - before) / count)
    for peer in peers:
        peer.close()
    time.sleep(0.5)
    return told


UPLOADER = r"""
import select, socket, ssl, sys, time
port, tls, count, seconds = int(sys.argv[1]), sys.argv[2] == "1", int(sys.argv[3]), float(sys.argv[4])
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
peers = []
for _ in range(count):
    peer = socket.create_connection(("127.0.0.1", port))
    peer = context.wrap_socket(peer) if tls else peer
    peer.sendall(b"POST /upload HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
    peers.append(peer)
block = b"6400\r\n" + bytes(0x6400) + b"\r\n"          # 25,600 bytes each 102.4 ms: 2 Mbit/s
start, sent, late = time.monotonic(), 0, 0
while time.monotonic() - start < seconds:
    due = start + sent * 0.1024
    wait = due - time.monotonic()
    if wait > 0:
        time.sleep(wait)
    elif wait < -0.2:
        late += 1
    for peer in peers:
        peer.sendall(block)
    sent += 1
acks = 0
for peer in peers:
    peer.sendall(b"0\r\n\r\n")
    told = b""
    while not told.endswith(b"0\r\n\r\n"):
        part = peer.recv(65536)
        if not part:
            sys.exit("cut off")
        told += part
    acks += told.count(b"\n64") + told.count(b" \n")
print(sent * len(peers) * 0x6400, acks, late)
"""


def uploads(pid, port, tls, count=200):
    def work():
        told = subprocess.run([sys.executable, "-c", UPLOADER, str(port), str(int(tls)), str(count), str(SECONDS)],
                              capture_output=True, text=True, check=True).stdout  # fmt: skip
        sent, acks, late = map(int, told.split())
        return {"bytes_per_s": round(sent / SECONDS), "acks": acks, "late_ticks": late}

    return measure(pid, work)


class Probe:
    def __init__(self, folder):
        loops = str(min(os.cpu_count(), 4))
        self.process = subprocess.Popen(
            [PROBE, os.path.join(folder, "probe"), os.path.join(folder, "file"), loops, "127.0.0.1:0", "127.0.0.1:0",
             os.path.join(folder, "certificate.pem"), os.path.join(folder, "key.pem")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # fmt: skip
        self.port, self.tls = (int(address.rsplit(":", 1)[1]) for address in self.process.stdout.readline().split())
        self.pid = self.process.pid

    def stop(self):
        self.process.stdin.close()
        self.process.wait(30)


class Nginx:
    def __init__(self, folder):
        self.port, self.tls = free_port(), free_port()
        path = os.path.join(folder, "nginx.conf")
        with open(path, "w", encoding="ascii") as file:
            file.write(NGINX.format(folder=folder, port=self.port, tls=self.tls))
        self.process = subprocess.Popen(["/usr/sbin/nginx", "-c", path, "-e", os.path.join(folder, "nginx.log")],
                                        stderr=subprocess.DEVNULL)  # fmt: skip
        self.pid = self.process.pid
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", self.tls)).close()
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError("nginx does not start")

    def stop(self):
        self.process.terminate()
        self.process.wait(30)


def median(rounds):
    """Of each number by itself."""
    return {name: sorted(told[name] for told in rounds)[len(rounds) // 2] for name in rounds[0]}


def both(folder, figures):
    """Each figure of both, by turns; figures: {name: function of a server}."""
    found = {name: {"probe": [], "nginx": []} for name in figures}
    for _ in range(ROUNDS):
        for name, figure in figures.items():
            for kind in (Probe, Nginx):
                server = kind(folder)
                try:
                    found[name][kind.__name__.lower()].append(figure(server))
                finally:
                    server.stop()
    return {name: {kind: median(rounds) for kind, rounds in pair.items()} for name, pair in found.items()}


def signed(folder):
    """Small signed requests to the product itself."""
    data = os.path.join(folder, "signed")
    told = json.loads(subprocess.run([KINORA, "key", "add", "bench", "--grant", "admin", "--json", "--data", data],
                                     capture_output=True, check=True).stdout)  # fmt: skip
    process = subprocess.Popen([KINORA, "serve", "--data", data, "--listen", "127.0.0.1:0", "--min-free", "1M"],
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)  # fmt: skip
    try:
        address = re.search(r"http://([\d.]+):(\d+)", process.stdout.readline())
        url = f"http://{address[1]}:{address[2]}/api/v1/session"
        import botocore.auth
        import botocore.awsrequest
        import botocore.credentials

        request = botocore.awsrequest.AWSRequest(method="GET", url=url)
        credentials = botocore.credentials.Credentials(told["access_key"], told["secret"])
        botocore.auth.SigV4Auth(credentials, "kinesisvideo", "us-east-1").add_auth(request)
        script = os.path.join(folder, "signed.lua")
        with open(script, "w", encoding="ascii") as file:
            for name, value in request.headers.items():
                file.write(f'wrk.headers["{name}"] = "{value}"\n')
        return measure(process.pid, lambda: wrk(url, script=script))
    finally:
        process.terminate()
        process.wait(30)


def main():
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-subj", "/CN=localhost", "-days", "2", "-keyout", os.path.join(folder, "key.pem"), "-out",
                        os.path.join(folder, "certificate.pem")], check=True, capture_output=True)  # fmt: skip
        with open(os.path.join(folder, "file"), "wb") as file:
            file.write(os.urandom(1024 * 1024))
        with open(os.path.join(folder, "small"), "wb") as file:
            file.write(b"small\n")
        found = both(folder, {
            "file_plain": lambda s: measure(s.pid, lambda: wrk(f"http://127.0.0.1:{s.port}/file")),
            "file_tls": lambda s: measure(s.pid, lambda: wrk(f"https://127.0.0.1:{s.tls}/file")),
            "small_plain": lambda s: measure(s.pid, lambda: wrk(f"http://127.0.0.1:{s.port}/small")),
            "small_tls": lambda s: measure(s.pid, lambda: wrk(f"https://127.0.0.1:{s.tls}/small")),
            "idle_plain_4000": lambda s: idle(s.pid, s.port, False, 4000),
            "idle_tls_1000": lambda s: idle(s.pid, s.tls, True, 1000),
        })  # fmt: skip
        for name, pair in found.items():
            for unit in ("bytes_per_s", "requests_per_s", "bytes_per_connection"):
                if unit in pair["probe"]:
                    pair["ratio_" + unit] = round(pair["probe"][unit] / pair["nginx"][unit], 3)
        probe = Probe(folder)
        try:
            found["uploads_200_plain"] = uploads(probe.pid, probe.port, False)
            found["uploads_200_tls"] = uploads(probe.pid, probe.tls, True)
        finally:
            probe.stop()
        found["signed_small"] = signed(folder)
        print(json.dumps(found, indent=1))


main()
