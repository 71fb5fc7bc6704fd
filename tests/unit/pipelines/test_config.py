"""Recipes are data: every fault of one becomes a line with its key, and nothing else ever escapes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from pipelines import strict_yaml
from pipelines.config import load_recipe, recipe_names
from synth.errors import RecipeError
from synth.recipe import SynthesisRecipe


def faults(source: str, *overrides: str, folder: Path | None = None) -> list[str]:
    """Load a recipe that must be refused; return its fault lines."""
    if folder is not None:
        (folder / "recipe.yaml").write_text(source)
        source = str(folder / "recipe.yaml")
    with pytest.raises(RecipeError) as raised:
        load_recipe(source, SynthesisRecipe, overrides)
    lines = list(raised.value.faults)
    assert lines and all(line and "\n" not in line for line in lines)
    return lines


def fault(*arguments: str, folder: Path | None = None) -> str:
    (line,) = faults(*arguments, folder=folder)
    return line


def test_shipped_recipes():
    assert recipe_names() == ["demo", "scenes", "sirst5k", "sirst5k_plus", "sirst5k_released_driver"]
    for name in recipe_names():
        assert load_recipe(name, SynthesisRecipe).name == name


def test_faithful_preset_spells_out_the_defaults():
    """The YAML of sirst5k shows every published constant; it must be what the models default to."""
    shown = load_recipe("sirst5k", SynthesisRecipe)
    assert shown.noise == SynthesisRecipe(name="x").noise
    assert [(p.alpha, p.side) for p in shown.passes] == [(0.1, 2), (0.2, 4)]
    assert (shown.split, shown.num_synthetic, shown.fit, shown.canvas_hw) == ("trainval", "published", "native_crop", (256, 256))


def test_file_and_overrides(tmp_path):
    (tmp_path / "mine.yml").write_text("name: mine\nseed: 3\nnoise: {var_max: 40}\n")
    overrides = ("noise.var_max=30", "passes=[{alpha: 0.3}]", "passes.0.side=4", "store.shard_images=9", "split=null")
    recipe = load_recipe(str(tmp_path / "mine.yml"), SynthesisRecipe, overrides)
    assert (recipe.name, recipe.seed, recipe.noise.var_max, recipe.split) == ("mine", 3, 30.0, None)
    assert (recipe.passes[0].alpha, recipe.passes[0].side, recipe.store.shard_images) == (0.3, 4, 9)


def test_later_override_wins():
    assert load_recipe("demo", SynthesisRecipe, ["seed=1", "seed=2"]).seed == 2


@pytest.mark.parametrize("override", ["source.mask_scale=auto", "source.split_list=v1", "source.max_level=9", "source.path=x"])
def test_a_key_of_the_folder_can_be_set(override, tmp_path):
    """Errors advise it, whether the recipe writes its source or leaves it to the default."""
    (tmp_path / "mine.yaml").write_text("name: mine\n")
    key, value = override.removeprefix("source.").split("=")
    for name in (*(name for name in recipe_names() if name.startswith("sirst5k")), str(tmp_path / "mine.yaml")):
        source = load_recipe(name, SynthesisRecipe, [override]).source
        assert source.kind == "corpus" and str(getattr(source, key)) == value


def test_one_weight_leaves_the_others():
    """A mapping with free keys replaces its default as a whole, so the others are put beside what is set."""
    plain = load_recipe("scenes", SynthesisRecipe).source.regimes
    for name in ("scenes", "demo"):
        assert load_recipe(name, SynthesisRecipe, ["source.regimes.sky=0.1"]).source.regimes == plain | {"sky": 0.1}
    ways = (["source.sensor=space_staring", "source.regimes.sky=0.1"], ["source.regimes.sky=0.1", "source.sensor=space_staring"])
    for overrides in ways:
        assert load_recipe("scenes", SynthesisRecipe, overrides).source.regimes == {"space": 1.0, "sky": 0.1}
    torn = ["canvas_hw=[64, 64]", "source.regimes.sky=0.1", "source.frame_hw=[64, 64]"]  # faulty between the two
    assert load_recipe("scenes", SynthesisRecipe, torn).source.regimes == plain | {"sky": 0.1}


def test_weights_set_as_a_whole_are_all_there_are():
    whole = "source.regimes={sea: 2}"
    assert load_recipe("scenes", SynthesisRecipe, [whole, "source.regimes.sky=1"]).source.regimes == {"sea": 2, "sky": 1}
    assert load_recipe("scenes", SynthesisRecipe, ["source.regimes.sky=1", whole]).source.regimes == {"sea": 2}


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("noise.var_maxx=1", "noise.var_maxx: no such key; did you mean var_max?"),
        ("nois.var_max=1", "nois: no such key; did you mean noise?"),
        ("store.shards=1", "store.shards: no such key; did you mean shard_images?"),
        ("zzz=1", "zzz: no such key; known: canvas_hw, fit, "),
        ("passes.0.beta=1", "passes.0.beta: no such key; known: alpha, side"),
        ("source.frames=1", "source.frames: no such key; did you mean num_frames?"),
        ("seed=-1", "seed should be greater than or equal to 0, got -1"),
        ("seed=abc", "seed should be a valid integer, unable to parse string as an integer, got 'abc'"),
        ("seed=1.5", "seed should be a valid integer, got a number with a fractional part, got 1.5"),
        ("seed=null", "seed should be a valid integer, got None"),
        ("name=a/b", "name "),
        ("name=''", "name "),
        ("canvas_hw=[64]", "canvas_hw.1: must be given"),
        ("canvas_hw=64", "canvas_hw should be a valid tuple, got 64"),
        ("canvas_hw=[31, 64]", "canvas_hw.0 should be greater than or equal to 32, got 31"),
        ("fit=stretch", "fit should be 'native_crop' or 'resize', got 'stretch'"),
        ("image_dtype=float32", "image_dtype should be 'uint8' or 'uint16', got 'float32'"),
        ("split=test", "split should be 'train' or 'trainval', got 'test'"),
        ("passes.0.alpha=1.1", "passes.0.alpha should be less than or equal to 1, got 1.1"),
        ("passes.0.alpha=-0.1", "passes.0.alpha should be greater than or equal to 0, got -0.1"),
        ("passes.0.alpha=.nan", "passes.0.alpha "),
        ("passes.0.side=3", "passes.0.side should be 2, 4, 6, 8 or 32, got 3"),
        ("passes=[]", "passes tuple should have at least 1 item"),
        ("max_targets=0", "max_targets should be greater than or equal to 1, got 0"),
        ("noise.window_px=300", "noise.window_px should be less than or equal to 256, got 300"),
        ("noise.var_max=.inf", "noise.var_max "),
        ("noise.upsample=cubic", "noise.upsample should be 'bilinear', 'tile' or 'reflect_quilt', got 'cubic'"),
        ("store.shard_images=0", "store.shard_images should be greater than or equal to 1, got 0"),
        ("source.kind=video", "source "),
        ("source.mask_scale=maybe", "source.mask_scale should be 'strict', 'auto' or 'index', got 'maybe'"),
        ("source.regimes.sky=1", "source.regimes: no such key"),
        ("legacy.duplicate_lines=true", "legacy.duplicate_lines must stand with legacy.centres_file"),
        ("canvas_hw=[32, 32]", None),
    ],
)
def test_faults_name_key_rule_and_value(override, expected):
    if expected is None:
        assert load_recipe("sirst5k", SynthesisRecipe, [override]).canvas_hw == (32, 32)
        return
    recipe = "demo" if override.startswith("source.frames") else "sirst5k"
    assert fault(recipe, override).startswith(expected)


def test_key_of_a_union_member_is_dotted_plainly():
    """pydantic's names for the members of a union are no part of the key."""
    assert fault("demo", "source.num_frames=0").startswith("source.num_frames should be greater than or equal to 1, got 0")
    lines = faults("sirst5k", "num_synthetic=-1", "noise.gain=much")
    assert {line.split(" ")[0] for line in lines} == {"num_synthetic", "noise.gain"}


