"""Changes to single training images on the host: pure functions of the pixels and a generator of random numbers.

Pillow changes the pixels, and OpenCV if a border is reflected. `training.augmentation` changes whole batches on the
device.
"""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from senet_jax.config import DataConfig
from senet_jax.data.crops import random_rectangle

Fill = int | tuple[int, ...]
Operation = Callable[[Image.Image, float, int, Fill], Image.Image]
"""Function of (image, strength in [0, 1], sign, fill colour) -> image."""


def is_on(config: DataConfig) -> bool:
    """Whether training images are cropped or changed at random on the host, and so differ from epoch to epoch."""
    changes = config.rotation, config.rand_augment, config.color_jitter, config.pixel_jitter, config.random_erasing
    return config.random_resized_crop or any(changes)


def augment(pixels: np.ndarray, config: DataConfig, rng: np.random.Generator) -> np.ndarray:
    """Changes a training image, uint8 (h, w, c): rotation, RandAugment, colour jitter, pixel jitter, random erasing."""
    if config.rotation:
        pixels = rotate(pixels, rng.uniform(-config.rotation, config.rotation))
    if config.rand_augment or config.color_jitter:
        image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
        if config.rand_augment:
            fill = tuple(round(255 * min(max(value, 0), 1)) for value in config.mean)
            image = rand_augment(image, config.rand_augment, fill[0] if image.mode == "L" else (fill * 3)[:3], rng)
        if config.color_jitter:
            image = color_jitter(image, config.color_jitter, rng)
        pixels = np.asarray(image).reshape(pixels.shape)
    if config.pixel_jitter:
        noise = rng.integers(-config.pixel_jitter, config.pixel_jitter, pixels.shape, np.int16, endpoint=True)
        pixels = (pixels + noise).clip(0, 255).astype(np.uint8)
    if config.random_erasing and rng.random() < config.random_erasing:
        pixels = erase(pixels, config.mean, config.std, rng)
    return pixels


def rotate(pixels: np.ndarray, degrees: float) -> np.ndarray:
    """Rotates the image around its centre, and fills the outside by reflection."""
    height, width = pixels.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    turned = cv2.warpAffine(pixels, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return turned.reshape(pixels.shape)


def color_jitter(image: Image.Image, strength: float, rng: np.random.Generator) -> Image.Image:
    """Multiplies brightness, contrast and saturation, in a random order, by factors of 1 - strength to 1 + strength."""
    kinds = ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color
    for kind in rng.permutation(len(kinds)):
        image = kinds[kind](image).enhance(rng.uniform(max(0.0, 1 - strength), 1 + strength))
    return image


def erase(pixels: np.ndarray, mean: tuple[float, ...], std: tuple[float, ...], rng: np.random.Generator) -> np.ndarray:
    """Puts a rectangle of normal noise with the data's mean and std into the image (random erasing, arXiv 1708.04896).

    It has 2 to 33 % of the area and, log-uniformly, 0.3 to 3.3 times as much width as height. If ten such rectangles do
    not fit, the image stays as it is.
    """
    height, width, channels = pixels.shape
    if region := random_rectangle(width, height, (0.02, 1 / 3), 1 / 0.3, rng):
        left, top, right, bottom = region
        noise = rng.normal(np.array(mean), np.array(std), (bottom - top, right - left, channels))
        pixels = pixels.copy()
        pixels[top:bottom, left:right] = (255 * noise).round().clip(0, 255)
    return pixels


def rand_augment(image: Image.Image, magnitude: float, fill: Fill, rng: np.random.Generator) -> Image.Image:
    """Applies two random operations, each with probability 1/2: RandAugment (arXiv 1909.13719).

    Their strength is drawn from a normal distribution around the magnitude with std 0.5, limited to 0 to 10. Every
    operation that takes it changes more with more strength. "ResNet strikes back" (arXiv 2110.00476) uses this variant,
    timm's inc1-mstd0.5.
    """
    operations = list(OPERATIONS.values())
    for choice in rng.integers(len(operations), size=2):
        if rng.random() < 0.5:
            strength = float(np.clip(rng.normal(magnitude, 0.5), 0, 10)) / 10
            sign = 1 if rng.random() < 0.5 else -1
            image = operations[choice](image, strength, sign, fill)
    return image


def _affine(image: Image.Image, matrix: tuple[float, ...], fill: Fill) -> Image.Image:
    return image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR, fillcolor=fill)


def _enhanced(kind: Callable[[Image.Image], Any]) -> Operation:
    return lambda image, strength, sign, fill: kind(image).enhance(max(0.1, 1 + sign * 0.9 * strength))


def _solarize_add(image: Image.Image, strength: float, sign: int, fill: Fill) -> Image.Image:
    """Brightens the pixels below 128."""
    added = round(110 * strength)
    return image.point([min(255, value + added) if value < 128 else value for value in range(256)] * len(image.mode))


OPERATIONS: dict[str, Operation] = {
    "autocontrast": lambda image, strength, sign, fill: ImageOps.autocontrast(image),
    "equalize": lambda image, strength, sign, fill: ImageOps.equalize(image),
    "invert": lambda image, strength, sign, fill: ImageOps.invert(image),
    "rotate": lambda image, strength, sign, fill: image.rotate(
        sign * 30 * strength, Image.Resampling.BILINEAR, fillcolor=fill
    ),
    "posterize": lambda image, strength, sign, fill: ImageOps.posterize(image, max(1, 4 - int(4 * strength))),
    "solarize": lambda image, strength, sign, fill: ImageOps.solarize(image, 256 - round(256 * strength)),
    "solarize_add": _solarize_add,
    "color": _enhanced(ImageEnhance.Color),
    "contrast": _enhanced(ImageEnhance.Contrast),
    "brightness": _enhanced(ImageEnhance.Brightness),
    "sharpness": _enhanced(ImageEnhance.Sharpness),
    "shear_x": lambda image, strength, sign, fill: _affine(image, (1, sign * 0.3 * strength, 0, 0, 1, 0), fill),
    "shear_y": lambda image, strength, sign, fill: _affine(image, (1, 0, 0, sign * 0.3 * strength, 1, 0), fill),
    "translate_x": lambda image, strength, sign, fill: _affine(
        image, (1, 0, sign * 0.45 * strength * image.width, 0, 1, 0), fill
    ),
    "translate_y": lambda image, strength, sign, fill: _affine(
        image, (1, 0, 0, 0, 1, sign * 0.45 * strength * image.height), fill
    ),
}
