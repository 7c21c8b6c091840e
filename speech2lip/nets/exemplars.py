"""Real mouths of the person, warped to a wanted shape: what pictures begin with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from ..facemesh import LIPS, LIPS_OUTER
from ..geometry.camera import pixel_lattice, pixel_to_grid
from .chance import uniform

_TURN = 0.0125  # of the pictures' width, that a head's turn by one unit counts as, beside the mouth's shape
_OPEN = 0.3  # of the gap's size, that a difference of gaps counts as: an open mouth shows teeth, which one nearly shut has not
_INNER = 4.0  # times that the inner lips count more than other landmarks: they show teeth and tongue
_STAYS = 1.25  # times as far as the nearest that the mouth of the frame before may be, and stays
_NEARLY = 0.004  # of the pictures' width, by which it may be farther still
_ROUNDS = 4  # of the fixed-point iteration that inverts a warp


@dataclass(frozen=True)
class Mouths:
    """Real mouths. images: [M, 3, h, w] uint8 in the canonical exposure; codes: [M, K] shapes; turns: [M, 3] of the head;
    frames: [M] their numbers."""

    images: Tensor
    codes: Tensor
    turns: Tensor
    frames: Tensor


class Seen(Protocol):
    """Real mouths, of which networks draw a change."""

    @property
    def small(self) -> Tensor:
        """[B, 3, h, w] canonical, in [0, 1], at the resolution of the networks: where they start."""
        ...

    def at(self, places: Tensor, factor: int) -> Tensor:
        """What lies at places [B, R, R, 2], in pixels of the lip images at full resolution: [B, 3, factor R, factor R], which the
        caller may change."""
        ...


@dataclass(frozen=True)
class Pictures:
    """Lip images [B, 3, h, w] in [0, 1] as they are; `small` is `coarse` times smaller."""

    pictures: Tensor
    coarse: int

    @cached_property
    def small(self) -> Tensor:
        return F.avg_pool2d(self.pictures, self.coarse)

    def at(self, places: Tensor, factor: int) -> Tensor:
        return look(self.pictures, places, factor)


@dataclass(frozen=True)
class Warped:
    """Mouths [B] of a bank, each warped to another shape; spots: of `ExemplarBank._spots`."""

    bank: ExemplarBank
    index: Tensor
    spots: Tensor

    @cached_property
    def small(self) -> Tensor:
        images, factor = self.bank.rough()[self.index], self.bank.coarse
        height, width = images.shape[-2:]
        pixels = (pixel_lattice(width, height, images.device) + 0.5) * factor - 0.5
        spots = self.bank.between(self.spots, pixels.expand(len(images), -1, -1, -1))
        return look(images, (spots + 0.5) / factor - 0.5).clamp(0, 1)

    def at(self, places: Tensor, factor: int) -> Tensor:
        spots = self.bank.between(self.spots, places)
        return look(self.bank.images[self.index].float().div_(255), spots, factor).clamp_(0, 1)


def look(images: Tensor, pixels: Tensor, factor: int = 1) -> Tensor:
    """Images [B, 3, h, w] at pixels [B, R, R, 2], and `factor` times closer between them; bicubic, so that what is fine stays."""
    grid = pixel_to_grid(pixels, images.shape[-1], images.shape[-2])
    grid = enlarged(grid.permute(0, 3, 1, 2), factor).permute(0, 2, 3, 1)
    return F.grid_sample(images, grid, mode="bicubic", padding_mode="border", align_corners=True)


def enlarged(picture: Tensor, factor: int) -> Tensor:
    """Pictures [B, C, h, w], `factor` times larger, bilinear."""
    if factor == 1:
        return picture
    planes = picture.reshape(-1, 1, *picture.shape[-2:])  # PyTorch takes twice as long for three channels at once
    larger = F.interpolate(planes, scale_factor=factor, mode="bilinear", align_corners=False)
    return larger.view(*picture.shape[:2], *larger.shape[-2:])


class ExemplarBank(nn.Module):
    """For every wanted shape the nearest real mouth, warped to it.

    Shape codes move landmarks linearly. `flow` [K, 2, rows, columns] is how far each unit of each code moves the picture
    around the mean mouth, in pixels, at lattice points `step` pixels apart. A pixel of the wanted mouth is followed back to
    the mean mouth and from there to the exemplar; what two shapes share cancels out.
    """

    images: Tensor
    codes: Tensor
    turns: Tensor
    frames: Tensor
    flow: Tensor
    metric: Tensor

    def __init__(
        self, count: int, size: tuple[int, int], codes: int, apart: int, coarse: int,
        gap: Callable[[Tensor], Tensor] | None = None,
    ):  # fmt: skip
        """size: of the pictures, (width, height); apart: frames around a trained one whose mouths it must not see; coarse:
        pixels from which on networks draw; gap: codes [B, K] -> side [B] of a square as large as the gap between the lips, as a
        share of the width."""
        super().__init__()
        width, height = size
        self.coarse, self._gap = coarse, gap
        self._small, self._made = torch.zeros(0), (-1, torch.device("meta"))
        self.size, self.apart, self.step = size, apart, 4 if width <= 96 else 8
        rows, columns = -(-(height - 1) // self.step) + 1, -(-(width - 1) // self.step) + 1
        self.register_buffer("images", torch.zeros(count, 3, height, width, dtype=torch.uint8))
        self.register_buffer("codes", torch.zeros(count, codes))
        self.register_buffer("turns", torch.zeros(count, 3))
        self.register_buffer("frames", torch.zeros(count, dtype=torch.int64))
        self.register_buffer("flow", torch.zeros(codes, 2, rows, columns))
        self.register_buffer("metric", torch.from_numpy(np.eye(codes, dtype=np.float32)))

    def fit(self, mouths: Mouths, landmarks: Tensor, moves: Tensor) -> None:
        """Take over mouths, and learn the flow and what distances between shapes are.

        landmarks: [P, 2] of the mean mouth, in pixels of the pictures; moves: [K, P, 2] of a unit of each code.
        """
        for name in ("images", "codes", "turns", "frames"):
            getattr(self, name).copy_(getattr(mouths, name))
        self.flow.copy_(
            thin_plates(landmarks, moves, self._lattice().reshape(-1, 2), self.size).reshape(self.flow.shape)
        )

    def measure(self, moves: Tensor) -> None:
        """Learn the metric from moves [K, P, 2] of landmarks, lips first."""
        weight = torch.ones(moves.shape[1], device=moves.device)
        weight[len(LIPS_OUTER) : len(LIPS)] = _INNER
        products = torch.einsum("kpc,lpc,p->kl", moves, moves, weight / weight.sum()).double()
        self.metric.copy_(torch.linalg.cholesky(products + 1e-6 * torch.eye(len(moves)).to(products)).float())

    def places(self, codes: Tensor, turn: Tensor) -> Tensor:
        """Points [B, D] whose distances are those of mouths, in pixels: shapes [B, K], the head's turn [B, 3], and the gap."""
        found = [codes @ self.metric, turn * (_TURN * self.size[0])]
        if self._gap is not None:
            found.append(self._gap(codes)[:, None] * (_OPEN * self.size[0]))
        return torch.cat(found, 1)

    @torch.no_grad()
    def choose(self, codes: Tensor, turn: Tensor, silent: Tensor, before: int | None = None) -> Tensor:
        """Which mouth each of some frames in a row shows, [B] on the processor: the nearest, but in silence that of the frame before
        as long as none is clearly nearer. Each mouth has teeth and lips of its own moment: a mouth at rest would move if two took
        turns. One that speaks is shown best by the nearest (docs/experiments/sharpness.md).

        codes: [B, K]; turn: [B, 3] of the head; silent: [B] bool; before: that of the frame before the first.
        """
        chosen: list[int] = []
        for row, rests in zip(self._distances(codes, turn).sqrt().cpu(), silent.cpu().tolist(), strict=True):
            nearest = int(row.argmin())
            stays = rests and before is not None and row[before] <= _STAYS * row[nearest] + _NEARLY * self.size[0]
            before = before if stays else nearest
            chosen.append(before)  # type: ignore[arg-type]
        return torch.tensor(chosen, dtype=torch.long)

    @torch.no_grad()
    def forward(self, codes: Tensor, turn: Tensor, frame: Tensor | None = None, chosen: Tensor | None = None) -> Warped:
        """The nearest mouths, to be warped to the shapes.

        codes: [B, K]; turn: [B, 3] of the head; frame: [B] of training frames, whose own mouths and neighbours are not used;
        chosen: [B] mouths to be taken instead.
        """
        if chosen is not None:
            chosen = chosen.to(codes.device)
            return Warped(self, chosen, self._spots(chosen, codes))
        distance = self._distances(codes, turn)
        if frame is not None:
            gap = (self.frames - frame[:, None]).abs()
            near = (1 - gap / (self.apart + 1)).clamp(min=0)  # in short clips all are near: then the least near
            if self.training:  # not always the nearest, so that none is relied on
                distance = distance * (1 + uniform(*distance.shape, device=distance.device))
            distance = distance + 1e9 * near
        index = distance.argmin(1)
        return Warped(self, index, self._spots(index, codes))

    def _distances(self, codes: Tensor, turn: Tensor) -> Tensor:
        """Squared distances [B, M] of shapes and turns from the mouths of the bank."""
        here, there = self.places(codes, turn), self.places(self.codes, self.turns)
        return (here[:, None] - there).square().sum(2)

    def _spots(self, index: Tensor, codes: Tensor) -> Tensor:
        """Where exemplars [B] show what shapes [B, K] have at the lattice points: pixels [B, 2, rows, columns]."""
        lattice = self._lattice()
        mean = lattice.expand(len(codes), -1, -1, -1)
        flow = self.flow.flatten(1)
        there = (codes @ flow).view(len(codes), *self.flow.shape[1:])
        for _ in range(_ROUNDS):
            mean = lattice - self.between(there, mean)
        apart = ((self.codes[index] - codes) @ flow).view_as(there)
        return (lattice + self.between(apart, mean)).permute(0, 3, 1, 2)

    def between(self, field: Tensor, pixels: Tensor) -> Tensor:
        """Vectors [B, h, w, 2] of a field [B, 2, rows, columns] on the lattice, at pixels [B, h, w, 2]."""
        grid = pixel_to_grid(pixels / self.step, field.shape[-1], field.shape[-2])
        return F.grid_sample(field, grid, padding_mode="border", align_corners=True).permute(0, 2, 3, 1)

    def rough(self) -> Tensor:
        """The pictures, `coarse` times smaller, float32 in [0, 1]; made once."""
        version = self.images._version, self.images.device
        if self._made != version:
            self._small, self._made = F.avg_pool2d(self.images.float() / 255, self.coarse), version
        return self._small

    def _lattice(self) -> Tensor:
        """Pixels [rows, columns, 2] of the lattice points."""
        rows, columns = self.flow.shape[-2:]
        return pixel_lattice(columns, rows, self.flow.device) * self.step


