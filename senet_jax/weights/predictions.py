"""Predictions of image files in batches."""

from collections.abc import Iterator
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import numpy as np

from senet_jax.data import images
from senet_jax.weights.source import Loaded


def predict_files(loaded: Loaded, files: list[Path], batch_size: int, top: int) -> Iterator[tuple[Path, Any]]:
    """Yields each file with its likeliest classes and their probabilities, or with the reason why it has none."""

    def crop(file: Path) -> np.ndarray | str:
        try:
            return loaded.preprocessing.crop_pixels(images.read(file.read_bytes()))
        except (OSError, ValueError) as error:
            return str(error)

    size = loaded.preprocessing.image_size
    with ThreadPool() as pool:
        for start in range(0, len(files), batch_size):
            batch = files[start : start + batch_size]
            crops = pool.map(crop, batch)
            pixels = np.zeros((min(batch_size, len(files)), size, size, loaded.preprocessing.channels), np.uint8)
            for row, pixel in enumerate(crops):
                if not isinstance(pixel, str):
                    pixels[row] = pixel
            for file, pixel, row in zip(batch, crops, loaded.probabilities(pixels), strict=False):
                yield file, pixel if isinstance(pixel, str) else loaded.named(row, top)
