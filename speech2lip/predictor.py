"""Rendering: a checkpoint, its subject's folder and speech become frames at the source's size."""

from __future__ import annotations

import subprocess
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

import cv2
import numpy as np
import torch

from .audio.features import backend_from_params, extract_windows, load_features
from .audio.rows import FeatureWindows
from .audio.waveform import SAMPLE_RATE, load_audio, save_wav, stream_audio
from .builder import bfloat16_pays, pick_device, works_on_whole
from .checkpoint import Checkpoint, check_same_subject, load_checkpoint
from .data.dataset import cut, load_grids
from .data.parser import load_canonical, parse_subject, region_of
from .errors import UserError
from .face.crop import extract
from .geometry import relative_transforms
from .layout import Crop, SubjectLayout, atomic_path
from .nets.compositor import ObservedRegion
from .pipeline import prefetch
from .progress import bar
from .video import VideoWriter, ffmpeg, read_frames, write_image

_PIECE_BYTES = 2**30  # of decoded frames in a temporary file while the clip is walked backwards
_AHEAD = 16  # frames decoded ahead of rendering
_HEARD_AT_ONCE = 64  # windows of speech, which hold fifty kilobytes each


@dataclass(frozen=True)
class Rendered:
    """One finished frame: `image` RGB uint8 at source size; `original`: the frame it was
    painted on, unchanged; `source`: that frame's index; `mask`: [h, w] float32 in 0..1, how
    far pixels from `corner` (x, y) on may differ from it; all others are the same."""

    image: np.ndarray
    original: np.ndarray
    source: int
    mask: np.ndarray
    corner: tuple[int, int]

    @property
    def full_mask(self) -> np.ndarray:
        """The mask at the size of the image, [H, W]."""
        out = np.zeros(self.image.shape[:2], np.float32)
        (x, y), (height, width) = self.corner, self.mask.shape
        out[y : y + height, x : x + width] = self.mask
        return out


