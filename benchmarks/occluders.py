"""Something in front of the mouth, planted for a third of a clip: what is left of it in the result, and in mouths elsewhere.

    python benchmarks/occluders.py me.mp4 --steps 400
    python benchmarks/occluders.py --minutes 5          # the synthetic speaker

A microphone, a cup and a hand in the person's own skin colour come in front of the mouth, one after the other, and move there. Two
models are trained alike: on that clip, and on the clean one less the frames that are hidden in the other. Prints how many planted
frames were found, SSIM of result and source inside the thing in front, texture and colour of the inner mouth of both models on
the frames without it, and the jump where painting begins and ends, with and without `render.fade`. Figures and a
picture go to OUT.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from speech2lip.threads import settle_threads

settle_threads()

import cv2
import numpy as np

from benchmarks.trial import add_budget, budget, facts, model_file
from speech2lip.canonical.occlusion import _even, _grown, _without_light, shrunk
from speech2lip.config import Config, default_config
from speech2lip.demo.speaker import TRAINING_SENTENCES, make_speaker
from speech2lip.detection.detect import FaceMesh
from speech2lip.errors import UserError, run_guarded
from speech2lip.evaluation.mouth import OPEN
from speech2lip.facemesh import LIPS, LIPS_INNER, interocular, mouth_opening
from speech2lip.files import atomic_path
from speech2lip.media.decode import read_frames
from speech2lip.media.encode import VideoWriter
from speech2lip.media.images import read_image, write_image
from speech2lip.metrics.image import ssim_map
from speech2lip.metrics.texture import detail, inside, texture
from speech2lip.model.checkpoint import load_checkpoint
from speech2lip.preparation.pipeline import preprocess
from speech2lip.rendering.paste import Rendered
from speech2lip.rendering.predictor import Predictor
from speech2lip.subject.layout import SubjectLayout
from speech2lip.training.trainer import Trainer

KINDS = ("microphone", "cup", "hand")
SHARE = 1 / 3  # of the clip's frames
_IN = 6  # frames in which a thing comes and goes
_PLANTED, _FEW = 8, 5  # grey levels by which a planted pixel differs; pixels below which nothing is said of a frame
_ENOUGH = 60  # pixels of a thing, from which on SSIM inside it means something
_COLOURS = {"microphone": (45, 45, 52), "cup": (226, 222, 214)}


@dataclass(frozen=True)
class Stay:
    """Frames [start, end) in which a thing of `kind` is there."""

    kind: str
    start: int
    end: int


def stays_of(frames: int, share: float = SHARE) -> list[Stay]:
    """One stay of every kind, evenly spread, `share` of all frames together."""
    long = round(frames * share / len(KINDS))
    step = frames / len(KINDS)
    begin = [round(step * (k + 0.5) - long / 2) for k in range(len(KINDS))]
    return [Stay(kind, b, b + long) for kind, b in zip(KINDS, begin, strict=True)]


def alpha_of(stay: Stay, frame: int, middle: np.ndarray, wide: float, shape: tuple[int, ...]) -> np.ndarray:
    """How far a thing hides each pixel, [H, W] in 0..1. middle: the mouth's (x, y); wide: pixels between its corners."""
    out = np.zeros(shape[:2], np.uint8)
    inward = min(frame - stay.start + 1, stay.end - frame, _IN) / _IN
    sway = np.array([0.18 * np.sin(frame / 4.0), 0.14 * np.sin(frame / 7.0)]) * wide
    x, y = middle + sway + [0.12 * wide, (0.25 + 2.2 * (1 - inward)) * wide]

    def point(dx: float, dy: float) -> tuple[int, int]:
        return round(16 * (x + dx * wide)), round(16 * (y + dy * wide))

    def size(value: float) -> int:
        return round(16 * value * wide)

    if stay.kind == "microphone":
        cv2.ellipse(out, point(0, 0), (size(0.42), size(0.52)), 0, 0, 360, 255, -1, shift=4)
        cv2.fillConvexPoly(
            out, np.array([point(-0.13, 0.3), point(0.13, 0.3), point(0.3, 4), point(0, 4)]), 255, shift=4
        )
    elif stay.kind == "cup":
        cv2.fillConvexPoly(
            out, np.array([point(-0.75, -0.1), point(0.75, -0.1), point(0.6, 1.5), point(-0.6, 1.5)]), 255, shift=4
        )
    else:
        for k in range(4):
            finger = np.array([point(-0.9, 0.9 + 0.25 * k), point(0.55 - 0.08 * k, -0.25 + 0.26 * k)])
            cv2.line(out, *map(tuple, finger.tolist()), 255, max(1, round(0.24 * wide)), shift=4)
    return cv2.GaussianBlur(out, (0, 0), 0.8).astype(np.float32) / 255


