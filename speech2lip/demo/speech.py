"""The mouth movements that belong to speech."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..voice.synthesis import Utterance


@dataclass(frozen=True)
class Viseme:
    """Mouth target: inner-lip gap (mm), relative width change, protrusion (mm), dominance."""

    opening: float
    width: float
    protrusion: float
    dominance: float = 1.0


_REST = Viseme(0.0, 0.0, 0.0, 0.7)
# By espeak mnemonic, longest prefix wins. Values are ours, after common viseme charts.
_VISEMES = {
    "p": Viseme(-1.5, -0.02, 0.5, 6.0), "b": Viseme(-1.5, -0.02, 0.5, 6.0), "m": Viseme(-1.5, -0.02, 0.5, 6.0),
    "f": Viseme(1.2, 0.02, -0.5, 4.0), "v": Viseme(1.2, 0.02, -0.5, 4.0),
    "T": Viseme(3.5, 0.02, 0.0, 1.5), "D": Viseme(3.5, 0.02, 0.0, 1.5),
    "t": Viseme(3.0, 0.05, 0.0, 0.8), "d": Viseme(3.0, 0.05, 0.0, 0.8), "n": Viseme(3.0, 0.05, 0.0, 0.8),
    "l": Viseme(4.5, 0.04, 0.0, 0.8), "s": Viseme(2.0, 0.10, 0.0, 1.3), "z": Viseme(2.0, 0.10, 0.0, 1.3),
    "S": Viseme(3.0, -0.16, 4.0, 1.6), "Z": Viseme(3.0, -0.16, 4.0, 1.6), "tS": Viseme(3.0, -0.16, 4.0, 1.6),
    "dZ": Viseme(3.0, -0.16, 4.0, 1.6), "r": Viseme(4.0, -0.12, 2.5, 1.0), "w": Viseme(2.5, -0.28, 5.0, 2.2),
    "k": Viseme(4.5, 0.0, 0.0, 0.6), "g": Viseme(4.5, 0.0, 0.0, 0.6), "N": Viseme(4.0, 0.0, 0.0, 0.6),
    "h": Viseme(5.0, 0.0, 0.0, 0.5), "j": Viseme(3.0, 0.10, 0.0, 0.8),
    "i": Viseme(4.0, 0.15, 0.0), "I": Viseme(5.0, 0.08, 0.0), "e": Viseme(7.0, 0.08, 0.0), "E": Viseme(8.5, 0.06, 0.0),
    "a": Viseme(13.0, 0.02, 0.0, 1.3), "A": Viseme(15.0, -0.02, 0.0, 1.3), "aI": Viseme(12.0, 0.05, 0.0, 1.2),
    "aU": Viseme(11.0, -0.10, 2.0, 1.2), "V": Viseme(10.0, 0.0, 0.0), "0": Viseme(12.0, -0.10, 1.5, 1.1),
    "O": Viseme(10.0, -0.18, 3.0, 1.2), "o": Viseme(8.0, -0.20, 4.0, 1.2), "u": Viseme(4.0, -0.28, 5.0, 1.4),
    "U": Viseme(5.0, -0.18, 3.0, 1.1), "3": Viseme(6.5, -0.10, 1.5), "@": Viseme(5.5, 0.0, 0.0, 0.7),
}  # fmt: skip
_TAU = 0.055  # seconds; how far a phoneme's influence reaches (Cohen and Massaro 1993 dominance)


def viseme_of(mnemonic: str) -> Viseme:
    """Mouth target of an espeak phoneme mnemonic; pauses and stress marks rest the mouth."""
    name = mnemonic.strip("'-,_;|%=")
    for length in (3, 2, 1):
        if len(name) >= length and name[:length] in _VISEMES:
            return _VISEMES[name[:length]]
    return _REST


def mouth_track(utterance: Utterance, times: np.ndarray) -> np.ndarray:
    """Opening (mm, >= 0), width (relative) and protrusion (mm) at `times` seconds: [N, 3].

    Co-articulation by dominance functions: every phoneme pulls towards its target with a
    weight that decays exponentially from its centre; closures pull hardest, so lips meet.
    """
    starts = np.array([0.0] + [t for t, _ in utterance.phonemes] + [utterance.duration])
    centres = np.append((starts[:-1] + starts[1:]) / 2, utterance.duration)
    targets = [_REST] + [viseme_of(name) for _, name in utterance.phonemes] + [_REST]
    halves = np.append(np.diff(starts) / 2, 0.05)
    values = np.array([(v.opening, v.width, v.protrusion) for v in targets])
    strength = np.array([v.dominance for v in targets])
    distance = np.maximum(np.abs(times[:, None] - centres) - 0.5 * halves, 0)
    weight = strength * np.exp(-((distance / _TAU) ** 1.3)) + 1e-12
    track = weight @ values / weight.sum(1, keepdims=True)
    track[:, 0] = np.maximum(track[:, 0] * 1.4, 0)
    return track
