"""What the flow tests share: TAP, the sample clips, and what each program says about a file."""

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree

sys.dont_write_bytecode = True

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SAMPLES = os.path.join(ROOT, "sample-media")
sys.path.insert(0, SAMPLES)

# No words of another language in what is parsed.
os.environ["LC_ALL"] = "C.UTF-8"

try:
    KINORA = os.environ["KINORA"]
    SCRATCH = os.environ["SCRATCH"]
except KeyError as missing:
    sys.exit(f"run by ./check; {missing} must be set: KINORA the program, SCRATCH a folder")
LONG = bool(os.environ.get("LONG"))


def manifest():
    with open(os.path.join(SAMPLES, "manifest.json"), encoding="utf-8") as file:
        return json.load(file)["clips"]


def sample(clip):
    return os.path.join(SAMPLES, clip["file"])


def scratch(*names):
    return os.path.join(SCRATCH, *names)


def is_truncated(clip):
    return "truncated" in clip["expect"]["odd"]


def is_annexb(clip):
    return "annexb-frames" in clip["expect"]["odd"]


# ---- TAP ----


class Tap:
    def __init__(self):
        self.points = 0
        self.failed = 0

    def point(self, name, problems):
        """problems: a list of texts, empty when all is well. More than ten say nothing new."""
        self.points += 1
        self.failed += bool(problems)
        print(f"{'not ok' if problems else 'ok'} {self.points} - {name}")
        for problem in problems[:10]:
            print("#   " + str(problem).replace("\n", "\n#   "))
        if len(problems) > 10:
            print(f"#   ... and {len(problems) - 10} more")
        sys.stdout.flush()

    def skip(self, name, reason):
        self.points += 1
        print(f"ok {self.points} - {name} # SKIP {reason}", flush=True)

    def finish(self):
        print(f"1..{self.points}")
        sys.exit(1 if self.failed else 0)


def differ(what, ours, theirs):
    """One problem or none. Of lists the first difference."""
    if ours == theirs:
        return []
    if isinstance(ours, list) and isinstance(theirs, list):
        for i, (our, their) in enumerate(zip(ours, theirs)):
            if our != their:
                return [f"{what} [{i}]: we have {our}, they {their}"]
        return [f"{what}: we have {len(ours)}, they {len(theirs)}"]
    return [f"{what}: we have {ours}, they {theirs}"]


# ---- programs ----

# What ffmpeg says about every file of that kind, also about the source.
HARMLESS = re.compile("Guessed Channel Layout")


def run(*args, timeout=30, **options):
    """stdout and stderr as bytes. A timeout is an exception, which ends the test."""
    options.setdefault("stdin", subprocess.DEVNULL)
    options.setdefault("stdout", subprocess.PIPE)
    return subprocess.run(args, stderr=subprocess.PIPE, timeout=timeout, check=False, **options)


def kinora(*args, **options):
    return run(KINORA, *args, **options)


class Inspected:
    """What `kinora inspect --json --frames` tells."""

    def __init__(self, path):
        self.run = kinora("inspect", "--json", "--frames", path)
        self.exit = self.run.returncode
        self.fragments, self.summary, self.error = [], None, None
        # Strictly: jansson and Python must agree on what JSON is.
        if self.exit in (0, 1):
            told = json.loads(self.run.stdout.decode("utf-8"))
            self.fragments, self.summary = told["fragments"], told["summary"]
            self.error = self.summary["error"]
        self.frames = [frame for fragment in self.fragments for frame in fragment["frames"]]

    def of_track(self, number):
        return [frame for frame in self.frames if frame["track"] == number]

    def odd(self):
        return {odd["name"] for odd in self.summary["odd"]}


class Packets:
    """What ffprobe tells: .streams[i] are the packets of the i-th track of the header."""

    def __init__(self, path, *options):
        entries = "packet=stream_index,pts_time,dts_time,size,flags:stream=index"
        told = run("ffprobe", "-v", "warning", "-threads", "1", *options,
                   "-show_entries", entries, "-of", "json", path)  # fmt: skip
        self.exit = told.returncode
        self.said = told.stderr.decode("utf-8", "replace").splitlines()
        found = json.loads(told.stdout) if told.returncode == 0 else {}
        self.streams = [[] for _ in found.get("streams", [])]
        for packet in found.get("packets", []):
            self.streams[packet["stream_index"]].append(packet)


def ms(packet, field="pts_time"):
    return None if packet.get(field) is None else round(float(packet[field]) * 1000)


MKVINFO_BLOCK = re.compile(
    r"\|  ?\+ (?:Simple b|B)lock: (key, )?.*?track number (\d+), (\d+) frame\(s\), "
    r"timestamp (-?)(\d+):(\d\d):(\d\d)\.(\d{9}) at 0x([0-9a-f]+)$"
)
MKVINFO_FRAME = re.compile(r"\|\s+\+ Frame with size (\d+) at 0x([0-9a-f]+)$")
MKVINFO_CLUSTER = re.compile(r"\|\+ Cluster at 0x([0-9a-f]+)$")


