import dataclasses
import subprocess
import sys
import threading
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from speech2lip.arrays import Unsound
from speech2lip.audio.features import make_backend
from speech2lip.config import AudioConfig
from speech2lip.errors import UserError
from speech2lip.facemesh import opening_of_points
from speech2lip.geometry.camera import Poses
from speech2lip.media.decode import read_frames
from speech2lip.media.images import frame_files
from speech2lip.media.planes import Picture
from speech2lip.media.probe import probe
from speech2lip.media.sound import SAMPLE_RATE, load_audio, save_wav
from speech2lip.metrics.basic import correlation
from speech2lip.model.checkpoint import load_checkpoint
from speech2lip.model.metadata import ModelMetadata
from speech2lip.rendering.files import render_images, render_video
from speech2lip.rendering.live import render_live
from speech2lip.rendering.paste import paste_back
from speech2lip.rendering.predictor import Predictor, _painted_box
from speech2lip.rendering.walk import clear_stretch, forth_and_back
from speech2lip.subject.index import parse_subject
from speech2lip.subject.layout import SubjectLayout
from speech2lip.subject.records import Crop

CHANNELS = make_backend(AudioConfig()).channels


@given(st.integers(1, 300), st.integers(0, 50), st.integers(1, 60))
def test_walk_is_continuous_and_stays_inside(count, first, length):
    order = forth_and_back(count, min(first, length - 1), length)
    assert len(order) == count and order.min() >= 0 and order.max() < length
    assert order[0] == min(first, length - 1)
    if length > 1:
        assert (np.abs(np.diff(order)) == 1).all()


@pytest.fixture(scope="module")
def predictor(model_path, subject_config):
    return Predictor(load_checkpoint(model_path), SubjectLayout(subject_config.data.root), "cpu")


def test_every_pixel_outside_the_mask_is_the_source(predictor, subject_config):
    layout = SubjectLayout(subject_config.data.root)
    source = list(islice(read_frames(layout.source_path(predictor.subject), 25.0), 20))
    windows = np.random.default_rng(0).normal(size=(20, 20, CHANNELS)).astype(np.float32)
    for frame in predictor.render(windows):
        real = source[frame.source]
        assert frame.image.shape == real.shape
        changed = frame.full_mask > 0
        np.testing.assert_array_equal(frame.image[~changed], real[~changed])
        assert 0.005 < changed.mean() < 0.15
        assert (frame.image != real)[changed].any()


def test_walking_back_paints_on_the_right_frames(predictor, subject_config):
    """Past the end of the loop the same source frames return in reverse order."""
    layout = SubjectLayout(subject_config.data.root)
    source = list(islice(read_frames(layout.source_path(predictor.subject), 25.0), 60))
    windows = np.zeros((50, 20, CHANNELS), np.float32)
    frames = list(predictor.render(windows, 20, (10, 40)))
    assert [f.source for f in frames] == [*range(20, 40), *range(38, 9, -1), 11]
    for frame in frames[15:30]:
        kept = frame.full_mask == 0
        np.testing.assert_array_equal(frame.image[kept], source[frame.source][kept])


def test_frames_without_a_face_pass_untouched(predictor, subject_config):
    layout = SubjectLayout(subject_config.data.root)
    source = list(islice(read_frames(layout.source_path(predictor.subject), 25.0), 4))
    predictor.track.valid[2] = False
    try:
        frames = list(predictor.render(np.zeros((4, 20, CHANNELS), np.float32)))
    finally:
        predictor.track.valid[2] = True
    np.testing.assert_array_equal(frames[2].image, source[2])
    assert not frames[2].full_mask.any() and frames[1].full_mask.any()


def test_hidden_mouths_pass_untouched_and_painting_fades_towards_them(predictor, subject_config):
    layout = SubjectLayout(subject_config.data.root)
    source = list(islice(read_frames(layout.source_path(predictor.subject), 25.0), 12))
    windows, before = np.random.default_rng(0).normal(size=(12, 20, CHANNELS)).astype(np.float32), predictor.share

    def change() -> tuple[list, list[float]]:
        frames = list(predictor.render(windows))
        return frames, [float(np.abs(f.image.astype(int) - s).sum()) for f, s in zip(frames, source, strict=True)]

    plain, painted = change()
    predictor.share = before.copy()
    predictor.share[4:7], predictor.share[3] = 0, 0.5
    try:
        frames, faded = change()
    finally:
        predictor.share = before
    for k in (4, 5, 6):
        np.testing.assert_array_equal(frames[k].image, source[k])
        assert not frames[k].full_mask.any()
    assert 0.4 < faded[3] / painted[3] < 0.6 and frames[3].full_mask.max() <= 0.5
    np.testing.assert_array_equal(frames[9].image, plain[9].image)


