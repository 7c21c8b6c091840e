"""LSE-C, LSE-D and audio-visual offset by SyncNet v2 (Prajwal et al. 2020, after Chung and Zisserman 2016)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..audio.mfcc import mfcc
from ..nets.pretrained.syncnet import SyncNet

SIDE, WINDOW, SHIFT = 224, 5, 15
SAMPLES_PER_FRAME = 640  # 16 kHz at 25 frames per second
_MFCC_ROWS, _ROWS_PER_FRAME, _CEPSTRA = 20, 4, 13
_AROUND = 0.4  # of the box, that the authors' pipeline keeps around it


@dataclass(frozen=True)
class SyncScore:
    """confidence (LSE-C, larger is better), distance (LSE-D, smaller is better) and offset in frames."""

    confidence: float
    distance: float
    offset: int


@torch.no_grad()
def measure_sync(net: SyncNet, frames: np.ndarray, wav: np.ndarray, batch: int = 16) -> SyncScore:
    """frames: [T, 224, 224, 3] RGB uint8 at 25 per second; wav: [samples] 16 kHz in [-1, 1].

    Raises ValueError for fewer than six frames of picture and sound.
    """
    cepstra = mfcc((np.clip(wav, -1, 1) * 32767).astype(np.int16), _CEPSTRA).astype(np.float32)
    count = min(len(frames), len(wav) // SAMPLES_PER_FRAME) - WINDOW
    if count < 1:
        raise ValueError(f"{len(frames)} frames and {len(wav)} samples are too short for SyncNet")
    faces, sounds = [], []
    for start in range(0, count, batch):
        index = range(start, min(start + batch, count))
        windows = np.stack([frames[i : i + WINDOW, ..., ::-1] for i in index])  # BGR
        rows = np.stack([cepstra[_ROWS_PER_FRAME * i : _ROWS_PER_FRAME * i + _MFCC_ROWS].T for i in index])
        faces.append(net.embed_frames(torch.from_numpy(windows.copy()).permute(0, 4, 1, 2, 3).float()))
        sounds.append(net.embed_mfcc(torch.from_numpy(rows)[:, None]))
    return score(torch.cat(faces), torch.cat(sounds))


def score(faces: Tensor, sounds: Tensor) -> SyncScore:
    """Scores of embeddings [T, D]: distances at shifts of -15 to 15 frames, zero beyond the ends, averaged over time."""
    padded = F.pad(sounds, (0, 0, SHIFT, SHIFT))
    shifted = padded.unfold(0, len(faces), 1).permute(0, 2, 1)  # [31, T, D]
    distances = F.pairwise_distance(faces.expand(len(shifted), -1, -1), shifted).mean(1)
    least = int(distances.argmin())
    return SyncScore(float(distances.median() - distances[least]), float(distances[least]), SHIFT - least)


def crop_for_syncnet(frame: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The part of a frame [H, W, 3] around a face box (left, top, width, height) that SyncNet is used to, [224, 224, 3]."""
    half = max(box[2], box[3]) / 2
    centre = box[:2] + box[2:] / 2
    pad = int(half * (1 + 2 * _AROUND))
    padded = cv2.copyMakeBorder(frame, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=(110, 110, 110))
    top, left = int(centre[1] + pad - half), int(centre[0] + pad - half * (1 + _AROUND))
    height, width = int(half * (2 + 2 * _AROUND)), int(half * (2 + 2 * _AROUND))
    return np.asarray(cv2.resize(padded[top : top + height, left : left + width], (SIDE, SIDE)))
