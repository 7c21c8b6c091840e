"""Rendering: a checkpoint, its subject's folder and speech become frames at the source's size."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch

from ..audio.features import backend_from_params, extract_windows
from ..audio.rows import FeatureWindows
from ..background import ordered_map, prefetch
from ..config import Settings, with_changes
from ..errors import UserError
from ..geometry.camera import relative_transforms
from ..locks import reader_of
from ..media.facts import Colour, VideoFacts
from ..media.planes import Picture, carried_bits
from ..media.probe import probe
from ..media.sound import stream_audio
from ..model.checkpoint import Checkpoint, check_same_subject, load_checkpoint
from ..model.device import Shares, has_bfloat16, pick_device
from ..nets.compositor import ObservedRegion, cropped
from ..nets.exemplars import Pictures, Seen
from ..subject.dataset import cut_picture, load_grids
from ..subject.index import load_canonical, region_of
from ..subject.layout import SubjectLayout, source_selection
from ..subject.outline import face_areas
from ..subject.source import clip_of
from .paste import Rendered, paste_back, untouched
from .walk import (
    Footage,
    clear_stretch,
    endless_runs,
    forth_and_back,
    longest_clear,
    painted_share,
    pictures_in_order,
    runs_of,
)

_NO_NUMBERS = (
    "the networks gave colours that are no numbers, near source frame {frame}: train again, or with render.amp=false"
)
LipImages = Callable[[np.ndarray], torch.Tensor]  # numbers of result frames [B] -> lip images [B, 3, h, w] in [0, 1]
_SHORTEST_WALK = 1.0  # seconds that can be walked forth and back without looking odd at once
_BEYOND = 2  # pixels of the networks
_AHEAD = 16  # frames decoded ahead of rendering
_HEARD_AT_ONCE = 64  # windows of speech, which hold fifty kilobytes each


@dataclass(frozen=True)
class _Batch:
    """Frames to be painted at once: pictures and their numbers [B], embeddings and codes of what is said; given: lip images
    [B, 3, h, w] instead of the model's."""

    pictures: list[Picture]
    sources: np.ndarray
    embedding: torch.Tensor
    codes: torch.Tensor
    given: torch.Tensor | None = None


