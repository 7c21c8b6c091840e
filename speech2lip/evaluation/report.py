"""Writing what was measured: a table, JSON, CSV per frame, and one self-contained HTML page."""

from __future__ import annotations

import base64
import csv
import json
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from .. import __version__
from ..arrays import is_json_with
from ..errors import UserError
from ..facemesh import LIPS, interocular
from ..files import atomic_path
from ..media.encode import VideoWriter
from ..media.images import read_image
from ..media.sound import save_wav
from ..metrics.basic import lag_curve
from ..model.checkpoint import Checkpoint
from ..subject.records import Subject
from . import charts
from .protocols import Result
from .summary import BY_NAME, METRICS, frame_table

FORMAT = 1
_VIDEO_SECONDS = 60  # of a long render, that the page carries
_AMPLIFY = 4  # of shown differences
_ROWS = {
    "real": "real",
    "base": "painted on",
    "generated": "generated",
    "repasted": "real lips, pasted",
    "nearest": "nearest real lips",
    "frozen": "frozen mouth",
}
TITLES = {
    "self": "Test sound on the test frames",
    "cross": "Test sound on training frames",
    "new": "New sound on the clip",
    "pair": "Generated beside real video",
}
MEANINGS = {
    "self": "As in the paper. The real chin and cheeks around the painted region belong to the right mouth and help every measure of it.",
    "cross": "Nothing of the right mouth can leak into these frames. Mouths are compared with the real test frames, in steady coordinates.",
    "new": "Nobody filmed the right mouth, so only measures that need none are given; “painted on” are the frames of the clip as they were.",
    "pair": "The region that may differ was taken from the real video's landmarks. The frozen mouth is one real mouth, pasted into all frames.",
}
# Shown over time, in this order, where there are values.
_PLOTS = (
    "psnr_lip", "ssim_lip", "psnr_face", "ssim_face", "lpips", "lmd_stable", "cpbd_face", "cpbd_lip", "seam", "jitter", "outside",
)  # fmt: skip
# measures per frame that no figure of the table is named after: title, unit
_FRAME_TITLES = {
    "seam": ("Slope across the region's edge", "levels/px"), "opening": ("Mouth opening", "of eye distance"),
    "width": ("Mouth width", "of eye distance"),
}  # fmt: skip


@dataclass(frozen=True)
class Evaluation:
    """Results by protocol, and facts to print beside them: title -> {name: value}."""

    name: str
    results: Sequence[Result]
    facts: dict[str, dict[str, str]]


def machine_facts(device: str = "cpu") -> dict[str, str]:
    """What the figures were measured on."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        models = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        cpu = models[0] if models else cpu
    gpu = {"GPU": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}
    return {
        "CPU": f"{cpu}, {os.cpu_count()} cores", **gpu, "device": device, "system": platform.system(), "Python": platform.python_version(),
        "PyTorch": torch.__version__, "Speech2Lip": __version__, "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
    }  # fmt: skip


def subject_facts(subject: Subject) -> dict[str, str]:
    """What is known of a subject's folder."""
    return {
        "name": subject.name, "frames": f"{subject.frames} at {subject.fps:g} per second ({subject.frames / subject.fps:.1f} s)",
        "source": f"{subject.size[0]}x{subject.size[1]} pixels, {len(subject.shots)} shots",
        "face crop": f"{subject.crop.side} pixels, kept as {subject.crop.size}",
        "lip image": f"{subject.lip_size[0]}x{subject.lip_size[1]} pixels", "audio features": str(subject.audio.get("backend")),
    }  # fmt: skip


def training_facts(checkpoint: Checkpoint) -> dict[str, str]:
    """What is known of a checkpoint's training."""
    metrics, config = checkpoint.metrics, checkpoint.config
    out = {
        "model": config.model.kind,
        "parameters": f"{sum(p.numel() for p in checkpoint.model.parameters()) / 1e6:.2f} million",
    }
    if "steps" in metrics:
        out["trained"] = (
            f"{metrics['steps']:.0f} steps of {config.train.batch} frames in {metrics['minutes']:.1f} minutes"
        )
    out["test split"] = f"last {config.data.test_fraction:.0%} of the clip"
    return out


def write_evaluation(evaluation: Evaluation, folder: Path) -> Path:
    """Write `metrics.json`, `frames_PROTOCOL.csv` and `report.html` into a folder; returns the page's path."""
    with atomic_path(folder / "metrics.json") as path:
        path.write_text(json.dumps(to_json(evaluation), indent=1), encoding="utf-8")
    for result in evaluation.results:
        write_csv(result, folder / f"frames_{result.name}.csv")
    page = folder / "report.html"
    with atomic_path(page) as path:
        path.write_text(render_page(evaluation), encoding="utf-8")
    return page


