"""The same recipe gives the same bytes for as long as ``ALGO_VERSION`` stays."""

from __future__ import annotations

import json

import numpy as np
import pytest

from synth.rng import ALGO_VERSION
from tests.golden.golden_values import ADVICE, DRAWS, MIXED_RECIPES, load
from tests.golden.make_golden import main

GROUPS = ["draws", "scenes", *(f"{name}/{source}" for name in MIXED_RECIPES for source in ("corpus", "scenes"))]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return what ``make golden`` writes now."""
    path = tmp_path_factory.mktemp("golden") / "golden.json"
    main(["--out", str(path)])
    return path


@pytest.mark.parametrize("group", GROUPS)
def test_bytes_are_those_of_this_algorithm_version(made, group):
    golden, now = load(), load(made)
    assert golden["algo_version"] == ALGO_VERSION, f"golden.json is of version {golden['algo_version']}; run `make golden`"
    expected, found = ({k: v for k, v in c["values"].items() if k.startswith(f"{group}/")} for c in (golden, now))
    assert expected.keys() == found.keys(), f"{group}: samples were added or removed; run `make golden`"
    assert expected, f"{group}: golden.json has no value; run `make golden`"
    changed = [name for name in expected if expected[name] != found[name]]
    numpy_note = f" (numpy {np.__version__} may draw otherwise)" if group == "draws" else ""
    assert not changed, f"other bytes than before: {', '.join(changed)}{numpy_note}; {ADVICE}"


def test_every_golden_value_is_compared():
    assert {name.rpartition("/")[0] for name in load()["values"]} == set(GROUPS)
    assert {name for name in load()["values"] if name.startswith("draws/")} == {f"draws/{name}" for name in DRAWS}


def test_samples_of_different_recipes_differ():
    """A constant, or one recipe standing in for another, would make the comparison empty.

    Equal are the samples of demo and sirst5k, whose settings agree, and originals where nothing is resized: 30 remain.
    """
    values = {k: v for k, v in load()["values"].items() if "/sample" in k}
    assert len(values) == 4 * 2 * 6
    assert len(set(values.values())) == 30


def test_values_of_a_version_are_not_overwritten(made, tmp_path, capsys):
    content = load(made)
    forged = content | {"values": content["values"] | {"draws/random": "0" * 64}}
    path = tmp_path / "golden.json"
    path.write_text(json.dumps(forged), encoding="utf-8")
    with pytest.raises(SystemExit) as stopped:
        main(["--out", str(path)])
    assert stopped.value.code == 1 and load(path) == forged
    message = capsys.readouterr().err
    assert "1 values changed" in message and "'draws/random'" in message and "bump ALGO_VERSION" in message
    path.write_text(json.dumps(forged | {"algo_version": ALGO_VERSION - 1}), encoding="utf-8")
    main(["--out", str(path)])
    assert load(path) == content
