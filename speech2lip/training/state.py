"""Where a training stands: one record, saved and restored whole, so that it goes on as if it had never stopped."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..arrays import Unsound
from ..config import Config, config_to_dict, shown
from ..errors import UserError
from ..model.checkpoint import FORMAT, load_tensors, save_tensors
from ..subject.layout import SubjectLayout, facts_of
from ..weights.safeload import check_finite

REMEDY = "start over with --fresh"
_SECTIONS = ("model", "audio", "sync")  # of the configuration that may not change on the way


@dataclass
class Progress:
    """step: optimisation steps (with a budget of minutes, those of the main phase); elapsed: seconds;
    phase: number of the current phase, phase_step and phase_elapsed: within it; next_validation: share of
    the budget; skipped: steps whose loss was no number; use_bf16: precision that was decided on; looked: whether a
    checkpoint was shown to who asked to look."""

    step: int = 0
    elapsed: float = 0.0
    phase: int = 0
    phase_step: int = 0
    phase_elapsed: float = 0.0
    next_validation: float = 0.0
    skipped: int = 0
    use_bf16: bool = False
    looked: bool = False

    @property
    def begun(self) -> bool:
        """Whether any step was made."""
        return self.phase > 0 or self.phase_step > 0

    def next_phase(self) -> None:
        self.phase, self.phase_step, self.phase_elapsed = self.phase + 1, 0, 0.0


def fingerprint(layout: SubjectLayout, test_fraction: float) -> str:
    """Identity of what is trained on: the preprocessing and the split."""
    digest = hashlib.sha256(f"test_fraction={test_fraction}".encode())
    digest.update(hashlib.sha256(facts_of(layout.subject)).digest())
    for path in (layout.track, layout.features, layout.depth, layout.lip_mask):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def save_state(
    path: Path, config: Config, identity: Mapping[str, Any], parts: Mapping[str, Any], progress: Progress
) -> None:
    """Write everything: parts by name are tensors and plain containers. Random numbers follow from `progress`."""
    save_tensors(
        path,
        {
            "format": FORMAT, "config": config_to_dict(config), "identity": dict(identity), "parts": dict(parts),
            "progress": vars(progress),
        },
    )  # fmt: skip


_ENTRIES = ("config", "identity", "parts", "progress")
_MOST = 1e12  # steps and seconds


_LATER = {"looked"}  # of a progress, which states from before it lack


def _check_progress(path: Path, found: Mapping[str, Any]) -> None:
    known = vars(Progress())
    if not set(known) - _LATER <= set(found) <= set(known):
        raise UserError(f"{path} was written by another version: {REMEDY}")
    for name, default in known.items():
        value = found.get(name, default)
        if type(value) is not type(default) or not 0 <= value <= _MOST:
            raise UserError(f"{path} is damaged ({name} is {shown(value)}): {REMEDY}")


def load_state(path: Path, config: Config, identity: Mapping[str, Any]) -> dict[str, Any]:
    """What `save_state` wrote, if it belongs to this configuration and subject."""
    content = load_tensors(path, REMEDY)
    missing = [name for name in _ENTRIES if not isinstance(content.get(name), dict)]
    if missing:
        kind = "a finished model, not the state of a training" if "state" in content else f"it lacks {missing[0]}"
        raise UserError(f"{path} is no state of a training ({kind}): {REMEDY}")
    _check_progress(path, content["progress"])
    try:
        check_finite(content["parts"])
    except Unsound as error:
        raise UserError(f"{path} cannot be continued ({error}): {REMEDY}") from error
    for part in _SECTIONS:
        if content["config"].get(part) != config_to_dict(config)[part]:
            raise UserError(f"{path} was trained with other settings under `{part}`: restore them, or {REMEDY}")
    if content["identity"] != dict(identity):
        raise UserError(
            f"{path} was trained on another preprocessing or test split (data.test_fraction) of {config.data.root}: "
            f"restore it, or {REMEDY}"
        )
    return content
