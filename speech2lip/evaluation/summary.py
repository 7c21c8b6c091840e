"""From recordings to one row of figures; what each figure means."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..detection.landmarks68 import FROM_MESH
from ..facemesh import EYE_CORNERS, LIPS, NOSE_BRIDGE
from ..metrics.basic import best_lag, correlation, partial_slope
from ..metrics.motion import jitter, landmark_distance, stabilise
from ..metrics.texture import open_area_r, told_apart
from .activity import frame_level, silent_frames
from .recording import Recording

STILL = np.concatenate([EYE_CORNERS, NOSE_BRIDGE])  # points that speech does not move
LIPS_68 = FROM_MESH[48:]  # lips among the 68 landmarks


@dataclass(frozen=True)
class Metric:
    """One figure: unit, what is good ("high", "low", or the value it should have), and its definition."""

    name: str
    title: str
    unit: str
    good: str
    meaning: str


METRICS = (
    Metric("opening_r", "Mouth opening, correlation", "", "high", "Pearson correlation with the real mouth opening (inner-lip gap over the distance between the outer eye corners)"),
    Metric("articulation", "Articulation", "", "1", "standard deviation of the mouth opening over the real one's; below 0.8 it mumbles"),
    Metric("width_r", "Mouth width, correlation", "", "high", "Pearson correlation with the real distance between the mouth's corners"),
    Metric("articulation_width", "Articulation of width", "", "1", "standard deviation of the mouth's width over the real one's"),
    Metric("leak_opening", "Leak of opening", "", "0", "how much the opening follows that of the frame painted on, at equal real opening (partial regression slope; 1: it is that frame's mouth)"),
    Metric("leak_width", "Leak of width", "", "0", "the same for the mouth's width; landmarks alone give some, since they lean on the rest of the face"),
    Metric("offset_frames", "Offset", "frames", "0", "lag at which the opening correlates best with the real one; positive is late"),
    Metric("r_at_offset", "Correlation at that offset", "", "high", "correlation of the openings at that lag"),
    Metric("av_offset", "Audio-visual offset", "frames", "as real", "lag at which the opening correlates best with the level of the sound; compare with the real row"),
    Metric("av_r", "Correlation with the sound", "", "as real", "correlation of the opening with the level of the sound (dB) at that lag"),
    Metric("lse_c", "LSE-C", "", "high", "confidence of SyncNet v2"),
    Metric("lse_d", "LSE-D", "", "low", "distance of SyncNet v2"),
    Metric("lse_offset", "SyncNet offset", "frames", "as real", "offset of SyncNet v2"),
    Metric("lmd", "LMD, 40 lip points", "px", "low", "mean distance of corresponding lip landmarks, each set less its own mean (FaceMesh)"),
    Metric("lmd_iod", "LMD, 40 lip points", "% iod", "low", "the same over the distance between the outer eye corners"),
    Metric("lmd_68", "LMD, 68-point lips", "px", "low", "the same for landmarks 48 to 67 of the 68-point scheme"),
    Metric("lmd_68_iod", "LMD, 68-point lips", "% iod", "low", "the same over the distance between the outer eye corners"),
    Metric("lmd_stable", "LMD, steady coordinates", "% iod", "low", "distance of the 40 lip points after eyes and nose bridge are laid over each other, so that heads may differ"),
    Metric("psnr_lip", "PSNR, mouth region", "dB", "high", "over the pixels that may change; equal pictures count as 100"),
    Metric("psnr_face", "PSNR, face crop", "dB", "high", "over the whole face crop; equal pictures count as 100"),
    Metric("ssim_lip", "SSIM, mouth region", "", "high", "structural similarity (Gaussian, sigma 1.5) over the pixels that may change"),
    Metric("ssim_face", "SSIM, face crop", "", "high", "structural similarity over the whole face crop"),
    Metric("lpips", "LPIPS, face crop", "", "low", "perceptual distance, AlexNet v0.1"),
    Metric("cpbd_face", "CPBD, face crop", "", "as real", "share of edges whose blur is not noticed"),
    Metric("cpbd_lip", "CPBD, mouth region", "", "as real", "the same in the box around the region that changes, at the source's resolution; undefined below 64 pixels"),
    Metric("cpbd_ratio", "CPBD over real", "", "1", "CPBD of the face crop over that of the frames painted on"),
    Metric("cpbd_lip_ratio", "CPBD of the mouth over real", "", "1", "CPBD of the mouth region over that of the frames painted on"),
    Metric("texture_inner", "Texture inside the lips over real", "", "1", "deviation of the brightness's detail (finer than 2 % of the interocular distance) inside the inner-lip polygon, over the real one's, where both mouths are open"),
    Metric("texture_lips", "Texture of the lips over real", "", "1", "the same inside the outer-lip polygon"),
    Metric("texture_skin", "Texture of the skin over real", "", "1", "the same over the region that changes, without the lips, over that of the frames painted on"),
    Metric("open_area", "Open area over real", "", "1", "area of the inner-lip polygon over the real one's, each over the interocular distance squared"),
    Metric("open_area_r", "Open area, correlation", "", "high", "correlation of these areas, frame by frame"),
    Metric("told_apart", "Told apart", "", "0.5", "area under the curve of a linear classifier of real and generated mouths (energies of three octaves on a grid), fitted on one half of the time, judged on the other, both ways; 1 is plain to see"),
    Metric("flicker", "Flicker over real", "", "1", "root mean square of brightness less the mean of its neighbours in time, inside the lips, over that of the real ones"),
    Metric("seams", "Seams over real", "", "1", "slope of the picture across the edge of the changed region, over that of the frames painted on"),
    Metric("jitter", "Jitter", "% iod", "as real", "mean absolute second difference of the eye corners and the nose bridge, which speech does not move"),
    Metric("jitter_ratio", "Jitter over real", "", "1", "over that of the frames painted on"),
    Metric("jitter_speech_ratio", "Jitter over real, speech", "", "1", "the same where there is speech"),
    Metric("jitter_silence_ratio", "Jitter over real, silence", "", "1", "the same in pauses of the sound"),
    Metric("lip_jitter_silence_ratio", "Lip jitter over real, silence", "", "low", "mean absolute second difference of the lips in steady coordinates in pauses, over the real one's"),
    Metric("rest", "Opening in silence", "% iod", "as real", "mean mouth opening in pauses of the sound"),
    Metric("rest_z", "Opening in silence, deviation", "sd", "0", "its difference from the real one's, in standard deviations of the real one"),
    Metric("outside", "Change outside the region", "levels", "0", "largest difference of any pixel outside the region from the frame painted on, before encoding (0 to 255)"),
    Metric("face_found", "Face found", "", "1", "share of frames in which FaceMesh finds a face"),
    Metric("frames", "Frames", "", "", "frames measured"),
    Metric("silent", "Frames in silence", "", "", "of them in pauses of the sound"),
)  # fmt: skip
BY_NAME = {metric.name: metric for metric in METRICS}
# Per-frame values whose mean is a figure of the row.
_MEANS = ("psnr_lip", "psnr_face", "ssim_lip", "ssim_face", "lpips", "cpbd_face", "cpbd_lip")


@dataclass(frozen=True)
class Scene:
    """What all rows of a protocol share: `fps`, the sound's level [T] and its pauses [T] bool."""

    fps: float
    level: np.ndarray
    silent: np.ndarray


