"""The configuration: one declaration of every key, what is refused, and that text a person types is kept as it is."""

import math
from dataclasses import is_dataclass
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
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
from speech2lip.importing.config import import_config
from speech2lip.model.device import pick_device

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
            left_open = item.metadata["auto"] and value == 0
            assert low is not None and high is not None and (left_open or low <= value <= high), name


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
            else [low - 1e-6 * max(abs(low), 1), high + 1e-3 * max(abs(high), 1), math.nan, math.inf]
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
        ("train: {amp: 1}", r"train\.amp is '1', needed is true or false"),
        ("audio: {backend: guess}", r"audio\.backend"),
        ("render: {preset: fats}", "did you mean fast"),
        ("train: {device: gpu}", r"train\.device"),
        ("name: [a]", "needed is text"),
        ("train: [", "YAML"),
        ("inherit_from: me.yaml", "itself"),
        ("inherit_from: nobody.yaml", "nobody.yaml"),
        ("inherit_from: [5]", "inherit_from is .*needed is a preset"),
        ("- a list", "key: value"),
        ("[" * 5000, "nested too deeply"),
        ("a: " * 1500 + "1", "YAML|nested|no key"),
        ("{" + "x: {" * 30 + "}" * 31, "no key"),
        ("model: {lip: {layers: 4, skip_after: 3}}", "skip_after"),
        ("model: {blend: {widths: [8]}}", "allowed are 2 to 8"),
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


OLD = {"face": {"align": 0.5}, "fit": {"photometric": 0.25, "laplacian": 0.75}}


@pytest.mark.parametrize(
    ("tracker", "settings"),
    [
        ("bundle", ["photometric.weight=0.5"]),
        ("bfm", ["photometric.weight=0.25", "photometric.laplacian=0.75"]),
        ("gnm", ["photometric.weight=0.25", "photometric.laplacian=0.75"]),
    ],
)
def test_old_keys_of_the_tracker_in_use_are_known_by_their_new_names(tmp_path, tracker, settings):
    """face.align was the bundle tracker's, fit.* the morphable models'; what the other one had means nothing."""
    wanted = default_config([f"face.tracker={tracker}", *settings])
    assert config_from_dict(OLD | {"face": {"align": 0.5, "tracker": tracker}}, "old") == wanted
    (tmp_path / "parent.yaml").write_text(yaml.safe_dump(OLD))
    (tmp_path / "me.yaml").write_text(f"inherit_from: parent.yaml\nface: {{tracker: {tracker}}}")
    assert load_config(tmp_path / "me.yaml") == wanted
    assert load_config(tmp_path / "parent.yaml", [f"face.tracker={tracker}"]) == wanted


def test_other_old_keys_are_known_and_an_old_key_beside_its_new_name_is_refused():
    assert config_from_dict({"model": {"blend": {"pack": 4}}}, "old") == default_config(["model.blend.unshuffle=4"])
    with pytest.raises(UserError, match=r"face\.align is the old name of photometric\.weight"):
        config_from_dict({"face": {"align": 1}, "photometric": {"weight": 1}}, "old")


# ---------------------------------------------------------------- text in files


@pytest.mark.parametrize(
    "name", ["007", "010", "12:30", "true", "no", "null", "~", "2024-05-01", "1e3", ".inf", "0x10", "=", "a b"]
)
def test_names_in_files_stay_as_they_were_typed(tmp_path, name):
    (tmp_path / "me.yaml").write_text(f"name: {name}\ndata: {{video: {name}}}")
    config = load_config(tmp_path / "me.yaml")
    assert (config.name, config.data.video) == (name, name)


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("Yes", True), ("on", True), ("FALSE", False), ("no", False), ("off", False)]
)
def test_switches_in_files_and_on_the_command_line(tmp_path, text, value):
    (tmp_path / "me.yaml").write_text(f"train: {{amp: {text}}}\nmodel: {{compat: {text}}}")
    assert load_config(tmp_path / "me.yaml") == default_config([f"train.amp={text}", f"model.compat={text}"])
    assert load_config(tmp_path / "me.yaml").train.amp is value


