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


mix = jax.jit(augmentation.mix, static_argnames=("mixup", "cutmix"))


def test_mixup_takes_the_mean_with_the_image_before():
    images = jax.random.normal(KEY, (6, 4, 5, 3))
    others, shares = np.roll(images, 1, axis=0), []
    for seed in range(20):
        mixed, share = mix(jax.random.key(seed), images, mixup=0.5, cutmix=0.0)
        np.testing.assert_allclose(mixed, share * images + (1 - share) * others, atol=1e-6)
        shares.append(float(share))
    assert min(shares) < 0.2
    assert max(shares) > 0.8


def test_cutmix_puts_a_rectangle_of_the_image_before_into_the_image():
    images = np.broadcast_to(np.arange(4, dtype=np.float32)[:, None, None, None], (4, 16, 16, 1))
    for seed in range(20):
        mixed, share = (np.asarray(x) for x in mix(jax.random.key(seed), images, mixup=0.0, cutmix=1.0))
        own = (mixed == images)[..., 0]
        assert (own == own[0]).all()
        assert own[0].mean() == share
        rows, columns = (~own[0]).any(1), (~own[0]).any(0)
        np.testing.assert_array_equal(~own[0], rows[:, None] & columns)
        np.testing.assert_array_equal(mixed[1][~own[0]], 0)


def test_with_both_about_half_of_the_batches_have_cutmix():
    images = np.arange(8, dtype=np.float32).reshape(8, 1, 1, 1) * np.ones((8, 8, 8, 1), np.float32)
    mixed = [np.asarray(mix(jax.random.key(seed), images, mixup=1.0, cutmix=1.0)[0]) for seed in range(60)]
    assert 18 <= sum((image == image.round()).all() for image in mixed) <= 42
