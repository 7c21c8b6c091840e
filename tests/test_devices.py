"""Without a GPU: training and rendering run on PyTorch's meta device, whose tensors have no values,
and no operation may mix its tensors with the processor's. On a GPU each such place would be an error."""

import traceback
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from speech2lip.model.checkpoint import load_checkpoint
from speech2lip.nets.speech2lip import Speech2Lip
from speech2lip.rendering import predictor
from speech2lip.subject.index import parse_subject
from speech2lip.subject.layout import SubjectLayout
from speech2lip.training import parts, trainer

META = torch.device("meta")


class Mixtures(TorchDispatchMode):
    """Collects operations whose tensors lie on both devices, except those that a GPU allows."""

    def __init__(self):
        super().__init__()
        self.found: dict[str, str] = {}

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        name, keywords = str(function), keywords or {}
        indexed = name == "aten.index.Tensor" and arguments[0].is_meta
        allowed = indexed or name in ("aten._to_copy.default", "aten.copy_.default")
        devices = {t.device for t in tree_leaves((arguments, keywords)) if isinstance(t, torch.Tensor) and t.dim()}
        if len(devices) > 1 and not allowed:
            self.found.setdefault(name, "".join(traceback.format_stack(limit=8)))
        return function(*arguments, **keywords)


@pytest.fixture
def mixtures(monkeypatch):
    """Tensors without values answer what is asked of them: yes, one half, zeros."""
    monkeypatch.setattr(trainer, "pick_device", lambda _: META)
    monkeypatch.setattr(predictor, "pick_device", lambda _: META)
    monkeypatch.setattr(trainer, "has_bfloat16", lambda _: False)
    chance = parts.Chance.of  # there are no random numbers on this device
    monkeypatch.setattr(parts.Chance, "of", lambda device, *key: chance(torch.device("cpu"), *key))
    monkeypatch.setattr(parts, "drawing_from", lambda generator: nullcontext())
    monkeypatch.setattr(Speech2Lip, "_precision", lambda *_: nullcontext())
    answers = {
        "item": lambda t: 0.5, "__float__": lambda t: 0.5, "__bool__": lambda t: True,
        "cpu": lambda t: torch.full(t.shape, t.dtype == torch.bool, dtype=t.dtype),
        "numpy": lambda t, **_: torch.zeros(t.shape, dtype=t.dtype).numpy(),
    }  # fmt: skip
    for name, answer in answers.items():
        real = getattr(torch.Tensor, name)
        monkeypatch.setattr(
            torch.Tensor, name, lambda t, real=real, answer=answer, **k: answer(t, **k) if t.is_meta else real(t, **k)
        )
    return Mixtures()


def test_the_check_finds_a_mixture(mixtures):
    with mixtures:
        torch.ones(2, 3, device=META) @ torch.ones(3, 2)
        torch.ones(3)[torch.tensor([0], device=META)]
        torch.ones(3, device=META)[torch.tensor([0])] * torch.tensor(2.0)
    assert set(mixtures.found) == {"aten.mm.default", "aten.index.Tensor"}


def test_training_mixes_no_devices(subject_config, tmp_path, mixtures):
    settings = replace(
        subject_config.train, steps=40, speech_share=0.2, speech_epochs=2, output=str(tmp_path), save_every_minutes=60
    )
    learner = trainer.Trainer(replace(subject_config, train=settings), fresh=True)
    learner.save = lambda: None
    with mixtures:
        assert learner.run()
    assert learner.sync.ready() and learner.progress.phase == len(learner.phases) - 1
    assert not mixtures.found, "\n".join(f"{k}\n{v}" for k, v in mixtures.found.items())


def test_rendering_mixes_no_devices(model_path, subject_config, mixtures):
    layout = SubjectLayout(subject_config.data.root)
    windows = parse_subject(layout, 0.1).windows[:12]
    with mixtures:
        painter = predictor.Predictor(load_checkpoint(model_path), layout)
        assert len(list(painter.render(windows))) == 12
        assert len(list(painter.render_live(iter([windows[:9], windows[9:]])))) == 12
    assert not mixtures.found, "\n".join(f"{k}\n{v}" for k, v in mixtures.found.items())
