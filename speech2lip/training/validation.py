"""Measures and a picture of the test frames while training."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..facemesh import opening_of_points
from ..metrics.basic import correlation, psnr
from ..nets.interface import LipSyncModel
from ..nets.speech2lip import Speech2Lip
from ..subject.dataset import SubjectDataset
from ..subject.index import SubjectIndex


@torch.no_grad()
def validate(
    model: LipSyncModel, data: SubjectDataset, index: SubjectIndex, count: int = 64
) -> tuple[dict[str, float], Tensor]:
    """Metrics of a model in eval mode on the test frames, driven by speech alone.

    psnr_lip (dB) over the lip mask, psnr_drawn the same when the mouth's shape is the
    measured one, psnr_region (dB) over the compositor's region, opening_r and opening_ratio
    of the predicted mouth shape. Also a picture [3, H, W]: real above generated.
    """
    pool = index.test if len(index.test) else index.train[-count:]
    every = torch.from_numpy(pool).to(data.device)
    movement = _opening_metrics(model, data, every) if isinstance(model, Speech2Lip) else {}
    frames = pool[np.linspace(0, len(pool) - 1, min(count, len(pool))).astype(int)]
    depth, rows, drawn, fused, shown = model.space.depth(), [], [], [], []
    for part in np.array_split(frames, max(1, len(frames) // 16)):
        batch = data.batch(part)
        embedding, spoken = model.encode_audio(batch.windows, batch.frame)
        seen = model.look_up(spoken, batch.region.transform)
        lip = model.decode_lips(embedding, spoken, batch.region.transform, seen)
        codes = model.measured_codes(batch.mouth, batch.frame)
        measured = model.decode_lips(
            embedding, codes, batch.region.transform, model.look_up(codes, batch.region.transform)
        )
        region, mask = model.composite(lip, batch.region, depth, seen=seen)
        weight = torch.nn.functional.interpolate(model.space.lip_mask[None, None], lip.shape[2:], mode="area")
        rows += psnr(lip.clamp(0, 1), batch.lips, weight)
        drawn += psnr(measured.clamp(0, 1), batch.lips, weight)
        fused += psnr(region.clamp(0, 1), batch.region.image, torch.ones_like(mask))
        shown.append(torch.cat([batch.region.image[:1], region[:1].clamp(0, 1)], 2)[0])
    metrics = {
        "psnr_lip": float(np.mean(rows)), "psnr_drawn": float(np.mean(drawn)), "psnr_region": float(np.mean(fused)), **movement,
    }  # fmt: skip
    return metrics, torch.cat(shown[:8], 2).cpu()


def _opening_metrics(model: Speech2Lip, data: SubjectDataset, frames: Tensor) -> dict[str, float]:
    """Correlation and ratio of deviations of the mouth opening that speech predicts, on frames [N]."""
    _, codes = model.encode_audio(data.windows(frames), frames)
    predicted = opening_of_points(model.basis.decode(codes).cpu().numpy())
    real = opening_of_points(data.mouth[frames].cpu().numpy())
    r = correlation(predicted, real)
    ratio = float(predicted.std() / max(real.std(), 1e-9))
    return {"opening_r": r if np.isfinite(r) else 0.0, "opening_ratio": ratio}