def paint_over(image: np.ndarray, alpha: np.ndarray, kind: str, skin: np.ndarray) -> np.ndarray:
    """The frame with the thing in front; a hand has the colour `skin` [3], darker along stripes."""
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    stripes = (0.92 + 0.08 * np.sin((rows + columns) / 3.0))[..., None]
    colour = np.asarray(_COLOURS.get(kind, skin * 0.92), np.float32) * stripes
    return (image + alpha[..., None] * (colour - image)).round().clip(0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Planted:
    """Where things are: stays, the mouth's middle [T, 2] and width [T] in source pixels."""

    stays: list[Stay]
    middle: np.ndarray
    wide: np.ndarray

    @classmethod
    def on(cls, layout: SubjectLayout) -> Planted:
        """For the clean clip of a finished folder."""
        subject = layout.load_subject()
        crop = subject.crop
        lips = (layout.load_track(subject).landmarks[:, LIPS] + 0.5) / crop.scale - 0.5 + [crop.x, crop.y]
        return cls(stays_of(len(lips)), lips.mean(1), np.ptp(lips[..., 0], axis=1))

    def at(self, frame: int, shape: tuple[int, ...]) -> tuple[str, np.ndarray]:
        """Kind ("": none) and alpha [H, W] in a frame."""
        for stay in self.stays:
            if stay.start <= frame < stay.end:
                return stay.kind, alpha_of(stay, frame, self.middle[frame], float(self.wide[frame]), shape)
        return "", np.zeros(shape[:2], np.float32)

    def covered(self, shape: tuple[int, ...]) -> np.ndarray:
        """Share [T] of the mouth's box that is hidden."""
        out = np.zeros(len(self.wide))
        for frame, (x, y) in enumerate(self.middle):
            alpha, reach = self.at(frame, shape)[1], self.wide[frame] / 2
            box = alpha[round(y - reach / 2) : round(y + reach / 2), round(x - reach) : round(x + reach)]
            out[frame] = box.mean() if box.size else 0.0
        return out


def plant(layout: SubjectLayout, planted: Planted, target: Path) -> None:
    """Write the clip with the things in front."""
    subject = layout.load_subject()
    with atomic_path(target) as path, VideoWriter(path, subject.fps, layout.audio, crf=10) as video:
        for frame, image in enumerate(read_frames(layout.source_path(subject), subject.fps)):
            if frame >= subject.frames:
                break
            kind, alpha = planted.at(frame, image.shape)
            x, y = planted.middle[frame].astype(int)
            cheek = image[y - 4 : y + 4, x + int(planted.wide[frame] * 0.85) :][:, :8].reshape(-1, 3)
            skin = np.median(cheek, 0) if len(cheek) else np.full(3, 150.0)
            video.write(paint_over(image, alpha, kind, skin) if kind else image)


# ---------------------------------------------------------------- measures


def inside_of(
    model: Path, layout: SubjectLayout, planted: Planted, fade: int | None = None
) -> Iterator[tuple[Rendered, str, np.ndarray]]:
    """Every frame of the clip with other speech, the kind of the thing in front of it, and its alpha."""
    checkpoint = load_checkpoint(model)
    if fade is not None:
        render = replace(checkpoint.config.render, fade=fade)
        checkpoint = replace(checkpoint, config=replace(checkpoint.config, render=render))
    predictor = Predictor(checkpoint, layout)
    windows = predictor.features(layout.audio)[:]
    other = np.roll(windows, len(windows) // 2, axis=0)[: predictor.subject.frames]
    for done in predictor.render(other):
        yield done, *planted.at(done.source, done.original.shape)


def ssim_inside(frames: Iterator[tuple[Rendered, str, np.ndarray]]) -> dict[str, Any]:
    """SSIM of result and source inside things, by kind: mean, worst frame, frames, and how many of them were painted."""
    rows: dict[str, list[tuple[float, bool]]] = {kind: [] for kind in KINDS}
    for done, kind, alpha in frames:
        if (alpha > 0.5).sum() >= _ENOUGH:
            a, b = (image.astype(np.float32) / 255 for image in (done.image, done.original))
            similar = float(ssim_map(a, b)[1][alpha > 0.5].mean()) if done.mask.size else 1.0
            rows[kind].append((similar, bool((done.full_mask[alpha > 0.5] > 0).any()) if done.mask.size else False))
    return {
        kind: {"mean": float(np.mean([r[0] for r in found])), "worst": min(r[0] for r in found), "frames": len(found),
               "painted": sum(r[1] for r in found)} for kind, found in rows.items() if found
    }  # fmt: skip


def jumps(frames: Iterator[tuple[Rendered, str, np.ndarray]], hidden: np.ndarray) -> dict[str, float]:
    """How much painting changes from frame to frame, in grey levels of the painted region: where it begins and ends, and elsewhere."""
    border, usual = [], []
    change = [(done.source, _change(done)) for done, _, _ in frames]
    for (before, a), (after, b) in pairwise(change):
        where = (a != 0) | (b != 0)
        if where.any():
            value = float(np.abs(b - a)[where].mean())
            near = hidden[max(before - 1, 0) : after + 2].any() and not (hidden[before] and hidden[after])
            (border if near else usual).append(value)
    return {
        "border, worst": max(border, default=0.0),
        "border": float(np.mean(border or [0])),
        "elsewhere": float(np.mean(usual or [0])),
    }


def _change(done: Rendered) -> np.ndarray:
    """Brightness [H, W] that painting added."""
    a, b = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) for image in (done.image, done.original))
    return np.asarray(a - b)


