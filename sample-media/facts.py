"""What a clip really holds, for the manifest: counted by our reader and compared with ffprobe."""

import hashlib
import json
import subprocess

import ebml


def ffprobe(path, *args):
    run = subprocess.run(["ffprobe", "-v", "error", "-threads", "1", "-of", "json", *args,
                          str(path)], capture_output=True, text=True)
    return json.loads(run.stdout), run.stderr.strip()


def track_facts(clip, track):
    blocks = [b for c in clip.clusters for b in c.blocks if b.track == track.number]
    found = {"number": track.number, "type": track.type, "codec": track.codec}
    if track.type == "video":
        found["width"], found["height"] = track.width, track.height
    else:
        found["sample_rate"], found["channels"] = round(track.sample_rate), track.channels
    found["codec_private_bytes"] = len(track.private)
    found["default_duration_ns"] = track.default_duration_ns
    found["frames"] = sum(len(b.frames) for b in blocks)
    # As the container marks them; most muxers mark every audio frame.
    found["key_frames"] = sum(len(b.frames) for b in blocks if b.key)
    return found


def cluster_facts(clip, cluster):
    video = [t.number for t in clip.tracks if t.type == "video"]
    first = next((b for b in cluster.blocks if b.track in video), None)
    found = {
        "start_ms": cluster.time * clip.scale_ns // 1000000,
        "offset": cluster.start,
        "frames": sum(len(b.frames) for b in cluster.blocks),
        "video_key_frames": sum(b.key for b in cluster.blocks if b.track in video),
        "video_begins_with_key": bool(first and first.key),
    }
    return found


def frame_end_ns(clip, track):
    """When the last frame of a track (in time) is over. A track without any duration written down
    is taken to keep the step of its last two frames."""
    times = sorted(t for t, _, _ in clip.frames(track.number))
    step = track.default_duration_ns or times[-1] - times[-2]
    return times[-1] + step


def timing(clip):
    used = [t for t in clip.tracks if clip.frames(t.number)]
    first = min(f[0] for t in used for f in clip.frames(t.number))
    last = max(frame_end_ns(clip, t) for t in used)
    return round(first / 1e6), round((last - first) / 1e6)


def odd_things(clip, pictures):
    """Names of everything about a clip that a plain parser or packager may stumble over."""
    blocks = [b for c in clip.clusters for b in c.blocks]
    video = clip.track("video")
    shown = [b.time for b in blocks if b.track == video.number]
    odd = []

    def note(name, is_so):
        if is_so:
            odd.append(name)

    note("truncated", clip.truncated)
    note("unknown-size-segment", not clip.known_segment_size)
    note("unknown-size-clusters", any(not c.known_size for c in clip.clusters))
    note("nul-padded-strings", any(t.fields[ebml.CODEC_ID].endswith(b"\0") for t in clip.tracks))
    note("absolute-times", clip.clusters[0].time * clip.scale_ns > 10**18)
    note("tags-before-clusters", any(n < len(clip.clusters) for n, _ in clip.tags))
    note("audio-first-in-cluster", any(c.blocks and c.blocks[0].track != video.number
                                       for c in clip.clusters))
    for lacing, name in ebml.LACING_NAMES.items():
        note("lacing-" + name, any(b.lacing == lacing for b in blocks))
    # ffmpeg writes one for the last Opus frame, which is longer than its sound.
    note("block-groups", any(b.in_group for b in blocks))
    note("frames-out-of-order", shown != sorted(shown))
    note("frames-shown-before-their-key-frame", has_leading_frames(clip, video))
    note("no-codec-private", not video.private)
    first = clip.frames(video.number)[0][2]
    note("annexb-frames", video.codec == "V_MPEG4/ISO/AVC" and first[:4] == b"\0\0\0\1")
    note("annexb-codec-private", video.private[:4] == b"\0\0\0\1")
    note("resolution-changes", len(pictures) > 1)
    return odd