def test_the_walk_avoids_hidden_mouths(predictor):
    hidden = predictor.track.hidden
    hidden[120:130] = True
    try:
        assert predictor.walk(0, 100) == ((0, predictor.subject.frames), 0)
        assert predictor.walk(0, 200) == ((0, 120), 0)
        assert predictor.walk(125, 50) == ((130, predictor.subject.frames), 130)
    finally:
        hidden[:] = False


def test_frames_that_stay_as_they_are_are_counted_with_what_avoids_them(predictor):
    hidden, total = predictor.track.hidden, predictor.subject.frames
    assert predictor.unpainted(0, 200, (0, total)) == ""
    hidden[60::70] = True  # the longest stretch is 69 frames, of 100 that are wanted
    try:
        loop, first = predictor.walk(0, 150)
        said = predictor.unpainted(first, 150, loop)
        assert said.startswith("2 of 150 frames show somebody else") and said.endswith(
            "; render.clear_seconds=2.7 avoids them"
        )
        assert clear_stretch(predictor.track.clear, 0, 150, round(2.7 * 25)) == (61, 130)
        hidden[:] = True
        assert predictor.unpainted(0, 9, (0, total)).endswith(
            "9 of 9 frames show somebody else, or something in front of the mouth: they stay as they are"
        )
    finally:
        hidden[:] = False


def test_speech_is_heard_a_little_ahead_of_the_frames(predictor):
    """Not all at once: memory does not grow with the length of the sound."""
    asked = []

    class Windows:
        def __len__(self):
            return 100_000

        def __getitem__(self, frames):
            asked.extend(frames)
            return np.zeros((len(frames), 20, CHANNELS), np.float32)

    frames = predictor.render(Windows())
    next(frames)
    assert asked == list(range(64))
    frames.close()


def test_audio_drives_the_mouth(predictor, subject_config):
    """Speech that was not trained on opens the predicted mouth as it opened the real one; the same speech
    backwards does not. Networks with random weights reach |r| < 0.2 here."""
    index = parse_subject(SubjectLayout(subject_config.data.root), subject_config.data.test_fraction)
    windows, real = index.windows[index.test], opening_of_points(index.track.mouth[index.test])

    def r(heard):
        codes = predictor.codes(heard, index.test)[1]
        return correlation(opening_of_points(predictor.model.basis.decode(codes).numpy()), real)

    assert r(windows) > 0.4 > r(windows[::-1].copy()) + 0.2


def test_frames_that_are_painted_side_by_side_are_those_of_one_thread(predictor):
    windows = np.random.default_rng(4).normal(size=(21, *predictor.features(predictor.layout.audio)[:1].shape[1:]))
    before, seen = torch.get_num_threads(), []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            seen.append([(f.source, f.image) for f in predictor.render(windows.astype(np.float32), first=2)])
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(before)
    assert [n for n, _ in seen[0]] == [n for n, _ in seen[1]] and len(seen[0]) == 21
    for (_, one), (_, other) in zip(*seen, strict=True):
        assert np.abs(one.astype(int) - other).max() <= 1


def test_an_error_of_a_painter_is_the_renders_and_its_threads_end(predictor, monkeypatch):
    def broken(_):
        raise UserError("no numbers")

    monkeypatch.setattr(predictor, "painted", broken)
    before, threads = torch.get_num_threads(), threading.active_count()
    with pytest.raises(UserError, match="no numbers"):
        list(predictor.render(predictor.features(predictor.layout.audio)[:9]))
    assert torch.get_num_threads() == before and threading.active_count() <= threads


def test_bfloat16_changes_no_visible_grey_level(predictor):
    """Networks in bfloat16 paint what they paint in float32, to within two of 255 levels."""
    windows = np.random.default_rng(0).normal(0, 1, (16, 20, CHANNELS)).astype(np.float32)
    before, shown = predictor.model.use_bf16, {}
    try:
        for reduced in (False, True):
            predictor.model.use_bf16 = reduced
            shown[reduced] = np.stack([f.image for f in predictor.render(windows)]).astype(int)
    finally:
        predictor.model.use_bf16 = before
    assert 1 <= np.abs(shown[True] - shown[False]).max() <= 2


