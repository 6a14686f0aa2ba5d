"""What pictures of all kinds become."""

import io
import struct
import zlib

import numpy as np
import pytest
from pictures import saved
from PIL import Image, ImageOps

from senet_jax.data import images
from senet_jax.weights import Preprocessing

GREY = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40


def turned(kind):
    exif = Image.Exif()
    exif[0x0112] = 6  # The first row is the right side.
    return saved(Image.fromarray(GREY), kind, exif=exif)


def transparent(mode):
    image = Image.fromarray(GREY).convert(mode)
    image.putalpha(Image.fromarray(np.array([[255, 0, 255]] * 2, np.uint8)))
    return saved(image, "PNG")


def deep():
    """A PNG of 3 channels of 16 bits, which Pillow cannot write: GREY in the upper 8."""
    rows = np.repeat((GREY.astype(np.uint16) * 256 + 200)[..., None], 3, -1).astype(">u2")
    lines = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", 3, 2, 16, 2, 0, 0, 0)

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*parts) for parts in chunks)


def photo(mode="RGB", **options):
    rows, columns = np.mgrid[:48, :64].astype(np.uint8)
    image = Image.fromarray(np.stack([4 * columns, 5 * rows, 2 * (rows + columns)], -1)).convert(mode)
    return image, saved(image, "JPEG", quality=95, **options)


WHITE_BETWEEN = np.where([False, True, False], 255, GREY)


@pytest.mark.parametrize(
    ("data", "mode", "pixels"),
    [
        (saved(Image.fromarray(GREY), "PNG"), "L", GREY),
        (turned("PNG"), "L", np.rot90(GREY, -1)),
        (turned("TIFF"), "L", np.rot90(GREY, -1)),
        (saved(Image.fromarray(GREY.astype(np.uint16) * 256 + 200), "PNG"), "L", GREY),
        (saved(Image.fromarray(GREY.astype(np.int32) * 256 + 200), "PPM"), "L", GREY),
        (transparent("L"), "L", WHITE_BETWEEN),
        (transparent("RGB"), "RGB", np.stack([WHITE_BETWEEN] * 3, -1)),
        (saved(Image.fromarray(GREY).convert("RGB").convert("P"), "PNG", transparency=0), "RGB", None),
        (saved(Image.fromarray(GREY).convert("RGB").convert("CMYK"), "TIFF"), "RGB", np.stack([GREY] * 3, -1)),
        (saved(Image.fromarray(GREY > 100), "PNG"), "L", np.where(GREY > 100, 255, 0)),
        (deep(), "RGB", np.stack([GREY] * 3, -1)),
        (saved(Image.fromarray(GREY[:1, :1]), "PNG"), "L", GREY[:1, :1]),
    ],
    ids=[
        "grey",
        "turned",
        "turned by Pillow",
        "16 bits",
        "16 bits PGM",
        "grey and alpha",
        "RGBA",
        "palette",
        "CMYK",
        "1 bit",
        "16 bits RGB",
        "1x1",
    ],
)
def test_the_rule(data, mode, pixels):
    image = images.read(data)
    assert image.mode == mode
    if pixels is not None:
        np.testing.assert_array_equal(np.asarray(image), pixels)
    crop = Preprocessing(2, 1.0).crop_pixels(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(crop, images.center_crop(images.decode(data, 3), 2))


@pytest.mark.parametrize("options", [{}, {"subsampling": 2}, {"progressive": True}, {"optimize": True}])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_jpeg_has_the_pixels_of_pillow(mode, options):
    _, data = photo(mode, **options)
    expected = Image.open(io.BytesIO(data))
    image = images.read(data)
    assert image.mode == mode
    np.testing.assert_array_equal(np.asarray(image), np.asarray(expected))


def test_a_jpeg_in_cmyk_has_the_colours_of_its_picture():
    image, _ = photo()
    read = images.read(saved(image.convert("CMYK"), "JPEG", quality=95))
    assert np.abs(np.asarray(read, int) - np.asarray(image, int)).mean() < 3


@pytest.mark.parametrize("orientation", range(1, 10))
def test_a_jpeg_is_turned_as_its_exif_says(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image, data = photo(exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(np.asarray(images.read(data)), np.asarray(expected))
    assert (images.read(data).size == image.size) == (orientation not in (5, 6, 7, 8))


def test_damaged_exif_is_ignored():
    exif = Image.Exif()
    exif[0x0112] = 6
    image, data = photo(exif=exif)
    assert images.read(data.replace(b"Exif\0\0MM", b"Exif\0\0??")).size == image.size


def zeroed(data):
    middle = len(data) // 2
    return data[:middle] + bytes(64) + data[middle + 64 :]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not an image that Pillow can read"),
        (b"<html>404 Not Found</html>", "not an image that Pillow can read"),
        (photo()[1][:-30], "a broken image: "),
        (zeroed(photo()[1]), "a broken image: "),
    ],
    ids=["empty", "HTML", "truncated", "zeroed"],
)
def test_incomplete_images_are_refused(data, message):
    with pytest.raises(images.BadImageError, match=message):
        images.read(data)


def test_a_narrow_image_is_cropped_before_it_is_resized():
    ramp = np.tile(np.arange(1000) % 251, (1, 1)).astype(np.uint8)
    crop = images.center_crop(Image.fromarray(np.repeat(ramp, 60, axis=1)), 4)  # Resized whole: 240,000 columns.
    np.testing.assert_allclose(crop[:, :, 0], np.full((4, 4), 500 % 251), atol=1)


def test_more_bits_are_refused():
    for kind, name in ((np.int32, "I"), (np.float32, "F")):
        data = saved(Image.fromarray(GREY.astype(kind)), "TIFF")
        with pytest.raises(ValueError, match=f"an image of mode {name}, which has more than 16 bits a channel"):
            images.read(data)


def test_images_that_would_fill_the_memory_are_refused(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    data = io.BytesIO()
    Image.new("L", (7, 3)).save(data, "png")
    with pytest.raises(ValueError, match="an image of more than 20 pixels"):
        images.read(data.getvalue())
