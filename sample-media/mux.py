"""Writes the clips that no common muxer makes: frames of a plain clip, a container of ours.

Each function takes the bytes of one or two Matroska files and returns the bytes of a new one.
"""

import struct

import ebml
from ebml import element, float64, master, number, text

START_CODE = b"\0\0\0\1"
SHORT_START_CODE = b"\0\0\1"
KEY = 0x80

AWS_START_MS = 1767323045678  # 2026-01-02T03:04:05.678Z


def interleave(clip):
    """[(time in ms, is audio, key, frame)] of the first video and audio tracks, by time; on a tie
    the picture goes first, so that a cluster can begin with its key frame."""
    both = []
    for kind in ("video", "audio"):
        if any(t.type == kind for t in clip.tracks):
            for time_ns, key, frame in clip.frames(clip.track(kind).number):
                both.append((time_ns // 1000000, kind == "audio", key, frame))
    return sorted(both, key=lambda f: (f[0], f[1]))


def by_key_frame(frames):
    """Cuts the interleaved frames into groups that each begin with a video key frame."""
    groups = []
    for frame in frames:
        if frame[2] and not frame[1]:
            groups.append([])
        groups[-1].append(frame)
    return groups


# ---- as the AWS producer SDK lays it out ----


def aws_tags(*items):
    """One Tags with one Tag; all sizes take 8 bytes, as the SDK fills them in afterwards."""
    return master(ebml.TAGS, master(
        ebml.TAG,
        *(master(ebml.SIMPLE_TAG,
                 text(ebml.TAG_NAME, name, size_bytes=8),
                 text(ebml.TAG_STRING, value, size_bytes=8), size_bytes=8)
          for name, value in items), size_bytes=8), size_bytes=8)


def aws_track(track_number, kind, codec, name, private, *shape):
    return master(ebml.TRACK_ENTRY,
                  number(ebml.TRACK_NUMBER, track_number),
                  number(ebml.TRACK_UID, track_number, length=8),
                  number(ebml.TRACK_TYPE, kind),
                  text(ebml.NAME, name, padded_to=32),
                  text(ebml.CODEC_ID, codec, padded_to=32),
                  element(ebml.CODEC_PRIVATE, private),
                  *shape, size_bytes=4)


def aws_sdk(source):
    """H.264 and AAC as the AWS producer SDK puts them on the wire."""
    clip = ebml.Clip(source)
    video, audio = clip.track("video"), clip.track("audio")
    out = [
        ebml.ebml_header(2, 2),
        ebml.unknown_size(ebml.SEGMENT),
        master(ebml.INFO,
               element(ebml.SEGMENT_UID, bytes(range(16))),
               number(ebml.TIMECODE_SCALE, 1000000, length=8),
               text(ebml.TITLE, "Kinesis Video SDK", padded_to=32),
               text(ebml.MUXING_APP, "Kinora sample, SDK layout", padded_to=32),
               text(ebml.WRITING_APP, "Kinora sample, SDK layout", padded_to=32),
               size_bytes=2),
        master(ebml.TRACKS,
               aws_track(1, 1, "V_MPEG4/ISO/AVC", "kinora_video", video.private,
                         master(ebml.VIDEO,
                                number(ebml.PIXEL_WIDTH, video.width, length=2),
                                number(ebml.PIXEL_HEIGHT, video.height, length=2), size_bytes=4)),
               aws_track(2, 2, "A_AAC", "kinora_audio", audio.private,
                         master(ebml.AUDIO,
                                float64(ebml.SAMPLING_FREQUENCY, audio.sample_rate),
                                number(ebml.CHANNELS, audio.channels), size_bytes=4)),
               size_bytes=4),
    ]
    for i, group in enumerate(by_key_frame(interleave(clip))):
        # The tags belong to the cluster that follows. Ordinary items have a Tags each; an event
        # keeps its payload in the same Tag.
        out.append(aws_tags(("camera", "front-door")))
        out.append(aws_tags(("fragment", str(i))))
        if i == 2:
            out.append(aws_tags(("AWS_KINESISVIDEO_NOTIFICATION", ""),
                                ("reason", "motion"), ("zone", "yard")))
        if i == 3:
            out.append(aws_tags(("AWS_KINESISVIDEO_IMAGE_GENERATION", ""),
                                ("AWS_KINESISVIDEO_IMAGE_PREFIX", "front-door")))
        start = group[0][0]
        out.append(ebml.unknown_size(ebml.CLUSTER))
        out.append(number(ebml.TIMECODE, AWS_START_MS + start, length=8))
        out.append(number(ebml.POSITION, 0))
        for time_ms, is_audio, key, frame in group:
            # The SDK flags key frames of the video only.
            flags = KEY if key and not is_audio else 0
            out.append(element(ebml.SIMPLE_BLOCK,
                               ebml.block_bytes(1 + is_audio, time_ms - start, flags, frame),
                               size_bytes=8))
    out.append(aws_tags(("AWS_KINESISVIDEO_END_OF_FRAGMENT", "")))
    return b"".join(out)


# ---- Annex-B frames, as careless producers send them ----


def nal_units(frame):
    """Splits a frame with 4-byte NAL lengths."""
    units, at = [], 0
    while at < len(frame):
        size = struct.unpack_from(">I", frame, at)[0]
        units.append(frame[at + 4:at + 4 + size])
        at += 4 + size
    return units


def parameter_sets(avcc):
    """The SPS and PPS of an avcC record."""
    if avcc[4] & 3 != 3:
        raise ValueError("NAL lengths are not 4 bytes")
    units, at = [], 5
    for mask in (0x1F, 0xFF):
        count = avcc[at] & mask
        at += 1
        for _ in range(count):
            size = struct.unpack_from(">H", avcc, at)[0]
            units.append(avcc[at + 2:at + 2 + size])
            at += 2 + size
    return units


def start_codes(units):
    """Only the first unit gets the long start code, as encoders do."""
    return b"".join((SHORT_START_CODE if i else START_CODE) + u for i, u in enumerate(units))


def annexb(source, with_private):
    """H.264 in start-code form. The parameter sets stand in CodecPrivate, or without it in front of
    every key frame."""
    clip = ebml.Clip(source)
    track = clip.track("video")
    sets = parameter_sets(track.private)
    private = element(ebml.CODEC_PRIVATE, b"".join(START_CODE + s for s in sets))
    clusters = []
    for group in by_key_frame(interleave(clip)):
        start = group[0][0]
        blocks = []
        for time_ms, _, key, frame in group:
            units = nal_units(frame)
            if key and not with_private:
                units = sets + units
            blocks.append(element(ebml.SIMPLE_BLOCK, ebml.block_bytes(
                1, time_ms - start, KEY if key else 0, start_codes(units))))
        clusters.append(master(ebml.CLUSTER, number(ebml.TIMECODE, start), *blocks))
    return ebml.ebml_header(4, 2) + master(
        ebml.SEGMENT,
        plain_info(),
        master(ebml.TRACKS, master(
            ebml.TRACK_ENTRY,
            number(ebml.TRACK_NUMBER, 1), number(ebml.TRACK_UID, 1), number(ebml.TRACK_TYPE, 1),
            number(ebml.FLAG_LACING, 0), text(ebml.CODEC_ID, "V_MPEG4/ISO/AVC"),
            private if with_private else b"",
            number(ebml.DEFAULT_DURATION, track.default_duration_ns),
            master(ebml.VIDEO, number(ebml.PIXEL_WIDTH, track.width),
                   number(ebml.PIXEL_HEIGHT, track.height)))),
        *clusters)


def plain_info():
    return master(ebml.INFO, number(ebml.TIMECODE_SCALE, 1000000),
                  text(ebml.MUXING_APP, "Kinora sample"), text(ebml.WRITING_APP, "Kinora sample"))


# ---- laces and block groups ----

FRAMES_PER_LACE = 4


def laced_audio(free, fixed, step_ms):
    """[(time in ms, flags, payload)]: blocks of several Opus frames, in turn with EBML, Xiph and
    fixed-size lacing. Fixed-size laces need frames of one size, so they take theirs from the
    constant-bit-rate encoding of the same sound. What is left over at the end is not laced."""
    blocks = []
    for i in range(0, len(free) - len(free) % FRAMES_PER_LACE, FRAMES_PER_LACE):
        lacing = (ebml.EBML_LACE, ebml.XIPH, ebml.FIXED)[len(blocks) % 3]
        frames = (fixed if lacing == ebml.FIXED else free)[i:i + FRAMES_PER_LACE]
        blocks.append((i * step_ms, KEY | lacing << 1, ebml.lace(frames, lacing)))
    for i in range(len(free) - len(free) % FRAMES_PER_LACE, len(free)):
        blocks.append((i * step_ms, KEY, free[i]))
    return blocks


def laced(source, constant_rate_source):
    """Opus in laced SimpleBlocks; H.264 in BlockGroups with BlockDuration and ReferenceBlock."""
    clip, constant = ebml.Clip(source), ebml.Clip(constant_rate_source)
    video, audio = clip.track("video"), clip.track("audio")
    frame_ms = video.default_duration_ns // 1000000
    step_ms = 20
    opus = [[f[2] for f in c.frames(c.track("audio").number)] for c in (clip, constant)]
    count = min(map(len, opus))
    sounds = [(t, True, flags, data)
              for t, flags, data in laced_audio(opus[0][:count], opus[1][:count], step_ms)]
    pictures = [(t // 1000000, False, key, frame) for t, key, frame in clip.frames(video.number)]
    clusters = []
    for group in by_key_frame(sorted(pictures + sounds, key=lambda f: (f[0], f[1]))):
        start = group[0][0]
        blocks = []
        for time_ms, is_audio, flags, data in group:
            if is_audio:
                blocks.append(element(ebml.SIMPLE_BLOCK, ebml.block_bytes(
                    2, time_ms - start, flags, data)))
                continue
            # In a BlockGroup the lack of a reference is what marks a key frame.
            reference = b"" if flags else ebml.signed(ebml.REFERENCE_BLOCK, -frame_ms)
            blocks.append(master(ebml.BLOCK_GROUP,
                                 element(ebml.BLOCK, ebml.block_bytes(1, time_ms - start, 0, data)),
                                 number(ebml.BLOCK_DURATION, frame_ms), reference))
        clusters.append(master(ebml.CLUSTER, number(ebml.TIMECODE, start), *blocks))
    opus_delay = element(ebml.CODEC_DELAY, audio.fields[ebml.CODEC_DELAY])
    opus_preroll = element(ebml.SEEK_PRE_ROLL, audio.fields[ebml.SEEK_PRE_ROLL])
    return ebml.ebml_header(4, 2) + master(
        ebml.SEGMENT,
        plain_info(),
        master(ebml.TRACKS,
               master(ebml.TRACK_ENTRY,
                      number(ebml.TRACK_NUMBER, 1), number(ebml.TRACK_UID, 1),
                      number(ebml.TRACK_TYPE, 1), text(ebml.CODEC_ID, "V_MPEG4/ISO/AVC"),
                      element(ebml.CODEC_PRIVATE, video.private),
                      number(ebml.DEFAULT_DURATION, video.default_duration_ns),
                      master(ebml.VIDEO, number(ebml.PIXEL_WIDTH, video.width),
                             number(ebml.PIXEL_HEIGHT, video.height))),
               master(ebml.TRACK_ENTRY,
                      number(ebml.TRACK_NUMBER, 2), number(ebml.TRACK_UID, 2),
                      number(ebml.TRACK_TYPE, 2), number(ebml.FLAG_LACING, 1),
                      text(ebml.CODEC_ID, "A_OPUS"), element(ebml.CODEC_PRIVATE, audio.private),
                      opus_delay, opus_preroll,
                      number(ebml.DEFAULT_DURATION, step_ms * 1000000),
                      master(ebml.AUDIO, float64(ebml.SAMPLING_FREQUENCY, audio.sample_rate),
                             number(ebml.CHANNELS, audio.channels)))),
        *clusters)


def cut(source, cluster):
    """source up to the middle of a picture in the middle of that cluster (counted from 0)."""
    clip = ebml.Clip(source)
    video = clip.track("video").number
    blocks = [b for b in clip.clusters[cluster].blocks if b.track == video]
    block = blocks[len(blocks) // 2]
    return source[:(block.start + block.end) // 2]