class Predictor:
    """Owns device, colour order and resizing around a trained model.

    audio windows [N, rows, channels] and the subject's own frames in, full frames out.
    Only a few frames are held at any time.
    """

    def __init__(self, checkpoint: Checkpoint, layout: SubjectLayout, device: str = "auto"):
        self.layout, self.facts = layout, checkpoint.facts
        self.subject, self.track = layout.load_subject(), layout.load_track()
        check_same_subject(checkpoint.facts, self.subject, Path("the checkpoint"))
        self.source = layout.source_path(self.subject)
        self.device = pick_device(device)
        self.model = checkpoint.model.to(self.device).eval()
        self.model.reduced = checkpoint.config.render.amp and bfloat16_pays(self.device)
        self.model.blend.fold_norm()
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.config = checkpoint.config
        canonical = load_canonical(layout)
        pose = self.track.poses.matrices()[self.subject.canonical_frame]
        self.transforms = torch.from_numpy(relative_transforms(self.track.poses, pose)).float()
        whole = works_on_whole(checkpoint.config)
        self.subject, self.origins = region_of(self.subject, self.track.poses, canonical, whole)
        self.colour = torch.from_numpy(self.track.colour).float() * torch.tensor([1.0, 1 / 255])[:, None]
        with torch.no_grad():
            self.depth = self.model.space.depth()

    def features(self, audio: Path) -> FeatureWindows:
        """Windows [N, rows, channels] for a file with speech, made when they are asked for."""
        return extract_windows(
            stream_audio(audio), self.subject.fps, backend_from_params(dict(self.facts.audio)), audio
        )

    @torch.no_grad()
    def codes(self, windows: np.ndarray | FeatureWindows, order: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Embeddings and codes of all windows, which are painted on the frames `order` [N].

        The published model's time input is the number of the rendered frame, as in the
        authors' inference.
        """
        order = np.arange(len(windows)) if works_on_whole(self.config) else order
        parts = [
            self.model.speak(
                torch.from_numpy(windows[p]).to(self.device).float(), torch.from_numpy(order[p]).to(self.device)
            )
            for p in np.array_split(np.arange(len(windows)), len(windows) // _HEARD_AT_ONCE + 1)
        ]
        embedding, codes = (torch.cat(p) for p in zip(*parts, strict=True))
        return embedding, codes * self.config.render.articulation if self.model.predicts_shape else codes

    def render(
        self, windows: np.ndarray | FeatureWindows, first: int = 0, loop: tuple[int, int] | None = None
    ) -> Iterator[Rendered]:
        """Frames for `windows`, painted on source frames first, first + 1, ..., walked forth
        and back inside `loop` [start, end) (default: the whole clip)."""
        start, end = loop or (0, self.subject.frames)
        if end - start < 1:
            raise UserError(f"subject {self.subject.name} has no frames to paint on in [{start}, {end})")
        order = forth_and_back(len(windows), first - start, end - start) + start
        embedding, codes = self.codes(windows, order)
        frames = prefetch(frames_in_order(self.source, self.subject.fps, runs_of(order)), _AHEAD)
        size = self.config.render.batch
        with closing(frames):
            for at in range(0, len(order), size):
                part = order[at : at + size]
                images = [next(frames) for _ in part]
                yield from self._paint(images, part, embedding[at : at + size], codes[at : at + size])

    def render_live(
        self, arrivals: Iterable[np.ndarray], first: int = 0, loop: tuple[int, int] | None = None
    ) -> Iterator[Rendered]:
        """Frames for windows [n, rows, channels] as they arrive, n from 0 on, without end."""
        start, end = loop or (0, self.subject.frames)
        frames = prefetch(frames_in_order(self.source, self.subject.fps, endless_runs(first, start, end)), _AHEAD)
        position = 0
        with closing(frames):
            for windows in arrivals:
                if not len(windows):
                    continue
                for part in np.array_split(windows, len(windows) // self.config.render.batch + 1):
                    order = forth_and_back(position + len(part), first - start, end - start)[position:] + start
                    embedding, codes = self.codes(part, order)
                    yield from self._paint([next(frames) for _ in part], order, embedding, codes)
                    position += len(part)

    def _grids(self, frames: np.ndarray) -> torch.Tensor | None:
        """Stored correspondences, for published networks on an imported dataset."""
        grids = load_grids(self.layout, frames) if works_on_whole(self.config) else None
        return None if grids is None else grids.to(self.device)

    @torch.no_grad()
    def _paint(
        self, images: list[np.ndarray], sources: np.ndarray, embedding: torch.Tensor, codes: torch.Tensor
    ) -> Iterator[Rendered]:
        """One batch; frames without a tracked face pass unchanged."""
        crop, size = self.subject.crop, self.subject.region_size
        faces = [self.track.valid[s] for s in sources]
        keep = [k for k, valid in enumerate(faces) if valid]
        finished: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        if keep:
            regions = np.stack([cut(extract(images[k], crop), self.origins[sources[k]], size) for k in keep])
            at = torch.from_numpy(sources[keep])
            picture = torch.from_numpy(regions).to(self.device).permute(0, 3, 1, 2).float() / 255
            region = ObservedRegion(
                picture, torch.from_numpy(self.origins[sources[keep]]).float().to(self.device),
                self.transforms[at].to(self.device), self.colour[at].to(self.device), self._grids(sources[keep]),
            )  # fmt: skip
            lip = self.model.draw(embedding[keep], codes[keep], region.transform)
            blended, mask = self.model.fuse(lip, region, self.depth)
            pixels = (blended.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
            finished = {k: (pixels[i], mask[i, 0].cpu().numpy()) for i, k in enumerate(keep)}
        for k, image in enumerate(images):
            if k in finished:
                yield _paste_back(image, *finished[k], self.origins[sources[k]], crop, int(sources[k]))
            else:
                yield _untouched(image, int(sources[k]))


def _untouched(image: np.ndarray, source: int) -> Rendered:
    return Rendered(image, image, source, np.zeros((0, 0), np.float32), (0, 0))


def _paste_back(
    image: np.ndarray, pixels: np.ndarray, mask: np.ndarray, origin: np.ndarray, crop: Crop, source: int
) -> Rendered:
    """Put a finished region (pixels [R, R, 3], mask [R, R]) back into the full frame.

    At the source's own scale pixels are copied where the mask is not 0. A crop that was
    shrunk is enlarged (bicubic) and mixed by the mask, so that the frame keeps its detail
    outside and its edge is soft.
    """
    height, width = image.shape[:2]
    scale, size = crop.scale, len(mask)
    corner = np.array([crop.x, crop.y])
    low = np.floor((origin - 0.5) / scale).astype(int) + corner
    high = np.ceil((origin + size + 0.5) / scale).astype(int) + corner
    x0, y0 = np.maximum(low, 0)
    x1, y1 = np.minimum(high, [width, height])
    if x1 <= x0 or y1 <= y0:
        return _untouched(image, source)
    # region pixel of source pixel p: ((p - crop) + 0.5) scale - 0.5 - origin
    shift = (np.array([x0, y0]) - corner + 0.5) * scale - 0.5 - origin
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    shape, flags = (int(x1 - x0), int(y1 - y0)), cv2.WARP_INVERSE_MAP
    spread = cv2.warpAffine(mask, matrix, shape, flags=flags | cv2.INTER_LINEAR, borderValue=0)
    enlarged = cv2.warpAffine(pixels, matrix, shape, flags=flags | cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    out = image.copy()
    target = out[y0:y1, x0:x1]
    touched = spread > 0
    if crop.size == crop.side:
        target[touched] = enlarged[touched]
    else:
        mix = target + spread[..., None] * (enlarged.astype(np.float32) - target)
        target[touched] = mix[touched].round().clip(0, 255).astype(np.uint8)
    return Rendered(out, image, source, spread, (int(x0), int(y0)))


def forth_and_back(count: int, first: int, length: int) -> np.ndarray:
    """`count` indices that start at `first` and walk 0 .. length - 1 forth and back without a jump."""
    if length == 1:
        return np.zeros(count, np.int64)
    period = 2 * (length - 1)
    phase = (np.arange(count) + first) % period
    return np.where(phase < length, phase, period - phase).astype(np.int64)


def runs_of(order: np.ndarray) -> Iterator[np.ndarray]:
    """Indices that move by one at a time, cut where they turn round."""
    position = 0
    while position < len(order):
        backwards = position + 1 < len(order) and order[position + 1] < order[position]
        step = -1 if backwards else 1
        stop = position + 1
        while stop < len(order) and order[stop] - order[stop - 1] == step:
            stop += 1
        yield order[position:stop]
        position = stop


def endless_runs(first: int, start: int, end: int) -> Iterator[np.ndarray]:
    """The runs of `forth_and_back` inside [start, end) from `first` on, without end."""
    yield np.arange(first, end)
    while end - start > 1:
        yield np.arange(end - 2, start - 1, -1)
        yield np.arange(start + 1, end)
    while True:
        yield np.array([start])


def frames_in_order(source: Path, fps: float, runs: Iterable[np.ndarray]) -> Generator[np.ndarray, None, None]:
    """Decoded frames for runs of neighbouring indices, rising or falling.

    Rising runs are streamed; falling ones are decoded in pieces from their end, so memory
    does not depend on their length.
    """
    for run in runs:
        falling = len(run) > 1 and run[1] < run[0]
        yield from _reversed_run(source, fps, run) if falling else _forward_run(source, fps, int(run[0]), len(run))


def _forward_run(source: Path, fps: float, start: int, count: int) -> Iterator[np.ndarray]:
    frames = read_frames(source, fps, start=start)
    with closing(frames):
        for number in range(count):
            frame = next(frames, None)
            if frame is None:
                raise UserError(
                    f"{source} ends at frame {start + number}, but was longer when it was preprocessed: restore it"
                )
            yield frame


def _reversed_run(source: Path, fps: float, run: np.ndarray) -> Iterator[np.ndarray]:
    """Each piece is decoded forwards, up to its end, which costs a seek to the key frame before it; pieces
    are therefore large, and lie in a temporary file."""
    size, at = 16, 0
    while at < len(run):
        part = run[at : at + size]
        with TemporaryFile() as chunk:
            for frame in _forward_run(source, fps, int(part[-1]), len(part)):
                chunk.write(frame.data)
            for number in reversed(range(len(part))):
                chunk.seek(number * frame.nbytes)
                yield np.frombuffer(bytearray(chunk.read(frame.nbytes)), np.uint8).reshape(frame.shape)
        at += len(part)
        size = max(16, int(_PIECE_BYTES // frame.nbytes))


# ---------------------------------------------------------------- whole renders


def render_video(
    checkpoint_path: Path, root: Path, audio: Path, out: Path, device: str = "auto", first: int = 0,
    loop: tuple[int, int] | None = None,
) -> int:  # fmt: skip
    """Render `audio` on the subject's frames into the video `out`; returns its number of frames.

    loop: range of source frames [start, end) to walk forth and back in (default: all).
    """
    predictor = Predictor(load_checkpoint(checkpoint_path), SubjectLayout(root), device)
    windows = predictor.features(audio)
    render = predictor.config.render
    with atomic_path(out) as path:
        length = len(windows) / predictor.subject.fps
        with VideoWriter(path, predictor.subject.fps, audio, length, render.crf, render.preset) as video:
            frames = predictor.render(windows, first, loop)
            for frame in bar(f"rendering {out.name}", len(windows), "frame", frames):
                video.write(frame.image)
    return len(windows)


def render_images(
    checkpoint_path: Path, root: Path, folder: Path, new_audio: Path | None = None, device: str = "auto"
) -> int:
    """Render frames as `folder/%05d.jpg`, as the published inference does; returns their number.

    Without `new_audio` (an `audio.npy` of features) the test split is rendered onto itself,
    and `audio_test.wav`, its sound, is written beside `folder`.
    """
    checkpoint = load_checkpoint(checkpoint_path)
    layout = SubjectLayout(root)
    predictor = Predictor(checkpoint, layout, device)
    first = 0
    if new_audio is not None:
        windows = load_features(new_audio, dict(checkpoint.facts.audio))
    else:
        index = parse_subject(layout, checkpoint.config.data.test_fraction)
        if not len(index.test):
            raise UserError(f"{root} has no test frames (data.test_fraction is 0): render new audio instead")
        first = int(index.test[0])
        windows = index.windows[first : int(index.test[-1]) + 1]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write into {folder} ({error.strerror}): choose another --output_dir") from error
    for old in folder.glob("[0-9]*.jpg"):
        old.unlink()
    frames = predictor.render(windows, first)
    for number, frame in enumerate(bar(f"rendering {folder}", len(windows), "frame", frames)):
        write_image(folder / f"{number:05d}.jpg", frame.image, 97)
    if new_audio is None:
        _cut_audio(
            layout.audio,
            folder.parent / "audio_test.wav",
            first / predictor.subject.fps,
            len(windows) / predictor.subject.fps,
        )
    return len(windows)


def _cut_audio(source: Path, target: Path, start: float, length: float) -> None:
    wav = load_audio(source)
    begin = round(start * SAMPLE_RATE)
    with atomic_path(target) as path:
        save_wav(path, wav[begin : begin + round(length * SAMPLE_RATE)])


def join_side_by_side(left: Path, right: Path, out: Path) -> None:
    """Stack two videos of equal height and rate horizontally, with the right one's sound."""
    with atomic_path(out) as path:
        command = [ffmpeg(), "-v", "error", "-nostdin", "-y", "-i", str(left), "-i", str(right)]
        command += ["-filter_complex", "[0:v][1:v]hstack=inputs=2:shortest=1[v]", "-map", "[v]", "-map", "1:a:0?"]
        command += ["-c:v", "libx264", "-crf", "17", "-pix_fmt", "yuv420p", "-c:a", "copy", "-movflags", "+faststart"]
        run = subprocess.run([*command, str(path)], capture_output=True)
        if run.returncode != 0:
            raise UserError(
                f"{left} and {right} could not be joined ({run.stderr.decode(errors='replace').strip()[-200:]})"
            )
