"""Random crops for training, straight from the bytes of a file: only the crop is resized.

JPEG is decoded by libjpeg-turbo through simplejpeg, to a half, a quarter or an eighth of its size if the crop is then
still as large as asked for, and OpenCV resizes. Evaluation and prediction use neither: there Pillow does it all.
"""

import math

import cv2
import numpy as np
from PIL import Image

from senet_jax.data import images, jpeg

cv2.setNumThreads(1)  # Images are cropped in parallel already.


def random_resized_crop(
    data: bytes, channels: int, size: int, rng: np.random.Generator, *, intact: bool = False
) -> np.ndarray:
    """Returns a `random_region` of the image in the bytes of a file, resized to uint8 (size, size, channels).

    The image is that of `images.decode`, and so are the errors. `intact`: whether an earlier call had no error, so that
    only the rows down to the lower edge of the region need to be decoded.
    """
    pixels = region = None
    if (found := jpeg.plain(data)) is not None:
        region = random_region(found.width, found.height, rng)
        pixels = jpeg.decode_region(found, region, size, intact=intact)
    if pixels is None:
        image = images.decode(data, channels)
        pixels = np.asarray(image.crop(region or random_region(*image.size, rng)))
    crop = resize(pixels, size)
    if crop.ndim != 2 + (channels == 3):
        crop = np.asarray(images.of_channels(Image.fromarray(crop), channels))
    return crop[..., None] if channels == 1 else crop


def random_rectangle(
    width: int, height: int, shares: tuple[float, float], most: float, rng: np.random.Generator
) -> jpeg.Region | None:
    """Returns a random part of an image, of a share of its area between two; None if ten such parts do not fit.

    It has, log-uniformly, 1 / `most` to `most` times as much width as height.
    """
    for _ in range(10):
        area = width * height * rng.uniform(*shares)
        aspect = math.exp(rng.uniform(-math.log(most), math.log(most)))
        across, down = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < across <= width and 0 < down <= height:
            left = int(rng.integers(width - across, endpoint=True))
            top = int(rng.integers(height - down, endpoint=True))
            return left, top, left + across, top + down
    return None


def random_region(width: int, height: int, rng: np.random.Generator) -> jpeg.Region:
    """Returns a random part of an image of this width and height: the paper's training crop (section 5.1).

    It has 8 to 100 % of the area and, log-uniformly, 3/4 to 4/3 times as much width as height. If ten such parts do not
    fit into the image, it is the largest central square (Szegedy et al., arXiv:1409.4842, section 6).
    """
    if found := random_rectangle(width, height, (0.08, 1.0), 4 / 3, rng):
        return found
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side


def resize(pixels: np.ndarray, size: int) -> np.ndarray:
    """Resizes pixels, uint8 (h, w) or (h, w, 3), to `size` rows and columns: bilinear, and smoothed if they shrink.

    Pillow's bilinear filter is a triangle as wide as two pixels of the result. Up to two to one, three taps of the same
    variance before a bilinear interpolation come within 1.3 grey levels of it on average (4.5 at most; root mean square
    on photographs), in a third of its time; beyond that Pillow does it.
    """
    scales = pixels.shape[1] / size, pixels.shape[0] / size
    if max(scales) > 2:
        return np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR))
    across, down = map(_smoothing, scales)
    if across or down:
        taps = 3 if across else 1, 3 if down else 1
        pixels = cv2.GaussianBlur(pixels, taps, sigmaX=across or 1, sigmaY=down or 1)
    return cv2.resize(pixels, (size, size), interpolation=cv2.INTER_LINEAR)


def _smoothing(scale: float) -> float:
    """Returns the sigma of three Gaussian taps that widen a triangle of 2 pixels to 2 `scale`; 0: none needed."""
    if scale < 1.15:  # The bilinear interpolation alone is as near to Pillow's filter.
        return 0.0
    side = (scale**2 - 1) / 12  # The weight at either side: a triangle of half width s has the variance s^2 / 6.
    return math.sqrt(-0.5 / math.log(side / (1 - 2 * side)))