def check_report(folder: Path) -> None:
    """Refuse a folder in which a report would replace a file that is not of an earlier one (whose `metrics.json` tells)."""
    if is_json_with(folder / "metrics.json", {"format", "name", "protocols", "facts"}):
        return
    tables = sorted(folder.glob("frames_*.csv")) if folder.is_dir() else []
    for path in (folder / "metrics.json", folder / "report.html", *tables):
        if os.path.lexists(path):
            raise UserError(f"{path} is there already and no evaluation's of ours: give another folder with --out")


def to_json(evaluation: Evaluation) -> dict[str, Any]:
    """Everything but the frames; undefined figures are null."""
    protocols = {
        result.name: {
            "rows": {row: {k: _number(v) for k, v in figures.items()} for row, figures in result.rows.items()},
            "undefined_frames": {row: undefined(result, row) for row in result.rows}, "unavailable": result.missing,
        }
        for result in evaluation.results
    }  # fmt: skip
    return {"format": FORMAT, "name": evaluation.name, "protocols": protocols, "facts": evaluation.facts}


def undefined(result: Result, row: str) -> dict[str, int]:
    """Frames, by measure, for which it has no value."""
    counts = {name: int((~np.isfinite(v)).sum()) for name, v in _table(result, row).items()}
    return {name: count for name, count in counts.items() if count}


