"""Rendering: a checkpoint, its subject's folder and speech become frames at the source's size."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch

from ..audio.features import backend_from_params, extract_windows, load_features
from ..audio.voice_activity import SpeechPresence, VoiceDetector
from ..background import ordered_map, prefetch
from ..config import Config, Settings, signing_settings, with_changes
from ..errors import UserError
from ..facemesh import FACE_OVAL
from ..geometry.camera import Poses, relative_transforms
from ..geometry.turning import poses_of
from ..locks import reader_of
from ..media.facts import Colour, VideoFacts
from ..media.planes import Picture, carried_bits
from ..media.probe import probe
from ..media.sound import stream_audio
from ..model.checkpoint import Checkpoint, check_same_subject, load_checkpoint
from ..model.device import Shares, has_bfloat16, pick_device
from ..model.familiarity import Familiarity, agreement, familiarity
from ..model.rest import Rest, presence_in, rest_of, resting_mouths
from ..nets.compositor import ObservedRegion, cropped
from ..nets.exemplars import Pictures, Seen
from ..nets.speech2lip import Speech2Lip
from ..subject.dataset import cut_picture, load_grids
from ..subject.index import load_canonical, region_of, region_origins
from ..subject.layout import SubjectLayout, source_selection
from ..subject.outline import face_areas
from ..subject.source import clip_of
from .paste import Rendered, paste_back, untouched
from .posing import Learned, Posing, is_posed
from .silence import CALM_SECONDS, STEADY_SECONDS, Delivery, HeardSpeech, LiveDelivery, Windows, presence_of
from .walk import (
    Footage,
    Walked,
    clear_stretch,
    eased,
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
_SPEAKS = 0.5  # presence of speech from which a mouth counts as speaking
_HEARD_AT_ONCE = 64  # windows of speech, which hold fifty kilobytes each


@dataclass(frozen=True)
class _Batch:
    """Frames to be painted at once: pictures and their numbers [B], embeddings and codes of what is said; given: lip images
    [B, 3, h, w] instead of the model's; poses: [B, 4, 4] that heads are given, where they are moved; chosen: [B] of
    `LipSyncModel.choose`."""

    pictures: list[Picture]
    sources: np.ndarray
    embedding: torch.Tensor
    codes: torch.Tensor
    given: torch.Tensor | None = None
    poses: np.ndarray | None = None
    chosen: torch.Tensor | None = None


@dataclass(frozen=True)
class Stand:
    """Where the region lies in frames [B], and how heads stand in them: origins [B, 2] fine pixel; the rest as of `ObservedRegion`."""

    origins: np.ndarray
    transform: torch.Tensor
    exposure: torch.Tensor
    face: torch.Tensor | None


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
        self._canonical = canonical
        self._pose = self.track.poses.matrices()[self.subject.canonical_frame]
        self.transforms = torch.from_numpy(relative_transforms(self.track.poses, self._pose)).float()
        self.subject, self.origins = region_of(self.subject, self.track.poses, canonical, self.model.region)
        if self.model.space.scale != self.subject.fine_scale / self.subject.coarse:
            raise UserError(
                f"the checkpoint was trained before subject {self.subject.name} kept its mouths at their own resolution: train again"
            )
        self.faces = face_areas(self.subject, self.track, canonical.depth, self.origins)
        self.exposure = torch.from_numpy(self.track.exposure).float() * torch.tensor([1.0, 1 / 255])[:, None]
        self.share = painted_share(self.track.clear, self.subject.shots, self.config.render.fade)
        self.own = np.zeros(self.subject.frames, np.float32)
        with torch.no_grad():
            self.depth = self.model.space.depth()
        self.rest = self._rest() if self.config.render.silence != "off" else None

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
        loop = self.config.render.loop
        if loop and loop[1] > last:
            raise UserError(
                f"there is no source frame {loop[1]} to walk to (--loop): subject {self.subject.name} has frames 0 to {last}"
            )
        if loop and first and not loop[0] <= first <= loop[1]:
            raise UserError(
                f"source frame {first} to start on (--start) lies outside the stretch {loop[0]} to {loop[1]} (--loop): start inside it"
            )

    def walk(self, first: int, count: int) -> tuple[tuple[int, int], int]:
        """The loop [start, end) in which a walk of `count` frames from `first` meets mouths that are seen, where the clip
        has such a stretch, and its first frame. The stretch of the configuration is walked as it is."""
        if self.config.render.loop:
            start, last = self.config.render.loop
            return (start, last + 1), max(first, start)
        least = max(1, round(self.config.render.clear_seconds * self.subject.fps))
        start, end = clear_stretch(self.track.clear, first, count, least)
        return (start, end), first if start <= first < end else start

    def posing(self, first: int = 0, loop: tuple[int, int] | None = None) -> Posing | None:
        """How heads are moved in a walk of `loop` from `first`; None where `render.pose` leaves them as they are.

        UserError for a file that holds no motion, and for models that paint through stored correspondences.
        """
        render = self.config.render
        if not is_posed(render):
            return None
        if self.model.region != "mouth":
            raise UserError("the published model knows the clip's own poses alone: render with render.pose=source")
        depth = self.depth.float().cpu().numpy().astype(np.float64)
        person = Learned(self.layout, self.subject, self.track, self._canonical, depth)
        return Posing(render, person, first, loop or (0, self.subject.frames))

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
        """As `open`; while the block runs, nobody writes the subject's folder. settings: keys of section `render` to change;
        how files are signed is asked of these alone, not of the checkpoint."""
        checkpoint = load_checkpoint(model)
        wanted = signing_settings(Config()) | dict(settings or {})
        checkpoint = replace(checkpoint, config=with_changes(checkpoint.config, "render", wanted))
        layout = SubjectLayout(subject or checkpoint.config.data.root)
        with reader_of(layout.root, "speech2lip render"):
            yield cls(checkpoint, layout, device)

    def features(self, audio: str | Path) -> HeardSpeech:
        """Windows [N, rows, channels] for a file with speech, made when they are asked for, and where somebody speaks."""
        audio, detector, heard = Path(audio), VoiceDetector(), SpeechPresence()

        def overheard() -> Iterator[np.ndarray]:
            for piece in stream_audio(audio):
                heard.push(detector.push(piece))
                yield piece
            heard.push(detector.finish())

        backend = backend_from_params(dict(self.metadata.audio))
        windows = extract_windows(overheard(), self.subject.fps, backend, audio)
        return HeardSpeech(windows, heard.at(np.arange(len(windows)) / self.subject.fps))

    def own_speech(self, windows: np.ndarray, first: int = 0) -> HeardSpeech:
        """Windows [N, rows, channels] of the clip's own sound from frame `first` on, and where in it somebody speaks."""
        presence = presence_in(self.layout.audio, self.subject.fps, first + len(windows))
        return HeardSpeech(windows, presence[first:])

    def familiarity(self, heard: HeardSpeech) -> Familiarity | None:
        """How near sound is to what the model was trained on; None where nothing can be said: too little speech in it, or
        none of the person's that was not trained on, or one stream of features."""
        if not isinstance(self.model, Speech2Lip):
            return None
        own = self.metadata.agreement or self._own_agreement()
        return familiarity(self.model, heard, heard.presence, own)

    def _own_agreement(self) -> float:
        """As newer checkpoints say: on the test part of the subject's own speech; NaN where the folder has no features of it."""
        assert isinstance(self.model, Speech2Lip)
        if not self.layout.features.is_file():
            return float("nan")
        first = round(self.subject.frames * (1 - self.config.data.test_fraction))
        stored = load_features(self.layout.features, dict(self.metadata.audio))
        test = self.own_speech(stored[first : self.subject.frames], first)
        return agreement(self.model, test, np.flatnonzero(test.presence == 1))

    def _rest(self) -> Rest | None:
        """How the mouth rests: as the checkpoint says, or, if it is older, as the subject's folder shows. Published models have
        no shapes."""
        if not isinstance(self.model, Speech2Lip):
            return None
        if self.metadata.rest:
            codes, spread = torch.tensor(self.metadata.rest).view(2, -1)
            return Rest(codes, spread)
        train = self.track.clear.copy()
        train[round(self.subject.frames * (1 - self.config.data.test_fraction)) :] = False
        frames = np.flatnonzero(train if train.any() else self.track.clear)
        return rest_of(self.model.basis, resting_mouths(self.layout, self.track, frames, self.subject.fps))

    def ease(self, spans: Sequence[tuple[int, int]]) -> None:
        """From now on frames [start, end) of each span are painted so that nothing jumps at its ends: there the mouth has the
        shape that it has in the source, and over `render.ease` frames takes the one that is heard."""
        self.own, share = eased(spans, self.subject.frames, self.config.render.ease)
        self.share = np.asarray(self.share * share, np.float32)

    @torch.no_grad()
    def delivery(self, causal: bool = False) -> Delivery:
        """How predicted mouths become those that are shown, as section `render` of the configuration says."""
        render, fps = self.config.render, self.subject.fps
        if not self.model.predicts_shape:
            return Delivery()
        steady = STEADY_SECONDS * fps * render.steady
        if self.rest is None:
            return Delivery(steady, causal=causal)
        backend = backend_from_params(dict(self.metadata.audio))
        silence = np.broadcast_to(np.asarray(backend.silence, np.float32), (1, backend.window, backend.channels))
        quiet = self.model.encode_audio(
            torch.from_numpy(silence.copy()).to(self.device), torch.zeros(1, dtype=torch.long)
        )[0][0]
        calm = CALM_SECONDS * fps if render.silence == "natural" else 0.0
        return Delivery(steady, calm, self.rest, quiet, causal)

    @torch.no_grad()
    def codes(self, windows: Windows, order: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Embeddings and codes of all windows, which are painted on the frames `order` [N], as the model predicts them.

        The published model's time input is the number of the rendered frame instead, as in the authors' inference.
        """
        parts = [
            self.model.encode_audio(
                torch.from_numpy(windows[p]).to(self.device).float(), torch.from_numpy(order[p]).to(self.device)
            )
            for p in np.array_split(np.arange(len(windows)), len(windows) // _HEARD_AT_ONCE + 1)
        ]
        embedding, codes = (torch.cat(p) for p in zip(*parts, strict=True))
        if not self.model.predicts_shape:
            return embedding, codes
        return embedding, codes * self.config.render.articulation

    @torch.no_grad()
    def as_in_source(self, codes: torch.Tensor, order: np.ndarray) -> torch.Tensor:
        """Codes [N, K] of frames `order` [N], as far as `ease` asks for it those of the source's own mouth."""
        own = torch.from_numpy(self.own[order]).to(self.device)[:, None]
        if (own > 0).any():
            at = torch.from_numpy(order).to(self.device)
            measured = self.model.measured_codes(torch.from_numpy(self.track.mouth[order]).float().to(self.device), at)
            codes = codes + own * (measured - codes)
        return codes

    def render(
        self, windows: Windows, first: int = 0, loop: tuple[int, int] | None = None,
        lips: LipImages | None = None, posing: Posing | None = None,
    ) -> Iterator[Rendered]:  # fmt: skip
        """Frames for `windows`, painted on source frames first, first + 1, ..., walked forth
        and back inside `loop` [start, end) (default: the whole clip). Where `windows` say that nobody speaks, the mouth rests.

        lips: paste these lip images, whatever is said; the controls of an evaluation; posing: walk and move heads as it
        says instead.
        """
        start, end = loop or (0, self.subject.frames)
        if end - start < 1:
            raise UserError(f"subject {self.subject.name} has no frames to paint on in [{start}, {end})")
        order = forth_and_back(len(windows), first - start, end - start) + start
        frames = prefetch(self._frames(order) if posing is None else posing.frames(self.footage), _AHEAD)
        shares = Shares.of(self.device)

        def batches() -> Iterator[_Batch]:
            before: int | None = None
            size = max(1, self.config.render.batch // shares.count)
            for numbers, embedding, codes, presence in self._heard(windows, order, size):
                given = None if lips is None else lips(numbers)
                said = _batch([next(frames) for _ in numbers], embedding, codes, given)
                batch = self.choosing(said, presence, before)
                before = _last(batch)
                yield batch

        with closing(frames):
            yield from self._side_by_side(batches(), shares, self.painter(posing))

    @torch.no_grad()
    def choosing(self, batch: _Batch, presence: torch.Tensor, before: int | None) -> _Batch:
        """The same batch, with the real mouths that it shows; batches come in the order of their frames. presence: [B] of speech."""
        if batch.poses is None:
            transform = self.transforms[torch.from_numpy(batch.sources)]
        else:
            transform = torch.from_numpy(relative_transforms(poses_of(batch.poses), self._pose)).float()
        chosen = self.model.choose(batch.codes, transform.to(self.device), presence < _SPEAKS, before)
        return replace(batch, chosen=chosen)

    def _frames(self, order: np.ndarray) -> Iterator[Walked]:
        """Source frames in order, whose heads stay as they are."""
        for picture, source in zip(pictures_in_order(self.footage, runs_of(order)), order, strict=True):
            yield Walked(picture, int(source))

    def painter(self, posing: Posing | None) -> Callable[[_Batch], list[Rendered]]:
        """What paints batches: on frames as they are, or on frames whose heads are moved."""
        return self.painted if posing is None else partial(self._painted_moved, posing)

    def _side_by_side(
        self, batches: Iterator[_Batch], shares: Shares, paint: Callable[[_Batch], list[Rendered]]
    ) -> Iterator[Rendered]:
        """Paint batches, in as many threads as there are shares of the processor."""
        if shares.count == 1:
            for batch in batches:
                yield from paint(batch)
            return
        painted = ordered_map(paint, batches, shares.count, shares.count, shares.begin)
        with shares.restored(), closing(painted):
            for done in painted:
                yield from done

    def _heard(
        self, windows: Windows, order: np.ndarray, size: int
    ) -> Iterator[tuple[np.ndarray, torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Numbers of `size` frames, embeddings, codes and presence of speech, a batch at a time; speech is heard a few batches ahead
        of the frames."""
        ahead = size * max(1, _HEARD_AT_ONCE // size)
        presence, delivery = torch.from_numpy(presence_of(windows)).to(self.device), self.delivery()
        for start in range(0, len(order), ahead):
            numbers = np.arange(start, min(start + ahead, len(order)))
            around = np.arange(max(start - delivery.reach, 0), min(numbers[-1] + 1 + delivery.reach, len(order)))
            found = self.codes(windows[around], order[around] if self.model.predicts_shape else around)
            inside = slice(start - around[0], start - around[0] + len(numbers))
            embedding, codes = (part[inside] for part in delivery(*found, presence[around]))
            codes = self.as_in_source(codes, order[numbers])
            for at in range(0, len(numbers), size):
                part = slice(at, at + size)
                yield numbers[part], embedding[part], codes[part], presence[numbers[part]]

    def render_live(
        self, arrivals: Iterable[Windows], first: int = 0, loop: tuple[int, int] | None = None
    ) -> Generator[Rendered, None, None]:
        """Frames for windows [n, rows, channels] as they arrive, n from 0 on, without end."""
        with closing(LivePainter(self, first, loop)) as painter:
            for windows in arrivals:
                yield from painter.paint(windows)

    def _grids(self, frames: np.ndarray) -> torch.Tensor | None:
        """Stored correspondences, for published networks on an imported dataset."""
        grids = load_grids(self.layout, frames, self.subject.crop.size) if self.model.region == "crop" else None
        return None if grids is None else grids.to(self.device)

    def stand(self, sources: np.ndarray, codes: torch.Tensor | None = None) -> Stand:
        """Of source frames [B] as they are; codes: [B, K] of the mouths that they get, by default their own."""
        at = torch.from_numpy(sources)
        face = None if self.faces is None else self.faces(sources, self._moved_mouths(sources, codes)).to(self.device)
        return Stand(
            self.origins[sources], self.transforms[at].to(self.device), self.exposure[at].to(self.device), face
        )

    @torch.no_grad()
    def _moved_mouths(self, sources: np.ndarray, codes: torch.Tensor | None) -> torch.Tensor | None:
        """[B, K, 2] canonical pixels from the landmarks of source frames to those of codes [B, K]."""
        if codes is None or not isinstance(self.model, Speech2Lip):
            return None
        own = torch.from_numpy(self.track.mouth[sources]).float().to(self.device)
        basis = self.model.basis
        return basis.decode(codes) - basis.decode(basis.encode(own))

    def _moved_stand(self, sources: np.ndarray, poses: Poses, landmarks: np.ndarray, codes: torch.Tensor) -> Stand:
        """Of source frames [B] whose heads were moved; landmarks: [B, 478, 2]; codes: as of `stand`."""
        canonical, at = self._canonical, torch.from_numpy(sources)
        origins = region_origins(self.subject, poses, canonical.depth, canonical.lip, self._pose)
        transform = torch.from_numpy(relative_transforms(poses, self._pose)).float()
        face = None
        if self.faces is not None:
            moved = self._moved_mouths(sources, codes)
            face = self.faces.at(poses, landmarks[:, FACE_OVAL], origins, moved).to(self.device)
        return Stand(origins, transform.to(self.device), self.exposure[at].to(self.device), face)

    def observe(
        self, pictures: list[Picture], sources: np.ndarray, stand: Stand | None = None
    ) -> tuple[np.ndarray, ObservedRegion]:
        """The region around the mouth in source frames, whose numbers are `sources` [B]; stand: of heads that were moved.

        Returns its pixels [B, R, R, 3] uint8, and the region as networks see it, `coarse` times smaller.
        """
        stand = stand or self.stand(sources)
        subject, coarse = self.subject, self.subject.coarse
        size, origins = subject.region_size, stand.origins
        pixels = np.stack([cut_picture(p, subject.fine, o, size) for p, o in zip(pictures, origins, strict=True)])
        shape = (size // coarse, size // coarse)
        small = np.stack([cv2.resize(p.astype(np.float32), shape, interpolation=cv2.INTER_AREA) for p in pixels])
        drawn = ObservedRegion(
            torch.from_numpy(small).to(self.device).permute(0, 3, 1, 2) / 255,
            torch.from_numpy(origins).float().to(self.device) / coarse, stand.transform, stand.exposure,
            self._grids(sources), face=stand.face,
        )  # fmt: skip
        return pixels, drawn

    @torch.no_grad()
    def finish(
        self, pixels: np.ndarray, drawn: ObservedRegion, embedding: torch.Tensor, codes: torch.Tensor,
        given: torch.Tensor | None = None, share: torch.Tensor | None = None, chosen: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor, tuple[int, int]]:  # fmt: skip
        """The part of observed regions that is painted, with the given lip images or the model's.

        share: [B, 1, 1, 1] how far frames are painted; chosen: [B] of `LipSyncModel.choose`. Returns pictures [B, 3, h, w] in about [0, 1], masks [B, 1, h, w] and where they
        begin in the region, (x, y); h and w are 0 where nothing is painted.
        """
        coarse, model = self.subject.coarse, self.model
        seen: Seen | None
        if given is None:
            seen = model.look_up(codes, drawn.transform, chosen=chosen)
            lip = model.decode_lips(embedding, codes, drawn.transform, seen)
        else:
            seen = Pictures(given, coarse)
            lip = seen.small
        drawn = model.placed(drawn, seen, self.depth)
        finished, mask = model.composite(lip, drawn, self.depth, seen=seen)
        rows, columns = _painted_box(mask)
        part = cropped(drawn, rows, columns)
        finished, mask = finished[:, :, rows, columns], mask[:, :, rows, columns]
        image = part.image
        if coarse > 1 and mask.numel() > 0:
            assert seen is not None
            rows, columns = (slice(coarse * s.start, coarse * s.stop) for s in (rows, columns))
            fine = torch.from_numpy(pixels[:, rows, columns]).to(self.device).permute(0, 3, 1, 2)
            image = fine.to(torch.float32, memory_format=torch.contiguous_format).div_(255)
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
            wanted = batch.codes[keep] if given is None else None
            observed = self.observe(painted, at, self.stand(at, wanted))
            mouths = None if given is None else given[keep].to(self.device)
            share = torch.from_numpy(self.share[at]).to(self.device)[:, None, None, None]
            beside = share if (share < 1).any() else None  # beside frames that pass unchanged
            chosen = None if batch.chosen is None else batch.chosen[keep]
            finished = self.finish(*observed, batch.embedding[keep], batch.codes[keep], mouths, beside, chosen)
            for k, frame in zip(keep, self.pasted(painted, at, finished), strict=True):
                done[k] = frame
        return done

    @torch.no_grad()
    def _painted_moved(self, posing: Posing, batch: _Batch) -> list[Rendered]:
        """Frames whose heads are moved first, and whose mouths are then painted in the new poses."""
        assert batch.poses is not None
        sources, posed = (
            batch.sources,
            [Walked(*one) for one in zip(batch.pictures, map(int, batch.sources), batch.poses, strict=True)],
        )
        moved = [posing.repose(one) for one in posed]
        pictures, landmarks = [picture for picture, _ in moved], np.stack([done.landmarks for _, done in moved])
        stand = self._moved_stand(sources, poses_of(batch.poses), landmarks, batch.codes)
        observed = self.observe(pictures, sources, stand)
        given = None if batch.given is None else batch.given.to(self.device)
        share = torch.from_numpy(self.share[sources]).to(self.device)[:, None, None, None]
        beside = share if (share < 1).any() else None
        finished = self.finish(*observed, batch.embedding, batch.codes, given, beside, batch.chosen)
        painted = self.pasted(pictures, sources, finished, stand.origins)
        return [posing.rendered(one, frame) for one, frame in zip(posed, painted, strict=True)]

    def pasted(
        self, pictures: list[Picture], sources: np.ndarray,
        finished: tuple[torch.Tensor, torch.Tensor, tuple[int, int]], origins: np.ndarray | None = None,
    ) -> list[Rendered]:  # fmt: skip
        """What `finish` gave, put back into the source frames; origins: [B, 2] of regions that lie elsewhere than in these."""
        blended, mask, corner = finished
        if not blended.sum().isfinite():
            raise UserError(_NO_NUMBERS.format(frame=int(sources[0])))
        pixels = blended.clamp(0, 1).mul_(255).round_().byte().permute(0, 2, 3, 1).cpu().numpy()
        masks = mask[:, 0].cpu().numpy()
        origins = self.origins[sources] if origins is None else origins
        return [
            paste_back(p, pixels[i], masks[i], origins[i] + corner, self.subject.fine, int(sources[i]))
            for i, p in enumerate(pictures)
        ]


class LivePainter:
    """Paints windows as they arrive on frames first, first + 1, ..., walked forth and back inside `loop` [start, end), or as `posing`
    says."""

    def __init__(
        self, predictor: Predictor, first: int = 0, loop: tuple[int, int] | None = None, posing: Posing | None = None
    ):
        self._predictor, self._paint = predictor, predictor.painter(posing)
        start, end = loop or (0, predictor.subject.frames)
        self._frames = prefetch(
            _endless(predictor.footage, first, start, end) if posing is None else posing.frames(predictor.footage),
            _AHEAD,
        )
        self._done = 0
        self._before: int | None = None  # the real mouth of the frame before
        self._deliver = LiveDelivery(predictor.delivery(causal=True))

    def paint(self, windows: Windows) -> Iterator[Rendered]:
        """The next frames, for windows [n, rows, channels]."""
        predictor, presence = self._predictor, torch.from_numpy(presence_of(windows)).to(self._predictor.device)
        for part in np.array_split(np.arange(len(windows)), len(windows) // predictor.config.render.batch + 1):
            if not len(part):
                continue
            frames = [next(self._frames) for _ in part]
            order = np.array([frame.source for frame in frames])
            numbers = self._done + np.arange(len(part))
            found = predictor.codes(windows[part], order if predictor.model.predicts_shape else numbers)
            embedding, codes = self._deliver(*found, presence[part])
            batch = predictor.choosing(_batch(frames, embedding, codes), presence[part], self._before)
            self._before = _last(batch)
            yield from self._paint(batch)
            self._done += len(part)

    def close(self) -> None:
        self._frames.close()


def _endless(footage: Footage, first: int, start: int, end: int) -> Iterator[Walked]:
    """Frames from `first` on, walked forth and back inside [start, end) without end."""
    for run in endless_runs(first, start, end):
        for picture, source in zip(pictures_in_order(footage, [run]), run, strict=True):
            yield Walked(picture, int(source))


def _batch(
    frames: list[Walked], embedding: torch.Tensor, codes: torch.Tensor, given: torch.Tensor | None = None
) -> _Batch:
    poses = None if frames[0].pose is None else np.stack([frame.pose for frame in frames if frame.pose is not None])
    return _Batch([f.picture for f in frames], np.array([f.source for f in frames]), embedding, codes, given, poses)


def _last(batch: _Batch) -> int | None:
    """The real mouth of a batch's last frame."""
    return None if batch.chosen is None else int(batch.chosen[-1])


def _painted_box(mask: torch.Tensor) -> tuple[slice, slice]:
    """Rows and columns of masks [B, 1, h, w] outside of which all are 0, and as far beyond as an enlarged mask reaches."""
    painted = (mask > 0).any(0)[0].cpu().numpy()
    return _span(painted.any(1)), _span(painted.any(0))


def _span(painted: np.ndarray) -> slice:
    found = np.flatnonzero(painted)
    if len(found) == 0:
        return slice(0, 0)
    return slice(max(int(found[0]) - _BEYOND, 0), min(int(found[-1]) + 1 + _BEYOND, len(painted)))
