"""Which real mouths of the training part become exemplars."""

from __future__ import annotations

import numpy as np
import torch

from ..nets.exemplars import Mouths
from ..nets.speech2lip import Speech2Lip, head_turn
from ..subject.dataset import SubjectDataset
from ..subject.index import SubjectIndex

_CANDIDATES = 3000
_ROUNDS = 20  # of k-means
_BLUR = 0.5  # how much the blurred count as far from the middle of those that are alike


def fit_exemplars(model: Speech2Lip, index: SubjectIndex, data: SubjectDataset) -> None:
    """Fill the model's bank with mouths of training frames that stand for the others, and are sharp."""
    bank = model.exemplars
    if bank is None:
        return
    frames = index.train[:: max(1, len(index.train) // _CANDIDATES)]
    at = torch.from_numpy(frames).to(data.device)
    codes, turns = model.basis.encode(data.mouth[at]), head_turn(data.transforms[at])
    mean, moves = _in_pictures(model, index)
    bank.measure(moves)
    chosen = representatives(bank.places(codes, turns).cpu().numpy(), data.sharpness[frames], len(bank.frames))
    images = torch.from_numpy(np.stack([data.fine_lips(int(f)) for f in frames[chosen]])).permute(0, 3, 1, 2)
    bank.fit(Mouths(images, codes[chosen], turns[chosen], at[chosen]), mean, moves)


def _in_pictures(model: Speech2Lip, index: SubjectIndex) -> tuple[torch.Tensor, torch.Tensor]:
    """Landmarks [P, 2] of the mean mouth, and how far a unit of each code moves them [K, P, 2], in pixels of lip images."""
    basis, box, (width, height) = model.basis, index.subject.lip_box, index.subject.lip_size
    scale = torch.tensor([width / box.width, height / box.height]).to(basis.mean)
    corner = torch.tensor([box.left - 0.5, box.top - 0.5]).to(basis.mean)
    moves = (basis.components * basis.scale[:, None]).reshape(len(basis.scale), -1, 2)
    return (basis.mean.reshape(-1, 2) - corner) * scale - 0.5, moves * scale


def _grouped(places: torch.Tensor, groups: int) -> tuple[np.ndarray, np.ndarray]:
    """k-means: distance [N] of points [N, D] to the middle of their group, and its number [N].

    It begins with points drawn by their squared distance to those drawn before (k-means++, Arthur 2007).
    """
    random = torch.Generator().manual_seed(0)
    first = [int(torch.randint(len(places), (1,), generator=random))]
    away = torch.full((len(places),), torch.inf, dtype=places.dtype)
    while len(first) < groups:
        away = torch.minimum(away, (places - places[first[-1]]).square().sum(1))
        first.append(int(torch.multinomial(away + 1e-12, 1, generator=random)))
    middles = places[first]
    for _ in range(_ROUNDS):
        group = torch.cdist(places, middles).argmin(1)
        members = torch.zeros(groups, dtype=places.dtype).index_add(0, group, torch.ones_like(away))
        sums = torch.zeros_like(middles).index_add(0, group, places)
        middles = torch.where(members[:, None] > 0, sums / members.clamp(min=1)[:, None], middles)
    distance, group = torch.cdist(places, middles).min(1)
    return distance.numpy(), group.numpy()


def representatives(places: np.ndarray, sharpness: np.ndarray, count: int) -> np.ndarray:
    """Indices [count] of points [N, D], one near the middle of each of `count` groups of points that are alike: the sharp
    come first. The same again where there are fewer points. sharpness: [N]."""
    groups = min(count, len(places))
    away, group = _grouped(torch.from_numpy(places), groups)
    rank = sharpness.argsort().argsort() / len(sharpness)
    spread = np.sqrt(np.mean(away**2)) + 1e-9
    price = away / spread + _BLUR * (1 - rank)
    chosen = [members[price[members].argmin()] for g in range(groups) if len(members := np.flatnonzero(group == g))]
    return np.resize(np.array(chosen), count)
