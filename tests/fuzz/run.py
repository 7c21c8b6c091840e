"""Runs mutated files through the program's readers and counts how it ends."""

from __future__ import annotations

import collections
import contextlib
import io
import random
import resource
import shutil
import signal
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from speech2lip.config import load_config
from speech2lip.errors import UserError
from speech2lip.importing.checkpoint import find_state, state_from_checkpoint
from speech2lip.importing.config import import_config
from speech2lip.importing.dataset import _depth, _poses
from speech2lip.library.imports import import_subject
from speech2lip.library.places import Places
from speech2lip.media.pcm import sound_of_growing_file
from speech2lip.media.sound import check_sound
from speech2lip.model.checkpoint import load_checkpoint
from speech2lip.preparation.head import load_tracked
from speech2lip.subject.dataset import SubjectDataset
from speech2lip.subject.index import parse_subject
from speech2lip.training.trainer import Trainer
from speech2lip.weights.safeload import load_torch

from . import seeds
from .mutate import mutated

SLOWEST = 10  # seconds that a case may take


@dataclass
class Count:
    """How cases ended; failures: kind of file, seed and traceback."""

    cases: int = 0
    accepted: int = 0
    refused: int = 0
    slowest: float = 0.0
    by_kind: collections.Counter = field(default_factory=collections.Counter)
    failures: list[tuple[str, int, str]] = field(default_factory=list)

    def __str__(self) -> str:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        return (
            f"{self.cases} cases: {self.accepted} accepted, {self.refused} refused, {len(self.failures)} tracebacks; slowest "
            f"{self.slowest:.2f} s, peak memory {peak:.2f} GB\n"
            + ", ".join(f"{k} {n}" for k, n in sorted(self.by_kind.items()))
        )


@dataclass(frozen=True)
class Target:
    """A file to mutate, and what reads it. weight: how often it is drawn."""

    kind: str
    file: Path
    read: Callable[[], object]
    weight: float = 1.0


def targets(root: Path) -> list[Target]:
    """Every file of ours and of others that the program reads, sound, below `root`."""
    layout = seeds.make_subject(root)
    config, model = seeds.config_for(root), seeds.make_model(root, layout)
    trainer = Trainer(config)
    trainer.progress.step = trainer.progress.phase_step = 1
    trainer.save()
    state = trainer.state_file

    def subject() -> object:
        return SubjectDataset(parse_subject(layout, 0.0), torch.device("cpu"), 1.0)

    def index() -> object:
        return parse_subject(layout, 0.0)

    def published() -> object:
        found = find_state(load_torch(root / "published.pt", "get it again"))
        if found is None:
            raise UserError("no model")
        return state_from_checkpoint(found)

    texts = {"me.yaml": seeds.YAML, "may.yaml": seeds.PUBLISHED_YAML}
    for name, text in texts.items():
        (root / name).write_text(text)
    wav = root / "speech.wav"
    shutil.copy(layout.audio, wav)
    seeds.make_published(root)
    poses, depth = root / "track_params.pt", root / "depth.npy"
    torch.save({"euler": torch.zeros(5, 3), "trans": torch.ones(5, 3), "focal": torch.tensor([1200.0])}, poses)
    np.save(depth, np.full((seeds.SIZE, seeds.SIZE), 6.0, np.float32))
    archive = seeds.make_archive(root)
    files = (layout.subject, layout.track, layout.depth, layout.features, layout.features.with_suffix(".json"))
    pictures = (layout.lip_mask, layout.face_mask, layout.canonical, layout.face_image(0), layout.lip_image(0))
    return [
        *(Target("subject", file, index, 3) for file in files),
        *(Target("pictures", file, subject) for file in pictures),
        Target("landmarks", layout.landmarks, layout.load_landmarks, 2),
        Target("head", layout.head, lambda: load_tracked(layout), 2),
        Target("model", model, lambda: load_checkpoint(model), 5),
        Target("state", state, trainer._restore, 5),
        Target("yaml", root / "me.yaml", lambda: load_config(root / "me.yaml"), 6),
        Target("import config", root / "may.yaml", lambda: import_config(root / "may.yaml", root / "out.yaml"), 3),
        Target("import checkpoint", root / "published.pt", published, 2),
        Target("import poses", poses, lambda: _poses(poses, 5), 2),
        Target("import depth", depth, lambda: _depth(depth, seeds.SIZE), 2),
        Target("archive", archive, lambda: _imported(archive), 4),
        Target("wav", wav, lambda: check_sound(wav), 1),
        Target("live wav", wav, lambda: list(sound_of_growing_file(wav, 0.0)), 2),
    ]


def _imported(archive: Path) -> None:
    """What was refused left nothing; what was taken goes again."""
    place = archive.parent / "imported"
    try:
        import_subject(archive, Places(place / "dataset", place / "log", place / "results"), "x")
        shutil.rmtree(place)
    finally:
        assert not place.exists(), "something was left behind"


@contextlib.contextmanager
def _in_time(seconds: float) -> Iterator[None]:
    def late(*_: object) -> None:
        raise TimeoutError(f"over {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def run(root: Path, cases: int, seed: int = 0) -> Count:
    """`cases` mutations, one at a time; the files are sound again afterwards."""
    known, count = targets(root), Count()
    sound = {t.file: t.file.read_bytes() for t in known}
    for target in known:
        target.read()  # or everything would be refused
    chooser = random.Random(seed)
    for number in range(seed * 10**6, seed * 10**6 + cases):
        target = chooser.choices(known, [t.weight for t in known])[0]
        rng = random.Random(number)
        target.file.write_bytes(mutated(sound[target.file], target.file.suffix, rng))
        _try(target, number, count)
        target.file.write_bytes(sound[target.file])
        if count.cases % 500 == 0:
            print(count, flush=True)
    return count


def _try(target: Target, number: int, count: Count) -> None:
    count.cases += 1
    start = time.process_time()
    ended = "accepted"
    try:
        with _in_time(60), contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            target.read()
        count.accepted += 1
    except UserError as error:
        ended = "refused"
        count.refused += 1
        if "\n" in str(error) or len(str(error)) > 1000:
            count.failures.append((target.kind, number, f"not one sentence: {str(error)[:300]}"))
    except BaseException:
        ended = "traceback"
        count.failures.append((target.kind, number, traceback.format_exc()[-1500:]))
    seconds = time.process_time() - start
    count.slowest = max(count.slowest, seconds)
    count.by_kind[f"{target.kind} {ended}"] += 1
    if seconds > SLOWEST:
        count.failures.append((target.kind, number, f"took {seconds:.1f} s"))