def make_scene(wav: np.ndarray, fps: float, count: int) -> Scene:
    """wav: [N] 16 kHz, from the first of `count` frames on."""
    level = frame_level(wav, fps, count)
    return Scene(fps, level, silent_frames(level, fps))


def summarise(made: Recording, base: Recording, truth: Recording | None, scene: Scene) -> dict[str, float]:
    """Figures of a recording by the names of METRICS.

    base: the frames painted on, unchanged; truth: the mouth that the sound belongs to, None
    where nobody filmed it. Where both are the same recording, landmarks compare in pixels.
    """
    out = _alone(made, scene)
    out |= _against_base(made, base, scene)
    if truth is not None:
        out |= _against_mouth(made, truth) | _texture(made, base, truth)
        if truth is base:
            out |= _in_pixels(made, truth)
        elif made is not truth:
            out |= _leaks(made, base, truth)
        out |= _in_silence(made, truth, scene)
    return out


def _alone(made: Recording, scene: Scene) -> dict[str, float]:
    out = {name: mean(made.values[name]) for name in _MEANS if name in made.values}
    if "outside" in made.values:
        out["outside"] = float(np.nanmax(made.values["outside"]))
    lag, r = best_lag(made.opening, scene.level)
    return out | {
        "av_offset": float(lag), "av_r": r, "jitter": mean(_shake(made)), "rest": 100 * mean(made.opening[scene.silent]),
        "face_found": made.found, "frames": float(len(made.opening)), "silent": float(scene.silent.sum()),
    }  # fmt: skip


def _against_base(made: Recording, base: Recording, scene: Scene) -> dict[str, float]:
    mine, real = _shake(made), _shake(base)
    out = {"jitter_ratio": _ratio(mine, real)}
    out |= {f"jitter_{name}_ratio": _ratio(mine[part], real[part]) for name, part in _parts(scene).items()}
    for name, source in (("cpbd_ratio", "cpbd_face"), ("cpbd_lip_ratio", "cpbd_lip"), ("seams", "seam")):
        if source in made.values and source in base.values:
            out[name] = _ratio(made.values[source], base.values[source])
    return out


