"""The published sync loss: the frozen Wav2Lip expert pretrained generated windows of frames.

Five frames, the lower half of their 96 x 96 face crops in BGR, against a mel window that
starts `sync.mel_offset` frames later; binary cross-entropy on the cosine of both
embeddings, 1 for generated frames and 0 for real frames `sync.negative_offset` later.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..audio.mel import ROWS_PER_SECOND, mel_spectrogram
from ..geometry.camera import pixel_lattice, pixel_to_grid
from ..media.images import read_image
from ..media.sound import load_audio
from ..nets.interface import LipSyncModel
from ..nets.pretrained.wav2lip import Wav2LipExpert
from ..progress import track
from ..weights.loaders import load_wav2lip
from .context import Context, Sample
from .sync import FrameWindows

SIDE = 96
MEL_WINDOW = 16
_JUDGED = 2  # windows per step


class PublishedSync:
    """Holds the expert, the sound's mel and a small face of every frame."""

    def __init__(self, context: Context):
        self.context, self.config, self.index = context, context.config.sync, context.index
        self.data, self.device, index, device = context.data, context.device, context.index, context.device
        self._starts = FrameWindows(index, self.config.window).starts(index.train)
        self.expert = load_wav2lip().to(device)
        self.mel = torch.from_numpy(mel_spectrogram(load_audio(index.layout.audio), self.config.mel_fmin)).to(device)
        self.boxes = face_boxes(index.track.landmarks)
        frames = np.concatenate([index.train, index.test])
        self._faces = np.zeros((index.subject.frames, SIDE, SIDE, 3), np.uint8)
        for frame in track(frames, "faces for the sync expert"):
            self._faces[frame] = crop_face(read_image(index.layout.face_image(int(frame))), self.boxes[frame])

    def ready(self) -> bool:
        return True

    def terms(self, model: LipSyncModel, sample: Sample) -> dict[str, Tensor]:
        """Two windows of training frames, drawn by the model, as the expert sees them."""
        return {"sync": self.loss(model, sample.part.chance.random.choice(self._starts, sample.part.of(_JUDGED)))}

    def loss(self, model: LipSyncModel, first: np.ndarray) -> Tensor:
        """Loss of windows that start at frames `first` [B], drawn by the model from speech alone."""
        size = self.config.window
        frames = (first[:, None] + np.arange(size)).ravel()
        batch = self.data.batch(frames)
        embedding, codes = model.encode_audio(batch.windows, batch.frame)
        transform = batch.region.transform
        seen = model.look_up(codes, transform, batch.frame)
        region, _ = model.composite(model.decode_lips(embedding, codes, transform, seen), batch.region, seen=seen)
        change = self._on_faces(region - batch.region.image, batch.region.origin, frames)
        made = self._real(frames) + change
        other = other_moments(first, self.config.negative_offset, size, self.index.subject.frames)
        real = self._real((other[:, None] + np.arange(size)).ravel())
        mel = torch.stack([self._mel(f) for f in first])[:, None]
        return sync_loss(self.expert, mel, stack_windows(made, size), stack_windows(real, size))

    def _real(self, frames: np.ndarray) -> Tensor:
        """Real faces [N, 3, SIDE, SIDE] RGB in [0, 1]."""
        return torch.from_numpy(self._faces[frames]).to(self.device).permute(0, 3, 1, 2).float() / 255

    def _on_faces(self, change: Tensor, origin: Tensor, frames: np.ndarray) -> Tensor:
        """What a change of the compositor's regions [N, 3, R, R] does to the small faces.

        Shrinking is linear, so the generated face is the real one plus the shrunk change.
        """
        box = torch.from_numpy(self.boxes[frames] * self.index.subject.fine_scale / self.index.subject.coarse).to(
            change
        )
        step = (box[:, 2:] - box[:, :2]) / SIDE
        width = max(1, int(step.mean().round()) // 2 * 2 + 1)
        smooth = F.avg_pool2d(change, width, 1, width // 2, count_include_pad=True)
        pixels = (pixel_lattice(SIDE, SIDE, change.device) + 0.5) * step[:, None, None] - 0.5 + box[:, None, None, :2]
        grid = pixel_to_grid(pixels - origin[:, None, None], change.shape[-1], change.shape[-2])
        return F.grid_sample(smooth, grid, align_corners=True)

    def _mel(self, frame: int) -> Tensor:
        """[80, 16] mel that starts `mel_offset` frames after a frame; silence beyond the end."""
        start = int(ROWS_PER_SECOND * (frame + self.config.mel_offset) / self.index.subject.fps)
        part = self.mel[:, start : start + MEL_WINDOW]
        return F.pad(part, (0, MEL_WINDOW - part.shape[1]), value=-4.0)


def other_moments(first: np.ndarray, offset: int, size: int, frames: int) -> np.ndarray:
    """First frames [B] of the negatives: `offset` later, or, where the clip ends before that, twice as much earlier."""
    later = first + offset
    return np.where(later + size <= frames, later, np.maximum(first - 2 * offset, 0))


def sync_loss(expert: Wav2LipExpert, mel: Tensor, made: Tensor, real: Tensor) -> Tensor:
    """Binary cross-entropy of generated windows (in sync) and of other real ones (not), both [B, 15, 48, 96]."""
    audio = expert.embed_mel(mel)

    def cosine(face: Tensor) -> Tensor:
        return F.cosine_similarity(audio, expert.embed_face(face)).clamp(0, 1)

    good, bad = cosine(made), cosine(real)
    return F.binary_cross_entropy(good, torch.ones_like(good)) + F.binary_cross_entropy(bad, torch.zeros_like(bad))


def stack_windows(faces: Tensor, size: int) -> Tensor:
    """Faces [B * size, 3, 96, 96] RGB -> the expert's input [B, 3 size, 48, 96]: lower halves, BGR, frames on channels."""
    lower = faces.flip(1)[:, :, SIDE // 2 :]
    return lower.reshape(len(faces) // size, 3 * size, SIDE // 2, SIDE)


def face_boxes(landmarks: np.ndarray) -> np.ndarray:
    """Boxes [T, 4] (left, top, right, bottom) of the face in crop pixels, from its landmarks [T, K, 2]."""
    return np.concatenate([landmarks.min(1), landmarks.max(1) + 1], 1)


def crop_face(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """A box of a picture [H, W, 3], shrunk to [96, 96, 3]; the border repeats outside."""
    left, top, right, bottom = np.round(box).astype(int)
    rows = np.clip(np.arange(top, max(bottom, top + 1)), 0, len(image) - 1)
    columns = np.clip(np.arange(left, max(right, left + 1)), 0, image.shape[1] - 1)
    return np.asarray(cv2.resize(image[rows][:, columns], (SIDE, SIDE), interpolation=cv2.INTER_AREA))