def has_leading_frames(clip, video):
    """Open GOP: a frame that comes after a key frame in the file but is shown before it."""
    key_time = None
    for time, key, _ in clip.frames(video.number):
        if key:
            key_time = time
        elif key_time is not None and time < key_time:
            return True
    return False


def compare_with_ffprobe(path, clip, tracks):
    """ffprobe must see the same frames, their sizes, the video's times and key frames."""
    told, errors = ffprobe(path, "-show_entries", "packet=stream_index,flags,pts_time,size",
                           "-show_entries", "stream=index,codec_type")
    if errors and not clip.truncated:
        raise SystemExit("%s: ffprobe complains: %s" % (path.name, errors))
    for index, track in enumerate(tracks):
        packets = [p for p in told["packets"] if p["stream_index"] == index]
        ours = [track["frames"], [len(f) for _, _, f in clip.frames(track["number"])]]
        theirs = [len(packets), [int(p["size"]) for p in packets]]
        if track["type"] == "video":
            ours.append(track["key_frames"])
            theirs.append(sum("K" in p["flags"] for p in packets))
            ours.append(sorted(t // 1000000 for t, _, _ in clip.frames(track["number"])))
            theirs.append(sorted(round(float(p["pts_time"]) * 1000) for p in packets))
        if ours != theirs:
            raise SystemExit("%s: track %d: ffprobe sees other frames: %d, we %d"
                             % (path.name, track["number"], theirs[0], ours[0]))


def picture_sizes(path):
    """Every size that the decoded pictures have, in order of appearance."""
    told, errors = ffprobe(path, "-select_streams", "v:0", "-show_entries", "frame=width,height")
    sizes = []
    for frame in told["frames"]:
        size = "%dx%d" % (frame["width"], frame["height"])
        if size not in sizes:
            sizes.append(size)
    return sizes, errors


def check_decoding(path):
    """Decodes everything; a single warning is a failure."""
    run = subprocess.run(["ffmpeg", "-v", "warning", "-nostdin", "-threads", "1", "-i", str(path),
                          "-f", "null", "-"], capture_output=True, text=True)
    # G.711 in Matroska has no channel layout, only a count; ffmpeg says so for every such file.
    said = [s for s in run.stderr.splitlines() if "Guessed Channel Layout" not in s]
    if run.returncode or said:
        raise SystemExit("%s: ffmpeg complains: %s" % (path.name, said))


def check_mkvinfo(path):
    run = subprocess.run(["mkvinfo", "-v", "-v", str(path)], capture_output=True, text=True,
                         env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"})
    frames = run.stdout.count("Frame with size")
    wrong = [line for line in run.stdout.splitlines() if "rror" in line or "nknown element" in line]
    if run.returncode or wrong:
        raise SystemExit("%s: mkvinfo complains: %s" % (path.name, wrong or run.stderr))
    return frames


def of(path):
    """The manifest's facts about one clip."""
    data = path.read_bytes()
    clip = ebml.Clip(data)
    tracks = [track_facts(clip, t) for t in clip.tracks]
    compare_with_ffprobe(path, clip, tracks)
    sizes, _ = picture_sizes(path)
    if not clip.truncated:
        check_decoding(path)
        frames = check_mkvinfo(path)
        if frames != sum(t["frames"] for t in tracks):
            raise SystemExit("%s: mkvinfo counts %d frames" % (path.name, frames))
    first_ms, duration_ms = timing(clip)
    video = clip.track("video")
    return {
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "container": clip.doctype,
        "first_ms": first_ms,
        "duration_ms": duration_ms,
        "tracks": tracks,
        "pictures": sizes,
        "key_frame_ms": [t // 1000000 for t, key, _ in clip.frames(video.number) if key],
        "clusters": len(clip.clusters),
        "cluster_list": [cluster_facts(clip, c) for c in clip.clusters],
        "tags": [{"clusters_before": n,
                  "tag": [{"name": k, "value": v} for k, v in items]}
                 for n, found in clip.tags for items in found],
        "expect": {"odd": odd_things(clip, sizes)},
    }