def inner_mouth(model: Path, layout: SubjectLayout, planted: Planted, clear: np.ndarray) -> dict[int, np.ndarray]:
    """Texture, red, green and blue of the open mouth's inside, by frame, of the frames `clear` [T]."""
    out, mesh = {}, FaceMesh()
    crop = layout.load_subject().crop
    for done, _, _ in inside_of(model, layout, planted):
        if not clear[done.source]:
            continue
        image = done.image[max(crop.y, 0) : crop.y + crop.side, max(crop.x, 0) : crop.x + crop.side]
        points = mesh(np.ascontiguousarray(image))
        if points is not None and mouth_opening(points) > OPEN * interocular(points):
            scale, where = float(interocular(points)), inside(points[LIPS_INNER, :2], image.shape)
            fine = texture(detail(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), scale), where)
            if np.isfinite(fine):
                out[done.source] = np.array([fine, *image[where].mean(0)])
    mesh.close()
    return out


def against(with_it: dict[int, np.ndarray], without: dict[int, np.ndarray]) -> dict[str, float]:
    """Ratios of what both models drew on the frames on which both mouths are open."""
    both = sorted(with_it.keys() & without.keys())
    a, b = (np.mean([rows[k] for k in both], axis=0) for rows in (with_it, without))
    return {**dict(zip(("texture", "red", "green", "blue"), (a / b).tolist(), strict=True)), "frames": len(both)}


# ---------------------------------------------------------------- pixel by pixel


