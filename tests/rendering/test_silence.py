"""The mouth over time: at rest where nobody speaks, and steadied."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from speech2lip import listen
from speech2lip.cli import main
from speech2lip.config import changed, with_changes
from speech2lip.facemesh import opening_of_points
from speech2lip.media.sound import SAMPLE_RATE, load_audio, save_wav
from speech2lip.model.checkpoint import load_checkpoint
from speech2lip.model.familiarity import LEAST, Familiarity, agreement, familiarity
from speech2lip.model.rest import Rest, presence_in, rest_of, resting_frames
from speech2lip.rendering.predictor import LivePainter, Predictor
from speech2lip.rendering.silence import STEADY_SECONDS, Delivery, HeardSpeech, LiveDelivery
from speech2lip.rendering.steady import kernel, lag, smoothed
from speech2lip.subject.index import parse_subject
from speech2lip.subject.layout import SubjectLayout
from speech2lip.training.trainer import Trainer


def _delivery(**changes) -> Delivery:
    rest = Rest(torch.tensor([1.0, -2.0, 0.5]), torch.tensor([0.3, 0.2, 0.1]))
    return replace(Delivery(rest=rest, quiet=torch.tensor([0.0, 5.0])), **changes)


def _said(count: int = 60, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(count, 2, generator=random), 3 * torch.randn(count, 3, generator=random)


# ---------------------------------------------------------------- smoothing


@pytest.mark.parametrize("sigma", [1.0, 2.0])
def test_smoothing_keeps_slopes_and_curves_and_takes_jitter(sigma):
    t = torch.arange(80, dtype=torch.float64)
    inside = slice(8, -8)
    curve = torch.stack([0.3 * t + 2, 0.05 * (t - 40) ** 2], 1)
    np.testing.assert_allclose(smoothed(curve, sigma, False)[inside], curve[inside], atol=0.01 * sigma**2)
    noise = torch.randn(400, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert smoothed(noise, sigma, False).diff(n=2, dim=0).abs().mean() < 0.75 * noise.diff(n=2, dim=0).abs().mean()


def test_live_smoothing_is_late_by_what_it_says():
    ramp = torch.arange(60, dtype=torch.float64)[:, None]
    late = ramp - smoothed(ramp, 2.0, True)
    np.testing.assert_allclose(late[20:], lag(2.0), atol=1e-9)
    assert 1.0 < lag(2.0) < 2.0 and np.isclose(kernel(2.0, True)[7:].sum(), 0)
    past = ramp.clone()
    past[41:] = -1e6
    assert torch.equal(smoothed(ramp, 2.0, True)[:41], smoothed(past, 2.0, True)[:41])


def test_no_smoothing_changes_nothing():
    values = torch.randn(5, 3)
    assert torch.equal(smoothed(values, 0.0, False), values) and kernel(0.0, True).tolist() == [1.0]


# ---------------------------------------------------------------- delivery


def test_the_mouth_rests_where_nobody_speaks_and_says_what_it_would_elsewhere():
    embedding, codes = _said()
    presence = torch.linspace(0, 1, 60)
    presence[:5], presence[-5:] = 0, 1
    shown, mouth = _delivery()(embedding, codes, presence)
    assert (mouth[:5] == torch.tensor([1.0, -2.0, 0.5])).all() and (shown[:5] == torch.tensor([0.0, 5.0])).all()
    assert torch.equal(mouth[-5:], codes[-5:]) and torch.equal(shown[-5:], embedding[-5:])
    share = presence[30]
    torch.testing.assert_close(mouth[30], share * codes[30] + (1 - share) * torch.tensor([1.0, -2.0, 0.5]))


def test_natural_silence_moves_within_what_the_person_does():
    embedding, codes = _said()
    _, mouth = _delivery(calm=2.0)(embedding, codes, torch.zeros(60))
    away = (mouth - torch.tensor([1.0, -2.0, 0.5])).abs()
    assert (away <= torch.tensor([0.3, 0.2, 0.1]) + 1e-6).all() and (away.mean(0) > 0.02).all()
    calm, raw = (x.diff(n=2, dim=0).abs().mean() for x in (mouth, codes))
    assert calm < 0.1 * raw


def test_off_leaves_everything_as_it_is():
    embedding, codes = _said()
    shown, mouth = Delivery()(embedding, codes, torch.zeros(60))
    assert torch.equal(shown, embedding) and torch.equal(mouth, codes)


@given(st.lists(st.integers(0, 60), max_size=8))
def test_live_delivery_in_pieces_is_that_of_the_whole(cuts):
    embedding, codes = _said()
    presence = torch.rand(60, generator=torch.Generator().manual_seed(1))
    delivery = _delivery(calm=2.0, steady=1.5, causal=True)
    live = LiveDelivery(delivery)
    parts = [
        live(embedding[a:b], codes[a:b], presence[a:b])
        for a, b in zip([0, *sorted(cuts)], [*sorted(cuts), 60], strict=True)
        if b > a
    ]
    for made, whole in zip(zip(*parts, strict=True), delivery(embedding, codes, presence), strict=True):
        torch.testing.assert_close(torch.cat(made), whole, atol=1e-5, rtol=1e-5)


# ---------------------------------------------------------------- the person's rest


def _mouths(opening: np.ndarray) -> np.ndarray:
    out = np.zeros((len(opening), 57, 2), np.float32)
    out[:, 20:40, 1] = np.where(np.arange(20) < 11, 0.5, -0.5) * opening[:, None]
    return out


def test_frames_away_from_speech_are_rest_or_else_the_most_closed_ones():
    opening = np.tile(np.arange(20.0), 15)
    mouth, presence = _mouths(opening), np.ones(300)
    presence[100:130], presence[90:100] = 0, 0.5
    frames = np.arange(0, 250)
    assert resting_frames(mouth, frames, presence).tolist() == list(range(100, 130))
    presence[105:130] = 1
    closed = resting_frames(mouth, frames, presence)
    assert len(closed) == 12 and opening_of_points(mouth[closed]).max() <= np.sort(opening_of_points(mouth[frames]))[12]


def test_checkpoints_say_how_the_mouth_rests_and_older_ones_are_asked_of_the_folder(model_path, subject_config):
    layout = SubjectLayout(subject_config.data.root)
    new = load_checkpoint(model_path)
    assert len(new.metadata.rest) == 2 * new.config.model.lip.shape_codes
    old = replace(new, metadata=replace(new.metadata, rest=(), agreement=0.0))
    a, b = (Predictor(checkpoint, layout, "cpu").rest for checkpoint in (new, old))
    torch.testing.assert_close(
        a.codes, b.codes, atol=0.15, rtol=0
    )  # older ones do not know which frames a split guards
    index = parse_subject(layout, new.config.data.test_fraction)
    presence = presence_in(layout.audio, 25.0, index.subject.frames)
    shut = index.track.mouth[resting_frames(index.track.mouth, index.train, presence)]
    shown = new.model.basis.decode(a.codes[None]).numpy()
    assert opening_of_points(shown)[0] < np.percentile(opening_of_points(index.track.mouth[index.train]), 30)
    torch.testing.assert_close(a.codes, rest_of(new.model.basis, shut).codes, atol=1e-4, rtol=1e-4)


# ---------------------------------------------------------------- in use


@pytest.fixture(scope="module")
def pause(clip, tmp_path_factory):
    """Speech, 2.4 s of a hum and hiss that nobody says, speech."""
    sound = load_audio(clip / "speaker.wav")[: 3 * SAMPLE_RATE]
    level, count = float(np.sqrt((sound**2).mean())), round(2.4 * SAMPLE_RATE)
    random = np.random.default_rng(0)
    hum = np.sin(2 * np.pi * 220 * np.arange(count) / SAMPLE_RATE) + 0.3 * random.normal(size=count)
    file = tmp_path_factory.mktemp("pause") / "pause.wav"
    save_wav(file, np.concatenate([sound, (0.1 * level * hum).astype(np.float32), sound]))
    return file


def _predictor(model_path, subject_config, **settings) -> Predictor:
    checkpoint = load_checkpoint(model_path)
    config = with_changes(checkpoint.config, "render", {f"render.{k}": v for k, v in settings.items()})
    return Predictor(replace(checkpoint, config=config), SubjectLayout(subject_config.data.root), "cpu")


def _shown(predictor: Predictor, windows: HeardSpeech) -> np.ndarray:
    order = np.zeros(len(windows), int)
    return torch.cat([codes for _, _, codes, _ in predictor._heard(windows, order, 8)]).numpy()


def test_pauses_of_a_file_rest_the_mouth_and_off_does_not(model_path, subject_config, pause):
    close, off = (_predictor(model_path, subject_config, silence=mode) for mode in ("close", "off"))
    windows = close.features(pause)
    assert windows.presence[[30, 60, 150, 180]].min() == 1 and windows.presence[95:120].max() == 0
    shut, free = _shown(close, windows), _shown(off, windows)
    np.testing.assert_allclose(shut[95:120], np.tile(close.rest.codes, (25, 1)), atol=1e-5)
    assert np.abs(free[95:120] - shut[95:120]).max() > 0.05
    np.testing.assert_allclose(shut[windows.presence == 1], free[windows.presence == 1], atol=1e-5)
    ease = np.abs(np.diff(windows.presence)).max()
    assert ease < 0.31  # of one frame to the next: nothing pops


def test_what_is_heard_at_once_does_not_show_in_smoothing(model_path, subject_config, pause):
    """Speech is heard 64 windows at a time; a mouth at such an end is smoothed with those that follow."""
    steady = _predictor(model_path, subject_config, silence="off", steady=1)
    windows = steady.features(pause)
    raw = steady.codes(windows, np.zeros(len(windows), int))[1]
    np.testing.assert_allclose(_shown(steady, windows), smoothed(raw, 25 * STEADY_SECONDS, False), atol=1e-4)


def test_live_pauses_rest_the_mouth_too(model_path, subject_config, pause, monkeypatch):
    predictor = _predictor(model_path, subject_config)
    windows, shown = predictor.features(pause), []
    monkeypatch.setattr(predictor, "painted", lambda batch: shown.append(batch.codes) or [])
    painter = LivePainter(predictor)
    for at in range(0, len(windows), 7):
        part = np.arange(at, min(at + 7, len(windows)))
        list(painter.paint(HeardSpeech(windows[part], windows.presence[part])))
    painter.close()
    codes = torch.cat(shown).numpy()
    np.testing.assert_allclose(codes[95:120], np.tile(predictor.rest.codes, (25, 1)), atol=1e-5)
    assert np.abs(codes[30:60] - predictor.rest.codes.numpy()).max() > 0.05


def test_the_loop_is_walked_as_it_is_asked_for(model_path, subject_config, tmp_path, capsys):
    predictor = _predictor(model_path, subject_config, loop=[40, 59])
    assert predictor.walk(0, 100) == ((40, 60), 40) and predictor.walk(45, 100) == ((40, 60), 45)
    windows = np.zeros((30, *predictor.own_speech(np.zeros((1, 20, 656), np.float32)).windows.shape[1:]), np.float32)
    sources = [frame.source for frame in predictor.render(windows, 40, (40, 60))]
    assert sources == [*range(40, 60), *range(58, 48, -1)]
    save_wav(tmp_path / "a.wav", np.zeros(8000))
    command = [
        "render",
        "--model",
        str(model_path),
        "--audio",
        str(tmp_path / "a.wav"),
        "--out",
        str(tmp_path / "o.mp4"),
    ]
    for wrong, said in (
        (["--loop", "10"], "such as 100:349"), (["--loop", "30:20"], "first and last frame"),
        (["--loop", "0:99999"], "no source frame 99999"), (["--loop", "40:59", "--start", "9"], "outside the stretch"),
        (["--steady", "2"], "allowed is 0 to 1"), (["--articulation", "-1"], "allowed is 0 to 3"),
    ):  # fmt: skip
        assert main([*command, *wrong]) == 2 and said in capsys.readouterr().err, wrong
    assert not (tmp_path / "o.mp4").exists()


# ---------------------------------------------------------------- familiar sound


@pytest.mark.slow
def test_noise_makes_the_ears_disagree(subject_config, clip, tmp_path):
    """Ears that have learned something: hundreds of steps of speech, and a few with pictures."""
    train = {"steps": 330, "speech_share": 0.9, "speech_epochs": 1000, "articulate": 1.0, "output": str(tmp_path)}
    config = changed(subject_config, {f"train.{k}": v for k, v in train.items()} | {"sync.expert": "none"})
    assert Trainer(config).run()
    predictor = _predictor(tmp_path / config.name / "model.pt", config)
    sound = load_audio(clip / "speaker.wav")[: 8 * SAMPLE_RATE]
    noise = np.random.default_rng(0).normal(0, np.sqrt((sound**2).mean()), len(sound)).astype(np.float32)
    found = []
    for name, wav in (("clean", sound), ("noisy", sound + noise)):
        save_wav(tmp_path / f"{name}.wav", wav)
        heard = predictor.features(tmp_path / f"{name}.wav")
        clear = np.flatnonzero(predictor.features(tmp_path / "clean.wav").presence == 1)
        found.append(agreement(predictor.model, heard, clear))
    assert found[0] > 0.4 and found[1] < 0.9 * found[0], found
    assert not predictor.model.training


def test_far_sound_is_said_in_one_sentence_and_near_sound_is_not():
    assert Familiarity(0.7, 0.75).warning == "" and Familiarity(0.7, 0.75).verdict == "near"
    far = Familiarity(0.3, 0.75)
    assert "0.30" in far.warning and "0.75" in far.warning and far.verdict.startswith("far")
    assert Familiarity(0.55, 0.75).verdict.startswith("somewhat") and Familiarity(-0.2, 0.75).share == 0


def test_nothing_is_said_of_little_speech(model_path, subject_config, clip):
    predictor = _predictor(model_path, subject_config)
    heard = predictor.features(clip / "speaker.wav")
    few = np.where(np.arange(len(heard)) < LEAST - 1, heard.presence, 0)
    assert familiarity(predictor.model, heard, few, 0.7) is None
    assert familiarity(predictor.model, heard, heard.presence, 0.0) is None


def test_the_commands_of_the_page_on_features(model_path, clip, tmp_path, capsys):
    save_wav(tmp_path / "speech.wav", load_audio(clip / "speaker.wav")[: 2 * SAMPLE_RATE])
    model, audio, out = ["--model", str(model_path)], ["--audio", str(tmp_path / "speech.wav")], tmp_path / "result.mp4"
    knobs = ["--silence", "natural", "--articulation", "1.1", "--steady", "0.5", "--loop", "40:99"]
    assert main(["render", *model, *audio, "--out", str(out), *knobs]) == 0 and out.is_file()
    assert "50 frames" in capsys.readouterr().out
    assert main(["listen", *model, *audio, str(clip / "speaker.wav")]) == 0
    heard = listen(model_path, clip / "speaker.wav")
    assert heard.speech > 0.8 and (heard.familiarity is None or -1 <= heard.familiarity.agreement <= 1)
    short, long = capsys.readouterr().out.splitlines()
    assert "2.0 s" in short and "too little speech" in short and "speaker.wav" in long and "speech in " in long
