"""Dubbing: the subject's own clip, in which somebody speaks new words in some spans and nothing else changes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..audio.features import backend_from_params, extract_windows
from ..audio.voice_activity import presence_in_sound
from ..config import Settings
from ..errors import UserError
from ..extras import needs
from ..files import check_input, temporary_space
from ..media.aac import aac_packets, audible, fits, replaced
from ..media.coding import coding_of
from ..media.encode import VideoWriter
from ..media.facts import Selection
from ..media.inserts import DubbedSound, Heard, Insert
from ..media.probe import probe
from ..media.sound import SAMPLE_RATE, check_sound, save_wav, stream_audio
from ..media.sound_writer import EncodedSound, SoundWriter, SplicedSound
from ..media.soundtrack import own_form
from ..media.splice import encoded_ranges, packets_of, unlike
from ..media.spliced import KeptPicture, SplicedWriter
from ..media.tags import tags_of
from ..media.yuv import Kept
from ..progress import bar
from ..provenance.signing import Signing, signed_output
from ..voice.synthesis import speech_within
from .cues import Cue, frame_spans, read_cues
from .files import signing_of
from .label import label_overlay, labelled
from .output import check_lossless, check_output, unwritten
from .paste import untouched
from .posing import is_posed
from .predictor import Predictor
from .silence import HeardSpeech
from .walk import joined, pictures_in_order

_AROUND = 3.0  # seconds of sound around a span that are heard with it
_LOW, _HIGH, _USUAL = 96_000, 320_000, 192_000  # bits per second of AAC
_FORM = (48000, "stereo")  # of sound in a clip that has none
_SAME_RATE = 0.005  # relative distance of equal rates
_FINER = 3  # steps of the quantiser by which frames beside packets of the source are coded finer than those
_OVER = 0.02  # seconds by which sound may be longer than its span: players' rounding


@dataclass(frozen=True)
class DubReport:
    """frames: of the result, as many as of the source; spoken: of them in spans; encoded: of them that are not the source's
    packets; picture, sound: why all of either was encoded, "" where packets were kept."""

    frames: int
    spoken: int
    encoded: int
    picture: str
    sound: str

    def __str__(self) -> str:
        lines = [f"{self.frames} frames, the whole source, {self.spoken} of them spoken anew"]
        if not self.picture:
            kept = self.frames - self.encoded
            beside = self.encoded - self.spoken
            lines.append(
                f"picture: {kept} frames are the source's own packets; {beside} frames beside the spans were encoded with them"
            )
        else:
            lines.append(f"picture: all was encoded, because {self.picture}")
        lines.append(
            f"sound: all was encoded, because {self.sound}"
            if self.sound
            else "sound: outside the spans the source's own packets"
        )
        return "\n".join(lines)


@dataclass(frozen=True)
class _Voice:
    """What is said from frame `start` to `stop`: the sound of `path`, which begins at `begins` seconds of the clip."""

    start: int
    stop: int
    path: Path
    begins: float


def render_dubbed(
    model: Path, times: Path, audio: Path | None, out: Path, root: Path | None = None, device: str = "auto",
    settings: Settings | None = None,
) -> DubReport:  # fmt: skip
    """Write the subject's own clip into `out`, in which the person speaks in the spans of `times` (see `read_cues`).

    audio: what is said, at the clip's times, where a span has no sound of its own; without it the spans' text is spoken by
    the built-in voice. root, device, settings: as of `render_video`. The result has as many frames as the clip.
    """
    cues = read_cues(times)
    _check_sounds(cues, times, audio)
    with ExitStack() as stack:
        predictor = stack.enter_context(Predictor.reading(model, root, device, settings))
        check_output(out, model, times, audio, *{cue.audio for cue in cues}, *predictor.read)
        check_lossless(out, predictor.config.render.lossless_sound)
        if is_posed(predictor.config.render) or predictor.config.render.loop:
            raise UserError(
                "dubbing changes no head and no order of frames: leave render.pose, render.pose_scale and render.loop out"
            )
        spoken = [path for path in (times, audio, *(cue.audio for cue in cues)) if path is not None]
        signing = signing_of(predictor, model, list(dict.fromkeys(spoken)), 0)
        fps, frames = predictor.subject.fps, predictor.subject.frames
        spans = frame_spans(cues, fps, frames, times)
        with temporary_space():
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="speech2lip-")))
        voices = _voices(cues, spans, times, audio, predictor, folder)
        predictor.ease(spans)
        for said in filter(None, (_slower(predictor), _unpainted(predictor, spans))):
            print(said)
        return _Dubbing(predictor, voices, signing).write(out)


def _check_sounds(cues: Sequence[Cue], times: Path, audio: Path | None) -> None:
    """Refuse, by line, spans without sound and text, and sound that cannot be heard; before anything is loaded."""
    for cue in cues:
        if cue.audio is not None:
            try:
                check_input(cue.audio, "speech")
                check_sound(cue.audio)
            except UserError as error:
                raise UserError(f"{times}, line {cue.line}: {error}") from error
        elif audio is None and not cue.text:
            raise UserError(
                f"{times}, line {cue.line}: nothing is said there: give sound for all spans with --audio, or write a text, or name a "
                "file in the column audio of a .csv"
            )
    if audio is None and any(cue.audio is None for cue in cues):
        needs("voice", "espeakng_loader")


def _slower(predictor: Predictor) -> str:
    """What to say where the subject has not every frame of its source, "" where it has."""
    video, fps = probe(predictor.source, predictor.select).video, predictor.subject.fps
    if video is None or not video.fps or abs(video.fps - fps) <= _SAME_RATE * fps:
        return ""
    return (
        f"the result has {fps:.5g} frames per second and the source {video.fps:.5g}, because the subject was made so: to keep the "
        f"source's, preprocess with data.fps={video.fps:.5g} and train again"
    )


def _unpainted(predictor: Predictor, spans: Sequence[tuple[int, int]]) -> str:
    """What to say of frames in spans that stay as they are, "" where there are none."""
    inside = np.concatenate([np.arange(*span) for span in spans])
    hidden = inside[~predictor.track.clear[inside]]
    if not len(hidden):
        return ""
    return (
        f"{len(hidden)} of {len(inside)} frames in spans show somebody else, or something in front of the mouth: they stay as they are "
        f"(the first is frame {hidden[0]}, at {hidden[0] / predictor.subject.fps:.2f} s)"
    )


def _voices(
    cues: Sequence[Cue], spans: Sequence[tuple[int, int]], times: Path, audio: Path | None, predictor: Predictor, folder: Path
) -> list[_Voice]:  # fmt: skip
    """What is said in every span; text is spoken into files in `folder`."""
    fps, voices = predictor.subject.fps, list[_Voice]()
    for cue, (start, stop) in zip(cues, spans, strict=True):
        origin, seconds = f"{times}, line {cue.line}", (stop - start) / fps
        if cue.audio is not None:
            _check_fits(cue.audio, seconds, origin)
            voices.append(_Voice(start, stop, cue.audio, start / fps))
        elif audio is not None:
            if voices and voices[-1].stop == start and voices[-1].path == audio:
                voices[-1] = replace(voices[-1], stop=stop)
            else:
                voices.append(_Voice(start, stop, audio, 0.0))
        else:
            file = folder / f"{cue.line}.wav"
            save_wav(file, speech_within(cue.text, seconds, predictor.config.render.voice, origin))
            voices.append(_Voice(start, stop, file, start / fps))
    return voices


def _check_fits(audio: Path, seconds: float, origin: str) -> None:
    length = sum(map(len, stream_audio(audio))) / SAMPLE_RATE
    if length > seconds + _OVER:
        raise UserError(
            f"{origin}: {audio} lasts {length:.2f} s and its span {seconds:.2f} s: let the span end {length - seconds:.2f} s later, or "
            "shorten the sound"
        )


class _Dubbing:
    """A clip and what is said in it."""

    def __init__(self, predictor: Predictor, voices: Sequence[_Voice], signing: Signing | None = None):
        self._predictor, self._voices, self._signing = predictor, voices, signing
        self._overlay = label_overlay(predictor.config.render.label, predictor.subject.size)
        self._fps, self._frames = predictor.subject.fps, predictor.subject.frames
        self._spans = joined([(voice.start, voice.stop) for voice in voices])
        self._source, self._select = predictor.source, predictor.select
        self._tags = tags_of(self._source, self._select)
        info = probe(self._source, self._select)
        self._own_sound = self._source if info.has_audio else None
        self._video = info.video
        self._ears: dict[tuple[Path | None, float], Heard] = {}

    # ---- picture

    def write(self, out: Path) -> DubReport:
        kept, why = self._kept_picture()
        ranges = kept.ranges if kept is not None else ((0, self._frames),)
        count = sum(end - start for start, end in ranges)
        sound, unkept = self._sound()
        with unwritten(out), signed_output(out, self._signing) as path, self._writer(path, kept, sound) as video:
            for frame in bar(f"rendering {out.name}", count, "frame", self._rendered(ranges)):
                video.write(frame)
        spoken = sum(end - start for start, end in self._spans)
        return DubReport(self._frames, spoken, count, why, unkept)

    def _kept_picture(self) -> tuple[KeptPicture | None, str]:
        """The source's packets, where they can be kept, or why not."""
        if self._video is None or self._source.is_dir():
            return None, "the source is a folder of pictures"
        if self._predictor.config.render.crf == 0:
            return None, "render.crf=0 asks for a picture without loss"
        if why := unlike(self._video):
            return None, f"of the source {why}"
        packets = packets_of(self._source, self._fps, self._select)
        if isinstance(packets, str):
            return None, f"of the source {packets}"
        if len(packets) != self._frames:
            return None, f"the source has {len(packets)} packets for {self._frames} frames"
        ranges = tuple(encoded_ranges(packets, self._spans))
        return KeptPicture(self._source, self._select, self._fps, packets, ranges), ""

    def _rendered(self, ranges: Sequence[tuple[int, int]]) -> Iterator[np.ndarray | Kept]:
        """Frames of the ranges in their order, as they are written; inside the spans painted, and with the mark."""
        for start, end in ranges:
            at = start
            for first, last in self._spans:
                if start <= first and last <= end:
                    yield from self._unchanged(at, first)
                    painted = self._predictor.render(self._windows(first, last), first, (first, last))
                    yield from (labelled(frame.written, self._overlay) for frame in painted)
                    at = last
            yield from self._unchanged(at, end)

    def _unchanged(self, start: int, end: int) -> Iterator[np.ndarray | Kept]:
        if end > start:
            numbers = np.arange(start, end)
            pictures = pictures_in_order(self._predictor.footage, [numbers])
            for number, picture in zip(numbers, pictures, strict=True):
                yield untouched(picture, int(number)).written

    # ---- sound

    def _writer(self, path: Path, kept: KeptPicture | None, sound: SoundWriter) -> VideoWriter:
        render, colour = self._predictor.config.render, self._predictor.colour
        if kept is None:
            return VideoWriter(
                path, self._fps, sound, crf=render.crf, preset=render.preset, colour=colour, tags=self._tags
            )
        quantiser = coding_of(self._source, self._select).quantiser
        crf = max(render.crf, round(quantiser) - _FINER) if np.isfinite(quantiser) else render.crf
        return SplicedWriter(path, kept, sound, crf=crf, preset=render.preset, colour=colour, tags=self._tags)

    def _sound(self) -> tuple[SoundWriter, str]:
        """What writes the sound, and why all of it is encoded, "" where the source's packets are kept."""
        form = own_form(self._own_sound, self._select) if self._own_sound is not None else _FORM
        inserts = self._inserts(form[0])
        if self._predictor.config.render.lossless_sound:
            return self._encoded(form, inserts, 0), "render.lossless_sound asks for sound without loss"
        if self._own_sound is None:
            return self._encoded(form, inserts, _USUAL), "the source has none"
        packets = aac_packets(self._own_sound, self._select)
        if packets is None or not fits(packets):
            return self._encoded(
                form, inserts, _USUAL
            ), "the source's is no AAC of low complexity in one or two channels"
        end = round(self._frames / self._fps * packets.rate)
        spans = [(round(a / self._fps * packets.rate), round(b / self._fps * packets.rate)) for a, b in self._spans]
        parts = replaced(packets, spans, end)
        bits = min(max(packets.bits or _USUAL, _LOW), _HIGH)
        if parts is None:
            return self._encoded(form, inserts, bits), "a span is shorter than 0.2 s"
        sound = DubbedSound(self._own_sound, form, audible(inserts, parts), self._select)
        return SplicedSound(self._own_sound, self._select, replace(packets, bits=bits), tuple(parts), sound), ""

    def _encoded(self, form: tuple[int, str], inserts: Sequence[Insert], bits: int) -> EncodedSound:
        return EncodedSound(DubbedSound(self._own_sound, form, inserts, self._select, bits))

    def _inserts(self, rate: int) -> list[Insert]:
        def sample(frame: int) -> int:
            return round(frame / self._fps * rate)

        return [Insert(sample(v.start), sample(v.stop), v.path, round(v.begins * rate)) for v in self._voices]

    # ---- speech

    def _windows(self, first: int, last: int) -> HeardSpeech:
        """Windows of the frames of a span, made of what is heard in it and around it, and where in it somebody speaks."""
        begin = max(0, first - round(_AROUND * self._fps))
        end = min(self._frames, last + round(_AROUND * self._fps))
        low, high = self._sample(begin), self._sample(end)
        for (_, begins), sound in self._ears.items():
            sound.forget(low - round(begins * SAMPLE_RATE))
        wav = self._heard(self._own_sound, self._select, 0.0, low).between(low, high).copy()
        for voice in self._voices:
            if voice.start < end and voice.stop > begin:
                start, stop = max(self._sample(voice.start), low), min(self._sample(voice.stop), high)
                begins = round(voice.begins * SAMPLE_RATE)
                heard = self._heard(voice.path, Selection(), voice.begins, low)
                wav[start - low : stop - low] = heard.between(start - begins, stop - begins)
        backend = backend_from_params(dict(self._predictor.metadata.audio))
        windows = extract_windows([wav], self._fps, backend, self._source)
        return HeardSpeech(windows, presence_in_sound([wav], self._fps, len(windows))).part(first - begin, last - first)

    def _sample(self, frame: int) -> int:
        return round(frame / self._fps * SAMPLE_RATE)

    def _heard(self, path: Path | None, select: Selection, begins: float, low: int) -> Heard:
        """The sound of a file that begins at `begins` seconds, of which nothing before sample `low` of the clip is needed."""
        name = path, begins
        if name not in self._ears:
            self._ears[name] = Heard(iter(()) if path is None else stream_audio(path, 5.0, select))
            self._ears[name].forget(low - round(begins * SAMPLE_RATE))
        return self._ears[name]
