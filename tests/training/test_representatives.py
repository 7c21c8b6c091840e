"""Which real mouths become exemplars."""

from __future__ import annotations

import numpy as np

from speech2lip.model.checkpoint import load_checkpoint
from speech2lip.subject.index import parse_subject
from speech2lip.subject.layout import SubjectLayout
from speech2lip.training.exemplars import representatives


def test_every_group_of_mouths_that_are_alike_has_one_and_the_sharp_come_first():
    rng = np.random.default_rng(0)
    middles = rng.uniform(-50, 50, (8, 4))
    group = np.repeat(np.arange(8), 40)
    places = middles[group] + rng.normal(0, 0.5, (320, 4))
    sharp = np.zeros(320)
    sharp[::40] = 1.0  # one of each group
    chosen = representatives(places, sharp, 8)
    assert sorted(group[chosen]) == list(range(8))
    blurred = representatives(places, np.zeros(320), 8)
    assert sharp[chosen].sum() > sharp[blurred].sum()


def test_a_lonely_outlier_does_not_crowd_out_the_others():
    rng = np.random.default_rng(1)
    places = np.concatenate([rng.normal(0, 1, (400, 3)), [[300.0, 0, 0]]])
    chosen = representatives(places, np.ones(401), 16)
    assert (chosen != 400).sum() >= 15


def test_few_mouths_are_taken_again():
    chosen = representatives(np.arange(6.0)[:, None], np.ones(6), 10)
    assert len(chosen) == 10 and set(chosen) <= set(range(6)) and len(set(chosen)) == 6


def test_a_models_exemplars_are_real_mouths_of_its_training_part(model_path, subject_config):
    bank = load_checkpoint(model_path).model.exemplars
    index = parse_subject(SubjectLayout(subject_config.data.root), subject_config.data.test_fraction)
    assert set(bank.frames.tolist()) <= set(index.train.tolist())
    assert len(set(bank.frames.tolist())) > 10
    assert bank.images.float().std() > 10 and bank.flow.abs().max() > 0.1
    mouth = bank.images.float().mean(0)
    assert (bank.images.float() - mouth).abs().mean() < 40  # one person, one exposure