@pytest.mark.parametrize("seconds", [0.5, 2.3])
def test_video_lasts_as_long_as_its_audio(model_path, subject_config, tmp_path, seconds):
    audio, out = tmp_path / "a.wav", tmp_path / "out.mp4"
    save_wav(audio, 0.1 * np.random.default_rng(0).standard_normal(int(seconds * SAMPLE_RATE)))
    count = render_video(model_path, audio, out)
    assert abs(count / 25 - seconds) <= 0.02 + 1e-9
    assert len(list(read_frames(out, 25.0))) == count
    assert abs(probe(out).duration - seconds) <= 0.04
    assert abs(len(load_audio(out)) / SAMPLE_RATE - count / 25) <= 0.04
    assert next(read_frames(out, 25.0)).shape == (384, 384, 3)


def test_test_split_is_rendered_as_numbered_frames_with_its_sound(model_path, subject_config, tmp_path):
    folder = tmp_path / "x" / "postfusion"
    count = render_images(model_path, Path(subject_config.data.root), folder)
    assert [p.name for p in frame_files(folder)][:2] == ["00000.jpg", "00001.jpg"]
    assert len(frame_files(folder)) == count
    assert abs(len(load_audio(tmp_path / "x" / "audio_test.wav")) / SAMPLE_RATE - count / 25) < 0.04


def test_crop_that_was_shrunk_is_enlarged_into_place():
    """A region painted red in a half-size crop lands on twice its pixels, softly mixed at the edge."""
    image = np.full((120, 160, 3), 100, np.uint8)
    pixels, mask = np.zeros((16, 16, 3), np.uint8), np.zeros((16, 16), np.float32)
    pixels[..., 0] = 200
    mask[4:12, 4:12] = 1
    frame = paste_back(Picture(image), pixels, mask, np.array([10, 12]), Crop(20, 10, 100, 50), 0)
    out, changed = frame.image, frame.full_mask > 0
    assert (out[10 + 2 * 18 : 10 + 2 * 22, 20 + 2 * 16 : 20 + 2 * 20] == [200, 0, 0]).all()
    np.testing.assert_array_equal(out[~changed], image[~changed])
    ys, xs = np.nonzero(changed)
    assert (xs.min(), xs.max()) == (20 + 2 * 14 - 1, 20 + 2 * 22) and ys.min() == 10 + 2 * 16 - 1


def test_checkpoint_of_another_preprocessing_is_refused(model_path, subject_config):
    from dataclasses import replace

    checkpoint = load_checkpoint(model_path)
    other = replace(checkpoint, metadata=replace(checkpoint.metadata, audio={"backend": "mel", "window": 16}))
    with pytest.raises(UserError, match="audio features"):
        Predictor(other, SubjectLayout(subject_config.data.root))


def _with_camera(subject, track):
    camera = dataclasses.replace(subject.camera, focal=subject.camera.focal * 1.5)
    return dataclasses.replace(subject, camera=camera), track


def _with_pose(subject, track):
    farther = track.poses.trans * np.array([1, 1, 1.5])
    return subject, dataclasses.replace(track, poses=Poses(track.poses.rotvec, farther))


def _with_frame(subject, track):
    return dataclasses.replace(subject, canonical_frame=subject.canonical_frame + 1), track


def _as_before(subject, track):
    noise = 1e-6 * np.random.default_rng(0).normal(size=track.poses.trans.shape)
    return subject, dataclasses.replace(track, poses=Poses(track.poses.rotvec, track.poses.trans + noise))


