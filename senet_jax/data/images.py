"""From the bytes of an image file to a square of uint8 pixels, on the host, with Pillow and libjpeg-turbo."""

import io
import os
import warnings
from functools import partial
from typing import Any

import numpy as np
import simplejpeg
from PIL import Image, UnidentifiedImageError

_ORIENTATION = 0x0112
"""Tag of the orientation in EXIF."""
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""Transpositions that turn an image upright, by its orientation."""
_COLOURSPACES = {"L": "GRAY", "RGB": "RGB"}
"""Colour spaces of the JPEG decoder, by Pillow's modes."""
_END_OF_JPEG = b"\xff\xd9"
_NARROWEST = 100
"""Ratio of the sides from which only the middle of an image is resized, because the whole would fill the memory."""


class BadImageError(ValueError):
    """The image of an example cannot be read."""


def has_image_name(name: str) -> bool:
    """Returns whether a file's name has no ending, or that of a format that Pillow knows."""
    ending = os.path.splitext(name)[1].lower()
    return not ending or ending in Image.registered_extensions()


def read(data: bytes) -> Image.Image:
    """Returns the image in the bytes of a file in grey or RGB, as `plain` does; the first of several frames.

    All pixels are read. A JPEG is decoded by libjpeg-turbo itself, whose warnings of corrupt data Pillow hides; the
    pixels are the same.

    Raises BadImageError, a ValueError, if the bytes are not an image, are cut short, are corrupt as far as the decoder
    can tell, or hold more than 16 bits a channel or too many pixels.
    """
    try:
        image = Image.open(io.BytesIO(data))
        is_jpeg = image.format in ("JPEG", "MPO") and image.mode in _COLOURSPACES
        if not is_jpeg:
            image.load()  # Pillow turns a TIFF in it.
        turned = orientation(image)
        if is_jpeg:
            pixels = decode_jpeg(data, _COLOURSPACES[image.mode])
            image = Image.fromarray(pixels[..., 0] if image.mode == "L" else pixels)
    except UnidentifiedImageError:
        raise BadImageError("not an image that Pillow can read") from None
    except Image.DecompressionBombError:
        raise BadImageError(f"an image of more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels") from None
    except Exception as error:  # Formats raise errors of many types.
        raise BadImageError(f"a broken image: {error}") from error
    return _plain(image, turned)


def decode_jpeg(data: bytes, colourspace: str, **options: Any) -> np.ndarray:
    """Returns the pixels of a JPEG, (h, w, c), with options of simplejpeg.

    Raises ValueError if the decoder warns, except of zeros at the end.
    """
    decode = partial(simplejpeg.decode_jpeg, colorspace=colourspace, strict=True, **options)
    try:
        return decode(data)
    except ValueError:
        body, end, _ = data.rpartition(_END_OF_JPEG)
        if not body.endswith(b"\0"):
            raise
        return decode(body.rstrip(b"\0") + end)


def plain(image: Image.Image) -> Image.Image:
    """Converts any image to grey (mode L) or RGB, by one rule for training, evaluation and prediction.

    The image is turned as its EXIF says. Of 16 bits the upper 8 are kept. Transparent parts lie on white. CMYK,
    palettes and other colours become RGB as Pillow converts them. Raises BadImageError, a ValueError, for more than 16
    bits a channel.
    """
    image.load()  # Pillow turns a TIFF in it.
    return _plain(image, orientation(image))


def orientation(image: Image.Image) -> int:
    """Returns the orientation in an image's EXIF; 1, upright, if it is missing or damaged."""
    try:
        with warnings.catch_warnings(action="ignore"):
            return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # Damaged EXIF leaves the pixels intact, and raises errors of many types.
        return 1


def _plain(image: Image.Image, turned: int) -> Image.Image:
    if image.mode.startswith("I;16") or (image.mode, image.format) == ("I", "PPM"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if turned in _TURNS:
        image = image.transpose(_TURNS[turned])
    if image.mode.startswith(("I", "F")):
        raise BadImageError(f"an image of mode {image.mode}, which has more than 16 bits a channel")
    mode = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == mode else image.convert(mode)


def decode(data: bytes, channels: int) -> Image.Image:
    """Returns the image in the bytes of a file, in grey (1 channel) or RGB (3). Raises BadImageError as `read` does."""
    return of_channels(read(data), channels)


def of_channels(image: Image.Image, channels: int) -> Image.Image:
    """Converts a plain image to grey (1 channel) or RGB (3)."""
    mode = "L" if channels == 1 else "RGB"
    return image if image.mode == mode else image.convert(mode)


def center_crop(image: Image.Image, size: int, share: float = 1.0, interpolation: str = "bilinear") -> np.ndarray:
    """Resizes the shorter side to floor(size / share) pixels and returns the central (size, size, c) pixels.

    The pixels equal those of timm's evaluation transform.
    """
    if max(image.size) > (longest := _NARROWEST * min(image.size)):
        left, top = (max(0, side - longest) // 2 for side in image.size)
        image = image.crop((left, top, image.width - left, image.height - top))
    shorter = int(size / share)
    width, height = (shorter * side // min(image.size) for side in image.size)
    left, top = round((width - size) / 2), round((height - size) / 2)
    resized = image.resize((width, height), Image.Resampling[interpolation.upper()])
    pixels = np.asarray(resized.crop((left, top, left + size, top + size)))
    return pixels[..., None] if pixels.ndim == 2 else pixels
