"""What many people's mouths have in common: a speech encoder that is learned from several subjects, and where training starts.

With little video of a person the encoder hears few words often. What a sound does to a mouth is much alike in all people; how far a
mouth opens is not. So the encoder is shared, every person has a head of their own, and shapes are told in each person's own
deviations. Of a new person the head is learned from the beginning, and the encoder goes on learning.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as as_bytes
from torch import Tensor, nn

from ..arrays import Unsound
from ..audio.backend import FeatureBackend
from ..audio.features import backend_from_params
from ..config import Config
from ..errors import UserError
from ..files import atomic_path, check_writable
from ..locks import reader_of
from ..model.builder import speech_networks
from ..model.device import pick_device
from ..nets.audio_encoder import ShapeHead, StreamEncoder
from ..nets.shape import ShapeBasis
from ..progress import bar
from ..subject.index import parse_subject
from ..subject.layout import SubjectLayout
from ..weights.safeload import check_finite
from . import losses
from .augment import augment, mix
from .optimise import descend

_KIND, _VERSION = "speech2lip prior", "1"
_TOGETHER = 3  # people in one step
_LARGEST = 2**28  # bytes


@dataclass(frozen=True)
class Facts:
    """What a prior was learned from. people: their names; frames: of all of them; audio: parameters of the features."""

    people: tuple[str, ...]
    frames: int
    steps: int
    audio: dict[str, Any]


@dataclass(frozen=True)
class _Person:
    """windows: [T, rows, channels]; codes: [T, K] shapes in this person's own deviations; frames: [N] that are learned."""

    windows: Tensor
    codes: Tensor
    frames: np.ndarray
    weights: Tensor
    head: ShapeHead


def learn_prior(roots: Sequence[Path], out: Path, config: Config, steps: int) -> Facts:
    """Learn the encoder from subjects' folders and write it to `out` (.safetensors); UserError where they do not go together."""
    if not roots:
        raise UserError("a prior needs subjects' folders to learn from: give one or more")
    check_writable(out)
    device = pick_device(config.train.device)
    torch.manual_seed(config.train.seed)
    chance = np.random.default_rng(config.train.seed)
    generator = torch.Generator().manual_seed(config.train.seed)
    audio, encoder, people = _read(roots, config, device)
    backend = backend_from_params(audio)
    learned = nn.ModuleList([encoder, *(person.head for person in people)]).train()
    optimizer = torch.optim.AdamW(learned.parameters(), weight_decay=config.train.weight_decay)
    for step in bar("learning the prior", steps, "step", range(steps)):
        rise = min(1.0, (step + 1) / config.train.speech_warmup_steps)
        for group in optimizer.param_groups:
            group["lr"] = config.train.speech_phase_rate * config.train.rate * rise * (1 - step / steps)
        chosen = chance.choice(len(people), min(_TOGETHER, len(people)), replace=False)
        errors = [_error(encoder, people[k], backend, config, chance, generator) for k in chosen]
        descend(optimizer, torch.stack(errors).mean())
    facts = Facts(tuple(Path(root).resolve().name for root in roots), sum(len(p.frames) for p in people), steps, audio)
    _save(encoder, facts, out)
    return facts


def _read(
    roots: Sequence[Path], config: Config, device: torch.device
) -> tuple[dict[str, Any], StreamEncoder, list[_Person]]:
    people: list[_Person] = []
    audio: dict[str, Any] = {}
    encoder: StreamEncoder | None = None
    for root in roots:
        layout = SubjectLayout(root)
        with reader_of(layout.root, "speech2lip prior"):
            index = parse_subject(layout, config.data.test_fraction)
            windows = torch.from_numpy(np.array(index.windows)).to(device)
        if people and dict(index.subject.audio) != audio:
            raise UserError(
                f"{root} has the audio features {dict(index.subject.audio)}, {roots[0]} has {audio}: preprocess them alike"
            )
        audio = dict(index.subject.audio)
        made, head = speech_networks(config, backend_from_params(audio))
        encoder = encoder or made.to(device)
        mouth = torch.from_numpy(index.track.mouth).float()
        basis = ShapeBasis(config.model.lip.shape_codes, mouth.shape[1])
        basis.fit(mouth[torch.from_numpy(index.train)])
        codes, weights = basis.encode(mouth).to(device), basis.weights.to(device)
        people.append(_Person(windows, codes, index.train, weights, head.to(device)))
    assert encoder is not None
    return audio, encoder, people


def _error(
    encoder: StreamEncoder, person: _Person, backend: FeatureBackend, config: Config, chance: np.random.Generator,
    generator: torch.Generator,
) -> Tensor:  # fmt: skip
    """Squared error on some windows of one person."""
    train = config.train
    at = torch.from_numpy(chance.choice(person.frames, train.speech_batch)).to(person.windows.device)
    windows = augment(person.windows[at].float(), generator, backend.streams, train.augment)
    windows, codes = mix(windows, person.codes[at], chance, train.mixup)
    return losses.shape_loss(person.head.stream_predictions(encoder(windows)), codes[:, None], person.weights)


# ---------------------------------------------------------------- files


def _save(encoder: StreamEncoder, facts: Facts, out: Path) -> None:
    state = {name: value.cpu().contiguous() for name, value in encoder.state_dict().items()}
    check_finite(state, "the prior")
    content = as_bytes(state, {"kind": _KIND, "version": _VERSION, "facts": json.dumps(asdict(facts))})
    with atomic_path(out, follow=True) as path:
        path.write_bytes(content)


def load_prior(path: Path) -> tuple[dict[str, Tensor], Facts]:
    """Weights by name, and what they were learned from; UserError for any other file."""
    remedy = "learn it again with `speech2lip prior`, or give another file as model.prior"
    try:
        if path.stat().st_size > _LARGEST:
            raise UserError(f"{path} is larger than any prior ({path.stat().st_size} bytes): {remedy}")
        with safe_open(path, "pt") as file:
            notes = file.metadata() or {}
            if notes.get("kind") != _KIND or notes.get("version") != _VERSION:
                raise UserError(f"{path} is no prior of this version of Speech2Lip: {remedy}")
            facts = _facts(json.loads(notes["facts"]))
            state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 (no dictionary)
        check_finite(state, str(path))
    except FileNotFoundError as error:
        raise UserError(f"model.prior names {path}, which is not there: {remedy}") from error
    except (OSError, SafetensorError, Unsound, LookupError, ValueError, TypeError, RecursionError) as error:
        raise UserError(f"{path} is no prior that can be read ({str(error)[:120]}): {remedy}") from error
    return state, facts


def _facts(stored: Any) -> Facts:
    people, frames, steps, audio = (stored[key] for key in ("people", "frames", "steps", "audio"))
    if not (isinstance(audio, dict) and all(isinstance(p, str) for p in people)):
        raise TypeError("its facts are not what they should be")
    return Facts(tuple(people), int(frames), int(steps), audio)


def start_from_prior(encoder: StreamEncoder, path: Path, audio: dict[str, Any]) -> str:
    """Give an encoder the weights of a prior; returns a sentence about it. UserError for one of other features or widths."""
    state, facts = load_prior(path)
    wanted = {name: value.shape for name, value in encoder.state_dict().items()}
    if facts.audio != audio or {name: value.shape for name, value in state.items()} != wanted:
        raise UserError(
            f"{path} was learned from the audio features {facts.audio} or with other widths, this subject has {audio}: learn one "
            "from subjects like it, or train without model.prior"
        )
    encoder.load_state_dict(state)
    return f"speech: begins with what {', '.join(facts.people)} said in {facts.frames} frames ({path})"
