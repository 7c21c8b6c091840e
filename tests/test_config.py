"""The configuration: one declaration of every key, what is refused, and that text a person types is kept as it is."""

import math
from dataclasses import is_dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech2lip.config import (
    Config,
    config_from_dict,
    config_to_dict,
    default_config,
    entries,
    load_config,
    load_settings,
    preset_names,
)
from speech2lip.config_text import as_table, as_yaml
from speech2lip.errors import UserError

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = [*preset_names(), *sorted((ROOT / "configs").rglob("*.yaml"))]
KEYS = {name: (item, value) for name, item, value in entries() if not is_dataclass(value)}
NUMBERS = [name for name, (_, value) in KEYS.items() if isinstance(value, (int, float)) and not isinstance(value, bool)]
TEXTS = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=40)


@pytest.mark.parametrize("name", SHIPPED, ids=lambda p: Path(p).stem)
def test_every_shipped_configuration_loads(name):
    assert isinstance(load_config(name), Config)


def test_default_yaml_is_what_the_command_prints():
    path = ROOT / "configs" / "default.yaml"
    assert path.read_text() == as_yaml(Config()), "write it again: speech2lip config --yaml > configs/default.yaml"
    assert load_config(path) == Config()


@pytest.mark.parametrize("preset", preset_names())
def test_a_preset_printed_as_yaml_loads_as_itself(preset, tmp_path):
    (tmp_path / "me.yaml").write_text(as_yaml(load_config(preset)))
    assert load_config(tmp_path / "me.yaml") == load_config(preset)


def test_every_key_is_explained_and_every_number_has_a_range_or_choices():
    for name, (item, value) in KEYS.items():
        assert len(item.metadata["meaning"]) >= 8 or name.endswith("weight_decay"), name
        assert item.metadata["meaning"] in as_table(Config(), name).replace("\n    ", " "), name
        if name in NUMBERS and not item.metadata["choices"]:
            low, high = item.metadata["low"], item.metadata["high"]
            assert low is not None and high is not None and low <= value <= high, name


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_out_of_range_are_refused_by_name(name):
    item, value = KEYS[name]
    whole = isinstance(value, int)
    low, high = item.metadata["low"], item.metadata["high"]
    if item.metadata["choices"]:
        wrong = [max(item.metadata["choices"]) + 1]
    else:
        wrong = (
            [int(low) - 1, int(high) + 1]
            if whole
            else [low - 1e-6 * max(abs(low), 1), high * 1.001, math.nan, math.inf]
        )
    for number in wrong:
        with pytest.raises(UserError, match=name.replace(".", r"\.")):
            load_settings(None, {name: number})


@pytest.mark.parametrize("name", [n for n, (item, _) in KEYS.items() if item.metadata["choices"]])
def test_a_word_that_is_no_choice_is_refused_with_the_choices(name):
    item, value = KEYS[name]
    wrong = "nonsense" if isinstance(value, str) else 7
    with pytest.raises(
        UserError, match=rf"{name.replace('.', chr(92) + '.')} is .*allowed is one of .*{item.metadata['choices'][0]}"
    ):
        load_settings(None, {name: wrong})


@given(TEXTS)
def test_text_is_data_whatever_it_looks_like(text):
    assert default_config([f"train.output={text}"]).train.output == text
    assert load_settings(None, {"data.root": text}).data.root == text


@pytest.mark.parametrize(
    "name", ["007", "1e3", "true", "null", "[final] me", "me: take 1", "My #1 video", "${HOME}", "12:30", " a"]
)
def test_names_of_files_name_subjects(name):
    assert default_config([f"name={name}"]).name == name


@pytest.mark.parametrize("name", ["../x", "a/b", "..", ".", "", "  ", "a\nb", "a\\b", "a\0b"])
def test_names_that_lead_elsewhere_are_refused(name):
    with pytest.raises(UserError, match="name is"):
        load_settings(None, {"name": name})


