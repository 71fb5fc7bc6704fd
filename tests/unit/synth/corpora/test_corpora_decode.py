"""Every mode is decoded to its own levels; every file that cannot be is refused in one line that names it."""

from __future__ import annotations

import hashlib
import logging
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from synth.corpora import open_corpus
from synth.corpora.decode import MAX_PIXELS, decode_levels, decode_mask, hash_pixels
from synth.errors import SourceError

GREY = np.arange(12 * 16, dtype=np.uint8).reshape(12, 16)
RAMP16 = (np.arange(12 * 16, dtype=np.uint16) * 340).reshape(12, 16)


def levels_of(path):
    return decode_levels(path.read_bytes(), path)


def mask_of(path, scale="strict"):
    return decode_mask(path.read_bytes(), path, scale)


def refused(path, *needles, decode=levels_of):
    with pytest.raises(SourceError) as caught:
        decode(path)
    message = str(caught.value)
    assert "\n" not in message and path.name in message and ";" in message
    for needle in needles:
        assert needle in message


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "tiff"])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P"])
def test_grey_modes_keep_every_level(tree, suffix, mode):
    if suffix == "bmp" and mode == "LA":
        pytest.skip("BMP has no such mode")
    levels = levels_of(tree.picture(f"f.{suffix}", Image.fromarray(GREY).convert(mode)))
    assert levels.dtype == np.uint8
    np.testing.assert_array_equal(levels, GREY)


