"""One table of the inputs that people bring, and what happens to each.

A row is a name, how its files are made (in an empty folder), and the command; and what is expected: either the
sentence of an error (a regular expression; the exit status is 2), or a property of what the command leaves (exit
status 0).

A video of stripes that is read as it should be ends with "no face"; a sound that is read ends where the model is
looked for. Both come before anything slow.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import input_maker as make
import numpy as np
from input_maker import Film


@dataclass(frozen=True)
class Place:
    """An empty folder, the current one; a subject and a model of it are there for rows that ask for them."""

    folder: Path
    subject: Callable[[], Path]
    model: Callable[[], Path]
    clip: Callable[[], Path]

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def sound(self) -> Path:
        path = self.folder / "speech.wav"
        return path if path.exists() else make.wav(path, make.speech())


Arguments = Sequence[object]
Made = Callable[[Place], Arguments]


@dataclass(frozen=True)
class Row:
    name: str
    made: Made
    said: str = ""
    holds: Callable[[Place], object] | None = None
    slow: bool = False


READ, HEARD = r"no face|shows a face in only", r"none\.pt"
NOT_MEDIA = r"cannot be read as video or audio|is empty|no video stream|no frames"


def preprocess(video: object, place: Place, *more: object) -> Arguments:
    return ["preprocess", "--video", video, "--audio", place.sound(), "--out", place / "s", *more]


def render(audio: object, place: Place, out: str = "o.mp4") -> Arguments:
    return ["render", "--model", place / "none.pt", "--audio", audio, "--out", place / out]


def film(name: str, file: str, said: str = READ, made: Film = Film(), **more: Any) -> Row:
    """A video file."""
    return Row(f"video: {name}", lambda p: preprocess(make.video(p / file, made), p), said, **more)


def file(name: str, made: Callable[[Place], object], said: str, **more: Any) -> Row:
    """Something given as a video."""
    return Row(f"video: {name}", lambda p: preprocess(made(p), p), said, **more)


def heard(name: str, made: Callable[[Place], object], said: str = HEARD, **more: Any) -> Row:
    """Something given as sound."""
    return Row(f"sound: {name}", lambda p: render(made(p), p), said, **more)


CONTAINERS = [
    film("mp4", "a.mp4"), film("mov", "a.mov"), film("mkv", "a.mkv"), film("ts", "a.ts"),
    film("webm", "a.webm", made=Film("libvpx-vp9", options={"cpu-used": "8", "deadline": "realtime"})),
    film("avi", "a.avi", made=Film("mpeg4")), film("m2ts", "a.m2ts", made=Film(format="mpegts")),
    film("flv", "a.flv", made=Film("flv")), film("3gp", "a.3gp", made=Film("mpeg4")),
    film("gif", "a.gif", made=Film("gif", "rgb8")), film("mpg", "a.mpg", made=Film("mpeg2video", format="mpeg")),
    film("ogv", "a.ogv", made=Film("libvpx", format="ogg", options={"cpu-used": "8", "deadline": "realtime"})),
    film("wmv", "a.wmv", made=Film("wmv2", format="asf")), film("m4v", "a.m4v", made=Film(format="mp4")),
    film("mxf", "a.mxf", made=Film("mpeg2video")), film("mp4 in pieces", "a.mp4", made=Film(container={"movflags": "frag_keyframe+empty_moov"})),
    film("mp4 named .avi", "a.avi", made=Film(format="mp4")), film("ts named .mp4", "a.mp4", made=Film(format="mpegts")),
    film("mkv named .txt", "a.txt", made=Film(format="matroska")), film("no suffix", "clip", made=Film(format="mp4")),
    film("capital suffix", "A.MP4", made=Film(format="mp4")), film("mp4 named .jpg", "a.jpg", made=Film(format="mp4")),
]  # fmt: skip

CODECS = [
    film("hevc", "a.mp4", made=Film("libx265", options={"x265-params": "log-level=error", "preset": "ultrafast"})),
    film("vp8", "a.mkv", made=Film("libvpx", options={"cpu-used": "8", "deadline": "realtime"})),
    film("av1", "a.mkv", made=Film("libsvtav1", options={"preset": "12"}), slow=True),
    film("mpeg2", "a.ts", made=Film("mpeg2video")), film("mjpeg", "a.avi", made=Film("mjpeg", "yuvj420p")),
    film("prores", "a.mov", made=Film("prores_ks", "yuv422p10le")), film("ffv1", "a.mkv", made=Film("ffv1")),
    film("huffyuv", "a.avi", made=Film("huffyuv", "yuv422p")), film("qtrle", "a.mov", made=Film("qtrle", "rgb24")),
    film("raw", "a.avi", made=Film("rawvideo", "yuv420p")), film("png pictures", "a.mov", made=Film("png", "rgb24")),
    film("sound beside it", "a.mp4", made=Film(sound="aac")), film("two pictures", "a.mkv", made=Film(videos=2)),
    film("two sounds", "a.mkv", made=Film(sound="aac", sounds=2)),
    film("cover first", "a.mkv", made=Film(cover=True, sound="aac")),
]  # fmt: skip

PIXELS = [
    film("4:2:2", "a.mp4", made=Film(pixels="yuv422p")), film("4:4:4", "a.mp4", made=Film(pixels="yuv444p")),
    film("10 bit", "a.mkv", made=Film(pixels="yuv420p10le")), film("full range", "a.mp4", made=Film(pixels="yuvj420p")),
    film("grey", "a.mkv", made=Film("ffv1", "gray")), film("odd size", "a.mkv", made=Film("ffv1", "yuv444p", (97, 65))),
    film("12 bit", "a.mkv", made=Film("ffv1", "yuv420p12le")), film("16 bit rgb", "a.mkv", made=Film("ffv1", "gbrp16le")),
    film("alpha, qtrle", "a.mov", READ, Film("qtrle", "argb")),
    film("alpha, prores", "a.mov", READ, Film("prores_ks", "yuva444p10le")),
    film("alpha, png", "a.mov", READ, Film("png", "rgba")),
    film("interlaced", "a.ts", made=Film("mpeg2video", options={"flags": "+ildct+ilme", "top": "1"})),
    film("anamorphic", "a.mp4", made=Film(context={"sample_aspect_ratio": Fraction(64, 45)})),
    file("turned", lambda p: make.turned(p / "a.mp4"), READ),
    film("bt601", "a.mp4", made=Film(options={"x264-params": "colorprim=smpte170m:transfer=smpte170m:colormatrix=smpte170m"})),
    film("bt2020", "a.mkv", made=Film(
        pixels="yuv420p10le", options={"x264-params": "colorprim=bt2020:transfer=arib-std-b67:colormatrix=bt2020nc"})),
    film("tiny", "a.mkv", made=Film("ffv1", "yuv420p", (16, 16))), film("narrow", "a.mkv", made=Film("ffv1", "yuv420p", (8, 400))),
    film("30 frames per second", "a.mp4", made=Film(rate=30)), film("100 frames per second", "a.mp4", made=Film(rate=100, frames=300)),
    film("one frame", "a.mp4", r"only 1 frames|1 frame|frames", Film(frames=1)),
    film("two frames", "a.mp4", r"frames", Film(frames=2)),
]  # fmt: skip


def _picture(path: Path) -> Path:
    import cv2

    path.parent.mkdir(parents=True, exist_ok=True)
    done, data = cv2.imencode(".png", np.full((48, 48, 3), 120, np.uint8))
    assert done
    path.write_bytes(data.tobytes())
    return path


def _folder(path: Path, count: int) -> Path:
    path.mkdir()
    for k in range(count):
        _picture(path / f"{k}.png")
    return path


def _playlist(place: Place, name: str, head: str, line: str = "{}") -> Path:
    secret = make.video(place / "secret.mp4")
    return make.text(place / name, f"{head}\n{line.format(secret)}\n")


M3U8 = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:3\n#EXTINF:3.0,"
PLAYLIST = r"playlist|cannot be read as video or audio"

DAMAGED = [
    file("half an mp4", lambda p: make.cut(make.video(p / "a.mp4"), 0.5), NOT_MEDIA),
    file("half an mkv", lambda p: make.cut(make.video(p / "a.mkv", Film(frames=200)), 0.6), r"of 200 frames|can be decoded"),
    file("half a ts", lambda p: make.cut(make.video(p / "a.ts"), 0.7), READ),
    file("scratched mkv", lambda p: make.scratched(make.video(p / "a.mkv", Film(frames=200, options={"g": "10"}))), r"of \d+ frames"),
    file("first bytes only", lambda p: make.cut(make.video(p / "a.mp4"), 0.02), NOT_MEDIA),
    file("empty", lambda p: make.text(p / "a.mp4", b""), NOT_MEDIA),
    file("zeros", lambda p: make.text(p / "a.mp4", bytes(100_000)), NOT_MEDIA),
    file("noise", lambda p: make.text(p / "a.mkv", np.random.default_rng(0).bytes(50_000)), NOT_MEDIA),
    file("text", lambda p: make.text(p / "a.mp4", "hello\n" * 50), NOT_MEDIA),
    file("web page", lambda p: make.text(p / "a.mp4", "<!doctype html><title>404</title>" * 20), NOT_MEDIA),
    file("zip", lambda p: make.text(p / "a.mp4", b"PK\x03\x04" + bytes(500)), NOT_MEDIA),
    file("unfinished download", lambda p: make.cut(make.video(p / "a.mp4.part", Film(format="mp4")), 0.9), NOT_MEDIA),
    file("picture", lambda p: _picture(p / "a.png"), "single image"),
    file("picture named .mp4", lambda p: _picture(p / "a.mp4"), r"image|frames"),
    file("sound", lambda p: p.sound(), "no video stream"),
    file("sound with a cover", lambda p: make.video(p / "a.mka", Film(videos=0, cover=True, sound="aac", format="matroska")), "no video stream|no frames|only 2[05] frames"),
    file("not there", lambda p: p / "a.mp4", "does not exist"),
    file("empty folder", lambda p: _folder(p / "f", 0), "no images|no pictures"),
    file("folder of texts", lambda p: make.text(_folder(p / "f", 0) / "a.txt", "x").parent, "no images|no pictures"),
    file("folder of two pictures", lambda p: _folder(p / "f", 2), "frames"),
    file("folder of pictures", lambda p: _folder(p / "f", 75), READ),
    file("folder named .mp4", lambda p: _folder(p / "f.mp4", 75), READ),
    file("folder with a damaged picture", lambda p: make.text(_folder(p / "f", 75) / "30.png", "x").parent, "30.png"),
    file("pipe", lambda p: make.fifo(p / "a.mp4"), r"pipe|regular file"),
    file("device", lambda p: Path("/dev/zero"), r"device|regular file|cannot be read"),
    file("link to itself", lambda p: make.link(p / "a.mp4", p / "a.mp4"), r"cannot be read|does not exist"),
    file("link to nothing", lambda p: make.link(p / "a.mp4", p / "b"), "does not exist"),
    file("link to a video", lambda p: make.link(p / "a.mp4", make.video(p / "b.mkv")), READ),
]  # fmt: skip

DOORS = [
    file("playlist", lambda p: _playlist(p, "a.m3u8", M3U8), PLAYLIST),
    file("playlist named .mp4", lambda p: _playlist(p, "a.mp4", M3U8), PLAYLIST),
    file("ffconcat named .mp4", lambda p: _playlist(p, "a.mp4", "ffconcat version 1.0", "file '{}'"), PLAYLIST),
    file("concat list", lambda p: _playlist(p, "a.txt", "", "file '{}'"), PLAYLIST),
    file("dash manifest", lambda p: make.text(p / "a.mpd", '<?xml version="1.0"?><MPD><BaseURL>secret.ts</BaseURL></MPD>'), "playlist"),
    file("session description", lambda p: make.text(p / "a.sdp", "v=0\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n"), NOT_MEDIA),
    file("pattern of pictures", lambda p: _folder(p / "f", 75) / "%d.png", "does not exist|single image"),
    *(
        file(f"address {start}", lambda p, start=start: f"{start}{make.video(p / 'a.ts')}", "does not exist")
        for start in ("file:", "http://127.0.0.1:9", "concat:", "subfile,,start,0,end,9,,:", "data:video/mp4;base64,AAAA", "pipe:0", "async:", "crypto:", "lavfi:")
    ),
    heard("playlist", lambda p: _playlist(p, "a.wav", M3U8), PLAYLIST),
    heard("address", lambda p: "http://127.0.0.1:9/a.wav", "does not exist"),
]  # fmt: skip


def _pair(scale: float = 1.0) -> np.ndarray:
    return np.stack([make.speech(), scale * make.speech()], -1)


SOUNDS = [
    *(heard(f"{rate} Hz", lambda p, rate=rate: make.wav(p / "a.wav", make.speech(1, rate), rate)) for rate in (8000, 11025, 44100, 96000, 192000)),
    *(heard(f"{kind} samples", lambda p, kind=kind: make.wav(p / "a.wav", make.speech(1), kind=kind)) for kind in ("u8", "s24", "s32", "f32", "f64")),
    *(heard(f"{n} channels", lambda p, n=n: make.wav(p / "a.wav", np.tile(make.speech(1)[:, None], n))) for n in (2, 6, 8)),
    *(heard(file, lambda p, file=file, codec=codec: make.sound(p / file, codec)) for file, codec in (
        ("a.mp3", "libmp3lame"), ("a.opus", "libopus"), ("a.flac", "flac"), ("a.m4a", "aac"), ("a.ac3", "ac3"), ("a.mp2", "mp2"), ("a.aiff", "pcm_s16be"))),
    heard("alac", lambda p: make.sound(p / "a.m4a", "alac")), heard("ogg", lambda p: make.sound(p / "a.ogg", "libopus")),
    heard("mp3 named .wav", lambda p: make.sound(p / "a.wav", "libmp3lame", "mp3")),
    heard("a video's", lambda p: make.video(p / "a.mp4", Film(sound="aac"))),
    heard("a video without", lambda p: make.video(p / "a.mp4"), "no audio track"),
    heard("size unknown (0)", lambda p: make.wav(p / "a.wav", make.speech(1), size=0)),
    heard("size unknown (all ones)", lambda p: make.wav(p / "a.wav", make.speech(1), size=2**32 - 1)),
    heard("header claims more", lambda p: make.wav(p / "a.wav", make.speech(1), size=10**8)),
    heard("header alone", lambda p: make.wav(p / "a.wav", np.zeros(0)), r"empty|shorter|undecodable|cannot be read"),
    heard("half a header", lambda p: make.cut(make.wav(p / "a.wav", make.speech(1)), 0.0006), NOT_MEDIA + "|no audio track|undecodable"),
    heard("0.01 s", lambda p: make.wav(p / "a.wav", make.speech(0.01)), r"0\.05 s"),
    heard("not numbers", lambda p: make.wav(p / "a.wav", np.full(RATE_, np.nan), kind="f32"), "not numbers|no numbers"),
    heard("infinite", lambda p: make.wav(p / "a.wav", np.full(RATE_, np.inf), kind="f32"), "not numbers|no numbers"),
    heard("silence", lambda p: make.wav(p / "a.wav", np.zeros(RATE_))),
    heard("text", lambda p: make.text(p / "a.wav", "hello " * 40), NOT_MEDIA),
    heard("empty", lambda p: make.text(p / "a.wav", ""), NOT_MEDIA),
    heard("folder", lambda p: _folder(p / "a.wav", 0), "no audio|folder|directory|no images|regular file"),
    heard("pipe", lambda p: make.fifo(p / "a.wav"), r"pipe|regular file"),
    heard("not there", lambda p: p / "a.wav", "does not exist"),
    Row("voice: silence", lambda p: ["preprocess", "--video", make.video(p / "a.mp4"), "--audio", make.wav(p / "q.wav", np.zeros(20 * RATE_)), "--out", p / "s"], "silent"),
    Row("voice: opposite channels", lambda p: ["preprocess", "--video", make.video(p / "a.mp4"), "--audio", make.wav(p / "q.wav", _pair(-1)), "--out", p / "s"], READ),
    Row("voice: none", lambda p: ["preprocess", "--video", make.video(p / "a.mp4"), "--out", p / "s"], r"no sound|no audio track"),
]  # fmt: skip
RATE_ = make.RATE

NAMES = [
    *(
        film(f"named {name!r}", name, made=Film("mpeg4", format="mp4"))
        for name in (
            "#1 intro.mp4", "talk #2.mp4", "Interview: part 1.mp4", "12:30.mp4", "007.mp4", "1e5.mp4", "true.mp4", "null.mp4", "[4K] me.mp4",
            "{a}.mp4", "@me.mp4", "!x.mp4", "*x.mp4", "&x.mp4", "${HOME}.mp4", "x%d.mp4", "it's me.mp4", 'say "hi".mp4', "two\nlines.mp4",
            "\x1b[31mred.mp4", "東京 👩‍🚀.mp4", "-x.mp4", "a;touch b.mp4", "$(touch b).mp4", "a|b.mp4", " .mp4", "n" * 251 + ".mp4",
            os.fsdecode(b"\xff\xfe.mp4"),
        )
    ),
    *(heard(f"named {name!r}", lambda p, name=name: make.wav(p / name, make.speech(1))) for name in ("12:30.wav", "-i.wav", "x%d.wav", "concat:a|b.wav")),
    *(
        Row(f"--name {name!r}", lambda p, name=name: preprocess(make.video(p / "a.mp4"), p, "--name", name), r"name is|name")
        for name in ("../x", "a/b", "..", "\0", "x" * 300)
    ),
]  # fmt: skip


def _blocked(place: Place) -> str:
    make.text(place / "file", "in the way")
    return "file/o.mp4"


def _run(place: Place, video: Path, out: object) -> Arguments:
    return ["run", "--video", video, "--audio", place.sound(), "--out", out, "--minutes", "1"]


def _out(name: str, out: str | Callable[[Place], str], said: str, **more: Any) -> Row:
    return Row(f"out: {name}", lambda p: render(p.sound(), p, out if isinstance(out, str) else out(p)), said, **more)


NO_VIDEO_NAME = r"ends in one of|cannot be written|cannot write"
PLACES = [
    _out("below a file", _blocked, "cannot write"), _out("where nothing can be written", "/proc/o.mp4", "cannot write"),
    _out("a folder", lambda p: _folder(p / "f.mp4", 0).name, r"folder|directory|cannot write"),
    _out("no suffix", "result", NO_VIDEO_NAME), _out(".gif", "o.gif", NO_VIDEO_NAME),
    _out(".webm", "o.webm", NO_VIDEO_NAME), _out(".wav", "o.wav", NO_VIDEO_NAME),
    _out("the sound itself", "speech.wav", r"same file|is the audio|ends in one of|itself"),
    Row("out: the video itself", lambda p: _run(p, make.video(p / "a.mp4", Film(sound="aac")), p / "a.mp4"), "is the input"),
    Row("out: a link to the video", lambda p: _run(p, make.video(p / "a.mp4", Film(sound="aac")), make.link(p / "o.mp4", p / "a.mp4")), "is the input"),
    Row("out: of a subject, a file", lambda p: ["preprocess", "--video", make.video(p / "a.mp4"), "--audio", p.sound(), "--out", make.text(p / "s", "x")], "cannot write"),
    Row("out: live, .avi", lambda p: ["render", "--stream", "--model", p.model(), "--audio", p.sound(), "--out", p / "o.avi"], r"\.mkv"),
]  # fmt: skip


def _yaml(content: str | bytes) -> Made:
    return lambda p: ["config", "--config", make.text(p / "c.yaml", content)]


def _setting(*words: str, said: str, **more: Any) -> Row:
    return Row(f"setting: {' '.join(words)[:40]}", lambda p: ["train", f"data.root={p / 's'}", *words], said, **more)


SETTINGS = [
    _setting("train.batch=many", said="train.batch is 'many'.*whole number"), _setting("train.batch=0", said="train.batch is 0, allowed"),
    _setting("train.batch=-3", said="train.batch"), _setting("train.batch=1e999", said="train.batch"), _setting("train.rate=nan", said="train.rate"),
    _setting("train.batch=2.5", said="train.batch"), _setting("train.steps=", said="train.steps"), _setting("train.minutes=soon", said="train.minutes"),
    _setting("trian.steps=3", said="trian.*train"), _setting("train=3", said="train is a section"), _setting("steps", said="key=value"),
    _setting("=3", said="key|setting"), _setting("train.device=cudaa", said="train.device"), _setting("render.crf=99", said="render.crf"),
    _setting("audio.backend=mel+mel", said="audio.backend"), _setting("model.blend.widths=[8]", said="model.blend.widths"),
    _setting("model.lip.width=100000000", said="model.lip.width"), _setting("name=../x", said="name is"), _setting("data.test_fraction=1.5", said="data.test_fraction"),
    _setting("--fresh", "train.steps=3", said="no preprocessed subject"),
    Row("settings: 5,000 brackets", _yaml("a: " + "[" * 5000 + "]" * 5000), r"c\.yaml"),
    Row("settings: nested mappings", _yaml("".join(" " * k + f"k{k}:\n" for k in range(300)) + " " * 301 + "x: 1\n"), r"c\.yaml"),
    Row("settings: inherit_from 5", _yaml("inherit_from: [5]\n"), "inherit_from"), Row("settings: from itself", _yaml("inherit_from: c.yaml\n"), "inherits|inherit_from"),
    Row("settings: no YAML", _yaml("a: [b\n"), "not valid YAML"), Row("settings: bytes", _yaml(b"\xff\xfe\x00a"), r"c\.yaml"), Row("settings: a list", _yaml("- a\n"), "list"),
    Row("settings: twice", _yaml("train: {steps: 3}\ntrain.steps: 4\n"), "twice"), Row("settings: anchors", _yaml("a: &a [x]\nb: *a\n"), r"c\.yaml"),
    Row("settings: an object", _yaml("name: !!python/object/apply:os.system [echo owned]\n"), r"c\.yaml"), Row("settings: unknown key", _yaml("tarin: {steps: 3}\n"), "tarin"),
    Row("settings: not there", lambda p: ["config", "--config", p / "c.yaml"], r"c\.yaml"), Row("settings: no such preset", lambda p: ["config", "--config", "fsat"], "fsat"),
    Row("settings: large", _yaml("# x\n" * 3_000_000), "larger"), Row("settings: a folder", lambda p: ["config", "--config", _folder(p / "c.yaml", 0)], r"c\.yaml"),
]  # fmt: skip


def _arrays(path: Path, **changed: Any) -> None:
    """An .npz file with other entries; None leaves one out."""
    with np.load(path, allow_pickle=False) as data:
        content = {**{name: data[name] for name in data.files}, **changed}
    np.savez(path, **{name: value for name, value in content.items() if value is not None})


def _json(**changed: Any) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        raw = json.loads((root / "subject.json").read_text())
        (root / "subject.json").write_text(json.dumps({**raw, **changed}))

    return change


def _subject(name: str, damage: Callable[[Path], object], said: str, **more: Any) -> Row:
    def made(place: Place) -> Arguments:
        root = place.subject()
        damage(root)
        return ["train", f"data.root={root}", f"train.output={place / 'log'}", "train.steps=2", "train.minutes=0"]

    return Row(f"subject: {name}", made, said, **more)


def _poses_of_nothing(root: Path) -> None:
    with np.load(root / "track.npz", allow_pickle=False) as data:
        shape = data["rotvec"].shape
    _arrays(root / "track.npz", rotvec=np.full(shape, np.nan))


def _other_picture(name: str, size: tuple[int, int], value: int = 90) -> Callable[[Path], object]:
    def change(root: Path) -> None:
        import cv2

        path = next((root / "images").glob("*.jpg")) if name == "images" else root / name
        path.unlink()
        cv2.imwrite(str(path), np.full((*size, 3), value, np.uint8))

    return change


SUBJECTS = [
    _subject("track empty", lambda r: make.text(r / "track.npz", b""), "track.npz"),
    _subject("track cut", lambda r: make.cut(r / "track.npz", 0.5), "track.npz"),
    _subject("track without poses", lambda r: _arrays(r / "track.npz", rotvec=None), "track.npz"),
    _subject("track of nothing", _poses_of_nothing, "track.npz"),
    _subject("track of objects", lambda r: np.savez(r / "track.npz", rotvec=np.array([{}], dtype=object)), "track.npz"),
    _subject("sound of another shape", lambda r: np.save(r / "audio/audio.npy", np.zeros((3, 4))), "audio.npy|audio features"),
    _subject("sound cut", lambda r: make.cut(r / "audio/audio.npy", 0.5), "audio.npy|audio features"),
    _subject("json: a list", lambda r: make.text(r / "subject.json", "[]"), "subject.json"),
    _subject("json: none", lambda r: make.text(r / "subject.json", "{"), "subject.json"),
    _subject("json: 5,000 brackets", lambda r: make.text(r / "subject.json", "[" * 5000), "subject.json"),
    _subject("json: 10^12 frames", _json(frames=10**12), "subject.json|frames"),
    _subject("json: crop of nothing", _json(crop={"x": 0, "y": 0, "side": 0, "size": 0}), "subject.json"),
    _subject("json: another version", _json(version=1), "version"), _subject("json: unknown entry", _json(run="x"), "subject.json"),
    _subject("json: fps is text", _json(fps="fast"), "subject.json"),
    _subject("json: not there", lambda r: (r / "subject.json").unlink(), "no preprocessed subject"),
    _subject("lip image of another size", _other_picture("images", (5, 5)), r"\.jpg"),
    _subject("lip mask black", _other_picture("canonical_lip_mask.png", (9, 9), 0), "canonical_lip_mask"),
    _subject("depth of another size", lambda r: np.save(r / "depth_face_canonical.npy", np.ones((3, 3))), "depth_face_canonical"),
    _subject("depth a text", lambda r: make.text(r / "depth_face_canonical.npy", "x"), "depth_face_canonical"),
    _subject("no lip images", lambda r: shutil.rmtree(r / "images"), "images"),
]  # fmt: skip


def _outside(root: Path) -> None:
    make.video(root.parent / "private.mp4")
    _json(source="../private.mp4")(root)
    (root / "source.json").unlink(missing_ok=True)


def _checkpoint(name: str, damage: Callable[[Path], object], said: str = r"model\.pt", **more: Any) -> Row:
    def made(place: Place) -> Arguments:
        path = place / "model.pt"
        shutil.copy(place.model(), path)
        damage(path)
        return ["render", "--model", path, "--audio", place.sound(), "--out", place / "o.mp4"]

    return Row(f"model: {name}", made, said, **more)


def _content(change: Callable[[dict], object]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        import torch

        content = torch.load(path, weights_only=True)
        change(content)
        torch.save(content, path)

    return damage


class _Runs:
    """A pickle that makes a file when it is loaded without care."""

    def __reduce__(self) -> Any:
        return os.system, ("touch owned",)


def _armed(path: Path) -> None:
    import torch

    torch.save({"format": "speech2lip-2", "config": _Runs()}, path)


def _nothing(content: dict) -> None:
    name = next(iter(content["state"]))
    content["state"][name] = content["state"][name] * np.nan


def _last(path: Path) -> None:
    shutil.copy(path.parent / "log" / "last.pt", path)


def _zip(path: Path, name: str) -> Path:
    import zipfile

    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, "x")
    return path


CHECKPOINTS = [
    _checkpoint("not there", lambda f: f.unlink()), _checkpoint("empty", lambda f: make.text(f, "")), _checkpoint("text", lambda f: make.text(f, "x" * 99)),
    _checkpoint("cut", lambda f: make.cut(f, 0.5)), _checkpoint("scratched", make.scratched), _checkpoint("that runs something", _armed),
    _checkpoint("without config", _content(lambda c: c.pop("config"))), _checkpoint("without weights", _content(lambda c: c.pop("state"))),
    _checkpoint("without metadata", _content(lambda c: c.pop("metadata"))), _checkpoint("of another format", _content(lambda c: c.update(format="x"))),
    _checkpoint("config a list", _content(lambda c: c.update(config=[]))), _checkpoint("weights that are no numbers", _content(_nothing)),
    _checkpoint("one weight less", _content(lambda c: c["state"].popitem())),
    _checkpoint("10^8 wide", _content(lambda c: c["config"]["model"]["lip"].update(width=10**8))),
    _checkpoint("unknown setting", _content(lambda c: c["config"].update(evil=1))),
]  # fmt: skip

OTHERS = [
    Row("source outside the subject", lambda p: (_outside(root := p.subject()), ["render", "--model", p.model(), "--data", root, "--audio", p.sound(), "--out", p / "o.mp4"])[1], "outside its folder"),
    Row("import: text as a checkpoint", lambda p: ["import", "checkpoint", make.text(p / "a.pt", "x")], r"a\.pt"),
    Row("import: empty folder", lambda p: ["import", "dataset", _folder(p / "d", 0)], "no pictures"),
    Row("import: text as settings", lambda p: ["import", "config", make.text(p / "a.yaml", "hello")], r"a\.yaml"),
    Row("import: settings that write elsewhere", lambda p: ["import", "config", make.text(p / "a.yaml", "data: {path: x}\ntraining: {out_dir: /etc/x}\n")], "below this one"),
    Row("subjects import: text", lambda p: ["subjects", "import", make.text(p / "a.zip", "hello")], r"a\.zip is no sound archive"),
    Row("subjects import: somebody's archive", lambda p: ["subjects", "import", _zip(p / "a.zip", "letter.txt")], "has no manifest"),
    Row("subjects import: a path that leads out", lambda p: ["subjects", "import", _zip(p / "a.zip", "../../owned")], "no plain place"),
    Row("subjects rename: a name that leads out", lambda p: ["subjects", "rename", "../subject", "x"], "no name of a subject"),
    Row("subjects remove: nobody", lambda p: ["subjects", "remove", "x", "--yes"], "no subject of this program"),
    Row("evaluate: nothing given", lambda p: ["evaluate"], "--model"), Row("evaluate: half a pair", lambda p: ["evaluate", "--generated", make.video(p / "a.mp4")], "--real"),
    Row("weights: no such file", lambda p: ["weights", "fetch", "x"], "named 'x'"), Row("weights: nothing vouches", lambda p: ["weights", "fetch", "gnm"], "--yes"),
    Row("train: no subject", lambda p: ["train", f"data.root={p / 's'}"], "no preprocessed subject"),
]  # fmt: skip

# ---------------------------------------------------------------- what is made, of the synthetic speaker


def _speaker(place: Place, name: str, **changed: Any) -> Arguments:
    """The first seconds of the speaker in another shape."""
    import av

    source, target = place.clip(), place / name
    made = Film(**{"sound": "aac", **changed})
    with av.open(str(source)) as clip, av.open(str(target), "w", format=made.format) as out:
        stream = make._stream(
            out, Film(**{**changed, "size": (clip.streams.video[0].width, clip.streams.video[0].height)})
        )
        heard = make._sound_stream(out, made.sound) if made.sound else None
        for number, frame in enumerate(clip.decode(video=0)):
            frame = frame.reformat(format=stream.pix_fmt)
            frame.pts, frame.time_base, frame.pict_type = number, 1 / made_rate(made), 0
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if heard is not None:
            from speech2lip.media.sound import load_audio

            wave = load_audio(source.with_suffix(".wav"))
            make._write_sound(out, heard, np.interp(np.arange(len(wave) * 3) / 3, np.arange(len(wave)), wave))
    return ["preprocess", "--video", target, "--out", place / "s"]


def made_rate(film: Film) -> Any:
    return Fraction(film.rate)


def _has(frames: bool = True) -> Callable[[Place], object]:
    """The subject has every frame of the speaker's clip, at its size."""

    def holds(place: Place) -> bool:
        import av

        raw = json.loads((place / "s" / "subject.json").read_text())
        with av.open(str(place.clip())) as clip:
            count, size = clip.streams.video[0].frames, [clip.streams.video[0].width, clip.streams.video[0].height]
        return abs(raw["frames"] - count) <= 1 and raw["size"] == size and raw["fps"] == 25

    return holds


def _whole(name: str, file: str, **changed: Any) -> Row:
    return Row(f"subject of: {name}", lambda p: _speaker(p, file, **changed), holds=_has(), slow=True)


WHOLE = [
    _whole("mkv", "a.mkv"), _whole("ts", "a.ts"), _whole("avi, mpeg4", "a.avi", codec="mpeg4"), _whole("10 bit", "a.mkv", pixels="yuv420p10le"),
    _whole("prores", "a.mov", codec="prores_ks", pixels="yuv422p10le"), _whole("vp9", "a.webm", codec="libvpx-vp9", sound="libopus", options={"cpu-used": "8", "deadline": "realtime"}),
    _whole("4:4:4", "a.mp4", pixels="yuv444p"), _whole("mjpeg", "a.avi", codec="mjpeg", pixels="yuvj420p"),
]  # fmt: skip

ROWS = [
    *CONTAINERS,
    *CODECS,
    *PIXELS,
    *DAMAGED,
    *DOORS,
    *SOUNDS,
    *NAMES,
    *PLACES,
    *SETTINGS,
    *SUBJECTS,
    *CHECKPOINTS,
    *OTHERS,
    *WHOLE,
]
