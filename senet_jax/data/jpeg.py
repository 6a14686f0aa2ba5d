"""Regions of JPEG files: their headers, and a decoder that stops below the region.

No maintained package decodes a region. A file whose header promises fewer rows is decoded down to those alone.
"""

import io
import struct
from typing import NamedTuple

import numpy as np
import simplejpeg
from PIL import Image

from senet_jax.data import images

Region = tuple[int, int, int, int]
"""Left, top, right and bottom of a region, in pixels."""
_APPLICATION = 0xE1
"""Marker of EXIF and XMP."""
_SEQUENTIAL, _PROGRESSIVE = (0xC0, 0xC1), 0xC2
_START_OF_SCAN = 0xDA


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
    """Reads the header of a JPEG; None for all other files, for damaged headers and for `Image.MAX_IMAGE_PIXELS`."""
    found, place = None, 2
    try:
        while data[place] == 0xFF and (marker := data[place + 1]) != _START_OF_SCAN:
            if marker == _APPLICATION and not _is_upright(data):
                return None
            if marker in (*_SEQUENTIAL, _PROGRESSIVE):
                bits, height, width, channels = struct.unpack_from(">BHHB", data, place + 4)
                if bits != 8 or channels not in (1, 3) or not 0 < width * height <= (Image.MAX_IMAGE_PIXELS or 2**32):
                    return None
                unit = 8 * max(factors & 15 for factors in data[place + 11 : place + 10 + 3 * channels : 3])
                found = Jpeg(data, width, height, channels, place + 5, unit if marker in _SEQUENTIAL else 0)
            place += 2 + int.from_bytes(data[place + 2 : place + 4])
    except (IndexError, ValueError, struct.error):
        return None
    return found if data[:2] == b"\xff\xd8" and data[place : place + 2] == b"\xff\xda" else None


def _is_upright(data: bytes) -> bool:
    try:
        return images.orientation(Image.open(io.BytesIO(data), formats=("JPEG",))) == 1
    except Exception:  # Faults of headers raise errors of many types; `images.decode` names them.
        return False


def decode_region(jpeg: Jpeg, region: Region, size: int) -> np.ndarray | None:
    """Returns the pixels of a region, which is shrunk while about `size` pixels remain in each direction.

    Returns None if the strict decoder refuses the file; `images.decode` then decides. Damage below the region is not
    seen.
    """
    left, top, right, bottom = region
    factor = max(factor for factor in (1, 2, 4, 8) if factor == 1 or factor * size <= min(right - left, bottom - top))
    data, height = jpeg.data, jpeg.height
    if jpeg.unit and (rows := (bottom // jpeg.unit + 1) * jpeg.unit) < height:
        height = rows
        data = data[: jpeg.height_at] + height.to_bytes(2) + data[jpeg.height_at + 2 :]
    shape = -(-height // factor), -(-jpeg.width // factor), jpeg.channels
    pixels = np.empty(shape, np.uint8)
    try:
        simplejpeg.decode_jpeg(
            data,
            "GRAY" if jpeg.channels == 1 else "RGB",
            min_height=shape[0],
            min_width=shape[1],
            min_factor=factor,
            buffer=pixels,
        )
    except ValueError as error:
        # The first warning is the one that is told, and the rows below are extraneous bytes.
        if height == jpeg.height or "extraneous bytes before marker" not in str(error):
            return None
    left, top, right, bottom = (round(edge / factor) for edge in region)
    pixels = pixels[top:bottom, left:right]
    return pixels[..., 0] if jpeg.channels == 1 else pixels