def masks(layouts: dict[str, SubjectLayout], hidden: np.ndarray) -> str:
    """Table of how much of what is in front a mask from the rest of the mouth's model would cut out, and how much of the mouth that
    shows it would take with it. The model knows which frames are clear: the best case."""
    lips, mask, exposure = _small_lips(layouts["planted"], hidden.shape[0])
    clean = _small_lips(layouts["clean"], hidden.shape[0], lips.shape[1:3])[0]
    known = np.flatnonzero(lips.any((1, 2, 3)) & clean.any((1, 2, 3)))
    truth = (np.abs(lips.astype(int) - clean).mean(3) > _PLANTED) & mask
    counts = np.ones((len(lips), int(mask.sum())), bool)
    usual = np.median(_even(lips[known], exposure[known], mask), axis=0)
    even = _without_light(_even(lips, exposure, mask), counts, usual, mask)
    clear = known[~hidden[known]]
    model = _grown(even[clear], counts[clear], Config().face.hidden)
    times = model.distance(even) / model.noise
    rows = [
        "| times the noise | grown by | of the thing cut out | frames with 98 % of it cut out | of the mouth that shows, lost |",
        "|---|---|---|---|---|",
    ]
    for far in (2, 3, 4):
        for grown in (0, 1, 2):
            cut, lost = [], []
            for k in known[hidden[known]]:
                front = _front(times[k] > far, mask, grown)
                if truth[k].sum() > _FEW:
                    cut.append(front[truth[k]].mean())
                    lost.append(front[mask & ~truth[k]].mean())
            rows.append(
                f"| {far} | {grown} | {np.mean(cut):.0%} | {np.mean(np.array(cut) > 0.98):.0%} | {np.mean(lost):.0%} |"
            )
    return "\n".join(rows)


def _front(foreign: np.ndarray, mask: np.ndarray, grown: int) -> np.ndarray:
    """Foreign pixels [P] of a mask [H, W] as a picture [H, W] bool: closed, without specks, grown."""
    out = np.zeros(mask.shape, np.uint8)
    out[mask] = foreign
    out = cv2.morphologyEx(out, cv2.MORPH_CLOSE, np.ones((3, 3)))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(out)
    out[stats[labels, cv2.CC_STAT_AREA] < 4] = 0
    return cv2.dilate(out, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * grown + 1,) * 2)) > 0


