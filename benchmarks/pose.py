"""Pose control, measured: rendered heads are tracked again, and compared with the poses that were asked for.

    python benchmarks/pose.py --model log/me/model.pt --data dataset/me --audio speech.wav --frames 150 --pictures /tmp/pose

One line per motion. own: degrees that heads are turned from their source frames, mean and largest. asked: degrees between the pose that was asked for
and the one that is found in the result, mean and 95 %; `floor` is the same for frames that nobody moved, which is the error of finding. jitter:
standard deviation of that error's change from frame to frame, degrees. outline: mean change of luma from frame to frame in a band around the
head, and that of the same source frames. ms: processor time per frame, without encoding, on one thread.

Landmarks exaggerate how far a head nods. So for the synthetic speaker (`--speaker`) its head is also drawn in the poses that were asked for,
and found in the same way. drawn: degrees between those poses and what was asked for, mean: the error of finding at that pose;
apart: between the poses that are found in the result and in the drawn heads, mean and 95 %.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from speech2lip.threads import settle_threads

settle_threads()

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from speech2lip.demo.picture import FrameState, paint
from speech2lip.demo.render import HeadRenderer
from speech2lip.demo.speaker import TRAINING_SENTENCES, _focal, write_script
from speech2lip.detection.detect import FaceMesh
from speech2lip.errors import run_guarded
from speech2lip.facemesh import FACE_OVAL, rigid_points
from speech2lip.geometry.camera import Intrinsics, rigid_matrices
from speech2lip.geometry.turning import angle_between, poses_of
from speech2lip.media.images import write_image
from speech2lip.rendering.predictor import Predictor
from speech2lip.subject.motion import HeadMotion, write_motion
from speech2lip.subject.records import extract
from speech2lip.tracking.least_squares import huber_weights, linearise, pose_normal

_BAND = 0.12  # of the face's height: half the width of the band around the head


@dataclass(frozen=True)
class Found:
    """sources [T]; asked, own: poses [T, 4, 4]; found: [T, 4, 4] in the result; change: mean of luma in the band, result and
    source; seconds: of processor time per frame; drawn: [T, 4, 4] found in heads that were drawn in the poses that were asked for."""

    asked: np.ndarray
    own: np.ndarray
    found: np.ndarray
    change: tuple[float, float]
    seconds: float
    drawn: np.ndarray | None = None


def motions(folder: Path) -> dict[str, dict[str, object]]:
    """Settings by name; the files that they need are written into a folder."""
    times = np.arange(300) / 25
    wave = np.stack([15 * np.sin(2 * times), 6 * np.sin(3.1 * times), 6 * np.sin(1.3 * times)], 1)
    files = {
        f"{name} {angle:+d}": _single(name, angle) for name in ("yaw", "pitch", "roll") for angle in (-15, -8, 8, 15)
    }
    files["wave"] = wave
    out: dict[str, dict[str, object]] = {
        "source": {}, "hold": {"render.pose": "hold"}, "half": {"render.pose_scale": 0.5}, "1.5": {"render.pose_scale": 1.5},
    }  # fmt: skip
    for name, angles in files.items():
        path = folder / f"{name.replace(' ', '_')}.json"
        write_motion(path, HeadMotion(25.0, angles))
        out[name] = {"render.pose": str(path)}
    return out


def _single(name: str, angle: float) -> np.ndarray:
    return np.array([[angle if name == other else 0.0 for other in ("yaw", "pitch", "roll")]])


def find_poses(pictures: Iterator[np.ndarray], start: np.ndarray, mesh: np.ndarray, camera: Intrinsics) -> np.ndarray:
    """Poses [T, 6] of a known mesh [468, 3] in crops, by landmarks alone; start: poses [T, 6]; NaN where no face is found."""
    rigid, out, tracker = rigid_points(mesh), start.copy(), FaceMesh()
    for number, picture in enumerate(pictures):
        seen = tracker(picture)
        if seen is None:
            out[number] = np.nan
            continue
        observed = seen[None, rigid, :2] - np.array([camera.cx, camera.cy])
        pose = start[number][None]
        for _ in range(8):
            lin = linearise(observed, pose, mesh[rigid], camera.focal)
            block, right = pose_normal(lin, huber_weights(lin.residual, np.ones(len(rigid))))
            pose = pose + np.linalg.solve(block, right[..., None])[..., 0]
        out[number] = pose[0]
    tracker.close()
    return out


def matrices_of(found: np.ndarray) -> np.ndarray:
    """Poses [T, 6] as [T, 4, 4]; NaN stays NaN."""
    poses = np.full((len(found), 4, 4), np.nan)
    seen = np.isfinite(found[:, 0])
    poses[seen] = rigid_matrices(found[seen, :3], found[seen, 3:])
    return poses


def drawn_heads(predictor: Predictor, asked: np.ndarray, sources: np.ndarray) -> Iterator[np.ndarray]:
    """Crops of the synthetic speaker in poses [T, 4, 4], where it stands in frames `sources` [T], eyes open and mouth ajar."""
    script, subject, size = write_script(TRAINING_SENTENCES), predictor.subject, predictor.subject.size[0]
    renderer, own = HeadRenderer(size, _focal(size)), predictor.track.poses.matrices()
    known = np.flatnonzero(predictor.track.valid)
    truth = np.stack([script.states[k].rotation for k in known])
    axes = Rotation.from_matrix(own[known, :3, :3].transpose(0, 2, 1) @ truth).mean().as_matrix()  # of the drawn head
    for pose, source in zip(asked, sources, strict=True):
        state = FrameState(pose[:3, :3] @ axes, script.states[source].trans, (2.0, 0.0, 0.0))
        yield np.ascontiguousarray(extract(paint(size, 0, renderer.posed(state)), subject.crop))


def measure(predictor: Predictor, windows: np.ndarray, pictures: Path | None, name: str, drawn: bool) -> Found:
    posing, subject, track = predictor.posing(), predictor.subject, predictor.track
    asked, crops, sources, spent = [], [], [], 0.0
    if posing is not None:
        steps = iter(posing.plan)
        while sum(map(len, asked)) < len(windows):
            asked.append(next(steps).poses)
    frames, begun = predictor.render(windows, posing=posing), time.process_time()
    own = track.poses.matrices()
    change = np.zeros((0, 2))
    last: tuple[np.ndarray, np.ndarray] | None = None
    for number, frame in enumerate(frames):
        image = frame.image
        spent += time.process_time() - begun
        crop, source = extract(image, subject.crop), extract(frame.original, subject.crop)
        both = tuple(cv2.cvtColor(c, cv2.COLOR_RGB2GRAY).astype(np.float32) for c in (crop, source))
        if last is not None:
            band = _band(track.landmarks[frame.source], crop.shape[0])
            change = np.vstack([change, [np.abs(a - b)[band].mean() for a, b in zip(both, last, strict=True)]])
        last = both
        if pictures is not None and number % 50 == 5:
            write_image(pictures / f"{name.replace(' ', '_')}_{number:04d}.png", crop)
        crops.append(crop)
        sources.append(frame.source)
        begun = time.process_time()
    kept = own[np.array(sources)]
    wanted = np.concatenate(asked)[: len(sources)] if asked else kept
    start = np.concatenate([poses_of(wanted).rotvec, wanted[:, :3, 3]], 1)
    poses = matrices_of(find_poses(iter(crops), start, track.mesh, subject.camera))
    heads = drawn_heads(predictor, wanted, np.array(sources)) if drawn else None
    right = None if heads is None else matrices_of(find_poses(heads, start, track.mesh, subject.camera))
    return Found(wanted, kept, poses, tuple(change.mean(0)), spent / len(sources), right)  # type: ignore[arg-type]


def _band(landmarks: np.ndarray, size: int) -> np.ndarray:
    """[S, S] bool: around the head's outline, which lies about a quarter of the face's height beyond that of the face."""
    oval = landmarks[FACE_OVAL]
    height = float(np.ptp(oval[:, 1]))
    middle = oval.mean(0) - [0, 0.12 * height]
    outer, inner = np.zeros((size, size), np.uint8), np.zeros((size, size), np.uint8)
    for mask, share in ((outer, 1 + _BAND), (inner, 1 - _BAND)):
        axes = (int(0.55 * height * share), int(0.75 * height * share))
        cv2.ellipse(mask, tuple(middle.astype(int).tolist()), axes, 0, 180, 360, 1, -1)
    return (outer > 0) & (inner == 0)


def line(name: str, found: Found) -> str:
    turned = angle_between(found.own[:, :3, :3], found.asked[:, :3, :3])
    seen = np.isfinite(found.found[:, 0, 0])
    error = angle_between(found.found[seen][:, :3, :3], found.asked[seen][:, :3, :3])
    way = Rotation.from_matrix(
        found.found[seen][:, :3, :3] @ found.asked[seen][:, :3, :3].transpose(0, 2, 1)
    ).as_rotvec(degrees=True)
    jitter = float(np.sqrt((np.diff(way, axis=0) ** 2).sum(1).mean() / 2))
    return (
        f"{name:<10} own {turned.mean():5.1f} {turned.max():5.1f}  asked {error.mean():5.2f} {np.percentile(error, 95):5.2f}  "
        f"bias {np.linalg.norm(way.mean(0)):5.2f}  jitter {jitter:5.2f}  outline {found.change[0]:5.2f} {found.change[1]:5.2f}  "
        f"{1000 * found.seconds:5.1f} ms  faces {seen.mean():.2f}{_beside_drawn(found)}"
    )


def _beside_drawn(found: Found) -> str:
    if found.drawn is None:
        return ""
    both = np.isfinite(found.found[:, 0, 0]) & np.isfinite(found.drawn[:, 0, 0])
    made, drawn, asked = (poses[both][:, :3, :3] for poses in (found.found, found.drawn, found.asked))
    apart = angle_between(made, drawn)
    return (
        f"  drawn {angle_between(drawn, asked).mean():5.2f}  apart {apart.mean():5.2f} {np.percentile(apart, 95):5.2f}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="the subject's folder (default: the one it was trained on)")
    parser.add_argument("--audio", type=Path, required=True)
    parser.add_argument("--frames", type=int, default=150, help="of each motion")
    parser.add_argument("--only", nargs="*", help="motions (default: all)")
    parser.add_argument("--speaker", action="store_true", help="the person is the synthetic speaker of the demo")
    parser.add_argument(
        "--pictures", type=Path, default=Path("rendering_result/pose"), help="folder for files and pictures"
    )
    options = parser.parse_args()
    options.pictures.mkdir(parents=True, exist_ok=True)
    for name, settings in motions(options.pictures).items():
        if options.only and name not in options.only:
            continue
        with Predictor.reading(options.model, options.data, "cpu", settings) as predictor:  # type: ignore[arg-type]
            windows = predictor.features(options.audio)[: options.frames]
            print(line(name, measure(predictor, windows, options.pictures, name, options.speaker)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(run_guarded(main))
