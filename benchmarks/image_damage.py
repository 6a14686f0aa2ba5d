"""Damages JPEG files, and counts how often reading finds the damage, here and by Pillow alone.

    python -m benchmarks.image_damage [--tries=60]

The files are scikit-learn's two photographs, 640x427 pixels, in quality 90. Random numbers have the seed 0.
"""

import argparse
import io
import random
from collections.abc import Callable

from PIL import Image
from sklearn.datasets import load_sample_images

from senet_jax.data import images


def zero(data: bytearray, draw: random.Random) -> bytearray:
    """Puts zeros in place of 64 bytes."""
    start = draw.randrange(len(data) - 64)
    data[start : start + 64] = bytes(64)
    return data


def cut(data: bytearray, draw: random.Random) -> bytearray:
    """Cuts the file short."""
    return data[: draw.randrange(100, len(data) - 2)]


def flip(data: bytearray, draw: random.Random) -> bytearray:
    """Flips one bit."""
    bit = draw.randrange(8 * len(data))
    data[bit // 8] ^= 1 << bit % 8
    return data


DAMAGES: dict[str, Callable[[bytearray, random.Random], bytearray]] = {
    "64 bytes zeroed": zero,
    "cut short": cut,
    "one bit flipped": flip,
}


def _photographs() -> list[bytes]:
    files = []
    for pixels in load_sample_images().images:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=90)
        files.append(file.getvalue())
    return files


def _finds(read: Callable[[bytes], object], data: bytes) -> bool:
    try:
        read(data)
    except Exception:  # Pillow's errors have many types.
        return True
    return False


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=60)
    tries = parser.parse_args().tries
    draw, files = random.Random(0), _photographs()
    print(f"{'damage':16} {'tries':>5} {'found':>5} {'found by Pillow alone':>21}")
    for name, damage in DAMAGES.items():
        damaged = [bytes(damage(bytearray(files[number % len(files)]), draw)) for number in range(tries)]
        found = sum(_finds(images.read, data) for data in damaged)
        by_pillow = sum(_finds(lambda data: Image.open(io.BytesIO(data)).load(), data) for data in damaged)
        print(f"{name:16} {tries:5} {found:5} {by_pillow:21}")


if __name__ == "__main__":
    main()