def test_numbers_in_files_are_read_as_on_the_command_line(tmp_path):
    (tmp_path / "me.yaml").write_text(
        "train: {steps: 40_000, seed: 010, rate: 1e-4, ema: .5}\nmodel: {blend: {widths: [8, 1e1]}}"
    )
    config = load_config(tmp_path / "me.yaml")
    assert (config.train.steps, config.train.seed, config.train.rate, config.train.ema) == (40_000, 10, 1e-4, 0.5)
    assert config.model.blend.widths == (8, 10)


@settings(deadline=None, max_examples=30)
@given(TEXTS)
def test_text_survives_a_printed_file(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("printed") / "me.yaml"
    path.write_text(as_yaml(load_settings(None, {"data.root": text})), encoding="utf-8")
    assert load_config(path).data.root == text


BOMB = "a: &a [x, x, x]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train:\n  batch: 2\n  rate: 0.1\n  batch: 3", r"key train\.batch is repeated, line 4"),
        ("name: a\nname: b", "key name is repeated, line 2"),
        ("train: {batch: 2}\ntrain.batch: 3", r"train\.batch is given twice"),
        (BOMB + "name: *i", "alias"),
        ("name: !!python/name:os.system", "tag"),
        ("? [a]\n: 1", "key is no text"),
        ("a: 1\n---\nb: 2", "several documents"),
        ('inherit_from: "a\\0b"', "cannot be read"),
        ('data: {root: "a\\0b"}', r"data\.root is .*NUL"),
        ("train: {steps: .inf}", r"train\.steps is '\.inf', needed is a whole number"),
        ("train: {rate: .nan}", r"train\.rate is '\.nan', needed is a number"),
        ("model: {blend: {widths: [.inf, 8]}}", r"model\.blend\.widths is .*needed is a list of whole numbers"),
    ],
)
def test_files_that_hide_something_are_refused(tmp_path, text, message):
    (tmp_path / "me.yaml").write_text(text)
    with pytest.raises(UserError, match=message) as refused:
        load_config(tmp_path / "me.yaml")
    assert len(str(refused.value)) < 400 and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("train.steps", "inf"), ("train.steps", "1e400"), ("train.steps", "nan"), ("train.steps", math.inf), ("train.steps", "9" * 5000),
        ("train.steps", "9" * 4000), ("train.steps", 10**5000), ("train.rate", 10**400), ("train.rate", "1e400"), ("train.rate", "inf"),
        ("model.blend.widths", "[" * 5000), ("model.blend.widths", [math.inf, 8]), ("model.blend.widths", "[8, inf]"), ("model.blend.widths", "8, 16"),
        ("model.blend.widths", "[]"), ("model.blend.widths", None), ("train.amp", "[" * 5000), ("train.device", "x" * 5000), ("audio.backend", "x" * 5000),
        ("render.preset", "x" * 5000), ("x" * 5000, 1), ("name", "x" * 201), ("name", "\u00e4" * 101), ("name", [["x" * 50] * 50] * 50),
    ],
    ids=lambda v: str(v)[:20] if not isinstance(v, int) else "number",
)  # fmt: skip
def test_absurd_values_are_refused_in_a_short_sentence(name, value):
    with pytest.raises(UserError, match=name.replace(".", r"\.")[:20]) as refused:
        load_settings(None, {name: value})
    assert len(str(refused.value)) < 300


def test_a_name_of_200_bytes_is_a_name():
    assert default_config(["name=" + "\u00e4" * 100]).name == "\u00e4" * 100


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("train.seed=2147483648", "train.seed is 2147483648, allowed is 0 to 2147483647"),
        ("train.rate=10.000001", "train.rate is 10.000001, allowed is 1e-09 to 10"),
        ("train.steps=1000000001", "train.steps is 1000000001, allowed is 1 to 1000000000"),
        ("train.minutes=1e15", "train.minutes is 1000000000000000, allowed is 0 to 1000000"),
        ("train.minutes=inf", "train.minutes is inf, allowed is 0 to 1000000"),
    ],
)
def test_numbers_in_messages_show_the_fault(setting, message):
    with pytest.raises(UserError) as refused:
        default_config([setting])
    assert str(refused.value) == f"command line: {message}"