def test_colour_becomes_luma(tree):
    colour = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    levels = levels_of(tree.image("f.png", colour))
    red, green, blue = np.moveaxis(colour.astype(np.int64), -1, 0)
    expected = (19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16  # ITU-R 601 in 16-bit integers
    np.testing.assert_array_equal(levels, expected)


def test_palette_is_looked_up_and_alpha_ignored(tree):
    indices = Image.fromarray(GREY % 3)
    indices.putpalette([200, 200, 200, 10, 10, 10, 90, 90, 90])
    indices.info["transparency"] = bytes([0, 128, 255])
    levels = levels_of(tree.picture("f.png", indices, transparency=bytes([0, 128, 255])))
    np.testing.assert_array_equal(levels, np.array([200, 10, 90], np.uint8)[GREY % 3])


def test_jpeg_is_read(tree):
    flat = np.full((16, 16), 77, np.uint8)
    np.testing.assert_array_equal(levels_of(tree.picture("f.jpg", Image.fromarray(flat), quality=95)), flat)


def test_one_bit_images_become_black_and_white(tree):
    levels = levels_of(tree.picture("f.png", Image.fromarray(GREY > 90)))
    np.testing.assert_array_equal(levels, np.where(GREY > 90, 255, 0))


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_kept(tree, suffix):
    levels = levels_of(tree.image(f"f.{suffix}", RAMP16))
    assert levels.dtype == np.uint16
    np.testing.assert_array_equal(levels, RAMP16)


def test_big_endian_and_wide_tiff_are_kept(tree):
    wide = tree.image("wide.tif", RAMP16.astype(np.int32))
    np.testing.assert_array_equal(levels_of(wide), RAMP16)
    big = tree.picture("big.tif", Image.frombytes("I;16B", (16, 12), RAMP16.astype(">u2").tobytes()))
    np.testing.assert_array_equal(levels_of(big), RAMP16)
    assert levels_of(big).dtype == np.uint16


def test_float_tiff_becomes_sixteen_bits(tree):
    values = np.linspace(0, 1, 12 * 16, dtype=np.float32).reshape(12, 16)
    levels = levels_of(tree.image("f.tif", values))
    assert levels.dtype == np.uint16 and levels.min() == 0 and levels.max() == 65535
    assert np.abs(levels / 65535.0 - values).max() <= 0.5 / 65535 + 1e-9


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_float_that_is_not_finite_refused(tree, bad):
    values = np.full((12, 16), 0.5, np.float32)
    values[3, 3] = bad
    refused(tree.image("f.tif", values), "NaN or infinite", "repair")


@pytest.mark.parametrize("bad", [-0.01, 1.01, 300.0])
def test_float_out_of_range_refused(tree, bad):
    values = np.full((12, 16), 0.5, np.float32)
    values[3, 3] = bad
    refused(tree.image("f.tif", values), f"{bad:g}", "0..1", "scale it")


@pytest.mark.parametrize("bad", [-1, 65536])
def test_integers_beyond_sixteen_bits_refused(tree, bad):
    values = np.zeros((12, 16), np.int32)
    values[0, 0] = bad
    refused(tree.image("f.tif", values), "do not fit 16 bits", "unsigned 16-bit")


@pytest.mark.parametrize("shape", [(1, 1), (7, 64), (64, 7)])
def test_too_small_refused(tree, shape):
    refused(tree.image("f.png", np.zeros(shape, np.uint8)), f"{shape[0]}x{shape[1]} px is too small", ">= 8 px")


def test_smallest_size_is_read(tree):
    assert levels_of(tree.image("f.png", np.zeros((8, 8), np.uint8))).shape == (8, 8)


def png_header(cols, rows, depth=8, colour=0):
    """Return a PNG that promises a size and holds almost nothing."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", cols, rows, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 9)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(20_000, 20_000), (10_000, 10_000), (MAX_PIXELS // 1000 + 1, 1000)])
def test_too_large_refused_before_decoding(tree, size):
    path = tree.path("f.png")
    path.write_bytes(png_header(*size))
    refused(path, str(MAX_PIXELS), "smaller frames")


def test_sixteen_bit_colour_refused_rather_than_cut(tree):
    path = tree.path("f.png")
    path.write_bytes(png_header(16, 12, depth=16, colour=2))
    refused(path, "16-bit colour", "16-bit grey")


def test_inverted_sixteen_bit_tiff_refused(tree):
    path = tree.picture("f.tif", Image.fromarray(RAMP16), tiffinfo={262: 0})
    refused(path, "white-is-zero", "black as zero")


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_several_frames_in_a_file_refused(tree, suffix):
    first, second = Image.fromarray(GREY), Image.fromarray(255 - GREY)
    refused(tree.picture(f"f.{suffix}", first, save_all=True, append_images=[second]), "several frames", "of its own")


def test_unread_mode_refused(tree):
    refused(tree.picture("f.jpg", Image.new("CMYK", (16, 16))), "CMYK", "save it as")


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "jpg"])
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
def test_truncated_refused(tree, suffix, kept):
    path = tree.image(f"f.{suffix}", np.random.default_rng(1).integers(0, 256, (64, 64), dtype=np.uint8))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    refused(path)


def test_flipped_bit_in_png_refused(tree):
    path = tree.image("f.png", np.random.default_rng(1).integers(0, 256, (64, 64), dtype=np.uint8))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    refused(path, "truncated or corrupt", "replace")


def test_other_formats_refused_whatever_the_name(tree):
    path = tree.picture("f.gif", Image.fromarray(GREY))
    refused(path.rename(path.with_suffix(".png")), "PNG, BMP, TIFF, JPEG")


def test_text_and_empty_files_refused(tree):
    tree.image("images/a.png")
    tree.text("images/b.png", "hello")
    tree.text("images/c.png", "")
    corpus = open_corpus(tree.root)
    with pytest.raises(SourceError, match=r"b\.png: is no PNG"):
        corpus.read(corpus.frames[1])
    with pytest.raises(SourceError, match=r"c\.png: has 0 bytes"):
        corpus.read(corpus.frames[2])
    (tree.root / "images/a.png").unlink()
    with pytest.raises(SourceError, match=r"a\.png: cannot be read"):
        corpus.read(corpus.frames[0])


# ---- masks


def two_level(low, high):
    values = np.full((12, 16), low, np.uint8)
    values[4:6, 5:7] = high
    return values


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "1"])
def test_masks_of_equal_channels(tree, mode):
    mask, num_between = mask_of(tree.picture("m.png", Image.fromarray(two_level(0, 255)).convert(mode)))
    assert mask.dtype == np.uint8 and num_between == 0
    np.testing.assert_array_equal(mask, two_level(0, 1))


def test_all_zero_mask_is_a_target_free_frame(tree):
    for scale in ("strict", "auto"):
        mask, num_between = mask_of(tree.image("m.png", np.zeros((12, 16), np.uint8)), scale)
        assert not mask.any() and num_between == 0


def test_zero_one_mask_needs_auto(tree):
    path = tree.image("m.png", two_level(0, 1))
    refused(path, "a 0/1 mask", "--mask-scale auto", "--set source.mask_scale=auto", decode=mask_of)
    np.testing.assert_array_equal(mask_of(path, "auto")[0], two_level(0, 1))


def test_dim_mask_is_not_silently_empty(tree):
    path = tree.image("m.png", two_level(0, 100))
    refused(path, "highest level is 100", "--mask-scale auto", decode=mask_of)
    np.testing.assert_array_equal(mask_of(path, "auto")[0], two_level(0, 1))


@pytest.mark.parametrize("scale", ["strict", "auto"])
@pytest.mark.parametrize(("level", "is_target"), [(127, 0), (128, 1), (254, 1)])
def test_threshold_is_128(tree, scale, level, is_target):
    values = two_level(0, 255)
    values[0, 0] = level
    mask, num_between = mask_of(tree.image("m.png", values), scale)
    assert mask[0, 0] == is_target and num_between == 1


def test_mask_of_254_is_read_and_counted(tree):
    mask, num_between = mask_of(tree.image("m.png", two_level(0, 254)))
    np.testing.assert_array_equal(mask, two_level(0, 1))
    assert num_between == 4


def test_palette_mask_needs_index(tree):
    indices = Image.fromarray(two_level(0, 2))
    indices.putpalette([255, 255, 255] * 3)
    path = tree.picture("m.png", indices)
    refused(path, "palette", "--mask-scale index", "--set source.mask_scale=index", decode=mask_of)
    np.testing.assert_array_equal(mask_of(path, "index")[0], two_level(0, 1))


def test_coloured_and_deep_masks_refused(tree):
    colour = np.zeros((12, 16, 3), np.uint8)
    colour[4:6, 5:7, 0] = 255
    refused(tree.image("m.png", colour), "channels differ", "8-bit grey", decode=mask_of)
    refused(tree.image("n.png", RAMP16), "I;16", "8-bit grey", decode=mask_of)


def test_mask_of_another_size_refused(tree):
    tree.image("images/a.png")
    tree.mask("masks/a.png", shape_hw=(16, 12))
    corpus = open_corpus(tree.root)
    with pytest.raises(SourceError, match=r"masks/a\.png: is 16x12 px .* but its image is 12x16; take the mask"):
        corpus.read(corpus.frames[0])


def test_intermediate_masks_warn_once_a_corpus(tree, caplog):
    values = two_level(0, 255)
    values[0, :3] = 40
    for name in "abc":
        tree.image(f"images/{name}.png")
        tree.image(f"masks/{name}.png", values)
    corpus = open_corpus(tree.root)
    with caplog.at_level(logging.WARNING, logger="synth.corpora"):
        for ref in corpus.frames:
            corpus.read(ref)
    assert len(caplog.records) == 1 and "has 3 pixels" in caplog.text and "a.png" in caplog.text


# ---- levels and hashes


def test_max_level_of_sixteen_bits(tree):
    tree.image("images/deep.png", RAMP16 // 4)
    tree.image("images/flat.png", GREY)
    assert [open_corpus(tree.root).read(ref).max_level for ref in open_corpus(tree.root).frames] == [65535, 255]
    corpus = open_corpus(tree.root, max_level=16383)
    deep, flat = (corpus.read(ref) for ref in corpus.frames)
    assert (deep.max_level, deep.bit_depth, flat.max_level) == (16383, 14, 255)
    narrow = open_corpus(tree.root, max_level=4095)
    with pytest.raises(SourceError, match=r"deep\.png: holds level \d+, above max_level 4095; raise max_level"):
        narrow.read(narrow.frames[0])


def test_hashes_are_of_the_bytes_decoded(tree):
    tree.pairs(["a"])
    corpus = open_corpus(tree.root)
    frame, hashes = corpus.read_hashed(corpus.frames[0])
    assert hashes.image_sha256 == hashlib.sha256((tree.root / "images/a.png").read_bytes()).hexdigest()
    assert hashes.mask_sha256 == hashlib.sha256((tree.root / "masks/a.png").read_bytes()).hexdigest()
    assert hashes.pixels_sha256 == hash_pixels(frame.levels)


def test_each_file_is_read_once(tree, monkeypatch):
    tree.pairs(["a"])
    corpus = open_corpus(tree.root)
    opened = []
    original = type(tree.root).read_bytes
    monkeypatch.setattr(type(tree.root), "read_bytes", lambda path: opened.append(path.parent.name) or original(path))
    corpus.read_hashed(corpus.frames[0])
    assert opened == ["images", "masks"]


def test_pixel_hash_catches_copies_and_nothing_else(tree):
    tree.image("images/a.png", GREY)
    tree.image("images/renamed.bmp", GREY)
    tree.image("images/colour.tif", np.repeat(GREY[..., None], 3, axis=2))
    tree.image("images/other_shape.png", GREY.reshape(16, 12))
    tree.image("images/sixteen_bit.png", GREY.astype(np.uint16))
    corpus = open_corpus(tree.root)
    hashes = {ref.id: corpus.read_hashed(ref)[1].pixels_sha256 for ref in corpus.frames}
    assert hashes["a"] == hashes["renamed"] == hashes["colour"]
    assert len(set(hashes.values())) == 3
