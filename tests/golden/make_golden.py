"""Make ``golden.json``. Run it with ``make golden``.

A changed hash needs a new ``ALGO_VERSION`` (synth/rng.py) and a line in the changelog; only then may the file be made again, so
this script refuses to overwrite values of the same version.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path


def main(arguments: list[str] | None = None) -> None:
    """Write the file, unless that would change values of the version it is about."""
    from synth.rng import ALGO_VERSION
    from tests.golden.golden_values import ADVICE, GOLDEN, golden_values, load

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--same-version", action="store_true", help="overwrite values that no released version has made")
    parser.add_argument("--out", type=Path, default=GOLDEN)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as work:
        values = golden_values(Path(work))
    if options.out.exists() and not options.same_version:
        old = load(options.out)
        changed = sorted(name for name, value in old["values"].items() if values.get(name, value) != value)
        if changed and old["algo_version"] == ALGO_VERSION:
            parser.exit(1, f"{len(changed)} values changed under ALGO_VERSION {ALGO_VERSION}, first {changed[0]!r}; {ADVICE}\n")
    content = {"algo_version": ALGO_VERSION, "values": dict(sorted(values.items()))}
    options.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"{options.out}: {len(values)} values of ALGO_VERSION {ALGO_VERSION}")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the tests are no installed package
    main()