def test_all_faults_at_once():
    lines = faults("sirst5k", "seed=-1", "noise.var_maxx=1", "passes.0.alpha=7", "fit=no", "max_targets=900")
    assert sorted(line.split()[0].rstrip(":") for line in lines) == [
        "fit", "max_targets", "noise.var_maxx", "passes.0.alpha", "seed",
    ]  # fmt: skip


def test_rule_over_several_keys():
    assert fault("sirst5k", "noise.window_px=64", "canvas_hw=[32,40]") == "noise.window_px must be <= canvas_hw, got 64"
    assert "the set would be empty" in fault("sirst5k", "num_synthetic=0", "originals=false")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sirst5", "recipe 'sirst5': no shipped recipe has this name; did you mean sirst5k?"),
        ("xyz", "known: demo, scenes, sirst5k, sirst5k_plus, sirst5k_released_driver"),
        ("nothing.yaml", "recipe nothing.yaml: No such file or directory; give a YAML file or one of: demo"),
        ("./folder.yaml/", "recipe folder.yaml: "),
        ("", "recipe '': no shipped recipe"),
        ("../synth/recipe.py", "recipe ../synth/recipe.py: "),
    ],
)
def test_recipe_that_is_not_there(name, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.yaml").mkdir()
    assert expected in fault(name)


@pytest.mark.parametrize(
    ("text", "needle"),
    [
        ("", "must be a mapping of names to values, got NoneType"),
        ("- 1", "must be a mapping of names to values, got list"),
        ("7: x", "must be a mapping of names to values"),
        ("name: a\nname: b\n", "line 2, column 1: key 'name' stands twice"),
        ("name: a\nnoise: {var_max: 1, var_max: 2}\n", "line 2, column 21: key 'var_max' stands twice"),
        ("a: &x 1\nname: *x\n", "line 2, column 7: aliases are not allowed"),
        ("name: [\n", "line 2, column 1: "),
        ("name: 'x\n", "line 2, column 1: "),
        ("name: !!python/object/apply:os.system ['true']\n", "could not determine a constructor"),
        ("name: !!python/name:os.system\n", "could not determine a constructor"),
        ("name: !Env HOME\n", "could not determine a constructor"),
        ("? [a]\n: 1\n", "keys must be plain names"),
        ("? {a: b}\n: 1\n", "keys must be plain names"),
        ("name: !!int ''\n", "not readable as YAML"),
        ("name: !!float ''\n", "not readable as YAML"),
        ("name: !!bool maybe\n", "not readable as YAML"),
        ("name: !!timestamp x\n", "not readable as YAML"),
        ("name: 2021-13-45\n", "month must be in 1..12"),
        ("name: " + "9" * 5000 + "\n", "not readable as YAML"),
        ("name: \x00\n", "not readable as YAML"),
        ("--- {name: a}\n--- {name: b}\n", "but found another document"),
    ],
)
def test_malformed_yaml(tmp_path, text, needle):
    assert needle in fault(text, folder=tmp_path)


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "x.yaml").write_bytes(b"name: \xff\xfe\x00")
    assert "x.yaml" in fault(str(tmp_path / "x.yaml"))


