"""Colour of video: its tags, what is meant where they are missing, and HDR brought to SDR."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from .facts import HDR_TRANSFERS, Colour

# ITU-T H.273, tables 2 to 4, by ffmpeg's names; 2 is "unspecified" everywhere
_MATRICES = {
    0: "gbr", 1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "ycgco", 9: "bt2020nc", 10: "bt2020c",
    11: "smpte2085", 12: "chroma-derived-nc", 13: "chroma-derived-c", 14: "ictcp", 15: "ipt-c2", 16: "ycgco-re", 17: "ycgco-ro",
}  # fmt: skip
_PRIMARIES = {
    1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "film", 9: "bt2020", 10: "smpte428", 11: "smpte431",
    12: "smpte432", 22: "ebu3213",
}  # fmt: skip
_TRANSFERS = {
    1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "linear", 9: "log100", 10: "log316",
    11: "iec61966-2-4", 12: "bt1361e", 13: "iec61966-2-1", 14: "bt2020-10", 15: "bt2020-12", 16: "smpte2084", 17: "smpte428",
    18: "arib-std-b67",
}  # fmt: skip
_SWSCALE = {  # matrices that the scale filter computes, by its names
    "bt709": "bt709", "fcc": "fcc", "bt470bg": "bt470", "smpte170m": "smpte170m", "smpte240m": "smpte240m", "bt2020nc": "bt2020",
    "bt2020c": "bt2020", "gbr": "bt709",
}  # fmt: skip
_BY_MATRIX = {  # primaries and transfer that go with a matrix
    "bt709": ("bt709", "bt709"), "smpte170m": ("smpte170m", "smpte170m"), "bt470bg": ("bt470bg", "smpte170m"),
    "bt2020nc": ("bt2020", "bt2020-10"), "bt2020c": ("bt2020", "bt2020-10"), "smpte240m": ("smpte240m", "smpte240m"),
}  # fmt: skip
_HD = 720  # lines from which untagged video is BT.709
_PAL = (288, 576)  # lines of untagged video with BT.470 BG's primaries

SDR = Colour()
WHITE = 203.0  # cd/m2 of HDR's reference white (ITU-R BT.2408)
_PEAK = 1000.0  # cd/m2 that become SDR's white: HLG's nominal display, and what most of PQ is graded on
_KNEE = 0.5  # share of reference white up to which light is left as it is
_GAMMA = 2.4  # of SDR displays (ITU-R BT.1886)
LUT_SIDE = 33
_TO_709 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]])  # BT.2087
_LUMA_2020 = np.array([0.2627, 0.6780, 0.0593])
_LUMA_709 = np.array([0.2126, 0.7152, 0.0722])


def stored_colour(tags: tuple[int, int, int], full: bool, rgb: bool, lines: int) -> Colour:
    """Colour of a picture by its tags (matrix, primaries, transfer; H.273's numbers), and by its number of
    lines where it has none."""
    matrix, primaries, transfer = _MATRICES.get(tags[0]), _PRIMARIES.get(tags[1]), _TRANSFERS.get(tags[2])
    if rgb:
        matrix = "gbr"
    elif matrix is None or matrix == "gbr":
        matrix = _matrix_of(primaries, lines)
    usual = _BY_MATRIX.get(matrix, ("bt709", "bt709"))
    return Colour(matrix, primaries or usual[0], transfer or usual[1], full or rgb)


def _matrix_of(primaries: str | None, lines: int) -> str:
    """The matrix of YUV that does not name one."""
    known = {"bt709": "bt709", "bt2020": "bt2020nc", "smpte170m": "smpte170m", "bt470bg": "bt470bg"}
    if primaries in known:
        return known[primaries]
    if lines >= _HD:
        return "bt709"
    return "bt470bg" if lines in _PAL else "smpte170m"


def written_colour(stored: Colour) -> Colour:
    """What RGB frames read from such a picture are to be written with."""
    if stored.transfer in HDR_TRANSFERS:
        return SDR
    if stored.matrix == "gbr":
        return Colour("bt709", stored.primaries, stored.transfer, False)
    if stored.matrix == "bt2020c":
        return replace(stored, matrix="bt2020nc")
    return stored


def scale_matrix(stored: Colour) -> str | None:
    """The scale filter's name of the matrix; None where it has none."""
    return _SWSCALE.get(stored.matrix)


def tone_map(rgb: np.ndarray, transfer: str) -> np.ndarray:
    """BT.2020 R'G'B' [..., 3] in [0, 1], HLG or PQ -> BT.709 R'G'B' for a BT.1886 display.

    Light up to half of reference white stays what it is, so that skin keeps its brightness; what is above
    is rolled off, 1000 cd/m2 becoming white. The three channels are scaled by one factor: hue stays.
    """
    light = (_hlg_light(rgb) if transfer == "arib-std-b67" else _pq_light(rgb)) / WHITE
    light = _into_gamut(light @ _TO_709.T)
    peak = np.maximum(light.max(-1, keepdims=True), 1e-9)
    return np.clip(light * (_rolled_off(peak) / peak), 0, 1) ** (1 / _GAMMA)


def _hlg_light(signal: np.ndarray) -> np.ndarray:
    """Inverse OETF and OOTF of HLG (ITU-R BT.2100, table 5) -> cd/m2 on a display of 1000 cd/m2."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    luminance = np.maximum(scene @ _LUMA_2020, 1e-9)[..., None]
    return _PEAK * luminance**0.2 * scene


def _pq_light(signal: np.ndarray) -> np.ndarray:
    """EOTF of PQ (ITU-R BT.2100, table 4) -> cd/m2."""
    m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
    power = signal ** (1 / m2)
    return 10_000 * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)


def _into_gamut(light: np.ndarray) -> np.ndarray:
    """Colours outside BT.709 move towards grey of their own luminance until no channel is negative."""
    grey = np.maximum(light @ _LUMA_709, 0)[..., None]
    low = light.min(-1, keepdims=True)
    share = np.where(low < 0, grey / np.maximum(grey - low, 1e-9), 1.0)
    return np.maximum(grey + share * (light - grey), 0)


def _rolled_off(light: np.ndarray) -> np.ndarray:
    """The Moebius curve: identity up to the knee, with its slope there, and 1 at the peak."""
    a, b, scale = _moebius()
    return np.where(light <= _KNEE, light, np.minimum(scale * (light + a) / (light + b), 1))


def _unrolled(light: np.ndarray) -> np.ndarray:
    """Inverse of `_rolled_off`."""
    a, b, scale = _moebius()
    return np.where(light <= _KNEE, light, (scale * a - light * b) / (light - scale))


def _moebius() -> tuple[float, float, float]:
    knee, peak = _KNEE, _PEAK / WHITE
    a = -(knee**2) * (peak - 1) / (knee**2 - 2 * knee + peak)
    b = (knee**2 - 2 * knee * peak + peak) / (peak - 1)
    return a, b, (b**2 + 2 * b * knee + knee**2) / (b - a)


def hdr_signal(rgb: np.ndarray, transfer: str) -> np.ndarray:
    """The inverse of `tone_map`: BT.709 R'G'B' [..., 3] in [0, 1] -> BT.2020 R'G'B', HLG or PQ."""
    light = np.asarray(rgb, np.float64) ** _GAMMA
    peak = np.maximum(light.max(-1, keepdims=True), 1e-9)
    light = WHITE * np.maximum(light * (_unrolled(peak) / peak) @ np.linalg.inv(_TO_709).T, 0)
    return _hlg_signal(light) if transfer == "arib-std-b67" else _pq_signal(light)


def _hlg_signal(light: np.ndarray) -> np.ndarray:
    """Inverse of `_hlg_light`."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    luminance = np.maximum(light @ _LUMA_2020 / _PEAK, 1e-9)[..., None] ** (1 / 1.2)
    scene = light / (_PEAK * luminance**0.2)
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), a * np.log(np.maximum(12 * scene - b, 1e-9)) + c).clip(0, 1)


def _pq_signal(light: np.ndarray) -> np.ndarray:
    """Inverse of `_pq_light`."""
    m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
    power = (light / 10_000) ** m1
    return ((c1 + c2 * power) / (1 + c3 * power)) ** m2


@lru_cache(2)
def cube_file(transfer: str) -> str:
    """`tone_map` as text of a .cube file (red changes fastest), which the filter lut3d reads."""
    axis = np.linspace(0, 1, LUT_SIDE)
    blue, green, red = np.meshgrid(axis, axis, axis, indexing="ij")
    values = tone_map(np.stack([red, green, blue], -1).reshape(-1, 3), transfer)
    lines = "\n".join(f"{r:.6f} {g:.6f} {b:.6f}" for r, g, b in values)
    return f"LUT_3D_SIZE {LUT_SIDE}\n{lines}\n"
