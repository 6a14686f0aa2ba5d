"""What pictures of all kinds become."""

import io

import numpy as np
import pytest
from PIL import Image

from senet_jax.data import images
from senet_jax.weights import Preprocessing

GREY = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40


def saved(image, format, **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def turned():
    exif = Image.Exif()
    exif[0x0112] = 6  # The first row is the right side.
    return saved(Image.fromarray(GREY), "PNG", exif=exif)


def transparent(mode):
    image = Image.fromarray(GREY).convert(mode)
    image.putalpha(Image.fromarray(np.array([[255, 0, 255]] * 2, np.uint8)))
    return saved(image, "PNG")


WHITE_BETWEEN = np.where([False, True, False], 255, GREY)


@pytest.mark.parametrize(
    ("data", "mode", "pixels"),
    [
        (saved(Image.fromarray(GREY), "PNG"), "L", GREY),
        (turned(), "L", np.rot90(GREY, -1)),
        (saved(Image.fromarray(GREY.astype(np.uint16) * 256 + 200), "PNG"), "L", GREY),
        (transparent("L"), "L", WHITE_BETWEEN),
        (transparent("RGB"), "RGB", np.stack([WHITE_BETWEEN] * 3, -1)),
        (saved(Image.fromarray(GREY).convert("RGB").convert("P"), "PNG", transparency=0), "RGB", None),
        (saved(Image.fromarray(GREY).convert("RGB").convert("CMYK"), "TIFF"), "RGB", np.stack([GREY] * 3, -1)),
        (saved(Image.fromarray(GREY > 100), "PNG"), "L", np.where(GREY > 100, 255, 0)),
    ],
    ids=["grey", "turned", "16 bits", "grey and alpha", "RGBA", "palette", "CMYK", "1 bit"],
)
def test_the_rule(data, mode, pixels):
    image = images.read(data)
    assert image.mode == mode
    if pixels is not None:
        np.testing.assert_array_equal(np.asarray(image), pixels)
    assert images.channels(data) == (1 if mode == "L" else 3)
    crop = Preprocessing(2, 1.0).crop_pixels(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(crop, images.center_crop(images.decode(data, 3), 2))


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
