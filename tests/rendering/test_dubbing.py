"""Dubbing on the synthetic speaker: what changes lies inside the spans."""

from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from speech2lip import dub, render
from speech2lip.cli import main
from speech2lip.errors import UserError
from speech2lip.media.decode import read_pictures
from speech2lip.media.probe import probe
from speech2lip.media.sound import SAMPLE_RATE, load_audio, save_wav
from speech2lip.media.soundtrack import Soundtrack, own_form
from speech2lip.metrics.basic import correlation
from speech2lip.rendering.dubbing import _Dubbing, _Voice
from speech2lip.rendering.predictor import Predictor
from speech2lip.rendering.walk import eased, joined

FPS = 25
SPANS = [(0, 20), (60, 90), (90, 101)]


def planes(path: Path) -> list[np.ndarray]:
    return [picture.planes for picture in read_pictures(path, FPS)]


def times(folder: Path, rows: list[str]) -> Path:
    path = folder / "times.csv"
    path.write_text("\n".join(["start,end,audio,text", *rows]))
    return path


@pytest.fixture(scope="module")
def source(subject_config) -> Path:
    return Path(subject_config.data.root) / "source.mp4"


@pytest.fixture(scope="module")
def loud(clip, tmp_path_factory) -> Path:
    """Half a second of speech of the same speaker, louder."""
    path = tmp_path_factory.mktemp("loud") / "loud.wav"
    save_wav(path, np.clip(2 * load_audio(clip / "speaker.wav")[16_000:24_000], -1, 1))
    return path


@pytest.fixture(scope="module")
def dubbed(model_path, loud, tmp_path_factory, clip) -> tuple[Path, Path, object, object]:
    """The clip, dubbed by default and without loss."""
    folder = tmp_path_factory.mktemp("dubbed")
    rows = [f"{a / FPS},{b / FPS},{loud if k == 0 else ''}," for k, (a, b) in enumerate(SPANS)]
    given = times(folder, rows)
    plain = dub(model_path, given, folder / "plain.mp4", clip / "speaker.wav", device="cpu")
    exact = {"render.crf": 0, "render.lossless_sound": True, "render.preset": "ultrafast"}
    lossless = dub(model_path, given, folder / "exact.mkv", clip / "speaker.wav", device="cpu", settings=exact)
    return folder / "plain.mp4", folder / "exact.mkv", plain, lossless