def _small_lips(
    layout: SubjectLayout, frames: int, shape: tuple[int, ...] = ()
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Small lip images [T, h, w, 3], black where there is none; the mask [h, w] bool; exposure [T, 2, 3]."""
    subject, track = layout.load_subject(), layout.load_track()
    pictures = {k: shrunk(read_image(layout.lip_image(k))) for k in np.flatnonzero(track.valid)}
    shape = tuple(shape) or next(iter(pictures.values())).shape[:2]
    out = np.zeros((frames, *shape, 3), np.uint8)
    for k, picture in pictures.items():
        out[k] = cv2.resize(picture, shape[::-1])
    box = subject.lip_box
    mask = read_image(layout.lip_mask)[box.top : box.top + box.height, box.left : box.left + box.width, 0]
    return out, cv2.resize(mask, shape[::-1], interpolation=cv2.INTER_AREA) > 127, track.exposure


# ---------------------------------------------------------------- the command


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "given",
        nargs="*",
        metavar="CLIP | key=value",
        help="a video of one person (default: the synthetic speaker, three sentences); settings of both trainings",
    )
    parser.add_argument("--out", type=Path, default=Path("rendering_result/occluders"), help="folder for everything")
    parser.add_argument(
        "--masks", action="store_true", help="only ask how well what is in front could be cut out, pixel by pixel"
    )
    parser.add_argument("--again", action="store_true", help="measure the models that are there, without training")
    add_budget(parser)
    options = parser.parse_intermixed_args()
    return run_guarded(lambda: run(options))


def run(options: argparse.Namespace) -> int:
    own = options.out / "speaker.mp4"
    clip = next((Path(word) for word in options.given if "=" not in word), own)
    if clip == own and not clip.is_file():
        make_speaker(options.out, TRAINING_SENTENCES[:3], progress=False)
    configs = {name: _config(options, name) for name in ("clean", "planted")}
    layouts = {name: SubjectLayout(config.data.root) for name, config in configs.items()}
    preprocess(configs["clean"], clip)
    planted = Planted.on(layouts["clean"])
    if not (options.out / "planted.mp4").is_file():
        plant(layouts["clean"], planted, options.out / "planted.mp4")
    preprocess(configs["planted"], options.out / "planted.mp4")
    hidden = _same_frames(layouts)
    if options.masks:
        print(masks(layouts, hidden))
        return 0
    for config in configs.values():
        if not (options.again and model_file(config).is_file()) and not Trainer(config, fresh=True).run():
            raise KeyboardInterrupt
    figures = measured(configs, layouts, planted, hidden)
    picture(options.out / "occluders.jpg", model_file(configs["planted"]), layouts["planted"], planted)
    with atomic_path(options.out / "occluders.json") as path:
        path.write_text(json.dumps({"facts": facts(), **figures}, indent=1), encoding="utf-8")
    print(json.dumps(figures, indent=1))
    return 0


def _config(options: argparse.Namespace, name: str) -> Config:
    folder = options.out
    own = [f"name={name}", f"data.root={folder / name}", f"train.output={folder / 'log'}", budget(options)]
    return default_config([*own, *(word for word in options.given if "=" in word)])


def _same_frames(layouts: dict[str, SubjectLayout]) -> np.ndarray:
    """Leave out of the clean clip what is hidden in the other, so that the trainings differ in the things alone."""
    tracks = {name: layout.load_track() for name, layout in layouts.items()}
    hidden = tracks["planted"].hidden | ~tracks["planted"].valid
    if len(hidden) != len(tracks["clean"].hidden):
        raise UserError("the two clips have unlike lengths: remove the folder of --out and begin again")
    layouts["clean"].save_track(replace(tracks["clean"], hidden=hidden | tracks["clean"].hidden))
    return hidden


def measured(
    configs: dict[str, Config], layouts: dict[str, SubjectLayout], planted: Planted, hidden: np.ndarray
) -> dict[str, Any]:
    """All figures."""
    model, layout = model_file(configs["planted"]), layouts["planted"]
    width, height = layout.load_subject().size
    covered = planted.covered((height, width))
    there = {s.kind: (covered > 0.05) & _span(s, len(covered)) for s in planted.stays}
    near = np.zeros(len(covered), bool)
    for stay in planted.stays:
        near[max(stay.start - 2, 0) : stay.end + 2] = True
    clear = ~near & ~hidden
    drawn = {name: inner_mouth(model_file(configs[name]), layouts[name], planted, clear) for name in configs}
    return {
        "frames": len(covered),
        "found": {kind: f"{int((hidden & flags).sum())} of {int(flags.sum())}" for kind, flags in there.items()},
        "false": int((hidden & ~near).sum()),
        "SSIM inside": ssim_inside(inside_of(model, layout, planted)),
        "inner mouth, with it over without": against(drawn["planted"], drawn["clean"]),
        "jump": jumps(inside_of(model, layout, planted), hidden),
        "jump without fade": jumps(inside_of(model, layout, planted, 0), hidden),
    }


def _span(stay: Stay, count: int) -> np.ndarray:
    return (np.arange(count) >= stay.start) & (np.arange(count) < stay.end)


def picture(target: Path, model: Path, layout: SubjectLayout, planted: Planted) -> None:
    """Source above result: the frame before each thing touches the mouth, one while it is there, and one after."""
    wanted = [f for s in planted.stays for f in (s.start - 3, s.start + _IN // 2, (s.start + s.end) // 2, s.end + 6)]
    shown = {done.source: done for done, _, _ in inside_of(model, layout, planted) if done.source in wanted}
    columns = []
    for frame in wanted:
        if frame in shown:
            x, y, reach = *planted.middle[frame], 1.3 * planted.wide[frame]
            rows = slice(max(int(y - reach), 0), int(y + reach)), slice(max(int(x - reach), 0), int(x + reach))
            pair = [shown[frame].original[rows], shown[frame].image[rows]]
            columns.append(np.vstack([cv2.resize(p, (160, 160), interpolation=cv2.INTER_CUBIC) for p in pair]))
    write_image(target, np.hstack(columns), 88)


if __name__ == "__main__":
    sys.exit(main())
