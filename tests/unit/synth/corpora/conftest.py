"""Hand-made data sets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image


class Tree:
    """A data set in the making; every method takes paths relative to its root."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def image(self, path: str, values: npt.NDArray[np.generic] | None = None, *, seed: int = 0) -> Path:
        """Save an array (or 12x16 random grey levels) in the format of the file's extension."""
        if values is None:
            values = np.random.default_rng(seed).integers(0, 256, (12, 16), dtype=np.uint8)
        return self.picture(path, Image.fromarray(values))

    def picture(self, path: str, picture: Image.Image, **options: object) -> Path:
        """Save a picture."""
        target = self.path(path)
        picture.save(target, **options)
        return target

    def mask(self, path: str, *, shape_hw: tuple[int, int] = (12, 16), level: int = 255) -> Path:
        """Save a mask with one 2x2 target."""
        values = np.zeros(shape_hw, np.uint8)
        values[4:6, 5:7] = level
        return self.image(path, values)

    def pairs(self, ids: Iterable[str], images: str = "images", masks: str = "masks", suffix: str = "") -> None:
        """Save an image and a mask for every id; no two images are equal."""
        for number, name in enumerate(ids):
            self.image(f"{images}/{name}.png", seed=1000 + number + 100 * len(images))
            self.mask(f"{masks}/{name}{suffix}.png")

    def text(self, path: str, content: str | Sequence[str]) -> Path:
        """Write a text file, or a list with one line an id."""
        target = self.path(path)
        target.write_bytes((content if isinstance(content, str) else "\n".join(content)).encode())
        return target

    def path(self, path: str) -> Path:
        """Return a path whose folder exists."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        return target


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "corpus")