def thin_plates(
    landmarks: Tensor, moves: Tensor, pixels: Tensor, size: tuple[int, int], stiffness: float = 50.0
) -> Tensor:
    """Smooth displacement fields [K, 2, N] at pixels [N, 2] that follow `moves` [K, P, 2] at `landmarks` [P, 2].

    Thin-plate splines, which do not move the upper and side borders of a picture of `size`; stiffness: 0 follows exactly.
    """
    width, height = size
    across, down = torch.linspace(0, width - 1, 6), torch.linspace(0, 0.6 * (height - 1), 4)[1:]
    top = torch.stack([across, torch.zeros(6)], 1)
    sides = [torch.stack([torch.full_like(down, x), down], 1) for x in (0.0, width - 1.0)]
    centres = torch.cat([landmarks.cpu(), top, *sides]).double()
    count = len(centres)
    system = torch.zeros(count + 3, count + 3, dtype=torch.float64)
    system[:count, :count] = _bending(torch.cdist(centres, centres)) + stiffness * torch.eye(count)
    system[:count, count:] = torch.cat([torch.ones(count, 1), centres], 1)
    system[count:, :count] = system[:count, count:].T
    known = torch.zeros(count + 3, len(moves), 2, dtype=torch.float64)
    known[: len(landmarks)] = moves.cpu().double().transpose(0, 1)
    weights = torch.linalg.solve(system, known.flatten(1)).reshape(count + 3, len(moves), 2)
    wanted = pixels.cpu().double()
    terms = torch.cat([_bending(torch.cdist(wanted, centres)), torch.ones(len(wanted), 1), wanted], 1)
    return torch.einsum("nc,ckd->kdn", terms, weights).float()


def _bending(distance: Tensor) -> Tensor:
    return distance.square() * distance.clamp(min=1e-9).log()