class Mkvinfo:
    """What mkvinfo tells: .clusters as {"offset", "frames": [{"track", "offset", "bytes", "key",
    "block_ns"}]}, where "key" is None in a BlockGroup and "block_ns" stands at each block's first
    frame only."""

    def __init__(self, path):
        told = run("mkvinfo", "-a", "-p", path)
        self.exit = told.returncode
        self.lines = told.stdout.decode("utf-8", "replace").splitlines()
        self.clusters = []
        block = None
        for line in self.lines:
            if found := MKVINFO_CLUSTER.match(line):
                self.clusters.append({"offset": int(found[1], 16), "frames": []})
            elif found := MKVINFO_BLOCK.match(line):
                hours, minutes, seconds, nanos = (int(found[i]) for i in (5, 6, 7, 8))
                at_ns = ((hours * 60 + minutes) * 60 + seconds) * 10**9 + nanos
                block = {
                    "track": int(found[2]),
                    "key": bool(found[1]) if "Simple" in line else None,
                    "block_ns": -at_ns if found[4] else at_ns,
                }
            elif found := MKVINFO_FRAME.match(line):
                place = {"bytes": int(found[1]), "offset": int(found[2], 16)}
                self.clusters[-1]["frames"].append({**block, **place})
                block["block_ns"] = None

    def complaints(self):
        said = re.compile("error|warning|unknown element", re.IGNORECASE)
        return [line for line in self.lines if said.search(line)]

    def has(self, element):
        return any(line.startswith(f"|+ {element} at") for line in self.lines)


def mediaconch(paths):
    """{path: [fails and warnings of the implementation check]}; a text where it checked nothing."""
    told = run("mediaconch", "-mc", "-fx", *paths, timeout=60,
               env={**os.environ, "HOME": SCRATCH})  # fmt: skip
    space = {"m": "https://mediaarea.net/mediaconch"}
    found = {path: ["not in the report"] for path in paths}
    for media in xml.etree.ElementTree.fromstring(told.stdout).findall("m:media", space):
        problems = []
        passes = 0
        for check in media.iterfind(".//m:check", space):
            for test in check.iterfind("m:test", space):
                passes += test.get("outcome") == "pass"
                if test.get("outcome") in ("fail", "warn"):
                    value = test.find("m:value", space)
                    where = "" if value is None else f" at {value.get('offset')}"
                    problems.append(f"{check.get('icid')}: {test.get('outcome')}{where}")
        if passes < 10 and not problems:
            problems.append(f"only {passes} tests were run")
        found[media.get("ref")] = problems
    return found


def seek_problems(path, clip, new):
    """To every key frame, last one first: ffprobe seeks by the Cues and must read that frame."""
    index, track = next((i, t) for i, t in enumerate(clip["tracks"]) if t["type"] == "video")
    keys = [f["pts_ns"] for f in new.of_track(track["number"]) if f["key"]][::-1]
    intervals = ",".join(f"{ns // 10**9}.{ns % 10**9:09d}%+#1" for ns in keys)
    found = Packets(path, "-select_streams", str(index), "-read_intervals", intervals)
    problems = [line for line in found.said if not HARMLESS.search(line)]
    if "absolute-times" in clip["expect"]["odd"]:
        # ffmpeg takes no index whose times are beyond 1e14 ns (28 h), and finds its way without.
        problems = [line for line in problems if "Dropping apparently-broken" not in line]
    packets = found.streams[0] if len(found.streams) == 1 else found.streams[index]
    ours = [[ns // 1000000, True] for ns in keys]
    theirs = [[ms(packet), "K" in packet["flags"]] for packet in packets]
    return problems + differ("key frames sought", ours, theirs)


# ---- VLC ----

NOBODY = 65534


def vlc(folder, path, *options):
    """VLC does not run as root; as root it runs as nobody."""
    user = (NOBODY, NOBODY) if os.getuid() == 0 else (os.getuid(), os.getgid())
    prefix = ["setpriv", f"--reuid={user[0]}", f"--regid={user[1]}", "--clear-groups"]
    told = run(*(prefix if os.getuid() == 0 else []), "vlc", "-vv", "--no-color", "--no-dbus",
               "--intf", "dummy", "--play-and-exit", "--no-media-library", "--aout", "adummy",
               "--vout", "vdummy", *options, path, "vlc://quit", timeout=40, cwd=folder,
               stdout=subprocess.DEVNULL,
               env={**os.environ, "HOME": folder, "XDG_RUNTIME_DIR": folder})  # fmt: skip
    return told.returncode, told.stderr.decode("utf-8", "replace").splitlines()


def vlc_frames(folder, path, *options):
    """{kind: [(number, time since the one before, length, md5)]} as VLC's demuxer passes on."""
    output = os.path.join(folder, "stats")
    code, _ = vlc(folder, path, "--sout", f"#stats{{output={output}}}", "--sout-all", *options)
    if code != 0 or not os.path.exists(output):
        return {}
    found = {}
    with open(output, encoding="utf-8", errors="replace") as file:
        for line in file:
            fields = line.rstrip("\n").split("\t")
            if len(fields) == 7 and fields[3].isdigit():
                found.setdefault(fields[2].lower(), []).append(tuple(fields[3:]))
    os.unlink(output)
    return found
