"""Videos of which some spans are new and all else are the source's own packets."""

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from making import ffmpeg, make_video

from speech2lip.media.aac import FRAME, aac_packets, audible, fits, replaced
from speech2lip.media.decode import read_pictures
from speech2lip.media.encode import VideoWriter
from speech2lip.media.facts import Selection
from speech2lip.media.h264 import Configuration, free_id, look_at, parameter_id, read_configuration, units
from speech2lip.media.inserts import FADE, DubbedSound, Heard, Insert
from speech2lip.media.probe import probe
from speech2lip.media.sound import save_wav
from speech2lip.media.sound_writer import EncodedSound, SplicedSound
from speech2lip.media.soundtrack import Soundtrack, own_form
from speech2lip.media.splice import encoded_ranges, packets_of, unlike
from speech2lip.media.spliced import KeptPicture, SplicedWriter
from speech2lip.media.tags import Tags, tags_of

FRAMES, RATE, SIZE = 100, 25, (96, 64)
OPEN = Selection()


def moving(count: int = FRAMES, seed: int = 0) -> list[np.ndarray]:
    """Frames of a texture that moves, with grain."""
    rng = np.random.default_rng(seed)
    texture = rng.integers(0, 255, (SIZE[1] + count, SIZE[0] + count, 3)).astype(np.float32)
    for _ in range(3):
        texture = (texture + np.roll(texture, 1, 0) + np.roll(texture, 1, 1)) / 3
    return [
        (texture[k : k + SIZE[1], k // 2 : k // 2 + SIZE[0]] + rng.normal(0, 3, (SIZE[1], SIZE[0], 3)))
        .clip(0, 255)
        .astype(np.uint8)
        for k in range(count)
    ]


def speech_like(seconds: float, rate: int = 48000) -> np.ndarray:
    time = np.arange(round(seconds * rate)) / rate
    return (0.3 * np.sin(2 * np.pi * 220 * time) * (0.5 + 0.5 * np.sin(2 * np.pi * 3 * time))).astype(np.float32)


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """Four seconds of H.264 with frames that lean on later ones, a group of 30, and AAC without noise that decoders make up."""
    folder = tmp_path_factory.mktemp("source")
    picture = make_video(
        folder / "picture.mp4", moving(), options={"g": "30", "bf": "3", "preset": "medium", "crf": "23"}
    )
    save_wav(folder / "sound.wav", speech_like(FRAMES / RATE), 48000)
    out = folder / "source.mp4"
    tags = (
        "-metadata",
        "title=A film",
        "-metadata",
        "creation_time=2020-02-03T04:05:06Z",
        "-metadata:s:a",
        "language=fra",
    )
    ffmpeg(
        "-i",
        picture,
        "-i",
        folder / "sound.wav",
        "-c:v",
        "copy",
        "-c:a",
        "aac",
        "-aac_pns",
        0,
        "-b:a",
        "96k",
        "-ac",
        2,
        *tags,
        out,
    )
    return out


def planes(path: Path) -> list[tuple[float, np.ndarray]]:
    with av.open(str(path)) as container:
        first = container.streams.video[0].start_time * container.streams.video[0].time_base
        return [(float(f.pts * f.time_base - first), f.to_ndarray()) for f in container.decode(video=0)]


def spliced(
    source: Path, out: Path, spans: list[tuple[int, int]], sound: object = None, select: Selection = OPEN
) -> list[tuple[int, int]]:
    """Write the source with white frames in spans; returns what was encoded."""
    packets = packets_of(source, RATE, select)
    assert not isinstance(packets, str), packets
    ranges = encoded_ranges(packets, spans)
    colour = probe(source).video.stored
    kept = KeptPicture(source, select, RATE, packets, tuple(ranges))
    with SplicedWriter(out, kept, sound, crf=12, colour=colour, tags=tags_of(source)) as video:
        pictures = list(read_pictures(source, RATE))
        for start, end in ranges:
            for k in range(start, end):
                inside = any(a <= k < b for a, b in spans)
                video.write(np.full((SIZE[1], SIZE[0], 3), 250, np.uint8) if inside else pictures[k].rgb)
    return ranges


@pytest.mark.parametrize("kind", [".mkv", ".mov"])
def test_sources_of_other_containers_are_spliced(source, tmp_path, kind):
    """Matroska does not say when its first packets are decoded."""
    other = tmp_path / f"source{kind}"
    ffmpeg("-i", source, "-c", "copy", other)
    for suffix in (".mkv", ".mp4"):
        ranges = spliced(other, tmp_path / f"out{suffix}", [(40, 50)], EncodedSound(Soundtrack(other)))
        before, after = planes(other), planes(tmp_path / f"out{suffix}")
        assert ranges[0][1] == 60 and len(before) == len(after) == FRAMES
        for k, ((old, real), (new, found)) in enumerate(zip(before, after, strict=True)):
            assert new == pytest.approx(old, abs=0.002)
            assert np.array_equal(real, found) == (not ranges[0][0] <= k < ranges[0][1])


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".ts"])
@pytest.mark.parametrize("spans", [[(40, 50)], [(0, 5), (62, 63)], [(31, 35), (37, 41), (95, 100)], [(0, 100)]])
def test_packets_outside_what_is_encoded_give_the_same_pixels(source, tmp_path, suffix, spans):
    out = tmp_path / f"out{suffix}"
    ranges = spliced(source, out, spans)
    before, after = planes(source), planes(out)
    assert len(after) == len(before) == FRAMES
    encoded = {k for start, end in ranges for k in range(start, end)}
    for k, ((old, real), (new, found)) in enumerate(zip(before, after, strict=True)):
        assert new == pytest.approx(old, abs=0.002)
        if any(a <= k < b for a, b in spans):
            assert found[: SIZE[1]].mean() > 230
        elif k in encoded:
            assert 0 < np.abs(found.astype(int) - real).mean() < 2
        else:
            np.testing.assert_array_equal(found, real)
    for start, end in spans:  # few frames before a span, and none from the next group on
        covering = next(r for r in ranges if r[0] <= start and end <= r[1])
        assert covering[1] <= -(-end // 30) * 30 or len(spans) > 1
        assert start - covering[0] <= 4 or any(s < start and covering[0] <= s for s, _ in spans)


def test_a_result_has_what_the_file_says_of_itself(source, tmp_path):
    for writer in ("spliced", "encoded"):
        out = tmp_path / f"{writer}.mp4"
        if writer == "spliced":
            spliced(source, out, [(40, 50)], EncodedSound(Soundtrack(source)))
        else:
            with VideoWriter(out, RATE, EncodedSound(Soundtrack(source)), tags=tags_of(source)) as video:
                video.write(moving(1)[0])
        found = tags_of(out)
        assert found.file == {"title": "A film", "creation_time": "2020-02-03T04:05:06.000000Z"}
        assert found.audio == {"language": "fra"} and found.video == {}
    assert tags_of(tmp_path) == Tags()


def test_what_cannot_be_spliced_is_told(source, tmp_path):
    assert "do not come evenly at 30" in packets_of(source, 30, OPEN)
    frames = moving(40)
    uneven = make_video(tmp_path / "uneven.mkv", frames, options={}, times=lambda k: 4 * k + (2 if k > 20 else 0))
    assert "do not come evenly" in packets_of(uneven, RATE, OPEN)
    other = make_video(tmp_path / "other.mkv", frames, "mpeg4", options={})
    assert "the picture is mpeg4" in packets_of(other, RATE, OPEN)
    lossless = make_video(tmp_path / "lossless.mp4", frames)
    assert "no H.264 of the profiles" in packets_of(lossless, RATE, OPEN)
    ffmpeg("-i", source, "-c", "copy", tmp_path / "stream.ts")
    assert "in MP4, MOV or Matroska" in packets_of(tmp_path / "stream.ts", RATE, OPEN)
    deep = make_video(tmp_path / "deep.mp4", frames, pix_fmt="yuv422p", options={})
    facts = probe(source).video
    assert "4:2:0" in unlike(probe(deep).video) and not unlike(facts)
    assert "turned" in unlike(replace(facts, orientation=(0, 1, -1, 0))) and "interlaced" in unlike(
        replace(facts, interlaced=True)
    )


def test_parameter_sets_of_two_encoders_stand_beside_each_other(source):
    with av.open(str(source)) as container:
        stream = container.streams.video[0]
        one = read_configuration(stream.codec_context.extradata)
        packet = next(p for p in container.demux(stream) if p.size)
    assert bytes(one) == stream.codec_context.extradata and one.ids == {0} and free_id(one.ids) == 1
    two = Configuration(bytes([1, 100, 0, 50]), (b"\x67\x64\x00\x0a\x4b\x00",), (b"\x68\x40\x00",), b"")
    assert two.ids == {1}
    both = read_configuration(bytes(one.joined(two)))
    assert both.sequences == one.sequences + two.sequences and both.pictures == one.pictures + two.pictures
    assert both.head == bytes([1, 100, 0, 50]) and both.tail == one.tail and free_id(both.ids) == 2
    assert look_at(bytes(packet)).clean and [u[0] & 31 for u in units(bytes(packet))][-1] == 5


@pytest.mark.parametrize(
    ("bits", "value"),
    [("1", 0), ("010", 1), ("011", 2), ("00100", 3), ("00111", 6), ("0001000", 7), ("00000100000", 31)],
)
def test_numbers_of_parameter_sets_are_exp_golomb_codes(bits, value):
    """ITU-T H.264, table 9-2; whatever follows."""
    for rest in "01":
        code = int(bits.ljust(24, rest), 2).to_bytes(3, "big")
        assert parameter_id(b"\x68" + code) == parameter_id(b"\x67\x64\x00\x0a" + code) == value


@given(st.binary(max_size=80))
@settings(max_examples=200, deadline=None)
def test_damaged_configurations_and_packets_are_only_read(data):
    for head in (b"", b"\x01\x64\x00\x0a\xff\xe1"):
        found = read_configuration(head + data)
        assert found is None or read_configuration(bytes(found)) == found
    assert sum(len(u) + 4 for u in units(data)) <= len(data) and look_at(data).ids is not None


# ---------------------------------------------------------------- sound


def packets_in(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(p) for p in container.demux(audio=0) if p.size]


def test_aac_outside_spans_is_the_same_packets_and_samples(source, tmp_path):
    form = own_form(source)
    rate = form[0]
    packets = aac_packets(source, OPEN)
    assert form == (48000, "stereo") and packets is not None and fits(packets) and packets.layout == "stereo"
    save_wav(tmp_path / "new.wav", 0.4 * np.sign(speech_like(4.0)), 48000)
    spans = [(30_000, 60_000), (100_001, 130_003)]
    parts = replaced(packets, spans, 4 * rate)
    inserts = audible([Insert(a, b, tmp_path / "new.wav", 0) for a, b in spans], parts)
    sound = DubbedSound(source, form, inserts)
    out = tmp_path / "out.mp4"
    spliced(
        source,
        out,
        [(15, 32), (52, 68)],
        SplicedSound(source, OPEN, replace(packets, bits=128_000), tuple(parts), sound),
    )
    old, new = (Soundtrack(p, *form).take(4 * rate) for p in (source, out))
    wrong = np.abs(new - old).max(0)
    outside = np.ones(len(wrong), bool)
    for a, b in spans:
        outside[a:b] = False
        middle = slice(a + 4 * FRAME, b - 4 * FRAME)
        wanted = Soundtrack(tmp_path / "new.wav", *form).take(b)[:, middle]
        assert np.abs(new[:, middle] - wanted).mean() < 0.05 and wrong[middle].mean() > 0.1
        late = np.flatnonzero(wrong[a:b] > 0.05)
        assert late[0] < 2 * FRAME + 500 and late[-1] > b - a - 2 * FRAME - 500
    for part in parts:  # where old and new packets meet, the new ones still describe the old sound
        first, last = (int(packets.places[0]) + FRAME * k for k in (part.first, part.last))
        inside = np.square(wrong[first + 2 * FRAME : last - 2 * FRAME]).mean()
        assert max(np.square(wrong[at : at + FRAME]).mean() for at in (first, last)) < 0.02 * inside
    np.testing.assert_array_equal(wrong[outside], 0)
    kept = [x == y for x, y in zip(packets_in(source), packets_in(out), strict=True)]
    assert kept.count(False) == sum(p.last - p.first for p in parts)


def test_where_old_and_new_aac_meet_nothing_is_heard(source):
    """The same sound encoded anew: the error at the joints is no larger than elsewhere."""
    form, packets = own_form(source), aac_packets(source, OPEN)
    parts = replaced(packets, [(40_000, 90_000)], 10**9)
    writer = SplicedSound(source, OPEN, replace(packets, bits=128_000), tuple(parts), Soundtrack(source, *form))
    out = source.with_name("same.mp4")
    spliced(source, out, [(15, 32)], writer)
    wrong = np.abs(Soundtrack(out, *form).take(96_000) - Soundtrack(source, *form).take(96_000)).max(0)
    joints = [int(packets.places[0]) + FRAME * k for k in (parts[0].first, parts[0].last)]
    middle = wrong[joints[0] + 2 * FRAME : joints[1] - 2 * FRAME].max()
    assert 0 < middle < 0.02
    assert max(wrong[j : j + FRAME].max() for j in joints) < 2 * middle + 0.005


def test_spans_at_the_ends_of_a_clip_are_replaced_to_the_end(source):
    packets = aac_packets(source, OPEN)
    first, last = replaced(packets, [(0, 50_000), (100_000, 192_000)], 192_000)
    assert (first.first, first.start) == (0, 0) and (last.last, last.stop) == (len(packets.places), 192_000)
    assert replaced(packets, [(10_000, 14_000)], 192_000) is None


def test_what_is_no_plain_aac_is_encoded(tmp_path, source):
    ffmpeg("-i", source, "-vn", "-c:a", "libmp3lame", tmp_path / "a.mp3")
    ffmpeg("-i", source, "-vn", "-c:a", "aac", "-ac", 6, tmp_path / "six.m4a")
    assert aac_packets(tmp_path / "a.mp3", OPEN) is None and aac_packets(tmp_path / "six.m4a", OPEN) is None


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_sound_without_loss_is_the_source_to_24_bits(source, tmp_path, suffix):
    out, form = tmp_path / f"out{suffix}", own_form(source)
    with VideoWriter(out, RATE, EncodedSound(Soundtrack(source, *form, bits=0))) as video:
        for frame in moving(50):
            video.write(frame)
    wrong = Soundtrack(out, *form).take(95_000) - Soundtrack(source, *form).take(95_000)
    assert np.abs(wrong).max() <= 2.0**-23


# ---------------------------------------------------------------- inserts


def test_inserts_fade_inside_their_spans_alone(tmp_path):
    save_wav(tmp_path / "old.wav", np.full(32_000, 0.5, np.float32))
    save_wav(tmp_path / "new.wav", np.full(2_000, -0.5, np.float32))
    inserts = [Insert(8_000, 12_000, tmp_path / "new.wav", 8_000), Insert(12_000, 13_000, tmp_path / "new.wav", 12_000)]
    sound = DubbedSound(tmp_path / "old.wav", (16_000, "mono"), inserts)
    out = np.concatenate([sound.take(k)[0] for k in (1, 7_999, 3_000, 9_000, 12_000, 100)])
    sound.close()
    fade = round(FADE * 16_000)
    np.testing.assert_allclose(out[:8_000], 0.5, atol=1e-4)
    np.testing.assert_allclose(out[13_000:32_000], 0.5, atol=1e-4)
    np.testing.assert_allclose(out[8_000 + fade : 10_000], -0.5, atol=1e-4)
    np.testing.assert_allclose(out[10_000:12_000], 0, atol=1e-4)  # the new sound has ended, and the old is not heard
    np.testing.assert_allclose(out[12_000 + fade : 13_000 - fade], -0.5, atol=1e-4)
    assert np.abs(np.diff(out[8_000 - 5 : 8_000 + fade + 5])).max() < 2.0 / fade  # no click
    assert np.array_equal(out[32_000:], np.zeros(100))


def test_a_clip_without_sound_is_silent_outside_spans(tmp_path):
    save_wav(tmp_path / "new.wav", np.full(16_000, 0.5, np.float32))
    sound = DubbedSound(None, (48_000, "stereo"), [Insert(4_800, 9_600, tmp_path / "new.wav", 0)])
    out = sound.take(20_000)
    sound.close()
    assert (
        out.shape == (2, 20_000) and not out[:, :4_800].any() and not out[:, 9_600:].any() and out[:, 7_000].min() > 0.3
    )


def test_sound_around_spans_is_read_once():
    pieces = iter(np.split(np.arange(100, dtype=np.float32), [7, 30, 31]))
    heard_ = Heard(pieces)
    np.testing.assert_array_equal(heard_.between(5, 35), np.arange(5, 35))
    np.testing.assert_array_equal(heard_.between(2, 40), np.arange(2, 40))
    heard_.forget(39)
    heard_.forget(10)
    np.testing.assert_array_equal(heard_.between(39, 41), [39, 40])
    heard_.forget(90)
    np.testing.assert_array_equal(heard_.between(95, 105), [95, 96, 97, 98, 99, 0, 0, 0, 0, 0])
    np.testing.assert_array_equal(heard_.between(300, 302), [0, 0])


def test_rates_and_layouts_of_the_source_are_kept(tmp_path):
    for rate, channels, expected in (
        (22050, 1, (22050, "mono")),
        (96000, 2, (96000, "stereo")),
        (48000, 6, (48000, "5.1")),
    ):
        ffmpeg("-f", "lavfi", "-i", f"sine=r={rate}:d=0.2", "-ac", channels, tmp_path / f"{rate}.wav")
        assert own_form(tmp_path / f"{rate}.wav") == expected
    assert Soundtrack(tmp_path / "22050.wav").rate == 48000  # of sound that is the user's: as it was
