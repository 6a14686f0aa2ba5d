"""Random crops from the bytes of a file are those of the decoded picture."""

import numpy as np
import pytest
import simplejpeg
from pictures import saved
from PIL import Image

from senet_jax.data import crops, images, jpeg


def photograph(width, height, seed=0):
    """Smooth colours with edges."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8))
    image = small.resize((width, height), Image.Resampling.BICUBIC)
    image.paste((250, 20, 30), (width // 3, height // 4, width // 2, height // 2))
    return image


def turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(photograph(90, 60), exif=exif)


def cropped(data, channels, size, seed):
    """By Pillow alone, at the full size."""
    image = images.decode(data, channels)
    region = crops.random_region(*image.size, np.random.default_rng(seed))
    return crops.resize(np.asarray(image.crop(region)), size).reshape(size, size, channels)


@pytest.mark.parametrize(
    ("data", "channels"),
    [
        (saved(photograph(90, 60)), 3),
        (saved(photograph(90, 60), subsampling=2, progressive=True), 3),
        (saved(photograph(90, 60).convert("L")), 1),
        (saved(photograph(90, 60).convert("L")), 3),
        (saved(photograph(90, 60).convert("CMYK")), 3),
        (saved(photograph(90, 60), "PNG"), 3),
        (turned(), 3),
    ],
    ids=["RGB", "progressive", "grey", "grey to RGB", "CMYK", "PNG", "turned"],
)
def test_crops_are_those_of_the_decoded_picture(data, channels):
    for seed in range(3):
        crop = crops.random_resized_crop(data, channels, 32, np.random.default_rng(seed))
        np.testing.assert_array_equal(crop, cropped(data, channels, 32, seed))


def test_large_crops_are_decoded_at_a_part_of_their_size(monkeypatch):
    data, decoded = saved(photograph(640, 480), quality=95), []
    decode = simplejpeg.decode_jpeg

    def note(*arguments, **options):
        pixels = decode(*arguments, **options)
        if "min_factor" in options:
            decoded.append(pixels)
        return pixels

    monkeypatch.setattr(simplejpeg, "decode_jpeg", note)
    for seed in range(8):
        crop = crops.random_resized_crop(data, 3, 32, np.random.default_rng(seed))
        difference = crop.astype(float) - cropped(data, 3, 32, seed)
        assert np.sqrt(np.mean(difference**2)) < 6  # The edges of the region are rounded.
    assert len(decoded) == 8
    assert {pixels.shape[1] for pixels in decoded} <= {80, 160, 320}


@pytest.mark.parametrize("factor", [1, 2, 4])
@pytest.mark.parametrize("sampling", ["444", "422", "420", "440", "411", "Gray", "restarts"])
def test_rows_below_a_region_are_not_decoded(sampling, factor):
    image = photograph(96, 128)
    if sampling == "restarts":
        data = saved(image, quality=90, restart_marker_rows=1)
    else:
        pixels = np.asarray(image.convert("L"))[..., None] if sampling == "Gray" else np.asarray(image)
        space = "GRAY" if sampling == "Gray" else "RGB"
        data = simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), 90, space, sampling)
    found = jpeg.plain(data)
    assert found is not None
    for bottom in range(32, 97):
        region = 8, 0, 40, bottom
        whole, part = (jpeg.decode_region(found, region, 32 // factor, intact=intact) for intact in (False, True))
        assert whole is not None
        assert whole.shape[:2] == (round(bottom / factor), 32 // factor)
        np.testing.assert_array_equal(whole, part)
    damaged = jpeg.plain(data[:-60] + data[-30:])
    assert damaged is not None
    assert jpeg.decode_region(damaged, (8, 0, 40, 48), 32, intact=False) is None
    np.testing.assert_array_equal(*(jpeg.decode_region(x, (8, 0, 40, 48), 32, intact=True) for x in (found, damaged)))


@pytest.mark.parametrize("marker", [b"\xff\xd3", b"\xff\x00", b"\xff\x01", b"\xff\xff"])
@pytest.mark.parametrize("segment", [b"\xff\xdb", b"\xff\xc0", b"\xff\xc4", b"\xff\xe0", b"\xff\xda"])
def test_damaged_headers_are_left_to_the_whole_decoder(segment, marker):
    data = saved(photograph(90, 60)).replace(segment, marker, 1)
    assert jpeg.plain(data) is None
    outcomes = []
    for crop in (crops.random_resized_crop, lambda data, channels, size, rng: cropped(data, channels, size, 0)):
        try:
            outcomes.append(crop(data, 3, 32, np.random.default_rng(0)).tolist())
        except images.BadImageError as error:
            outcomes.append(str(error))
    assert outcomes[0] == outcomes[1]


def test_a_file_that_the_strict_decoder_refuses_is_read_by_pillow():
    data = saved(photograph(90, 60))
    padded = data[:-2] + b"\0" * 40 + data[-2:]
    with pytest.raises(ValueError, match="extraneous"):
        simplejpeg.decode_jpeg(padded)
    np.testing.assert_array_equal(
        *(crops.random_resized_crop(file, 3, 32, np.random.default_rng(1)) for file in (data, padded))
    )
    with pytest.raises(ValueError, match="a broken image"):
        crops.random_resized_crop(data[: len(data) // 2], 3, 32, np.random.default_rng(1))


@pytest.mark.parametrize("size", [(60, 50), (100, 80), (110, 50), (127, 127), (300, 200), (70, 300)])
def test_resizing_is_near_to_pillows(size):
    image = photograph(*size)
    expected = np.asarray(image.resize((64, 64), Image.Resampling.BILINEAR), np.float64)
    difference = crops.resize(np.asarray(image), 64) - expected
    assert np.sqrt(np.mean(difference**2)) < 2


def test_random_regions_have_the_share_and_the_aspect_of_the_paper():
    width, height = 200, 120
    rng = np.random.default_rng(0)
    left, top, right, bottom = np.array([crops.random_region(width, height, rng) for _ in range(2000)]).T
    assert (left >= 0).all()
    assert (top >= 0).all()
    assert right.max() == width
    assert bottom.max() == height
    across, down = right - left, bottom - top
    shares, aspects = across * down / (width * height), across / down
    assert 0.075 < shares.min() < 0.09
    assert 0.75 < shares.max() < 0.81  # Of a height of 120, 4/3 is 160 of the 200 pixels of the width.
    assert 0.73 < aspects.min() < 0.77
    assert 1.3 < aspects.max() < 1.36


def test_a_very_long_picture_is_not_resized_whole():
    assert crops.random_region(20_000, 2, np.random.default_rng(0)) == (9_999, 0, 10_001, 2)
    data = saved(Image.fromarray(np.tile(np.arange(250, dtype=np.uint8), (2, 80))), "PNG")
    assert crops.random_resized_crop(data, 1, 224, np.random.default_rng(0)).shape == (224, 224, 1)
