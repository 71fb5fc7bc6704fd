"""Make ``classical.json``: scores of the classical methods on the 64 frames of ``nudt_64_ids.txt``.

    python -m tests.golden.make_classical [NAME...]       needs real frames (SIRST_DATA); seconds to minutes a method

Values are measured, not chosen: where one changes, the method, a threshold rule or a metric has changed.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import torch

from tests.golden.classical_values import GOLDEN, METHODS, ids_64, load, measure


def main() -> None:
    """Measure the named entries, or all, and write the file."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"entries to measure; else all: {', '.join(METHODS)}")
    names = parser.parse_args().names or list(METHODS)
    torch.set_num_threads(1)
    data = Path(os.environ.get("SIRST_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
    values = load() if GOLDEN.exists() else {}
    for name in names:
        found = measure(name, data, ids_64())
        values[name] = {rule: {key: round(value, 6) for key, value in numbers.items()} for rule, numbers in found.items()}
        print(name, values[name])
    GOLDEN.write_text(json.dumps(dict(sorted(values.items())), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
