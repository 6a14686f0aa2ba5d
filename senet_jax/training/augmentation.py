"""Augmentation on the device: pure functions of a key and a batch, which can be `divided`."""

import jax
import jax.numpy as jnp

from senet_jax.ops import divided
from senet_jax.typing import Array, Bool, Float, Shaped, UInt8


def normalise(
    images: Shaped[Array, "n h w c"], mean: tuple[float, ...], std: tuple[float, ...]
) -> Float[Array, "n h w c"]:
    """Returns (pixels / 255 - mean) / std, in float32, or in float64 if the images are."""
    return (images.astype(jnp.promote_types(images.dtype, jnp.float32)) / 255 - jnp.array(mean)) / jnp.array(std)


def random_crop(key: Array, images: UInt8[Array, "n h w c"], padding: int) -> UInt8[Array, "n h w c"]:
    """Returns random crops of the same size of the images padded by `padding` zero pixels on each side."""
    n, h, w, c = images.shape
    padded = jnp.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    corners = divided.own(jax.random.randint(key, (n * divided.parts(), 2), 0, 2 * padding + 1))
    return jax.vmap(lambda image, corner: jax.lax.dynamic_slice(image, (*corner, 0), (h, w, c)))(padded, corners)


def random_flip(key: Array, images: UInt8[Array, "n h w c"]) -> UInt8[Array, "n h w c"]:
    """Returns the images, each mirrored left to right with probability 1/2."""
    flipped = divided.own(jax.random.bernoulli(key, shape=(images.shape[0] * divided.parts(), 1, 1, 1)))
    return jnp.where(flipped, images[:, :, ::-1], images)


def cutout(key: Array, images: Float[Array, "n h w c"], size: int) -> Float[Array, "n h w c"]:
    """Sets a square of `size` pixels a side to 0, the mean, in each normalised image (arXiv 1708.04552).

    The centre is anywhere in the image, so that the square can reach over the border.
    """
    n, h, w, _ = images.shape
    corners = divided.own(jax.random.randint(key, (n * divided.parts(), 2), 0, jnp.array([h, w]))) - size // 2
    offsets = (jnp.arange(length) - corners[:, axis, None] for axis, length in enumerate((h, w)))
    rows, columns = ((offset >= 0) & (offset < size) for offset in offsets)
    return jnp.where((rows[:, :, None] & columns[:, None, :])[..., None], 0, images)


def mix(
    key: Array, images: Float[Array, "n h w c"], *, mixup: float, cutmix: float, distance: int = 1
) -> tuple[Float[Array, "n h w c"], Float[Array, ""]]:
    """Mixes each image with the one `distance` places before it; returns the images, and the share of each in its own.

    The share is the same for the whole batch, and comes from a beta distribution whose parameters are both `mixup`, or
    both `cutmix`. Mixup (arXiv 1710.09412) takes the weighted mean of both images. Cutmix (arXiv 1905.04899) puts a
    rectangle of the other image into the image; the share is that of the remaining area. If both parameters are
    positive, either is chosen with probability 1/2; one that is 0 is off.
    """
    choose, draw, place = jax.random.split(key, 3)
    cuts = jax.random.bernoulli(choose) if mixup and cutmix else jnp.array(cutmix > 0)
    alpha = jnp.where(cuts, cutmix, mixup)
    share = jax.random.beta(draw, alpha, alpha)
    inside = _rectangle(place, images.shape[1], images.shape[2], 1 - share)
    share = jnp.where(cuts, 1 - inside.mean(), share).astype(images.dtype)
    others = divided.previous(images, distance)
    cut = jnp.where(inside[None, :, :, None], others, images)
    return jnp.where(cuts, cut, share * images + (1 - share) * others), share


def _rectangle(key: Array, height: int, width: int, share: Array) -> Bool[Array, "h w"]:
    """Returns a mask of a rectangle with that share of the image's area, its aspect, and a random centre.

    The part of the rectangle outside of the image is cut off.
    """
    side = jnp.sqrt(share)
    vertical, horizontal = jax.random.split(key)
    inside = []
    for each, length in ((vertical, height), (horizontal, width)):
        centre, extent = jax.random.randint(each, (), 0, length), (side * length).astype(int)
        offset = jnp.arange(length) - (centre - extent // 2)
        inside.append((offset >= 0) & (offset < extent))
    return inside[0][:, None] & inside[1][None, :]