def write_csv(result: Result, target: Path) -> None:
    """One line per frame: its number, source frame, time, level of the sound, pause, and `ROW.MEASURE` columns."""
    columns: dict[str, np.ndarray] = {
        "frame": np.arange(len(result.source)), "source_frame": result.source,
        "seconds": np.arange(len(result.source)) / result.scene.fps, "level_db": result.scene.level,
        "silent": result.scene.silent.astype(int),
    }  # fmt: skip
    for row in result.rows:
        columns |= {f"{row}.{name}": values for name, values in _table(result, row).items()}
    with atomic_path(target) as path, open(path, "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        for line in zip(*columns.values(), strict=True):
            writer.writerow([int(v) if float(v).is_integer() else f"{v:.6g}" if np.isfinite(v) else "" for v in line])


def print_table(results: Sequence[Result]) -> None:
    """Figures of all rows, for the terminal."""
    for result in results:
        print(f"\n{TITLES[result.name]} ({result.name})")
        print(f"{'':<26}" + "".join(f"{row:>12}" for row in result.rows))
        for name in _shown(result):
            values = "".join(f"{_text(figures.get(name)):>12}" for figures in result.rows.values())
            print(f"{name:<26}{values}  {BY_NAME[name].unit}")
    for what, why in {k: v for result in results for k, v in result.missing.items()}.items():
        print(f"unavailable: {what}: {why}")


def _table(result: Result, row: str) -> dict[str, np.ndarray]:
    truth = result.recordings[result.truth] if result.truth is not None else None
    return frame_table(result.recordings[row], truth)


def _shown(result: Result) -> list[str]:
    present = {name for figures in result.rows.values() for name in figures}
    return [metric.name for metric in METRICS if metric.name in present]


def _number(value: float) -> float | None:
    return round(float(value), 6) if np.isfinite(value) else None


def _text(value: float | None) -> str:
    if value is None or not np.isfinite(value):
        return "–"
    return f"{value:.0f}" if abs(value) >= 1000 or float(value).is_integer() else f"{value:.3f}"


def render_page(evaluation: Evaluation) -> str:
    """The HTML page: no other file and no network is needed to read it."""
    from jinja2 import Environment, PackageLoader, select_autoescape

    environment = Environment(
        loader=PackageLoader("speech2lip.evaluation", "."), autoescape=select_autoescape(default=True), trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("report.html.j2").render(
        name=evaluation.name, facts=evaluation.facts, sections=[_section(r) for r in evaluation.results], metrics=METRICS,
        seconds=_VIDEO_SECONDS, amplify=_AMPLIFY,
    )  # fmt: skip


def _section(result: Result) -> dict[str, Any]:
    missed = {row: undefined(result, row) for row in result.rows}
    table = [
        {"metric": BY_NAME[name], "values": [_text(figures.get(name)) for figures in result.rows.values()]}
        for name in _shown(result)
    ]
    missed_names = sorted({name for counts in missed.values() for name in counts})
    return {
        "key": result.name, "title": TITLES[result.name], "meaning": MEANINGS[result.name],
        "rows": [_ROWS[row] for row in result.rows], "table": table,
        "missed": [(_frame_title(name)[0], [missed[row].get(name, 0) for row in result.rows]) for name in missed_names],
        "count": len(result.source), "missing": result.missing, "video": _video(result), "left": _ROWS[_left(result)],
        "strips": _strips(result), "mouth": _mouth(result), "offset": charts.over_lag(_offsets(result), result.scene.fps),
        "plots": _plots(result), "pauses": bool(result.scene.silent.any()),
    }  # fmt: skip


def _left(result: Result) -> str:
    """The row shown beside the generated one."""
    return result.truth or result.base


def _mouth(result: Result) -> list[tuple[str, dict[str, str]]]:
    shown = [row for row in ("real", "generated") if row in result.rows]
    fps, silent = result.scene.fps, result.scene.silent
    out = []
    for name in ("opening", "width"):
        title, unit = _frame_title(name)
        curves: dict[str, np.ndarray] = {row: getattr(result.recordings[row], name) for row in shown}
        out.append((title, charts.over_time(curves, fps, silent, unit)))
    return out


def _offsets(result: Result) -> dict[str, np.ndarray]:
    """Correlation over lags with the real opening, or, without one, with the level of the sound."""
    made = result.recordings["generated"].opening
    if result.truth is not None:
        true = result.recordings[result.truth].opening
        return {row: lag_curve(x, true) for row, x in (("real", true), ("generated", made))}
    return {"generated": lag_curve(made, result.scene.level)}


def _plots(result: Result) -> list[tuple[str, str, dict[str, str]]]:
    out = []
    for name in _PLOTS:
        curves = {row: _table(result, row).get(name) for row in result.rows}
        some = {row: v for row, v in curves.items() if v is not None and np.isfinite(v).any()}
        equal = name.startswith(("psnr", "ssim", "lpips", "outside"))  # the real row is known without measuring
        some = {row: v for row, v in some.items() if not (equal and row in ("real", "base"))}
        if some:
            title, unit = _frame_title(name)
            out.append((title, unit, charts.over_time(some, result.scene.fps, result.scene.silent, unit)))
    return out


def _frame_title(name: str) -> tuple[str, str]:
    """Title and unit of a measure per frame."""
    return _FRAME_TITLES.get(name) or (BY_NAME[name].title, BY_NAME[name].unit)


def _strips(result: Result) -> list[dict[str, Any]]:
    """Pictures at the worst, median and best moment."""
    score, by = _score(result)
    order = np.flatnonzero(np.isfinite(score))[np.argsort(score[np.isfinite(score)])]
    if not len(order):
        return []
    names = ("worst", "median", "best") if result.truth is not None else ("most closed", "median", "widest")
    out = []
    for name, frame in zip(names, (order[0], order[len(order) // 2], order[-1]), strict=True):
        left, made = (_close_up(result, row, int(frame)) for row in (_left(result), "generated"))
        pictures = [(_ROWS[_left(result)], left), ("generated", made)]
        if result.base == "base" and result.truth is not None:
            pictures.append((_ROWS["base"], _close_up(result, "base", int(frame))))
        else:
            pictures.append((f"difference, {_AMPLIFY} times", _difference(left, made)))
        caption = f"{name}: frame {frame}, {frame / result.scene.fps:.2f} s, {by} {_text(float(abs(score[frame])))}"
        out.append(
            {"caption": caption, "pictures": [(label, _data_uri(_jpeg(p), "image/jpeg")) for label, p in pictures]}
        )
    return out


def _score(result: Result) -> tuple[np.ndarray, str]:
    """What moments are ranked by, better is larger, and its name."""
    made = _table(result, "generated")
    if "psnr_lip" in made:
        return made["psnr_lip"], "PSNR of the mouth region"
    if "lmd_stable" in made:
        return -made["lmd_stable"], "LMD"
    return made["opening"], "opening"


def _picture(result: Result, row: str, frame: int) -> np.ndarray:
    folder = result.recordings[row].frames
    assert folder is not None
    return read_image(folder / f"{frame:05d}.jpg")


def _close_up(result: Result, row: str, frame: int) -> np.ndarray:
    """The lower face of a frame, a square as wide as twice the eyes' distance, where a face was found."""
    image = _picture(result, row, frame)
    # one place for pictures that are compared pixel by pixel
    where = result.recordings[result.base if row == "generated" else row].landmarks[frame]
    if not np.isfinite(where).all():
        return image
    half = float(interocular(where))
    x, y = where[LIPS].mean(0)
    left, top = (int(np.clip(v - half, 0, max(image.shape[0] - 2 * half, 0))) for v in (x, y))
    part = image[top : top + round(2 * half), left : left + round(2 * half)]
    return np.asarray(cv2.resize(part, (320, 320), interpolation=cv2.INTER_CUBIC))


def _difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray(np.clip(128 + _AMPLIFY * (b.astype(np.int16) - a), 0, 255), np.uint8)


def _jpeg(image: np.ndarray) -> bytes:
    done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 90])
    assert done
    return bytes(data)


def _video(result: Result) -> str:
    """Left and generated side by side with the sound, as a data URI."""
    count = min(len(result.source), round(_VIDEO_SECONDS * result.scene.fps))
    target, sound = result.kept / "side_by_side.mp4", result.kept / "sound.wav"
    if len(result.wav):
        save_wav(sound, result.wav)
    audio = sound if len(result.wav) else None
    with atomic_path(target) as path, VideoWriter(path, result.scene.fps, audio, crf=24) as video:
        for frame in range(count):
            video.write(np.hstack([_picture(result, row, frame) for row in (_left(result), "generated")]))
    return _data_uri(target.read_bytes(), "video/mp4")


def _data_uri(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
