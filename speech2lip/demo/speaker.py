"""The synthetic speaker's script: what is said, how the head moves, and the ground truth."""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from ..files import atomic_path
from ..geometry.camera import Poses
from ..media.encode import VideoWriter
from ..media.sound import SAMPLE_RATE, save_wav
from ..progress import track
from ..voice.synthesis import synthesize
from .picture import FrameState, paint
from .render import HeadRenderer
from .speech import mouth_track

TRAINING_SENTENCES = (
    "The quick brown fox jumps over the lazy dog, but my mum prefers warm bread and butter.",
    "We were away a year ago, when five thousand people gathered by the river.",
    "Please show me the blue book above the wooden table near the open window.",
    "Why would anybody throw fresh flowers into the fire on a Monday morning?",
    "Bob and Mary bought purple apples, pumpkins, and a very big map of Europe.",
    "She sells sea shells, and he chooses cheese and juice for the children.",
    "Our boy enjoys loud music, while both of us would rather walk home slowly.",
    "Good food should feel smooth, look beautiful, and never be too cool.",
    "Papa moved the piano upstairs before the movers arrived at half past four.",
    "Every evening I read a little poem, and then I think about what it means.",
    "Give them enough time to finish the job, and they will manage it perfectly.",
    "What a lovely voice you have, and how far it carries across the valley!",
)
HELD_OUT_SENTENCE = "Maybe you have never heard these words before, but my mouth moves with them all the same."
_AHEAD = 4  # frames per process that may wait to be drawn or written
_PAUSE = 0.36  # seconds of silence between sentences


@dataclass(frozen=True)
class Script:
    """wav: [samples] 16 kHz; states: one FrameState per frame at `fps`."""

    wav: np.ndarray
    states: tuple[FrameState, ...]
    fps: float

    @property
    def mouth(self) -> np.ndarray:
        """[T, 3] opening (mm), width, protrusion."""
        return np.array([s.mouth for s in self.states])

    def poses(self) -> Poses:
        """Head -> camera poses in the synthetic head's own space."""
        rotation = Rotation.from_matrix(np.stack([s.rotation for s in self.states]))
        return Poses(rotation.as_rotvec(), np.stack([s.trans for s in self.states]))


def write_script(sentences: tuple[str, ...], seed: int = 0, fps: float = 25.0, distance: float = 610.0) -> Script:
    """Speech, mouth, head motion (yaw +-15 degrees), blinks and gaze for some sentences."""
    silence = np.zeros(int(_PAUSE * SAMPLE_RATE), np.float32)
    pieces, mouths, elapsed = [silence], [], _PAUSE
    for sentence in sentences:
        utterance = synthesize(sentence)
        mouths.append((elapsed, utterance))
        pieces += [utterance.wav * 0.8, silence]
        elapsed += utterance.duration + _PAUSE
    wav = np.concatenate(pieces)
    times = np.arange(int(len(wav) / SAMPLE_RATE * fps)) / fps
    mouth = np.zeros((len(times), 3))
    for start, utterance in mouths:
        inside = (times >= start - _PAUSE / 2) & (times < start + utterance.duration + _PAUSE / 2)
        mouth[inside] = mouth_track(utterance, times[inside] - start)
    rng = np.random.default_rng(seed)
    angles = np.stack([_wander(rng, times, a, s) for a, s in ((15, 0.23), (4.5, 0.31), (4, 0.19))], 1)
    rotation = Rotation.from_euler("yxz", angles, degrees=True).as_matrix()
    shift = np.stack([_wander(rng, times, a, 0.17) for a in (16, 8, 25)], 1) + np.array([0, -8, distance])
    blink = _blinks(rng, times)
    gaze = np.stack([_wander(rng, times, a, 0.4) for a in (1.8, 0.8)], 1)
    states = tuple(
        FrameState(rotation[i], shift[i], (mouth[i, 0], mouth[i, 1], mouth[i, 2]), blink[i], (gaze[i, 0], gaze[i, 1]))
        for i in range(len(times))
    )
    return Script(wav, states, fps)


def make_speaker(folder: Path, sentences: tuple[str, ...] = TRAINING_SENTENCES, size: int = 384, seed: int = 0,
                 name: str = "speaker", progress: bool = True) -> Script:  # fmt: skip
    """Render a clip to `folder/NAME.mp4`, with `NAME.wav` and the ground truth `NAME_truth.npz`.

    The truth holds rotvec [T, 3], trans [T, 3] (mm), focal (px), mouth [T, 3] and the
    inner-lip points [T, 4, 2] (px: upper, lower, left and right corner), for frames of
    `size` x `size` whose principal point is the centre.
    """
    script = write_script(sentences, seed)
    with atomic_path(folder / f"{name}.wav") as wav_path:
        save_wav(wav_path, script.wav)
    length, frames = len(script.states), render_frames(script, size, seed)
    with atomic_path(folder / f"{name}.mp4") as path:
        video = VideoWriter(path, script.fps, folder / f"{name}.wav", crf=12, preset="medium")
        with video:
            for frame in track(frames, f"rendering {name}", length) if progress else frames:
                video.write(frame)
    write_truth(folder / f"{name}_truth.npz", script, size)
    return script


def write_truth(target: Path, script: Script, size: int) -> None:
    """Save the ground truth of `make_speaker`."""
    renderer = HeadRenderer(size, _focal(size))
    lips = np.stack([renderer.lip_points(s) for s in script.states])
    poses = script.poses()
    with atomic_path(target) as path, open(path, "wb") as stream:
        np.savez(
            stream, rotvec=poses.rotvec, trans=poses.trans, focal=renderer.camera.focal, mouth=script.mouth, lips=lips
        )


def render_frames(script: Script, size: int, seed: int = 0, workers: int | None = None) -> Iterator[np.ndarray]:
    """RGB frames in order, drawn in parallel processes.

    They are started afresh ("spawn"), because forking is not safe once there are threads,
    PyTorch's for example; so a script that calls this needs the usual `if __name__ == "__main__"`.
    """
    workers = workers or os.cpu_count() or 1
    renderer = HeadRenderer(size, _focal(size), seed)
    under_way: deque[Future[np.ndarray]] = deque()
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        for state in script.states:
            under_way.append(pool.submit(paint, size, seed, renderer.posed(state)))
            if len(under_way) > _AHEAD * workers:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()


def _focal(size: int) -> float:
    return 700.0 * size / 384


def _wander(rng: np.random.Generator, times: np.ndarray, amplitude: float, frequency: float) -> np.ndarray:
    """A smooth random motion that reaches +-amplitude."""
    total = sum(
        rng.uniform(0.5, 1) * np.sin(2 * np.pi * frequency * k * times + rng.uniform(0, 2 * np.pi)) / k
        for k in (1.0, 1.7, 2.9)
    )
    return total / np.abs(total).max() * amplitude


def _blinks(rng: np.random.Generator, times: np.ndarray) -> np.ndarray:
    closed = np.zeros(len(times))
    moment = rng.uniform(1, 3)
    while moment < times[-1]:
        closed = np.maximum(closed, np.exp(-(((times - moment) / 0.07) ** 2)))
        moment += rng.uniform(2, 5)
    return closed
