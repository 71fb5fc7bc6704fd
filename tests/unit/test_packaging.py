"""What pyproject promises an installation."""

from __future__ import annotations

import tomllib

from tests.support.cli import REPOSITORY


def test_every_package_is_listed():
    """Packages are listed by hand; one that is missing works in a checkout and fails once installed."""
    listed = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    roots = [REPOSITORY / name for name in ("synth", "pretrain", "finetune", "pipelines")]
    folders = {path.parent.relative_to(REPOSITORY) for root in roots for path in root.rglob("*.py")}
    assert sorted(listed) == sorted(".".join(folder.parts) for folder in folders)
