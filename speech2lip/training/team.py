"""Who computes the parts of a step: threads of this process, and other processes that train the same model beside it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from ..errors import UserError

T = TypeVar("T")
_LEAST_PART = 4  # samples, whose batch norms are worth something
_PATIENCE = timedelta(hours=1)  # while the first process validates, the others wait


class Team:
    """Threads, each with its own share of the processor, that compute parts of a step side by side; and, where torchrun has
    started several processes, this one's place among them.

    Threads that share an operation wait for each other after each of its pieces. One that loses its core to another program then
    holds up all. Threads with a part of the batch each wait once in a step.

    rank: number of this process; size: how many there are.
    """

    def __init__(self, device: torch.device):
        self.device = device
        self.rank, self.size = rank(), dist.get_world_size() if _started() else 1
        self._pool: ThreadPoolExecutor | None = None
        self._threads = torch.get_num_threads()

    # -------------------------------------------------------------- parts

    def parts(self, batch: int, wanted: int = 0) -> int:
        """Equal parts of a batch; wanted: `train.parts`. UserError where it cannot be divided so, or shared by the processes."""
        count = wanted or self._fitting(batch)
        if batch % count or count % self.size:
            raise UserError(
                f"a batch of {batch} cannot be divided into {count} equal parts for {self.size} "
                f"{'process' if self.size == 1 else 'processes'}: choose train.batch and train.parts so that it can"
            )
        return count

    def _fitting(self, batch: int) -> int:
        """Two on a processor, as many as there are processes, or one: a seed then gives the same training on many machines."""
        two = self.device.type == "cpu" and batch % 2 == 0 and batch >= 2 * _LEAST_PART
        return 2 if two and self.size <= 2 else self.size

    def own(self, parts: int) -> range:
        """Numbers of the parts that this process computes; together they are all, and each is one's."""
        return range(self.rank, parts, self.size)

    def map(self, work: Callable[[int], T], parts: int) -> list[T]:
        """What `work` makes of each of our own parts, in their order."""
        own = self.own(parts)
        workers = min(len(own), self._threads) if self.device.type == "cpu" else 1
        if workers == 1:
            return [work(number) for number in own]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(
                workers, initializer=torch.set_num_threads, initargs=(self._threads // workers,)
            )
        return list(self._pool.map(work, own))

    def apart(self) -> Team:
        """This process alone, for what all do alike."""
        alone = Team(self.device)
        alone.rank, alone.size = 0, 1
        return alone

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
            torch.set_num_threads(self._threads)  # PyTorch remembers what the last thread asked for

    # -------------------------------------------------------------- processes

    @property
    def leads(self) -> bool:
        """Whether this process writes files and talks."""
        return self.rank == 0

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Put the sum over all processes in the place of each tensor; they have the same shapes everywhere."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([t.detach().double().flatten() for t in tensors])
        dist.all_reduce(flat)
        for tensor, total in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(total.reshape(tensor.shape))

    def alike(self, tensors: Iterable[Tensor]) -> None:
        """Put the first process's values in the place of everybody's."""
        if self.size > 1:
            for tensor in tensors:
                dist.broadcast(tensor.data, 0)

    def agree(self, seconds: float, stop: int | None) -> tuple[float, int | None]:
        """The first process's seconds, and a signal that any of us got: what decides how training goes on is the same for all."""
        if self.size == 1:
            return seconds, stop
        said = torch.tensor([seconds if self.leads else 0.0, float(stop or 0)], dtype=torch.float64, device=self.device)
        dist.all_reduce(said, dist.ReduceOp.MAX)
        return float(said[0]), int(said[1]) or None

    def meet(self) -> None:
        """Wait for all."""
        if self.size > 1:
            dist.barrier()


def join(device: torch.device) -> torch.device:
    """Meet the other processes where torchrun started several; returns this one's device."""
    if not _several():
        return device
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    if not _started():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)
    return device


def rank() -> int:
    """This process's number among those that train together, as torchrun tells it."""
    return int(os.environ.get("RANK", "0")) if _several() else 0


def _several() -> bool:
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def _started() -> bool:
    return dist.is_available() and dist.is_initialized()


def leave() -> None:
    """End what `join` began."""
    if _started():
        dist.destroy_process_group()
