"""Bytes of one file -> integer grey levels or a mask. Every refusal is one line that names the file.

Grey levels   8-bit colour is turned to grey by the ITU-R 601 luma of Pillow's ``convert('L')``, after palette and alpha
              frames became RGB; never one channel of a colour frame. 16-bit files stay uint16: Pillow's ``convert`` to
              8-bit modes would saturate them. Float TIFF in [0, 1] becomes uint16.
Masks         0/255; a level is target when it is >= 128.
Guards        allow-listed formats, at most 64 Mpx (checked before any pixel is decoded), sides of at least 8 px.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, UnidentifiedImageError

from synth.errors import SourceError
from synth.sample import Levels, MaskLevels

FORMATS = ("PNG", "BMP", "TIFF", "JPEG")
MAX_PIXELS = 64_000_000
MAX_FILE_BYTES = 8 * MAX_PIXELS
MIN_SIDE_PX = 8

MaskScale = Literal["strict", "auto", "index"]
"""``strict`` 0/255 masks; ``auto`` also 0/1 and other scales (target above half of the file's highest level);
``index`` also palette masks, whose every index but 0 is target."""

_TIFF_BITS, _TIFF_PHOTOMETRIC = 258, 262


@dataclass(frozen=True, slots=True)
class FileHashes:
    """Hashes of one frame's files and content.

    Attributes:
        image_sha256: sha256 of the bytes of the image file.
        mask_sha256: sha256 of the bytes of the mask file, or None without one.
        pixels_sha256: sha256 over shape, dtype and decoded levels: equal for a renamed or re-encoded copy.
    """

    image_sha256: str
    mask_sha256: str | None
    pixels_sha256: str


def read_bytes(path: Path) -> bytes:
    """Return the bytes of a regular file of at most ``MAX_FILE_BYTES``.

    Raises:
        SourceError: The file is missing, unreadable, empty or too large.
    """
    try:
        size = path.stat().st_size
        if not 0 < size <= MAX_FILE_BYTES:
            raise SourceError(f"file {path}: has {size} bytes, must be 1 to {MAX_FILE_BYTES}; replace or remove it")
        return path.read_bytes()
    except OSError as error:
        raise SourceError(f"file {path}: cannot be read ({error.strerror}); check that it exists and its rights") from error


def hash_pixels(levels: Levels) -> str:
    """Return the sha256 over shape, dtype and little-endian levels of a frame.

    Args:
        levels: uint8 or uint16 (H, W).
    """
    rows, cols = levels.shape
    digest = hashlib.sha256(f"{rows}x{cols}:{levels.dtype.name}:".encode())
    digest.update(np.ascontiguousarray(levels, dtype=levels.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()


def decode_levels(data: bytes, path: Path) -> Levels:
    """Decode an image file into its own grey levels.

    Args:
        data: Content of the file.
        path: Its path, for messages only.

    Returns:
        uint8 (H, W) for 8-bit files, uint16 (H, W) for 16-bit and float files.

    Raises:
        SourceError: The file is corrupt, too small or large, of an unknown mode, or its values cannot be kept.
    """
    image = _open(data, path)
    if image.mode == "F":
        return _levels_of_float(np.asarray(image), path)
    if image.mode == "I" or image.mode.startswith("I;16"):
        return _levels_of_integers(np.asarray(image), path)
    return np.array(_grey(image, path), dtype=np.uint8)


def decode_mask(data: bytes, path: Path, scale: MaskScale) -> tuple[MaskLevels, int]:
    """Decode a mask file.

    Args:
        data: Content of the file.
        path: Its path, for messages only.
        scale: How levels are read, see :data:`MaskScale`.

    Returns:
        uint8 (H, W) in {0, 1}, and the number of pixels whose level is neither 0 nor the highest level of the scale.

    Raises:
        SourceError: The file is corrupt, coloured, a palette file without ``index``, or not 0/255 under ``strict``.
    """
    image = _open(data, path)
    if image.mode in ("P", "PA"):
        return _mask_of_indices(image, path, scale), 0
    levels = _mask_levels(image, path)
    highest = int(levels.max())
    if scale == "strict" and 0 < highest < 128:
        kind = "a 0/1 mask" if highest == 1 else f"its highest level is {highest}, so no pixel reaches the threshold 128"
        raise SourceError(
            f"mask {path}: must hold 0 and 255, got {kind}; save it with these or, if that is meant, {_how_to_read('auto')}"
        )
    top = 255 if scale == "strict" else max(highest, 1)
    threshold = 128 if scale == "strict" else top // 2 + 1
    num_between = int(np.count_nonzero((levels != 0) & (levels != top)))
    return (levels >= threshold).astype(np.uint8), num_between


def _open(data: bytes, path: Path) -> Image.Image:
    """Check header, size and integrity, then decode."""
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        _check_header(image, data, path)
        if image.format == "PNG":  # verify() checks the CRC of every PNG chunk and spends the image
            image.verify()
            image = Image.open(io.BytesIO(data), formats=FORMATS)
        image.load()
    except SourceError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise SourceError(f"image {path}: is larger than {MAX_PIXELS} pixels; cut it into smaller frames") from error
    except UnidentifiedImageError as error:
        raise SourceError(f"image {path}: is no {', '.join(FORMATS)} file or its header is damaged; replace it") from error
    except Exception as error:  # decoders raise anything on damaged bytes: struct, zlib, index and syntax errors
        why = " ".join(str(error).split()) or type(error).__name__
        raise SourceError(f"image {path}: is truncated or corrupt ({why}); replace or remove the file") from error
    return image


def _check_header(image: Image.Image, data: bytes, path: Path) -> None:
    cols, rows = image.size
    if cols * rows > MAX_PIXELS:
        raise SourceError(f"image {path}: {rows}x{cols} px is more than {MAX_PIXELS} pixels; cut it into smaller frames")
    if min(rows, cols) < MIN_SIDE_PX:
        raise SourceError(f"image {path}: {rows}x{cols} px is too small, sides must be >= {MIN_SIDE_PX} px; remove it")
    if getattr(image, "n_frames", 1) > 1:
        raise SourceError(f"image {path}: holds several frames; save each frame as a file of its own")
    if _is_deep_colour(image, data):
        raise SourceError(f"image {path}: 16-bit colour would lose its low byte; save it as 16-bit grey")
    tags = getattr(image, "tag_v2", {})
    if tags.get(_TIFF_PHOTOMETRIC) == 0 and image.mode not in ("1", "L", "LA"):
        raise SourceError(f"image {path}: white-is-zero TIFF of more than 8 bits; save it with black as zero")


def _is_deep_colour(image: Image.Image, data: bytes) -> bool:
    """Tell whether a colour or alpha file has more than 8 bits per channel, which Pillow cuts to 8 without a word."""
    if image.format == "PNG":  # IHDR: bit depth at byte 24, colour type at byte 25 (0 is grey, 3 palette)
        return data[24] == 16 and data[25] != 0
    bits = getattr(image, "tag_v2", {}).get(_TIFF_BITS, (8,))
    return len(bits) > 1 and max(bits) > 8


def _grey(image: Image.Image, path: Path) -> Image.Image:
    if image.mode in ("P", "PA", "RGBA"):
        image.info.pop("transparency", None)
        image = image.convert("RGB")
    if image.mode not in ("1", "L", "LA", "RGB"):
        raise SourceError(f"image {path}: colour mode {image.mode} is not read; save it as 8-bit or 16-bit grey")
    return image.convert("L")


def _levels_of_integers(values: Levels, path: Path) -> Levels:
    lowest, highest = int(values.min()), int(values.max())
    if lowest < 0 or highest > 65535:
        raise SourceError(f"image {path}: levels {lowest}..{highest} do not fit 16 bits; save it as unsigned 16-bit grey")
    return values.astype(np.uint16)


def _levels_of_float(values: np.ndarray[tuple[int, ...], np.dtype[np.float32]], path: Path) -> Levels:
    if not np.isfinite(values).all():
        raise SourceError(f"image {path}: holds NaN or infinite values; repair it or save it as 16-bit grey")
    lowest, highest = float(values.min()), float(values.max())
    if lowest < 0.0 or highest > 1.0:
        raise SourceError(f"image {path}: float values {lowest:g}..{highest:g} must be in 0..1; scale it or save 16-bit")
    return np.round(values.astype(np.float64) * 65535.0).astype(np.uint16)


def _how_to_read(scale: MaskScale) -> str:
    """Say how a scale is asked for; training has no such option."""
    return f"pass --mask-scale {scale} (synthesize: --set source.mask_scale={scale})"


def _mask_of_indices(image: Image.Image, path: Path, scale: MaskScale) -> MaskLevels:
    if scale != "index" or image.mode != "P":
        raise SourceError(
            f"mask {path}: is a palette file, whose indices are no levels; save it as 8-bit grey"
            f" or, if every index but 0 is target, {_how_to_read('index')}"
        )
    return (np.asarray(image) > 0).astype(np.uint8)


def _mask_levels(image: Image.Image, path: Path) -> MaskLevels:
    """Return uint8 (H, W) levels of a mask; colour channels must be equal, alpha is ignored."""
    if image.mode in ("RGB", "RGBA"):
        channels = np.asarray(image)[..., :3]
        if np.any(channels != channels[..., :1]):
            raise SourceError(f"mask {path}: its colour channels differ; save it as 8-bit grey with 0 and 255")
        return channels[..., 0]
    if image.mode not in ("1", "L", "LA"):
        raise SourceError(f"mask {path}: mode {image.mode} is not read; save it as 8-bit grey with 0 and 255")
    return np.asarray(image.convert("L"))