def _against_mouth(made: Recording, truth: Recording) -> dict[str, float]:
    both = np.isfinite(made.opening) & np.isfinite(truth.opening)
    g, r = made.opening[both], truth.opening[both]
    lag, at_lag = best_lag(made.opening, truth.opening)
    mine, real = _steady(made, truth)
    distance = landmark_distance(mine[:, LIPS], real[:, LIPS], centred=False)
    return {
        "opening_r": correlation(g, r), "articulation": _deviation(g, r), "width_r": correlation(made.width[both], truth.width[both]),
        "articulation_width": _deviation(made.width[both], truth.width[both]), "offset_frames": float(lag), "r_at_offset": at_lag,
        "lmd_stable": 100 * mean(distance),
    }  # fmt: skip


def _texture(made: Recording, base: Recording, truth: Recording) -> dict[str, float]:
    """How fine and how steady the mouth is beside the real one; skin beside the frames painted on."""
    mine, real = made.values, truth.values
    area, true_area = made.open_area, truth.open_area
    out = {"open_area": _ratio(area, true_area), "open_area_r": open_area_r(area, true_area)}
    out |= {
        n: _ratio(mine[n], real[n]) for n in ("texture_inner", "texture_lips", "flicker") if n in mine and n in real
    }
    if "texture_skin" in mine and "texture_skin" in base.values:
        out["texture_skin"] = _ratio(mine["texture_skin"], base.values["texture_skin"])
    if made.energies is not None and truth.energies is not None:
        out["told_apart"] = told_apart(truth.energies, made.energies)
    return out


def _leaks(made: Recording, base: Recording, truth: Recording) -> dict[str, float]:
    return {
        "leak_opening": partial_slope(made.opening, base.opening, truth.opening),
        "leak_width": partial_slope(made.width, base.width, truth.width),
    }


def _in_pixels(made: Recording, truth: Recording) -> dict[str, float]:
    out: dict[str, float] = {}
    for name, points in (("lmd", LIPS), ("lmd_68", LIPS_68)):
        distance = landmark_distance(made.landmarks[:, points], truth.landmarks[:, points])
        out |= {name: mean(distance), f"{name}_iod": 100 * mean(distance / truth.scale)}
    return out


def _in_silence(made: Recording, truth: Recording, scene: Scene) -> dict[str, float]:
    """Lips in pauses: how steady they are, and how far from the subject's own rest."""
    mine, real = (
        jitter(x[:, LIPS], np.ones(len(x)), recording.shots)[scene.silent]
        for x, recording in zip(_steady(made, truth), (made, truth), strict=True)
    )
    rest = truth.opening[scene.silent]
    deviation = float(np.nanstd(rest)) if np.isfinite(rest).sum() > 2 else float("nan")
    return {
        "lip_jitter_silence_ratio": _ratio(mine, real),
        "rest_z": (mean(made.opening[scene.silent]) - mean(rest)) / max(deviation, 1e-9),
    }


def _steady(made: Recording, truth: Recording) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks of both in the same steady coordinates, in interocular distances."""
    reference = np.nanmedian(truth.landmarks[:, STILL], axis=0) / np.nanmedian(truth.scale)
    return stabilise(made.landmarks, STILL, reference), stabilise(truth.landmarks, STILL, reference)


def frame_table(made: Recording, truth: Recording | None) -> dict[str, np.ndarray]:
    """What goes over time into the CSV file and the plots, name -> [T]."""
    out = {"opening": made.opening, "width": made.width, "jitter": _shake(made), **made.values}
    if truth is not None and truth is not made:
        mine, real = _steady(made, truth)
        out["lmd_stable"] = 100 * landmark_distance(mine[:, LIPS], real[:, LIPS], centred=False)
    return out


def _shake(recording: Recording) -> np.ndarray:
    return jitter(recording.landmarks[:, STILL], recording.scale, recording.shots)


def _parts(scene: Scene) -> dict[str, np.ndarray]:
    return {"speech": ~scene.silent, "silence": scene.silent}


def mean(values: np.ndarray) -> float:
    """Mean of what is defined; NaN where nothing is."""
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else float("nan")


def _ratio(made: np.ndarray, real: np.ndarray) -> float:
    both = np.isfinite(made) & np.isfinite(real)
    below = float(real[both].mean()) if both.any() else float("nan")
    return float(made[both].mean()) / below if below > 1e-12 else float("nan")


def _deviation(made: np.ndarray, real: np.ndarray) -> float:
    return float(made.std() / max(real.std(), 1e-9)) if len(made) else float("nan")
