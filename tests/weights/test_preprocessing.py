"""Preprocessing of images for networks with weights."""

import numpy as np
import pytest
from PIL import Image

from senet_jax.data import images
from senet_jax.weights.preprocessing import CAFFE, Preprocessing

PLAIN = {"mean": (0, 0, 0), "std": (1 / 255,) * 3}


def pixels(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize(
    ("height", "width", "resized", "top", "left"),
    [(375, 500, (256, 341), 16, 58), (500, 375, (341, 256), 58, 16), (257, 333, (256, 331), 16, 54)],
)
def test_the_centre_of_the_resized_image(height, width, resized, top, left):
    image = Image.fromarray(pixels(height, width))
    for interpolation, filter in (("bilinear", Image.Resampling.BILINEAR), ("bicubic", Image.Resampling.BICUBIC)):
        result = Preprocessing(interpolation=interpolation, **PLAIN)(image)
        expected = np.asarray(image.resize(resized[::-1], filter))[top : top + 224, left : left + 224]
        assert result.dtype == np.float32
        np.testing.assert_allclose(result, expected, atol=1e-4)


def test_normalisation_and_kinds_of_images():
    colour = np.full((9, 7, 3), (51, 102, 255), np.uint8)
    images = Preprocessing(image_size=4, crop=1, mean=(0.1, 0.2, 0.5), std=(0.5, 0.25, 2))
    expected = np.broadcast_to(np.float32([0.2, 0.8, 0.25]), (4, 4, 3))
    for image in (colour, Image.fromarray(colour), Image.fromarray(colour).convert("RGBA")):
        np.testing.assert_allclose(images(image), expected, atol=1e-6)
    grey = Preprocessing(image_size=4, crop=1, **PLAIN)(Image.new("L", (5, 5), 7))
    np.testing.assert_allclose(grey, np.full((4, 4, 3), 7), atol=1e-5)


def test_the_authors_subtract_a_mean_from_blue_green_and_red():
    image = pixels(224, 224)
    expected = image[..., ::-1] - np.float32([104, 117, 123])
    whole = Preprocessing(crop=1, mean=CAFFE.mean, std=CAFFE.std)
    np.testing.assert_allclose(whole(image)[..., ::-1], expected, atol=1e-4)
    assert (CAFFE.image_size, CAFFE.crop, CAFFE.interpolation) == (224, 0.875, "bilinear")


def test_the_config_of_timm():
    said = {"input_size": [3, 256, 256], "crop_pct": 0.95, "interpolation": "bicubic", "crop_mode": "center"}
    said |= {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "test_input_size": [3, 320, 320]}
    images = Preprocessing.from_timm(said)
    assert images == Preprocessing(256, 0.95, "bicubic", (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert Preprocessing.from_json(images.to_json()) == images
    with pytest.raises(ValueError, match="crop_mode is 'squash'; only 'center' is possible"):
        Preprocessing.from_timm(said | {"crop_mode": "squash"})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"interpolation": "cubic"}, "interpolation is 'cubic'; it must be one of nearest, bilinear, bicubic, lanczos"),
        ({"image_size": 0}, "image_size is 0 and crop 0.875; they must be at least 1, and in"),
        ({"crop": 1.1}, "image_size is 224 and crop 1.1"),
        ({"mean": (0.5,)}, r"mean is \(0.5,\) and std .* three numbers each"),
        ({"std": (1, 1, 0)}, "the stds positive"),
    ],
)
def test_invalid_fields_raise(fields, message):
    with pytest.raises(ValueError, match=message):
        Preprocessing(**fields)


@pytest.mark.parametrize(("size", "crop"), [(224, 0.875), (224, 0.9), (288, 0.95)])
def test_evaluation_crops_the_same_pixels(size, crop):
    image = Image.fromarray(pixels(375, 500))
    result = Preprocessing(image_size=size, crop=crop, **PLAIN)(image)
    np.testing.assert_array_equal(np.round(result), images.center_crop(image, size, crop))


@pytest.mark.parametrize(
    "array",
    [np.zeros((9, 9, 3)), np.zeros((9, 9, 4), np.uint8), np.zeros(9, np.uint8), np.zeros((1, 9, 9, 3), np.uint8)],
)
def test_arrays_of_other_types_and_shapes_are_refused(array):
    with pytest.raises(ValueError, match=r"the image is an array of .*; it must be of uint8, \(height, width, 3\)"):
        Preprocessing(8).crop_pixels(array)
