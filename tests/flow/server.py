"""A running `kinora serve` for the flow tests: started on free ports of loopback, stopped by who
started it."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

import flow

READY_S = 20
STOP_S = 40
LISTENS = re.compile(r"(https?)://([\w.\[\]:]+):(\d+)")


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=30):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Server:
    """config: the text of kinora.yml without data and listen; None: no file."""

    def __init__(self, name="store", config=None, options=(), listen=("127.0.0.1:0",), environ=None,
                 program=None, limit=None):  # fmt: skip
        self.data = flow.scratch(name)
        self.log_path = flow.scratch(name + ".log")
        self.config_path = flow.scratch(name + ".yml") if config is not None else None
        self.program = program or flow.KINORA
        self.limit = limit
        self.environ = {**os.environ, **(environ or {})}
        self.arguments = ["serve", "--data", self.data, "--min-free", "1M", *options]
        for address in listen:
            self.arguments += ["--listen", address]
        if config is not None:
            self.write_config(config)
            self.arguments += ["-c", self.config_path]
        self.process = None
        self.urls = []

    def write_config(self, text):
        with open(self.config_path, "w", encoding="utf-8") as file:
            file.write(text)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exception):
        self.kill()

    def start(self):
        self.log = open(self.log_path, "ab")
        self.log_from = self.log.tell()
        before = None
        if self.limit:
            import resource

            kind, most = self.limit
            before = lambda: resource.setrlimit(kind, (most, most))  # noqa: E731
        self.process = subprocess.Popen([self.program, *self.arguments], stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=subprocess.STDOUT, env=self.environ,
                                        preexec_fn=before)  # fmt: skip
        end = time.monotonic() + READY_S
        while time.monotonic() < end and self.process.poll() is None:
            # Where the socket answers, everything listens.
            self.urls = LISTENS.findall(self.said().split("listens", 1)[-1]) if "listens" in self.said() else []
            if self.urls and self.healthy():
                return
            time.sleep(0.05)
        said = self.said()
        self.kill()
        raise RuntimeError(f"kinora serve did not start: {said}")

    def healthy(self):
        try:
            return self.local("GET", "/healthz")[0] in (200, 503)
        except OSError:
            return False

    def said(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            file.seek(self.log_from)
            return file.read()

    @property
    def port(self):
        return int(self.urls[0][2])

    @property
    def url(self):
        return f"{self.urls[0][0]}://{self.urls[0][1]}:{self.urls[0][2]}"

    @property
    def socket_path(self):
        return os.path.join(self.data, "kinora.sock")

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        """Its exit code; None: it did not end."""
        self.signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
            return None

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.log.close()

    # ---- requests ----

    @staticmethod
    def answer(connection, method, path, body=None, headers=None):
        """(status, headers in lower case, body)"""
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
            headers = {"Content-Type": "application/json", **(headers or {})}
        connection.request(method, path, body=body, headers=headers or {})
        response = connection.getresponse()
        told = {name.lower(): value for name, value in response.getheaders()}
        return response.status, told, response.read()

    def connect(self, timeout=30):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def ask(self, method, path, body=None, headers=None):
        connection = self.connect()
        try:
            return self.answer(connection, method, path, body, headers)
        finally:
            connection.close()

    def local(self, method, path, body=None, headers=None):
        """Over the unix socket."""
        connection = UnixConnection(self.socket_path)
        try:
            return self.answer(connection, method, path, body, headers)
        finally:
            connection.close()

    def json(self, method, path, body=None, headers=None):
        status, _, told = self.ask(method, path, body, headers)
        return status, json.loads(told) if told else None

    def raw(self, data, timeout=5, port=None):
        """What comes back on one connection until it ends or is silent for `timeout`."""
        with socket.create_connection(("127.0.0.1", port or self.port), timeout=timeout) as peer:
            try:
                peer.sendall(data)
            except OSError:
                pass
            told = b""
            try:
                while part := peer.recv(65536):
                    told += part
            except OSError:
                pass
            return told

    def metric(self, name, **labels):
        """The sum of the samples of this name with these labels; None: there is none."""
        _, _, text = self.local("GET", "/metrics")
        found = None
        for line in text.decode().splitlines():
            sample = re.match(r"([a-z_]+)(?:\{(.*)\})? ([-+.\w]+)$", line)
            if not sample or sample[1] != name:
                continue
            has = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', sample[2] or ""))
            if all(has.get(key) == value for key, value in labels.items()):
                found = (found or 0) + float(sample[3])
        return found

    def wait(self, condition, seconds=15):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if value := condition():
                return value
            time.sleep(0.1)
        return None

    def fragments(self, stream):
        """How many a stream has stored."""
        return self.metric("kinora_fragments_total", stream=stream) or 0


class Loads(threading.Thread):
    """Calls `work(i)` again and again until it is stopped; its failures are kept."""

    def __init__(self, work):
        super().__init__(daemon=True)
        self.work, self.done, self.failures, self.ends = work, 0, [], False
        self.start()

    def run(self):
        while not self.ends:
            try:
                self.work(self.done)
            except Exception as failure:  # noqa: BLE001 - told as the test's result
                self.failures.append(repr(failure))
            self.done += 1

    def stop(self):
        self.ends = True
        self.join(30)
        return self.failures
