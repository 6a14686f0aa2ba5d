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