class Predictor:
    """Owns device, colour order and resizing around a trained model.

    audio windows [N, rows, channels] and the subject's own frames in, full frames out.
    Only a few frames are held at any time.
    """

    def __init__(self, checkpoint: Checkpoint, layout: SubjectLayout, device: str = "auto"):
        self.layout, self.metadata = layout, checkpoint.metadata
        self.subject = layout.load_subject()
        self.track = layout.load_track(self.subject)
        check_same_subject(checkpoint.metadata, self.subject, self.track, Path("the checkpoint"))
        self.source = layout.source_path(self.subject)
        self.select = source_selection(self.subject)
        self.device = pick_device(device)
        self.model = checkpoint.model.to(self.device).eval()
        self.model.use_bf16 = checkpoint.config.render.amp and has_bfloat16(self.device)
        self.model.blend.fold_norm()
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.config = checkpoint.config
        canonical = load_canonical(layout, self.subject)
        pose = self.track.poses.matrices()[self.subject.canonical_frame]
        self.transforms = torch.from_numpy(relative_transforms(self.track.poses, pose)).float()
        self.subject, self.origins = region_of(self.subject, self.track.poses, canonical, self.model.region)
        if self.model.space.scale != self.subject.fine_scale / self.subject.coarse:
            raise UserError(
                f"the checkpoint was trained before subject {self.subject.name} kept its mouths at their own resolution: train again"
            )
        self.faces = face_areas(self.subject, self.track, canonical.depth, self.origins)
        self.exposure = torch.from_numpy(self.track.exposure).float() * torch.tensor([1.0, 1 / 255])[:, None]
        self.share = painted_share(self.track.clear, self.subject.shots, self.config.render.fade)
        with torch.no_grad():
            self.depth = self.model.space.depth()

    @classmethod
    def open(cls, model: str | Path, subject: str | Path | None = None, device: str = "auto") -> Predictor:
        """A checkpoint, ready to render on its subject: a folder, by default the one that it was trained on."""
        checkpoint = load_checkpoint(model)
        return cls(checkpoint, SubjectLayout(subject or checkpoint.config.data.root), device)

    @property
    def colour(self) -> Colour:
        """What the rendered frames are to be written with: the source's colour, of HDR only when it is kept."""
        video = self._video
        if video is None:
            return Colour()
        return video.stored if self.footage.keep_hdr else video.colour

    @property
    def footage(self) -> Footage:
        """The source as it is walked; UserError for HDR that cannot be kept."""
        video = self._video
        keep = self.config.render.hdr == "keep" and video is not None and video.hdr
        if keep and video is not None and not carried_bits(video, keep_hdr=True):
            raise UserError(
                f"{self.source} is HDR that cannot be kept ({video.subsampling}, {video.stored.matrix}, pixels {video.aspect:.3g} "
                "times as wide as high): render with render.hdr=sdr"
            )
        return Footage(self.source, self.subject.fps, self.select, keep)

    @property
    def _video(self) -> VideoFacts | None:
        return probe(self.source, self.select).video

    @property
    def read(self) -> tuple[Path | None, ...]:
        """Files that must not be written over: the kept source, and the user's clip that it is a copy of."""
        return self.source, clip_of(self.layout.source_record)

    def check_start(self, first: int) -> None:
        """Refuse a source frame to begin on that the clip has not."""
        last = self.subject.frames - 1
        if not 0 <= first <= last:
            raise UserError(
                f"there is no source frame {first} to start on (--start): subject {self.subject.name} has frames 0 to {last}"
            )

    def walk(self, first: int, count: int) -> tuple[tuple[int, int], int]:
        """The loop [start, end) in which a walk of `count` frames from `first` meets mouths that are seen, where the clip
        has such a stretch, and its first frame."""
        least = max(1, round(self.config.render.clear_seconds * self.subject.fps))
        start, end = clear_stretch(self.track.clear, first, count, least)
        return (start, end), first if start <= first < end else start

    def unpainted(self, first: int, count: int, loop: tuple[int, int]) -> str:
        """A sentence about frames that a walk of `count` frames from `first` inside `loop` leaves as they are, and how to
        avoid them; "" where there are none."""
        start, end = loop
        seen = self.track.clear[start + forth_and_back(count, first - start, end - start)]
        if seen.all():
            return ""
        text = f"{np.count_nonzero(~seen)} of {count} frames show somebody else, or something in front of the mouth: they stay as they are"
        seconds = longest_clear(self.track.clear) / self.subject.fps
        shorter = math.floor(10 * seconds) / 10
        avoids = _SHORTEST_WALK <= shorter < self.config.render.clear_seconds
        return f"{text}; render.clear_seconds={shorter:g} avoids them" if avoids else text

    @classmethod
    @contextmanager
    def reading(
        cls, model: Path, subject: Path | None, device: str, settings: Settings | None = None
    ) -> Iterator[Predictor]:
        """As `open`; while the block runs, nobody writes the subject's folder. settings: keys of section `render` to change."""
        checkpoint = load_checkpoint(model)
        checkpoint = replace(checkpoint, config=with_changes(checkpoint.config, "render", settings or {}))
        layout = SubjectLayout(subject or checkpoint.config.data.root)
        with reader_of(layout.root, "speech2lip render"):
            yield cls(checkpoint, layout, device)

    def features(self, audio: str | Path) -> FeatureWindows:
        """Windows [N, rows, channels] for a file with speech, made when they are asked for."""
        audio = Path(audio)
        return extract_windows(
            stream_audio(audio), self.subject.fps, backend_from_params(dict(self.metadata.audio)), audio
        )

    @torch.no_grad()
    def codes(self, windows: np.ndarray | FeatureWindows, order: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Embeddings and codes of all windows, which are painted on the frames `order` [N].

        The published model's time input is the number of the rendered frame instead, as in the authors' inference.
        """
        parts = [
            self.model.encode_audio(
                torch.from_numpy(windows[p]).to(self.device).float(), torch.from_numpy(order[p]).to(self.device)
            )
            for p in np.array_split(np.arange(len(windows)), len(windows) // _HEARD_AT_ONCE + 1)
        ]
        embedding, codes = (torch.cat(p) for p in zip(*parts, strict=True))
        return embedding, codes * self.config.render.articulation if self.model.predicts_shape else codes

    def render(
        self, windows: np.ndarray | FeatureWindows, first: int = 0, loop: tuple[int, int] | None = None,
        lips: LipImages | None = None,
    ) -> Iterator[Rendered]:  # fmt: skip
        """Frames for `windows`, painted on source frames first, first + 1, ..., walked forth
        and back inside `loop` [start, end) (default: the whole clip).

        lips: paste these lip images, whatever is said; the controls of an evaluation.
        """
        start, end = loop or (0, self.subject.frames)
        if end - start < 1:
            raise UserError(f"subject {self.subject.name} has no frames to paint on in [{start}, {end})")
        order = forth_and_back(len(windows), first - start, end - start) + start
        frames = prefetch(pictures_in_order(self.footage, runs_of(order)), _AHEAD)
        shares = Shares.of(self.device)

        def batches() -> Iterator[_Batch]:
            for numbers, embedding, codes in self._heard(
                windows, order, max(1, self.config.render.batch // shares.count)
            ):
                given = None if lips is None else lips(numbers)
                yield _Batch([next(frames) for _ in numbers], order[numbers], embedding, codes, given)

        with closing(frames):
            yield from self._side_by_side(batches(), shares)

    def _side_by_side(self, batches: Iterator[_Batch], shares: Shares) -> Iterator[Rendered]:
        """Paint batches, in as many threads as there are shares of the processor."""
        if shares.count == 1:
            for batch in batches:
                yield from self.painted(batch)
            return
        painted = ordered_map(self.painted, batches, shares.count, shares.count, shares.begin)
        with shares.restored(), closing(painted):
            for done in painted:
                yield from done

    def _heard(
        self, windows: np.ndarray | FeatureWindows, order: np.ndarray, size: int
    ) -> Iterator[tuple[np.ndarray, torch.Tensor, torch.Tensor]]:
        """Numbers of `size` frames, embeddings and codes, a batch at a time; speech is heard a few batches ahead of the frames."""
        ahead = size * max(1, _HEARD_AT_ONCE // size)
        for start in range(0, len(order), ahead):
            numbers = np.arange(start, min(start + ahead, len(order)))
            embedding, codes = self.codes(windows[numbers], order[numbers] if self.model.predicts_shape else numbers)
            for at in range(0, len(numbers), size):
                yield numbers[at : at + size], embedding[at : at + size], codes[at : at + size]

    def render_live(
        self, arrivals: Iterable[np.ndarray], first: int = 0, loop: tuple[int, int] | None = None
    ) -> Generator[Rendered, None, None]:
        """Frames for windows [n, rows, channels] as they arrive, n from 0 on, without end."""
        with closing(LivePainter(self, first, loop)) as painter:
            for windows in arrivals:
                yield from painter.paint(windows)

    def _grids(self, frames: np.ndarray) -> torch.Tensor | None:
        """Stored correspondences, for published networks on an imported dataset."""
        grids = load_grids(self.layout, frames, self.subject.crop.size) if self.model.region == "crop" else None
        return None if grids is None else grids.to(self.device)

    def observe(self, pictures: list[Picture], sources: np.ndarray) -> tuple[np.ndarray, ObservedRegion]:
        """The region around the mouth in source frames, whose numbers are `sources` [B].

        Returns its pixels [B, R, R, 3] uint8, and the region as networks see it, `coarse` times smaller.
        """
        subject, coarse = self.subject, self.subject.coarse
        size, origins, at = subject.region_size, self.origins[sources], torch.from_numpy(sources)
        pixels = np.stack([cut_picture(p, subject.fine, o, size) for p, o in zip(pictures, origins, strict=True)])
        shape = (size // coarse, size // coarse)
        small = np.stack([cv2.resize(p.astype(np.float32), shape, interpolation=cv2.INTER_AREA) for p in pixels])
        drawn = ObservedRegion(
            torch.from_numpy(small).to(self.device).permute(0, 3, 1, 2) / 255,
            torch.from_numpy(origins).float().to(self.device) / coarse, self.transforms[at].to(self.device),
            self.exposure[at].to(self.device), self._grids(sources),
            face=self.faces(sources).to(self.device) if self.faces is not None else None,
        )  # fmt: skip
        return pixels, drawn

    @torch.no_grad()
    def finish(
        self, pixels: np.ndarray, drawn: ObservedRegion, embedding: torch.Tensor, codes: torch.Tensor,
        given: torch.Tensor | None = None, share: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor, tuple[int, int]]:  # fmt: skip
        """The part of observed regions that is painted, with the given lip images or the model's.

        share: [B, 1, 1, 1] how far frames are painted. Returns pictures [B, 3, h, w] in about [0, 1], masks [B, 1, h, w] and where they
        begin in the region, (x, y); h and w are 0 where nothing is painted.
        """
        coarse, model = self.subject.coarse, self.model
        if model.region == "mouth":
            drawn = replace(drawn, canonical=model.space.to_canonical(drawn, self.depth))
        seen: Seen | None
        if given is None:
            seen = model.look_up(codes, drawn.transform)
            lip = model.decode_lips(embedding, codes, drawn.transform, seen)
        else:
            seen = Pictures(given, coarse)
            lip = seen.small
        finished, mask = model.composite(lip, drawn, self.depth, seen=seen)
        rows, columns = _painted_box(mask)
        part = cropped(drawn, rows, columns)
        finished, mask = finished[:, :, rows, columns], mask[:, :, rows, columns]
        image = part.image
        if coarse > 1 and mask.numel() > 0:
            assert seen is not None
            rows, columns = (slice(coarse * s.start, coarse * s.stop) for s in (rows, columns))
            fine = torch.from_numpy(np.ascontiguousarray(pixels[:, rows, columns].transpose(0, 3, 1, 2)))
            image = fine.to(self.device).float() / 255
            finished, mask = model.refine(finished, mask, seen, part, replace(part, image=image))
        if share is not None:
            finished, mask = image + share * (finished - image), mask * share
        return finished, mask, (columns.start, rows.start)

    @torch.no_grad()
    def painted(self, batch: _Batch) -> list[Rendered]:
        """Frames without a tracked face, or with something in front of the mouth, pass unchanged."""
        pictures, sources, given = batch.pictures, batch.sources, batch.given
        keep = [k for k, s in enumerate(sources) if self.track.valid[s] and self.share[s] > 0]
        done = [untouched(picture, int(source)) for picture, source in zip(pictures, sources, strict=True)]
        if keep:
            at, painted = sources[keep], [pictures[k] for k in keep]
            observed = self.observe(painted, at)
            mouths = None if given is None else given[keep].to(self.device)
            share = torch.from_numpy(self.share[at]).to(self.device)[:, None, None, None]
            beside = share if (share < 1).any() else None  # beside frames that pass unchanged
            finished = self.finish(*observed, batch.embedding[keep], batch.codes[keep], mouths, beside)
            for k, frame in zip(keep, self.pasted(painted, at, finished), strict=True):
                done[k] = frame
        return done

    def pasted(
        self, pictures: list[Picture], sources: np.ndarray, finished: tuple[torch.Tensor, torch.Tensor, tuple[int, int]]
    ) -> list[Rendered]:
        """What `finish` gave, put back into the source frames."""
        blended, mask, corner = finished
        if not torch.isfinite(blended).all():
            raise UserError(_NO_NUMBERS.format(frame=int(sources[0])))
        pixels = (blended.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        masks = mask[:, 0].cpu().numpy()
        return [
            paste_back(p, pixels[i], masks[i], self.origins[sources[i]] + corner, self.subject.fine, int(sources[i]))
            for i, p in enumerate(pictures)
        ]


class LivePainter:
    """Paints windows as they arrive on frames first, first + 1, ..., walked forth and back inside `loop` [start, end)."""

    def __init__(self, predictor: Predictor, first: int = 0, loop: tuple[int, int] | None = None):
        self._predictor, self._first = predictor, first
        self._start, self._end = loop or (0, predictor.subject.frames)
        self._frames = prefetch(
            pictures_in_order(predictor.footage, endless_runs(first, self._start, self._end)), _AHEAD
        )
        self._done = 0

    def paint(self, windows: np.ndarray) -> Iterator[Rendered]:
        """The next frames, for windows [n, rows, channels]."""
        predictor = self._predictor
        for part in np.array_split(windows, len(windows) // predictor.config.render.batch + 1):
            if not len(part):
                continue
            order = (
                forth_and_back(len(part), self._first - self._start, self._end - self._start, self._done) + self._start
            )
            numbers = self._done + np.arange(len(part))
            embedding, codes = predictor.codes(part, order if predictor.model.predicts_shape else numbers)
            yield from predictor.painted(_Batch([next(self._frames) for _ in part], order, embedding, codes))
            self._done += len(part)

    def close(self) -> None:
        self._frames.close()


def _painted_box(mask: torch.Tensor) -> tuple[slice, slice]:
    """Rows and columns of masks [B, 1, h, w] outside of which all are 0, and as far beyond as an enlarged mask reaches."""
    painted = (mask > 0).any(0)[0].cpu().numpy()
    return _span(painted.any(1)), _span(painted.any(0))


def _span(painted: np.ndarray) -> slice:
    found = np.flatnonzero(painted)
    if len(found) == 0:
        return slice(0, 0)
    return slice(max(int(found[0]) - _BEYOND, 0), min(int(found[-1]) + 1 + _BEYOND, len(painted)))
