"""Regions of JPEG files: their headers, and a decoder that can stop below the region.

No maintained package decodes a region. A file whose header promises fewer rows is decoded down to those alone. The rows
below are then extraneous bytes, and so are those after damage, which therefore only a whole file shows.
"""

import io
import struct
from functools import partial
from typing import NamedTuple

import numpy as np
import simplejpeg
from PIL import Image

from senet_jax.data import images

Region = tuple[int, int, int, int]
"""Left, top, right and bottom of a region, in pixels."""
_APPLICATIONS = range(0xE1, 0xF0)
"""Markers of EXIF, XMP, ICC, Adobe and others, which Pillow reads."""
_SEQUENTIAL = 0xC0, 0xC1
_FRAMES = (*_SEQUENTIAL, 0xC2)
"""Markers of the sizes; the last one is that of progressive files."""
_ENDS = (0x00, 0x01, *range(0xD0, 0xDB), 0xFF)
"""Markers that end the header: the start of a scan, and those that no segment of an intact header has."""


class Jpeg(NamedTuple):
    """A file that needs neither turning nor conversion: sequential or progressive, 8 bits, grey or RGB."""

    data: bytes
    width: int
    height: int
    channels: int
    height_at: int
    """Offset of the height, two bytes."""
    unit: int
    """Rows that are coded together; 0: the rows do not come in order."""


def plain(data: bytes) -> Jpeg | None:
    """Reads the header of a JPEG; None for all other files, for damaged headers and above `Image.MAX_IMAGE_PIXELS`."""
    found, place, has_applications = None, 2, False
    try:
        while data[place] == 0xFF and (marker := data[place + 1]) not in _ENDS:
            has_applications |= marker in _APPLICATIONS
            if marker in _FRAMES:
                bits, height, width, channels = struct.unpack_from(">BHHB", data, place + 4)
                if bits != 8 or channels not in (1, 3) or not 0 < width * height <= (Image.MAX_IMAGE_PIXELS or 2**32):
                    return None
                unit = 8 * max(factors & 15 for factors in data[place + 11 : place + 10 + 3 * channels : 3])
                found = Jpeg(data, width, height, channels, place + 5, unit if marker in _SEQUENTIAL else 0)
            place += 2 + int.from_bytes(data[place + 2 : place + 4])
    except (IndexError, ValueError, struct.error):
        return None
    is_whole = data[:2] == b"\xff\xd8" and data[place : place + 2] == b"\xff\xda"
    return found if is_whole and (not has_applications or _is_upright(data)) else None


def _is_upright(data: bytes) -> bool:
    try:
        return images.orientation(Image.open(io.BytesIO(data), formats=("JPEG",))) == 1
    except Exception:  # Faults of headers raise errors of many types; `images.decode` names them.
        return False


def decode_region(jpeg: Jpeg, region: Region, size: int, *, intact: bool) -> np.ndarray | None:
    """Returns the pixels of a region, which is shrunk while about `size` pixels remain in each direction.

    The whole file is decoded, and None returned if the strict decoder refuses it; `images.decode` then decides. With
    `intact`, the caller knows that it is not refused, and the decoder stops below the region.
    """
    left, top, right, bottom = region
    least = max(size, 2)  # One pixel could be rounded to none.
    factor = max(factor for factor in (1, 2, 4, 8) if factor == 1 or factor * least <= min(right - left, bottom - top))
    left, top, right, bottom = (round(edge / factor) for edge in region)
    data, height, decode = jpeg.data, jpeg.height, images.decode_jpeg
    if intact and jpeg.unit and (rows := (bottom * factor // jpeg.unit + 1) * jpeg.unit) < height:
        data, height = data[: jpeg.height_at] + rows.to_bytes(2) + data[jpeg.height_at + 2 :], rows
        decode = partial(simplejpeg.decode_jpeg, strict=False)
    shape = -(-height // factor), -(-jpeg.width // factor), jpeg.channels
    space = "GRAY" if jpeg.channels == 1 else "RGB"
    try:
        pixels = decode(data, space, min_height=shape[0], min_width=shape[1], min_factor=factor)
    except ValueError:
        return None
    if pixels.shape != shape:
        return None
    pixels = pixels[top:bottom, left:right]
    return pixels[..., 0] if jpeg.channels == 1 else pixels
