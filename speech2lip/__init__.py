"""Speech2Lip: learn one person's mouth from a short video and make it say any audio.

    from speech2lip import preprocess, render, train

    preprocess("me.mp4", "dataset/me")
    train("dataset/me", "log/me", minutes=30)
    render("log/me/model.pt", "speech.wav", "result.mp4")

`Predictor` and `load_checkpoint` give single frames; `dub` makes somebody speak in some spans of their own video;
`listen` says how far a sound lies from the training's; `subjects` lists who was learned; `verify` tells whether a video was
made here, and how. Importing this package is cheap: what
a name needs is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import dub as dub
    from .api import export_subject as export_subject
    from .api import head_motion as head_motion
    from .api import import_subject as import_subject
    from .api import listen as listen
    from .api import preprocess as preprocess
    from .api import remove_subject as remove_subject
    from .api import rename_subject as rename_subject
    from .api import render as render
    from .api import subjects as subjects
    from .api import train as train
    from .api import verify as verify
    from .errors import UserError as UserError
    from .model.checkpoint import load_checkpoint as load_checkpoint
    from .rendering.predictor import Predictor as Predictor

__version__ = "0.2.0"
__all__ = [
    "Predictor", "UserError", "dub", "export_subject", "head_motion", "import_subject", "listen", "load_checkpoint", "preprocess",
    "remove_subject", "rename_subject", "render", "subjects", "train", "verify",
]  # fmt: skip
_HOMES = {
    "preprocess": "api", "train": "api", "render": "api", "dub": "api", "listen": "api", "UserError": "errors", "subjects": "api",
    "rename_subject": "api", "export_subject": "api", "head_motion": "api", "import_subject": "api", "remove_subject": "api",
    "verify": "api",
    "Predictor": "rendering.predictor", "load_checkpoint": "model.checkpoint",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