def test_numbers_lists_and_switches_are_read_by_the_type_of_their_key():
    config = default_config(
        ["train.rate=1e-4", "train.steps=40_000", "train.batch=4", "model.blend.widths=[8, 16]", "train.amp=false"]
    )
    assert (config.train.rate, config.train.steps, config.train.batch) == (1e-4, 40_000, 4)
    assert config.model.blend.widths == (8, 16) and config.train.amp is False
    for wrong in (
        "train.steps=1.5",
        "train.amp=maybe",
        "train.batch=",
        "model.blend.widths=8",
        "model.blend.widths=[a]",
        "train=5",
    ):
        with pytest.raises(UserError, match=wrong.partition("=")[0].replace(".", r"\.")):
            default_config([wrong])


def test_child_overrides_parent_and_command_line_overrides_both(tmp_path):
    (tmp_path / "parent.yaml").write_text("inherit_from: faithful\nname: a\ntrain: {batch: 2, rate: 0.5}\n")
    (tmp_path / "child.yaml").write_text("inherit_from: parent.yaml\ntrain: {batch: 3}\n")
    config = load_config(tmp_path / "child.yaml", ["train.seed=9"])
    assert (config.name, config.train.batch, config.train.rate, config.train.seed) == ("a", 3, 0.5, 9)
    assert config.model.lip.width == 256


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train: {bach: 3}", "did you mean train.batch"),
        ("nonsense: 3", "speech2lip config"),
        ("train: {batch: many}", r"train\.batch is 'many', needed is a whole number"),
        ("train: {amp: 1}", r"train\.amp is 1, needed is true or false"),
        ("audio: {backend: guess}", r"audio\.backend"),
        ("render: {preset: fats}", "did you mean fast"),
        ("train: {device: gpu}", r"train\.device"),
        ("name: [a]", "needed is text"),
        ("train: [", "YAML"),
        ("inherit_from: me.yaml", "itself"),
        ("inherit_from: nobody.yaml", "nobody.yaml"),
        ("inherit_from: 5", "inherit_from is 5"),
        ("- a list", "key: value"),
        ("[" * 5000, "nested too deeply"),
        ("a: " * 1500 + "1", "YAML|nested|no key"),
        ("{" + "x: {" * 30 + "}" * 31, "no key"),
        ("model: {lip: {layers: 4, skip_after: 3}}", "skip_after"),
        ("model: {blend: {widths: [8]}}", "two entries"),
        ("sync: {expert: wav2lip, window: 7}", "needs 5"),
    ],
)
def test_bad_configurations_are_refused_by_name(tmp_path, text, message):
    (tmp_path / "me.yaml").write_text(text)
    with pytest.raises(UserError, match=message) as refused:
        load_config(tmp_path / "me.yaml")
    assert "\n" not in str(refused.value)


def test_files_that_are_no_configuration_are_refused(tmp_path):
    (tmp_path / "big.yaml").write_bytes(b"#" * (2**20 + 1))
    (tmp_path / "binary.yaml").write_bytes(bytes(range(256)))
    for name, message in (
        ("big.yaml", "larger than 1 MB"),
        ("binary.yaml", "YAML"),
        ("none.yaml", "preset"),
        (".", "read"),
    ):
        with pytest.raises(UserError, match=message):
            load_config(tmp_path / name)


def test_configuration_survives_a_checkpoint():
    config = default_config(["model.blend.widths=[8,16]", "name=x"])
    assert config_from_dict(config_to_dict(config), "test") == config


def test_keys_of_version_0_1_are_known_by_their_new_names():
    config = config_from_dict(
        {"face": {"align": 0.5}, "fit": {"laplacian": 0.25}, "model": {"blend": {"pack": 4}}}, "old"
    )
    assert config == default_config(["photometric.weight=0.5", "photometric.laplacian=0.25", "model.blend.unshuffle=4"])


def test_table_shows_a_section_or_what_was_changed():
    config = default_config(["train.batch=4"])
    assert as_table(config, only_changed=True).startswith("train.batch = 4  (default 8)")
    assert as_table(config, "render").count("\nrender.") == 5 and "train." not in as_table(config, "render")
    assert as_table(config, "rend") == ""
