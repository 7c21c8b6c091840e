"""Several processes that train one model, as torchrun starts them."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from speech2lip.config_text import as_yaml
from speech2lip.model.checkpoint import load_checkpoint
from speech2lip.training.phases import Position
from speech2lip.training.trainer import Trainer

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(not torch.distributed.is_available(), reason="PyTorch without torch.distributed")
_STEP = """
import sys, torch
from speech2lip.config import load_config
from speech2lip.training.phases import Position
from speech2lip.training.team import leave
from speech2lip.training.trainer import Trainer
trainer = Trainer(load_config(sys.argv[1]))
joint = trainer.phases[-1].trainee
joint.step(Position(1, 0.0, 0.0, 0, 4))
torch.save([p.grad for p in joint.model.parameters()], f"{sys.argv[2]}/{trainer.team.rank}.pt")
leave()
"""


def _port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _processes(count: int, *command: str) -> list[subprocess.Popen]:
    shared = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_port()), "OMP_NUM_THREADS": "1"}
    return [
        subprocess.Popen([sys.executable, *command], cwd=ROOT, env=os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(count)
    ]  # fmt: skip


def _file(config, folder: Path) -> Path:
    path = folder / "config.yaml"
    path.write_text(as_yaml(config))
    return path


def test_the_gradients_of_two_processes_are_those_of_one(quick, change, tmp_path):
    config = change(quick, sync={"expert": "none"}, train={"parts": 2})
    for process in _processes(2, "-c", _STEP, str(_file(config, tmp_path)), str(tmp_path)):
        assert process.wait(120) == 0
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    alone = Trainer(change(config, train={"output": str(tmp_path / "alone")}))
    alone.phases[-1].trainee.step(Position(1, 0.0, 0.0, 0, 4))
    moved = 0
    for a, b, parameter in zip(first, second, alone.model.parameters(), strict=True):
        if parameter.grad is not None:
            torch.testing.assert_close(a, b, rtol=0, atol=0)
            torch.testing.assert_close(a, parameter.grad, rtol=0, atol=1e-6)
            moved += bool(parameter.grad.any())
    assert moved > 20


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="processes are found as Linux lists them")
def test_two_processes_train_as_one_does_and_a_killed_one_goes_on(quick, change, tmp_path):
    """torchrun starts all again when one is killed; they go on from the last state, and arrive at the model of one process."""
    train = {"parts": 2, "steps": 60, "save_every_minutes": 0.01}
    config = change(quick, sync={"expert": "none"}, train=train | {"output": str(tmp_path / "two")})
    out = subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--max-restarts", "3",
         "--master-port", str(_port()), "-m", "speech2lip", "train", "--config", str(_file(config, tmp_path))],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    state = tmp_path / "two" / "speaker" / "last.pt"
    ended = time.monotonic() + 200
    while not state.is_file():
        assert time.monotonic() < ended and out.poll() is None
        time.sleep(0.1)
    os.kill(_worker(out.pid), signal.SIGKILL)
    told, said = out.communicate(timeout=280)
    assert out.returncode == 0, said
    assert "continuing after" in told
    made = load_checkpoint(tmp_path / "two" / "speaker" / "model.pt")
    alone = Trainer(change(config, train={"output": str(tmp_path / "one")}))
    assert alone.run()
    one = load_checkpoint(tmp_path / "one" / "speaker" / "model.pt")
    assert made.metrics["steps"] == one.metrics["steps"] == 60
    for name in ("psnr_drawn", "opening_r"):
        assert made.metrics[name] == pytest.approx(one.metrics[name], rel=0.02), name


def _worker(parent: int) -> int:
    """The second process that torchrun has started."""
    children = [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]
    return max(pid for pid in children if b"speech2lip" in Path(f"/proc/{pid}/cmdline").read_bytes())