@pytest.mark.parametrize(
    ("changed", "older", "refused"),
    [
        (_with_camera, False, True), (_with_camera, True, True), (_with_pose, False, True), (_with_frame, False, True),
        (_with_pose, True, False), (_as_before, False, False),
    ],
)  # fmt: skip
def test_a_model_of_another_tracking_is_refused(model_path, subject_config, monkeypatch, changed, older, refused):
    """The lip box, sizes and rate are those of the training; older checkpoints know the camera alone."""
    layout = SubjectLayout(subject_config.data.root)
    subject = layout.load_subject()
    other, track = changed(subject, layout.load_track(subject))
    monkeypatch.setattr(SubjectLayout, "load_subject", lambda _: other)
    monkeypatch.setattr(SubjectLayout, "load_track", lambda *_: track)
    checkpoint = load_checkpoint(model_path)
    if older:
        checkpoint = dataclasses.replace(checkpoint, metadata=dataclasses.replace(checkpoint.metadata, geometry=()))
    if not refused:
        Predictor(checkpoint, layout, "cpu")
        return
    with pytest.raises(UserError, match=r"another tracking .* train again"):
        Predictor(checkpoint, layout, "cpu")


def test_metadata_of_older_checkpoints_have_no_geometry(model_path):
    metadata = load_checkpoint(model_path).metadata
    assert len(metadata.geometry) == 13
    older = {name: value for name, value in metadata.to_dict().items() if name != "geometry"}
    assert ModelMetadata.from_dict(older).to_dict() == older
    assert ModelMetadata.from_dict(metadata.to_dict()) == metadata
    for wrong in ([1.0], "13", [float("nan")] * 13, None):
        with pytest.raises(Unsound, match="geometry"):
            ModelMetadata.from_dict({**older, "geometry": wrong})


@pytest.mark.parametrize("start", [9999, -5])
@pytest.mark.parametrize("live", [False, True])
def test_a_start_outside_the_clip_is_refused_with_its_range(model_path, subject_config, tmp_path, start, live):
    wav, out = SubjectLayout(subject_config.data.root).audio, tmp_path / "a.mkv"
    with pytest.raises(UserError, match=rf"no source frame {start} .* frames 0 to \d+$"):
        if live:
            render_live(model_path, None, [], str(out), "cpu", start)
        else:
            render_video(model_path, wav, out, None, "cpu", start)
    assert not out.exists()


def test_the_clip_that_a_subject_was_made_from_is_not_written_over(model_path, clip):
    speaker = clip / "speaker.mp4"
    before = speaker.read_bytes()
    for live in (False, True):
        with pytest.raises(UserError, match="is the input itself"):
            if live:
                render_live(model_path, None, [], str(speaker), "cpu")
            else:
                render_video(model_path, clip / "speaker.wav", speaker, None, "cpu")
    assert speaker.read_bytes() == before


def test_vanished_source_is_named(model_path, subject_config):
    layout = SubjectLayout(subject_config.data.root)
    source = layout.source_path(layout.load_subject())
    hidden = source.with_suffix(".hidden")
    source.rename(hidden)
    try:
        with pytest.raises(UserError, match=r"source\.mp4"):
            Predictor(load_checkpoint(model_path), layout)
    finally:
        hidden.rename(source)


def test_where_nothing_may_be_painted_frames_stay_as_they_are(model_path, subject_config):
    painter = Predictor.open(model_path, subject_config.data.root)
    painter.model.space.lip_mask.zero_()
    windows = parse_subject(SubjectLayout(subject_config.data.root), 0.1).windows[:3]
    for frame in painter.render(windows):
        assert frame.image is frame.original and frame.mask.size == 0


@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 29)), max_size=6))
def test_the_painted_box_holds_all_that_an_enlarged_mask_reaches_and_little_more(spots):
    mask = torch.zeros(2, 1, 20, 30)
    for k, (y, x) in enumerate(spots):
        mask[k % 2, 0, y, x] = 0.3
    rows, columns = _painted_box(mask)
    if not spots:
        assert rows.stop - rows.start == columns.stop - columns.start == 0
        return
    reached = torch.nn.functional.interpolate(mask, scale_factor=4, mode="bilinear", align_corners=False) > 0
    reached[:, :, 4 * rows.start : 4 * rows.stop, 4 * columns.start : 4 * columns.stop] = False
    assert not reached.any()
    ys, xs = np.array(spots).T
    assert rows.stop - rows.start <= np.ptp(ys) + 5 and columns.stop - columns.start <= np.ptp(xs) + 5


def test_opening_a_model_loads_no_compiler(model_path):
    """PyTorch's takes a second and sixty megabytes, and comes with operations on tensors without numbers."""
    code = "import sys; from speech2lip import load_checkpoint; load_checkpoint(sys.argv[1]); print(sorted({'torch._dynamo', 'sympy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code, str(model_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