def test_alias_bomb(tmp_path):
    """A few hundred bytes that would expand to 10^9 nodes."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 10)}]" for k in range(1, 9)]
    assert "line 2, column 10: aliases are not allowed" in fault("\n".join(lines), folder=tmp_path)


@pytest.mark.parametrize("depth", [17, 1000, 200_000])
def test_deep_nesting(tmp_path, depth):
    text = "name: " + "[" * depth + "]" * depth
    assert "may nest 16 deep" in fault(text, folder=tmp_path)


def test_many_nodes(tmp_path):
    assert "20000 nodes" in fault("name: [" + "1, " * 20_001 + "]", folder=tmp_path)


def test_large_file_is_not_parsed(tmp_path, monkeypatch):
    monkeypatch.setattr(strict_yaml.yaml, "load", lambda *_: pytest.fail("parsed before its size was checked"))
    assert "larger than 1048576 bytes" in fault("# " + "x" * 2**20, folder=tmp_path)


@pytest.mark.parametrize(
    ("override", "needle"),
    [
        ("seed", "must be key=value"),
        ("=1", "must be key=value"),
        ("seed=[", "--set seed=["),
        ("seed.x=1", "seed is a value, not a section; set it as a whole"),
        ("passes.x.side=2", "x must be a position in 0..1"),
        ("passes.2.side=2", "2 must be a position in 0..1"),
        ("passes.²=2", "² must be a position in 0..1"),
        ("passes.-1.side=2", "-1 must be a position in 0..1"),
        ("seed=*x", "--set seed=*x"),
        ("seed={a: 1, a: 2}", "stands twice"),
    ],
)
def test_bad_overrides(override, needle):
    assert needle in fault("sirst5k", override)


def test_a_value_is_one_value():
    """Text after a line break is no way to set another key."""
    assert "must set one key" in fault("sirst5k", "seed=1\nname: other")


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    width_px: int = Field(ge=1)


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    parts: list[Inner]


def test_any_model(tmp_path):
    (tmp_path / "x.yaml").write_text("parts: [{width_px: 3}, {}, {widht_px: 1, width_px: 1}]\n")
    with pytest.raises(RecipeError) as raised:
        load_recipe(str(tmp_path / "x.yaml"), Outer)
    assert list(raised.value.faults) == [
        "parts.1.width_px: must be given",
        "parts.2.widht_px: no such key; did you mean width_px?",
    ]


@pytest.fixture(scope="module")
def scratch(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "recipe.yaml"


def load_anything(path: Path, text: bytes, overrides: list[str]) -> None:
    path.write_bytes(text)
    try:
        assert isinstance(load_recipe(str(path), SynthesisRecipe, overrides), SynthesisRecipe)
    except RecipeError as error:
        assert error.faults and all("\n" not in fault for fault in error.faults)


TAGS = st.sampled_from(
    ["!!int", "!!float", "!!bool", "!!null", "!!timestamp", "!!binary", "!!set", "!!omap", "!!pairs", "!!map", "!x"]
)
SCALARS = st.sampled_from(
    ["''", "x", "1", "-", "_", "0x", "1:9", ".inf", "2001-99-99", "[]", "{}", "*a", "&a 1", "<<", "? x", "{<<: 1}"]
)
KEYS = st.sampled_from(["name", "seed", "source", "noise", "passes", "canvas_hw", "split", "kind", "<<", "[1]", "{a: 1}"])
LINES = st.tuples(KEYS, TAGS | st.just(""), SCALARS).map(lambda parts: f"{parts[0]}: {parts[1]} {parts[2]}\n")


@given(text=st.binary(max_size=60))
def test_any_bytes_are_refused_as_a_recipe_or_read(scratch, text):
    load_anything(scratch, text, [])


@given(text=st.text(alphabet="nameseds01:[]{}&*!|>-? '\"#,%@\n\t\\", max_size=60))
def test_any_yaml_like_text_is_refused_as_a_recipe_or_read(scratch, text):
    load_anything(scratch, text.encode(), [])


@given(lines=st.lists(LINES, max_size=4))
@example(lines=["name: !!map ''\n"])
@example(lines=["{a: 1}: x\n"])
def test_any_tagged_values_are_refused_as_a_recipe_or_read(scratch, lines):
    load_anything(scratch, "".join(lines).encode(), [])


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


@given(key=st.sampled_from(sorted(SynthesisRecipe.model_fields)), value=VALUES)
def test_any_value_of_any_key_is_refused_as_a_recipe_or_read(scratch, key, value):
    content = {"name": "x", key: value}
    load_anything(scratch, strict_yaml.yaml.safe_dump(content, allow_unicode=True).encode("utf-8", "surrogatepass"), [])


@given(overrides=st.lists(st.text(alphabet="seednopas.=0129²[]{}:-*&!'\n ", max_size=16), max_size=3))
def test_any_override_is_refused_as_a_recipe_or_read(scratch, overrides):
    load_anything(scratch, b"name: x\n", overrides)
