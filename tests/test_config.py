from pathlib import Path

import pytest
import yaml

from speech2lip.config import Config, config_from_dict, config_to_dict, default_config, load_config
from speech2lip.errors import UserError

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = sorted((ROOT / "configs").rglob("*.yaml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_every_shipped_configuration_loads(path):
    assert isinstance(load_config(path), Config)


def test_default_yaml_states_every_default():
    assert load_config(ROOT / "configs" / "default.yaml") == Config()
    listed = yaml.safe_load((ROOT / "configs" / "default.yaml").read_text())
    full = config_to_dict(Config())

    def keys(tree, prefix=""):
        return {f"{prefix}{k}" for k in tree} | {
            key for k, v in tree.items() if isinstance(v, dict) for key in keys(v, f"{prefix}{k}.")
        }

    assert keys(listed) == keys(full)


def test_child_overrides_parent_and_command_line_overrides_both(tmp_path):
    (tmp_path / "parent.yaml").write_text("name: a\ntrain: {batch: 2, rate: 0.5}\n")
    (tmp_path / "child.yaml").write_text("inherit_from: parent.yaml\ntrain: {batch: 3}\n")
    config = load_config(tmp_path / "child.yaml", ["train.seed=9"])
    assert (config.name, config.train.batch, config.train.rate, config.train.seed) == ("a", 3, 0.5, 9)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train: {bach: 3}", "bach"),
        ("train: {batch: many}", "many"),
        ("audio: {backend: guess}", "audio.backend"),
        ("train: {batch: 0}", "train.batch"),
        ("loss: {sync: -1}", "loss.sync"),
        ("train: [", "YAML"),
        ("inherit_from: me.yaml", "itself"),
        ("inherit_from: nobody.yaml", "nobody.yaml"),
        ("- a list", "key: value"),
        ("model: {lip: {layers: 4, skip_after: 3}}", "skip_after"),
    ],
)
def test_bad_configurations_are_refused_by_name(tmp_path, text, message):
    (tmp_path / "me.yaml").write_text(text)
    with pytest.raises(UserError, match=message):
        load_config(tmp_path / "me.yaml")


def test_configuration_survives_a_checkpoint():
    config = default_config(["model.blend.widths=[8,16]", "name=x"])
    assert config_from_dict(config_to_dict(config), "test") == config