def test_without_loss_everything_outside_the_spans_is_the_source(dubbed, source):
    _, out, _, report = dubbed
    old, new = planes(source), planes(out)
    assert len(old) == len(new) == report.frames
    inside = {k for a, b in SPANS for k in range(a, b)}
    for k, (real, found) in enumerate(zip(old, new, strict=True)):
        if k not in inside:
            np.testing.assert_array_equal(found, real)
    assert sum((new[k] != old[k]).any() for k in inside) > 0.9 * len(inside)
    form = own_form(source)
    count = round(len(old) / FPS * form[0])
    a, b = (Soundtrack(path, *form).take(count) for path in (source, out))
    outside = np.ones(count, bool)
    for start, end in SPANS:
        outside[round(start / FPS * form[0]) : round(end / FPS * form[0])] = False
    assert np.abs(a - b)[:, outside].max() <= 2.0**-23
    assert np.abs(a - b)[:, : form[0] // 2].max() > 0.02  # louder speech


def test_by_default_packets_of_the_source_stay(dubbed, source):
    out, _, report, _ = dubbed
    with av.open(str(source)) as container:
        packets = [bytes(p) for p in container.demux(video=0) if p.size]
        form = container.streams.video[0].average_rate, container.streams.audio[0].rate
    with av.open(str(out)) as container:
        found = [bytes(p) for p in container.demux(video=0) if p.size]
        assert (container.streams.video[0].average_rate, container.streams.audio[0].rate) == form
    assert len(found) == len(packets)
    same = [x == y for x, y in zip(packets, found, strict=True)]
    assert same.count(False) == report.encoded and not report.picture and not report.sound
    assert report.encoded < len(packets) and not any(same[:20]) and same[-1]
    old, new = planes(source), planes(out)
    last = max(k for k, kept in enumerate(same) if not kept)
    assert all(np.array_equal(a, b) for a, b in zip(old[last + 1 :], new[last + 1 :], strict=True))
    assert probe(out).video.stored == probe(source).video.stored
    assert "own packets" in str(report)


def test_the_mouth_leaves_and_meets_the_source_without_a_jump(dubbed, source):
    """From frame to frame the lower half moves at the ends of a span no more than it does inside or in the source."""
    out = dubbed[1]
    half = slice(192, 384)
    old, new = ([p[half].astype(float) for p in planes(path)] for path in (source, out))
    moved = [np.array([np.abs(b - a).mean() for a, b in pairwise(c)]) for c in (old, new)]
    for start, end in ((60, 101),):
        usual = max(moved[1][start + 2 : end - 2].max(), moved[0][start - 5 : start + 5].max())
        assert moved[1][start - 1] < usual and moved[1][end - 1] < usual


def test_at_the_ends_of_spans_the_shape_is_the_sources_own():
    own, share = eased([(10, 30), (30, 40), (95, 100)], 100, 4)
    assert joined([(10, 30), (30, 40), (95, 100)]) == [(10, 40), (95, 100)]
    np.testing.assert_allclose(own[9:16], [0, 0.8, 0.6, 0.4, 0.2, 0, 0], atol=1e-6)
    np.testing.assert_allclose(share[8:14], [1, 1, 1 / 3, 2 / 3, 1, 1], atol=1e-6)
    np.testing.assert_allclose(own[34:41], own[9:16][::-1], atol=1e-6)
    assert own[95] == pytest.approx(0.8) and own[99] == 0 and share[99] == 1  # nothing follows the end of the clip
    assert not eased([(0, 100)], 100, 4)[0].any() and eased([(5, 9)], 20, 0)[1].all()


def test_codes_are_measured_where_the_shape_is_the_sources_own(model_path, subject_config):
    predictor = Predictor.open(model_path, subject_config.data.root, "cpu")
    windows = predictor.features(Path(subject_config.data.root) / "source.mp4")
    order = np.arange(40, 50)
    plain = predictor.codes(windows[order], order)[1]
    predictor.own[45:] = 1.0
    mixed = predictor.as_in_source(plain, order)
    import torch

    mouth = torch.from_numpy(predictor.track.mouth[45:50]).float()
    torch.testing.assert_close(mixed[:5], plain[:5])
    torch.testing.assert_close(mixed[5:], predictor.model.measured_codes(mouth, torch.arange(45, 50)))


def test_spans_hear_what_is_said_around_them(model_path, subject_config, clip):
    """Windows do not depend on which spans were heard before; in the middle of a long span they are those of its sound."""
    predictor = Predictor.open(model_path, subject_config.data.root, "cpu")
    wav = clip / "speaker.wav"
    voices = [_Voice(a, b, wav, 0.0) for a, b in ((20, 60), (65, 80), (85, 200), (300, 310))]
    both = _Dubbing(predictor, voices)
    for start, stop in [(v.start, v.stop) for v in voices]:
        found = both._windows(start, stop)
        assert len(found) == stop - start
        np.testing.assert_allclose(found[:], _Dubbing(predictor, voices)._windows(start, stop)[:], atol=1e-5)
    whole = predictor.features(wav)
    middle = _Dubbing(predictor, voices)._windows(85, 200)[np.arange(40, 75)]
    assert correlation(middle.ravel(), whole[np.arange(125, 160)].ravel()) > 0.95


def test_text_is_spoken_and_seen(model_path, source, tmp_path):
    srt = tmp_path / "times.srt"
    srt.write_text("1\n00:00:01,000 --> 00:00:02,600\nMy mum made bread.\n")
    out = tmp_path / "out.mov"
    assert (
        main(["render", "--model", str(model_path), "--segments", str(srt), "--out", str(out), "--device", "cpu"]) == 0
    )
    rate = own_form(source)[0]
    old, new = (Soundtrack(p, rate, "mono").take(4 * rate)[0] for p in (source, out))
    assert not np.array_equal(old[rate : 2 * rate], new[rate : 2 * rate]) and np.array_equal(old[:rate], new[:rate])
    assert len(planes(out)) == len(planes(source))


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["0,1,none.wav,"], "line 2: .*none.wav does not exist"), (["0,1,,hello", "2,3,,"], "line 3: nothing is said there"),
        (["0,0.4,LOUD,"], r"line 2: .*loud.wav lasts 0.50 s and its span 0.40 s"), (["0,1,LOUD,", "500,501,LOUD,"], "line 3: the span ends at 501 s, but the clip at"),
        (["0,0.3,,Far too many words for such a little while that it is"], "line 2: .*is spoken fast"),
    ],
)  # fmt: skip
def test_spans_that_cannot_be_spoken_are_refused_by_their_line(model_path, loud, tmp_path, rows, said):
    given = times(tmp_path, [row.replace("LOUD", str(loud)) for row in rows])
    with pytest.raises(UserError, match=said):
        dub(model_path, given, tmp_path / "out.mp4", device="cpu")
    assert not (tmp_path / "out.mp4").exists()


