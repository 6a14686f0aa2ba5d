"""Changes to training images on the host."""

import dataclasses

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from senet_jax import data
from senet_jax.config import DataConfig
from senet_jax.data import augmentation


def generator(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture
def pixels():
    return generator().integers(0, 256, (12, 16, 3), np.uint8)


@pytest.mark.parametrize("name", augmentation.OPERATIONS)
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_operations_keep_size_and_mode_and_do_more_with_more_strength(pixels, name, mode):
    image = Image.fromarray(pixels).convert(mode)
    fill = 7 if mode == "L" else (7, 8, 9)
    weak, strong = (augmentation.OPERATIONS[name](image, strength, 1, fill) for strength in (0.0, 1.0))
    assert (weak.size, weak.mode) == (strong.size, strong.mode) == (image.size, mode)
    if name not in ("autocontrast", "equalize", "invert", "posterize"):
        np.testing.assert_array_equal(np.asarray(weak), np.asarray(image))
        assert (name == "color" and mode == "L") or (np.asarray(strong) != np.asarray(image)).any()


def test_operations_with_a_known_result(pixels):
    image = Image.fromarray(pixels)
    darker = np.where(pixels < 128, np.minimum(pixels.astype(int) + 55, 255), pixels)
    expected = {
        "invert": 255 - pixels,
        "solarize": np.where(pixels < 128, pixels, 255 - pixels),
        "solarize_add": darker,
        "posterize": pixels & 0b11000000,
    }
    for name, values in expected.items():
        np.testing.assert_array_equal(np.asarray(augmentation.OPERATIONS[name](image, 0.5, 1, (0, 0, 0))), values)


@pytest.mark.parametrize("sign", [1, -1])
def test_operations_of_full_strength(sign):
    pixels = generator().integers(0, 256, (20, 40, 3), np.uint8)
    image, fill = Image.fromarray(pixels), (7, 8, 9)
    found = {name: np.asarray(make(image, 1.0, sign, fill)) for name, make in augmentation.OPERATIONS.items()}
    moved = np.full_like(pixels, fill)
    moved[:, slice(22) if sign > 0 else slice(18, 40)] = pixels[:, slice(18, 40) if sign > 0 else slice(22)]
    np.testing.assert_array_equal(found["translate_x"], moved)
    moved = np.full_like(pixels, fill)
    moved[slice(11) if sign > 0 else slice(9, 20)] = pixels[slice(9, 20) if sign > 0 else slice(11)]
    np.testing.assert_array_equal(found["translate_y"], moved)
    turned = image.rotate(30 * sign, Image.Resampling.BILINEAR, fillcolor=fill)
    np.testing.assert_array_equal(found["rotate"], np.asarray(turned))
    factor = 1.9 if sign > 0 else 0.1
    for name, kind in (("brightness", "Brightness"), ("contrast", "Contrast"), ("color", "Color")):
        np.testing.assert_array_equal(found[name], np.asarray(getattr(ImageEnhance, kind)(image).enhance(factor)))


def test_strengths_of_rand_augment_are_near_the_magnitude_and_have_either_sign(pixels, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        augmentation, "OPERATIONS", {"note": lambda image, *arguments: (drawn.append(arguments), image)[1]}
    )
    rng = generator()
    for _ in range(400):
        augmentation.rand_augment(Image.fromarray(pixels), 7.0, (1, 2, 3), rng)
    strengths, signs, fills = zip(*drawn, strict=True)
    assert abs(np.mean(strengths) - 0.7) < 0.01
    assert abs(np.std(strengths) - 0.05) < 0.01
    assert abs(np.mean(signs)) < 0.15
    assert set(signs) == {-1, 1}
    assert set(fills) == {(1, 2, 3)}
    assert 350 < len(drawn) < 450  # Half of two for each image.


def test_rotation_is_around_the_centre():
    square = generator().integers(0, 256, (9, 9, 1), np.uint8)
    np.testing.assert_array_equal(augmentation.rotate(square, 90), np.rot90(square))
    np.testing.assert_array_equal(augmentation.rotate(square, 0), square)


def test_rotation_is_either_way_and_erasing_of_a_share(pixels, monkeypatch):
    turned = []
    monkeypatch.setattr(augmentation, "rotate", lambda pixels, degrees: (turned.append(degrees), pixels)[1])
    erased = [
        augmentation.augment(pixels, DataConfig(rotation=10.0, random_erasing=0.3), generator(s)) for s in range(200)
    ]
    assert -10 <= min(turned) < -8
    assert 8 < max(turned) <= 10
    assert 0.2 < np.mean([(image != pixels).any() for image in erased]) < 0.4


def test_colour_jitter_changes_brightness_contrast_and_saturation_either_way(pixels, monkeypatch):
    factors = {}

    def note(kind, factor):
        factors.setdefault(type(kind).__name__, []).append(factor)
        return kind.image

    monkeypatch.setattr(ImageEnhance._Enhance, "enhance", note)
    for seed in range(100):
        augmentation.color_jitter(Image.fromarray(pixels), 0.4, generator(seed))
    assert factors.keys() == {"Brightness", "Contrast", "Color"}
    for own in factors.values():
        assert 0.6 <= min(own) < 0.65
        assert 1.35 < max(own) <= 1.4


def test_pixel_jitter_stays_within_its_bound(pixels):
    changed = augmentation.augment(pixels, DataConfig(pixel_jitter=20), generator())
    difference = changed.astype(int) - pixels
    assert (difference.min(), difference.max()) == (-20, 20)
    assert abs(difference.mean()) < 1


def test_erasing_leaves_a_rectangle_of_noise_with_the_statistics_of_the_data():
    blank = np.full((80, 80, 1), 255, np.uint8)
    rng, shares, reached = generator(), [], np.zeros(4, bool)
    for _ in range(60):
        erased = augmentation.erase(blank, (0.4,), (0.1,), rng)[..., 0]
        rows, columns = ((erased != 255).any(axis) for axis in (1, 0))
        inside = erased[rows][:, columns]
        assert (inside != 255).all()
        shares.append(inside.size / erased.size)
        reached |= [rows[0], rows[-1], columns[0], columns[-1]]
        if inside.size > 500:
            assert abs(inside.mean() / 255 - 0.4) < 0.02
            assert abs(inside.std() / 255 - 0.1) < 0.02
    assert 0.015 < min(shares) < 0.08
    assert 0.25 < max(shares) < 0.35
    assert reached.all()


def test_half_of_the_images_of_rand_augment_have_an_operation_of_each_two(pixels):
    image = Image.fromarray(pixels)
    changed = [augmentation.rand_augment(image, 9, (0, 0, 0), generator(seed)) != image for seed in range(300)]
    assert 0.6 < np.mean(changed) < 0.78  # 3/4, less what changes nothing in this image.


@pytest.mark.slow
def test_images_kept_in_memory_are_augmented_too(digits, digits_config):
    config = dataclasses.replace(digits_config, rand_augment=9.0)
    plain, changed = (next(data.train_batches(digits.train, c, batch_size=64, seed=0)) for c in (digits_config, config))
    np.testing.assert_array_equal(plain["label"], changed["label"])
    assert (plain["image"] != changed["image"]).any((1, 2, 3)).sum() > 32
