"""An environment of its own for packages that the project compares itself with and never depends on.

It is made in a temporary folder from the package index that pip is set up for, and removed at the end; set
FOUNDRY_ISOLATED to a folder to keep it and use it again.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def isolated_python(name: str, packages: Sequence[str], *, borrow: bool = False) -> Iterator[Path]:
    """Yield the interpreter of an environment that holds some packages.

    Args:
        name: Name of the environment, for reuse.
        packages: What pip installs.
        borrow: Let it see the packages installed here as well (torch is large), but not this project.
    """
    kept = os.environ.get("FOUNDRY_ISOLATED")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(kept or temporary) / name
        python = folder / "bin" / "python"
        if not (folder / "complete").exists():
            print(f"making an environment with {', '.join(packages)} ...", flush=True)
            venv.create(folder, with_pip=True, clear=True)
            if borrow:
                there = next((folder / "lib").glob("python3.*")) / "site-packages"
                (there / "borrowed.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
            subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages], check=True)
            (folder / "complete").touch()
        yield python


def run_isolated(python: Path, script: Path, *arguments: object) -> str:
    """Run a script there, one thread, without this project on its path; return what it prints."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    kept = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    ended = subprocess.run(
        [python, script, *map(str, arguments)], env=kept | threads, capture_output=True, text=True, check=False
    )
    if ended.returncode:
        sys.exit(f"{script.name} failed:\n{ended.stderr}")
    return ended.stdout
