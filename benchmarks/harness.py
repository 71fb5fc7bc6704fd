"""What every benchmark shares: a clock for CPU and wall time, the table it prints, and the row file it leaves.

A row is one number with its unit and, where the project has set itself one, its goal. The row file says what the numbers
were measured on, and nothing that would identify the machine.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Self

REPOSITORY = Path(__file__).resolve().parent.parent
RESULTS = REPOSITORY / "results" / "benchmarks"
_VERSIONS_OF = ("sirst-foundry", "numpy", "numba", "zarr", "numcodecs", "zstandard", "google-crc32c", "dask", "pillow")


class Clock:
    """Context manager that measures CPU time of this process (all threads) and wall time, in seconds."""

    cpu_s = 0.0
    wall_s = 0.0

    def __enter__(self) -> Self:
        self._cpu, self._wall = time.process_time(), time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.cpu_s, self.wall_s = time.process_time() - self._cpu, time.perf_counter() - self._wall


class Benchmark:
    """One run of one benchmark.

    Args:
        name: Name of the script; also of its row file.
        description: First paragraph of its ``--help``.
    """

    def __init__(self, name: str, description: str) -> None:
        parser = argparse.ArgumentParser(
            prog=f"benchmarks/{name}.py", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        parser.add_argument("--quick", action="store_true", help="a few seconds: does it work, not how fast (NAME.quick.json)")
        self.name, self.quick = name, bool(parser.parse_args().quick)
        self._rows: list[dict[str, object]] = []
        self._about = {
            "benchmark": name,
            "command": f"python benchmarks/{name}.py" + (" --quick" if self.quick else ""),
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "cpu": _cpu_model(),
            "cores": len(os.sched_getaffinity(0)),
            "load_before": [round(value, 2) for value in os.getloadavg()],
            "system": f"{platform.system()} {platform.machine()}",
            "versions": {"python": platform.python_version()} | {package: version(package) for package in _VERSIONS_OF},
        } | _about_torch()
        print(f"{self._about['command']}: {self._about['cpu']}, {self._about['cores']} cores, load {self._about['load_before']}")

    def section(self, title: str) -> None:
        """Print a heading above the rows that follow."""
        print(f"\n{title}")

    def row(self, what: str, value: float, unit: str, goal: str = "", **more: object) -> None:
        """Print and keep one number.

        Args:
            what: What was measured.
            value: The number.
            unit: Its unit.
            goal: The goal it is held against, if there is one.
            more: Anything else the row file should keep; numbers are printed too.
        """
        more = {key: _rounded(extra) if isinstance(extra, float) else extra for key, extra in more.items()}
        self._rows.append({"what": what, "value": _rounded(value), "unit": unit, "goal": goal or None} | more)
        notes = [f"goal {goal}"] if goal else []
        notes += [f"{key} {extra:,}" for key, extra in more.items() if isinstance(extra, int | float)]
        print(f"  {what:<56} {_rounded(value):>10,} {unit:<12} {', '.join(notes)}".rstrip(), flush=True)

    def missing(self, what: str, unit: str, goal: str, why: str) -> None:
        """Print and keep a number that this machine cannot give: no value, and why."""
        self._rows.append({"what": what, "value": None, "unit": unit, "goal": goal, "why": why})
        print(f"  {what:<56} {'-':>10} {unit:<12} goal {goal}, {why}", flush=True)

    def finish(self) -> None:
        """Write the row file; a quick run never replaces a full one."""
        RESULTS.mkdir(parents=True, exist_ok=True)
        path = RESULTS / f"{self.name}{'.quick' if self.quick else ''}.json"
        path.write_text(json.dumps(self._about | {"rows": self._rows}, indent=1, ensure_ascii=False) + "\n")
        print(f"\nrows: {path.relative_to(REPOSITORY)}")


def sirst_folder(name: str) -> Path:
    """Return a folder of real frames below ``SIRST_DATA`` (default ``../shared/data``), or leave with a message."""
    folder = Path(os.environ.get("SIRST_DATA", REPOSITORY.parent / "shared" / "data")) / name
    if not folder.is_dir():
        sys.exit(f"no frames at {folder}: set SIRST_DATA to the folder that holds {name}")
    return folder.resolve()


def memory_mb(field: str) -> float:
    """Return ``VmHWM`` (peak) or ``VmRSS`` (now) of this process, MB of 10^6 bytes (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise KeyError(field)


def _rounded(value: float) -> float | int:
    """Return four significant digits."""
    rounded = float(f"{value:.4g}")
    return int(rounded) if abs(rounded) >= 1000 else rounded


def _about_torch() -> dict[str, object]:
    """Return torch's version and the GPU, where a benchmark has imported the one and there is the other."""
    torch = sys.modules.get("torch")
    if torch is None:
        return {}
    gpu = {"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}
    return {"torch": torch.__version__} | gpu


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
