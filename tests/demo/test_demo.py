import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from speech2lip.demo.head import SKIN, build_head, hair_mask
from speech2lip.demo.picture import Painter, working_size
from speech2lip.demo.render import FrameState, HeadRenderer
from speech2lip.demo.speaker import TRAINING_SENTENCES, Script, render_frames, write_script
from speech2lip.demo.speech import mouth_track, viseme_of
from speech2lip.geometry.rasterizer_cpu import visible
from speech2lip.metrics.basic import best_lag, correlation
from speech2lip.voice.synthesis import synthesize


def _state(opening: float) -> FrameState:
    return FrameState(np.eye(3), np.array([0, -8, 610.0]), (opening, 0.0, 0.0))


def test_speech_is_repeatable_and_timed():
    a, _, b = (synthesize(text) for text in ("My mum made bread.", "Something else.", "My mum made bread."))
    np.testing.assert_array_equal(a.wav, b.wav)
    assert a.phonemes == b.phonemes
    starts = [t for t, _ in a.phonemes]
    assert starts == sorted(starts) and 0.5 < a.duration < 3 and starts[-1] <= a.duration


def test_lips_close_for_m_and_open_for_a():
    utterance = synthesize("mama")
    track = mouth_track(utterance, np.arange(0, utterance.duration, 0.01))
    starts = {name.strip("',"): t for t, name in reversed(utterance.phonemes)}
    assert track[int((starts["m"] + 0.03) * 100), 0] == 0
    assert track[:, 0].max() > 8
    assert viseme_of("'aI").opening > viseme_of("i:").opening > viseme_of("b").opening


def test_unknown_voice_is_an_error():
    with pytest.raises(RuntimeError, match="nobody"):
        synthesize("a", voice="nobody")


def test_opening_in_the_picture_is_the_opening_of_the_rig():
    """The inner lips' gap in pixels is focal length x opening / distance, for a frontal head."""
    renderer = HeadRenderer(384)
    shut, wide = renderer.lip_points(_state(0.0)), renderer.lip_points(_state(12.0))
    depth = renderer.camera_vertices(_state(0.0))[:, 2]
    assert np.linalg.norm(shut[0] - shut[1]) < 0.01
    gap = np.linalg.norm(wide[0] - wide[1])
    low, high = 12 * renderer.camera.focal / 610, 12 * renderer.camera.focal / depth.min()
    assert low < gap < high * 1.02


def test_mouth_moves_only_the_lower_face():
    renderer = HeadRenderer(192, 350.0)
    a, b = renderer.render(_state(0.0)).astype(int), renderer.render(_state(14.0)).astype(int)
    changed = np.abs(a - b).max(2) > 3
    ys, xs = np.nonzero(changed)
    assert changed.any() and ys.min() > 95 and xs.min() > 55 and xs.max() < 137


def test_script_covers_the_promised_motion():
    script = write_script(TRAINING_SENTENCES)
    assert len(script.states) / script.fps >= 30
    yaw = Rotation.from_rotvec(script.poses().rotvec).as_euler("yxz", degrees=True)[:, 0]
    assert np.abs(yaw).max() == pytest.approx(15, abs=0.5)
    assert max(s.blink for s in script.states) > 0.9
    assert abs(len(script.wav) / 16000 - len(script.states) / 25) < 0.05


def test_lag_is_found_with_its_sign():
    rng = np.random.default_rng(0)
    signal = np.convolve(rng.normal(size=300), np.ones(5), "same")
    assert best_lag(signal[:-3], signal[3:])[0] == 3
    assert best_lag(signal[3:], signal[:-3])[0] == -3
    assert np.isnan(correlation(np.ones(10), np.arange(10.0)))


@pytest.mark.parametrize("yaw", [-15, 0, 15])
@pytest.mark.parametrize("opening", [0.0, 14.0])
def test_leaving_out_faces_that_look_away_changes_nothing(yaw, opening):
    rotation = Rotation.from_euler("yxz", [yaw, 4, 3], degrees=True).as_matrix()
    state = FrameState(rotation, np.array([0, -8, 600.0]), (opening, 0.1, 1.0))
    painter, renderer = Painter(192, 0), HeadRenderer(192, 350.0)
    posed, side = renderer.posed(state), working_size(192)
    facing = painter._facing(posed.pixels)
    some = visible(posed.pixels, posed.vertices[:, 2], painter.head.triangles[facing], side, side)
    every, _ = renderer.fragments(state, side)
    np.testing.assert_array_equal(facing[some.face], every.face[every.mask])
    assert len(facing) < 0.8 * len(painter.head.triangles)


def test_the_skins_texture_is_its_colour():
    """Colours read from the texture differ from the formula's by rounding, and by what is finer than a texel."""
    head, renderer = build_head(), HeadRenderer(384)
    skin = np.flatnonzero((head.part == SKIN) & (head.vertices[head.triangles][..., 2].max(1) < 0))
    corners = head.triangles[skin]
    weights = np.full((len(skin), 3), 1 / 3, np.float32)
    painter = Painter(384, 0)
    place = painter._places[skin].mean(1).T
    found = painter._albedo(skin, weights, place, _state(0.0))
    points = head.vertices[corners].mean(1)
    exact = renderer.skin_colour(
        points, head.ring[corners].mean(1), hair_mask(head.vertices)[corners].mean(1), _state(0.0)
    )
    error = np.abs(found - exact)
    assert np.median(error) < 0.01 and np.mean(error) < 0.03


def test_frames_of_several_processes_come_in_order():
    script = write_script(TRAINING_SENTENCES[:1])
    few = Script(script.wav, script.states[:24], script.fps)
    renderer = HeadRenderer(64, 700.0 * 64 / 384)
    for frame, state in zip(render_frames(few, 64, workers=2), few.states, strict=True):
        np.testing.assert_array_equal(frame, renderer.render(state))