@pytest.mark.parametrize(
    ("parent", "child", "line", "origin"),
    [
        ("{}", "{}", "train.batch=0", "command line"),
        ("train: {batch: 0}", "{}", "train.rate=1", "parent.yaml"),
        ("{}", "train: {batch: 0}", "train.rate=1", "child.yaml"),
        ("train: {batch: 0}", "train: {batch: -1}", "train.rate=1", "child.yaml"),
        ("name: a/b", "{}", "train.rate=1", "parent.yaml"),
        ("{}", "{}", "train.device=gpu", "command line"),
        ("audio: {backend: x}", "{}", "train.rate=1", "parent.yaml"),
        ("model: {lip: {layers: 4}}", "{}", "model.lip.skip_after=3", "command line"),
        ("sync: {window: 7}", "sync: {expert: wav2lip}", "train.rate=1", "child.yaml"),
        ("{}", "{}", "model.blend.widths=[8]", "command line"),
    ],
)
def test_a_bad_value_is_blamed_on_where_it_came_from(tmp_path, parent, child, line, origin):
    (tmp_path / "parent.yaml").write_text(parent)
    (tmp_path / "child.yaml").write_text(f"inherit_from: parent.yaml\n{child if child != '{}' else ''}")
    with pytest.raises(UserError) as refused:
        load_config(tmp_path / "child.yaml", [line])
    assert str(refused.value).partition(": ")[0].endswith(origin)


@pytest.mark.parametrize(
    "name",
    [
        "meta",
        "xpu",
        "hpu",
        "mkldnn",
        "cpu:1",
        "mps:0",
        "cuda:",
        "cuda:01",
        "cuda:-1",
        "cuda:\u0663",
        "",
        "CPU",
        "cpu\n",
    ],
)
def test_devices_that_nothing_runs_on_are_refused_alike_by_both(name):
    with pytest.raises(UserError, match="cuda:N"):
        load_settings(None, {"train.device": name})
    with pytest.raises(UserError, match="cuda:N"):
        pick_device(name)


def test_devices_that_may_be_asked_for():
    for name in ("auto", "cpu", "cuda", "cuda:0", "cuda:12", "mps"):
        assert default_config([f"train.device={name}"]).train.device == name
    assert pick_device("cpu").type == "cpu"
    with pytest.raises(UserError, match="this machine has"):
        pick_device("cuda:999")


def test_ranges_in_the_printed_file_do_not_break():
    for line in as_yaml(Config()).splitlines():
        assert line.count("[") == line.count("]") and len(line) <= 120, line


PUBLISHED = "data: {path: dataset/may}\ntraining: {use_syncloss: true, w_syncloss: %s}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 5000, "nested too deeply"),
        (PUBLISHED % "much", r"training\.w_syncloss is 'much', needed is a number"),
        (PUBLISHED % "[1]", r"training\.w_syncloss is .*needed is text"),
        (PUBLISHED % "-1", r"x\.yaml: loss\.sync is -1, allowed"),
        ("training: {use_syncloss: maybe}", r"training\.use_syncloss is 'maybe', needed is true or false"),
        ("training: {batch_size: 1, batch_size: 2}", r"training\.batch_size is repeated"),
    ],
)
def test_bad_published_configurations_are_refused(tmp_path, text, message):
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(UserError, match=message):
        import_config(tmp_path / "x.yaml", tmp_path / "y.yaml")
    assert not (tmp_path / "y.yaml").exists()


def test_a_published_configuration_keeps_names_and_numbers(tmp_path):
    (tmp_path / "x.yaml").write_text(
        "data: {path: dataset/007}\ntraining: {out_dir: log/007, use_syncloss: True, w_syncloss: 2e-2, batch_size: 4}"
    )
    import_config(tmp_path / "x.yaml", tmp_path / "y.yaml")
    config = load_config(tmp_path / "y.yaml")
    assert (config.name, config.train.output, config.loss.sync, config.train.batch) == ("007", "log", 0.02, 4)


def test_table_shows_a_section_or_what_was_changed():
    config = default_config(["train.batch=4"])
    assert as_table(config, only_changed=True).startswith("train.batch = 4  (default 8)")
    assert as_table(config, "render").count("\nrender.") == 23 and "train." not in as_table(config, "render")
    assert as_table(config, "rend") == ""
