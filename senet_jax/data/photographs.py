"""Makes synthetic photographs of ImageNet's sizes, so that measurements of the input need no download.

`photograph(index)` is the same JPEG file on every machine with the same NumPy and Pillow. Its spectrum falls with the
frequency as that of photographs does, with edges and grain on top, and its quality is chosen so that a file of 500x375
pixels has about 110 kB, as ImageNet's have.
"""

import functools
import io

import numpy as np
from PIL import Image, ImageDraw

SIZES = ((500, 375), (375, 500), (500, 333), (333, 500), (500, 400), (400, 300), (640, 480), (280, 210), (800, 600))
"""Width and height in pixels; the mean area is that of 500x375 with `SHARES`."""
SHARES = (0.42, 0.1, 0.12, 0.05, 0.06, 0.05, 0.08, 0.05, 0.07)
_QUALITY = 91


def photograph(index: int, *, shorter_side: int | None = None, quality: int = _QUALITY) -> bytes:
    """Returns a JPEG file of one of `SIZES`, shrunk to a shorter side of that many pixels if it is given."""
    rng = np.random.default_rng((17, index))
    width, height = SIZES[rng.choice(len(SIZES), p=SHARES)]
    image = _image(rng, width, height)
    if shorter_side is not None and shorter_side < min(image.size):
        scale = shorter_side / min(image.size)
        image = image.resize((round(width * scale), round(height * scale)), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def _image(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    amplitude = _falling_spectrum(height, width)
    light, red, blue = (
        np.fft.irfft2(amplitude * np.exp(2j * np.pi * rng.random(amplitude.shape)), (height, width)) for _ in range(3)
    )
    light, red, blue = (plane / plane.std() for plane in (light, red, blue))
    planes = np.stack([light + 0.3 * red, light - 0.15 * red - 0.15 * blue, light + 0.3 * blue], -1)
    pixels = 118 + 45 * planes + rng.normal(0, 4, planes.shape)
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image, "RGBA")
    for _ in range(rng.integers(4, 12)):
        x, y = rng.integers(width), rng.integers(height)
        across, down = rng.integers(10, width // 2), rng.integers(10, height // 2)
        shape = draw.ellipse if rng.random() < 0.5 else draw.rectangle
        shape((int(x), int(y), int(x + across), int(y + down)), fill=(*rng.integers(0, 256, 3).tolist(), 110))
    return image


@functools.lru_cache
def _falling_spectrum(height: int, width: int) -> np.ndarray:
    """Returns 1 over the spatial frequency, and 0 for the constant."""
    down, across = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    frequency = np.hypot(down, across)
    frequency[0, 0] = np.inf
    return 1 / frequency
