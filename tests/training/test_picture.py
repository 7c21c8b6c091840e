"""What pictures are trained on, and where their errors count."""

from dataclasses import replace

import numpy as np
import torch

from speech2lip.subject.index import frames_alike
from speech2lip.training import losses
from speech2lip.training.context import Sample
from speech2lip.training.parts import Chance, Part
from speech2lip.training.phases import Position
from speech2lip.training.picture import PictureObjective
from speech2lip.training.trainer import Trainer

PART = Part(0, 1, Chance.of(torch.device("cpu"), 0))


def _pictures(trainer):
    return next(o for o in trainer.phases[-1].trainee.objectives if isinstance(o, PictureObjective))


def test_loss_weight_of_zero_switches_a_term_off(quick, change):
    off = {"perceptual_weight": 0.0, "depth": 0.0, "sync": 0.0, "shape": 0.0}
    trainer = Trainer(change(quick, loss=off))
    assert set(trainer.phases[-1].trainee.step(Position(1, 0.0, 0.0, 0))) == {"photometric", "fused", "total"}


def test_swapped_surroundings_come_from_another_moment_in_the_own_exposure(quick, change):
    trainer = Trainer(change(quick, loss={"swap": 1.0}))
    frames = trainer.context.index.train[[3, 40, 90]]
    gain, offset = torch.tensor([0.8, 1.25, 2.0])[:, None, None], torch.tensor([0.1, 0.0, -0.1])[:, None, None]
    batch = trainer.context.data.batch(frames)
    colour = torch.cat([gain, offset], 1).expand(-1, -1, 3)
    batch = replace(batch, region=replace(batch.region, exposure=colour))
    made, swapped = _pictures(trainer).surroundings(batch, frames, PART.chance)
    assert swapped.all()
    even = (made - offset[..., None]) / gain[..., None]
    for k, frame in enumerate(frames):
        regions = [
            trainer.context.data.region(np.array([f]))
            for f in _pictures(trainer)._alike[trainer.context.index.train == frame].ravel()
        ]
        candidates = [(r.image - r.exposure[:, 1, :, None, None]) / r.exposure[:, 0, :, None, None] for r in regions]
        assert min((c - even[k]).abs().max() for c in candidates) < 1e-4
    keep = Trainer(change(quick, loss={"swap": 0.0}))
    kept, swapped = _pictures(keep).surroundings(batch, frames, PART.chance)
    assert kept is batch.region.image and not swapped.any()


def test_frames_alike_are_of_other_moments_and_nearer_than_most(quick):
    index = Trainer(quick).context.index
    partners = frames_alike(index, count=5)
    assert np.isin(partners, index.train).all()
    assert (np.abs(partners - index.train[:, None]) > index.subject.fps).all()
    apart = index.origins[index.train][:, None] - index.origins[partners]
    any_two = index.origins[index.train][:, None] - index.origins[index.train][None]
    assert np.linalg.norm(apart, axis=-1).mean() < 0.5 * np.linalg.norm(any_two, axis=-1).mean()
    alone = replace(index, train=index.train[:20])
    assert (frames_alike(alone) == alone.train[:, None]).all()


def test_swapped_surroundings_are_judged_by_the_own_lips_alone(quick, change):
    """Blend-Net changes nothing at first, so the error is nearly that of the drawn lips on their own frame: what is drawn is
    smooth, so that a little of the surroundings reaches in."""
    terms = []
    for share in (0.0, 1.0):
        trainer = Trainer(change(quick, loss={"swap": share}, train={"augment": 0.0, "code_noise": 0.0}))
        trainer.model.eval()
        frames = trainer.context.index.train[::7][:6]
        batch = trainer.context.data.batch(frames)
        terms.append(_pictures(trainer).terms(trainer.model, Sample(frames, batch, PART)))
    torch.testing.assert_close(terms[1]["photometric"], terms[0]["photometric"])
    model, depth = trainer.model, trainer.model.space.depth()
    embedding, _ = model.encode_audio(batch.windows, batch.frame)
    codes = model.measured_codes(batch.mouth, batch.frame)
    transform = batch.region.transform
    seen = model.look_up(codes, transform, batch.frame)
    lip = model.decode_lips(embedding, codes, transform, seen)
    region, mask = model.composite(lip, batch.region, depth, seen=seen)
    lips = model.space.warp_plane(_pictures(trainer).lip_area, batch.region, depth)
    assert 0.02 < (lips > 0.5).float().mean() < (mask > 0.5).float().mean()
    own = losses.masked_mse(region, batch.region.image, mask * lips)
    torch.testing.assert_close(terms[1]["fused"], own, rtol=0.05, atol=0)
    torch.testing.assert_close(terms[0]["fused"], losses.masked_mse(region, batch.region.image, mask))


def test_of_a_real_mouth_only_what_is_smooth_is_changed(quick):
    """A one-pixel pattern that networks would draw over it is lost, a change of all of it is not."""
    trainer = Trainer(quick)
    model, frames = trainer.model.eval(), trainer.context.index.train[:3]
    batch = trainer.context.data.batch(frames)
    codes, transform = model.measured_codes(batch.mouth, batch.frame), batch.region.transform
    seen = model.look_up(codes, transform)
    checks = torch.ones_like(seen.small)
    checks[..., ::2] *= -1
    checks[..., ::2, :] *= -1
    as_it_is, mask = model.composite(seen.small, batch.region, seen=seen)
    inside = torch.nn.functional.avg_pool2d((mask > 0.99).float(), 9, 1, 4) > 0.99
    assert inside.sum() > 100
    for change, least, most in ((0.2 * checks, 0.0, 0.02), (torch.full_like(checks, 0.2), 0.99, 1.01)):
        gain = 1.0 if most < 0.5 else 0.2 * batch.region.exposure[:, 0, :, None, None]
        drawn, _ = model.composite(seen.small + change, batch.region, seen=seen)
        moved = ((drawn - as_it_is) / gain).abs()[inside.expand_as(drawn)]
        assert least <= moved.min() and moved.max() <= most