def test_inputs_are_not_written_over(model_path, loud, source, tmp_path):
    given = times(tmp_path, [f"0,1,{tmp_path / 'voice.mkv'},"])
    (tmp_path / "voice.mkv").write_bytes(loud.read_bytes())
    for out in (tmp_path / "voice.mkv", source):
        with pytest.raises(UserError, match="is the input"):
            dub(model_path, given, out, device="cpu")
    with pytest.raises(UserError, match="cannot hold sound without loss"):
        dub(model_path, given, tmp_path / "out.ts", device="cpu", settings={"render.lossless_sound": True})


@pytest.mark.parametrize("setting", [{"render.pose": "hold"}, {"render.pose_scale": 0.5}, {"render.loop": [0, 20]}])
def test_heads_and_order_are_the_sources(model_path, loud, tmp_path, setting):
    given = times(tmp_path, [f"0,1,{loud},"])
    with pytest.raises(UserError, match=r"leave render\.pose"):
        dub(model_path, given, tmp_path / "out.mp4", device="cpu", settings=setting)
    assert not (tmp_path / "out.mp4").exists()


def test_options_that_do_not_go_together_are_refused(model_path, tmp_path, capsys):
    base = ["render", "--model", str(model_path), "--out", str(tmp_path / "o.mp4")]
    for options, said in (
        (["--segments", "t.srt", "--stream"], "--segments and --stream"), (["--segments", "t.srt", "--start", "3"], "--segments and --start"),
        (["--audio", "a.wav", "--stream", "--keep-length"], "--stream and --keep-length"), ([], "no sound was given"),
        (["--segments", "t.srt", "--audio", "-"], "--segments and --audio -"), (["--segments", "t.srt"], "t.srt does not exist"),
    ):  # fmt: skip
        assert main([*base, *options]) == 2 and said in capsys.readouterr().err


def test_a_render_can_be_as_long_as_its_source(model_path, source, loud, clip, tmp_path):
    out = tmp_path / "out.mp4"
    settings = {"render.keep_length": True, "render.preset": "ultrafast"}
    count = render(model_path, loud, out, device="cpu", settings=settings)
    assert count == len(planes(source)) == len(planes(out))
    silent = Soundtrack(out).take(48_000 * 3)[0, 48_000:]
    assert np.abs(silent).max() < 0.01
    wav = load_audio(clip / "speaker.wav")
    save_wav(tmp_path / "long.wav", np.concatenate([wav, np.zeros(SAMPLE_RATE, np.float32)]))
    with pytest.raises(UserError, match=r"long\.wav lasts .* leave out --keep-length"):
        render(model_path, tmp_path / "long.wav", tmp_path / "no.mp4", device="cpu", settings=settings)
