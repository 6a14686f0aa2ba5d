import jax
import jax.numpy as jnp
import numpy as np

from senet_jax.training import augmentation

KEY = jax.random.key(0)
IMAGES = jnp.array(np.random.default_rng(0).integers(1, 256, (64, 6, 5, 3), np.uint8))


def test_normalise():
    x = augmentation.normalise(IMAGES, (0.5, 0.25, 0.0), (0.5, 1.0, 2.0))
    expected = (np.asarray(IMAGES, np.float64) / 255 - [0.5, 0.25, 0.0]) / [0.5, 1.0, 2.0]
    np.testing.assert_allclose(x, expected, rtol=1e-5, atol=1e-6)


def test_every_crop_is_a_window_of_the_padded_image_and_all_windows_come():
    crops = np.asarray(augmentation.random_crop(KEY, IMAGES, 1))
    padded = np.pad(IMAGES, ((0, 0), (1, 1), (1, 1), (0, 0)))
    corners = set()
    for crop, image in zip(crops, padded, strict=True):
        found = [(y, x) for y in range(3) for x in range(3) if (image[y : y + 6, x : x + 5] == crop).all()]
        assert len(found) == 1
        corners.add(found[0])
    assert len(corners) == 9


def test_about_half_of_the_images_are_flipped():
    flipped = np.asarray(augmentation.random_flip(KEY, IMAGES))
    mirrored = (flipped == np.asarray(IMAGES)[:, :, ::-1]).all((1, 2, 3))
    same = (flipped == np.asarray(IMAGES)).all((1, 2, 3))
    assert (mirrored ^ same).all()
    assert 20 <= mirrored.sum() <= 44


def test_cutout_blanks_a_square_around_every_position_and_clips_it():
    images = 1 + jax.random.uniform(KEY, (256, 6, 5, 3))
    changed = np.asarray(augmentation.cutout(KEY, images, 4))
    centres = set()
    for image, cut in zip(np.asarray(images), changed, strict=True):
        rows, columns = ((cut == 0).all(-1).any(axis) for axis in (1, 0))
        hole = rows[:, None] & columns[None, :]
        np.testing.assert_array_equal(cut, np.where(hole[..., None], 0, image))
        found = [
            (y, x)
            for y in range(6)
            for x in range(5)
            if (hole == np.outer(abs(np.arange(6) - y + 0.5) < 2, abs(np.arange(5) - x + 0.5) < 2)).all()
        ]
        assert len(found) == 1
        centres.add(found[0])
    assert len(centres) == 30


def test_cutout_of_an_odd_size_has_that_size():
    cut = np.asarray(augmentation.cutout(KEY, jnp.ones((64, 9, 9, 1)), 3))
    assert (cut == 0).sum((1, 2, 3)).max() == 9
