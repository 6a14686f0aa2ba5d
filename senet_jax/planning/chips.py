"""The TPU chips that a run can be planned for, by their published figures."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Chip:
    """A chip, with the peaks that its maker publishes; no program reaches all of them."""

    name: str
    flops_per_second: float
    """Rate of bfloat16 matrix products, and of float32 convolutions in JAX's default precision."""
    memory_bytes: int
    """Bytes of high-bandwidth memory."""
    memory_bytes_per_second: float
    link_bytes_per_second: float
    """Rate of one link to a neighbour, in one direction."""
    pod: tuple[int, ...]
    """Chips along each axis of the largest slice: of two axes a chip has four links, of three six."""
    wraps_at: int
    """An axis closes to a ring if its length is a multiple of this many chips and, in three axes, all are."""
    source: str


_CLOUD = "https://docs.cloud.google.com/tpu/docs"
_GIB, _GB, _TERA = 2**30, 10**9, 10**12

CHIPS = {
    chip.name: chip
    for chip in (
        Chip("v4", 275 * _TERA, 32 * _GIB, 1200 * _GB, 50 * _GB, (16, 16, 16), 4, f"{_CLOUD}/v4; arXiv 2304.01433"),
        Chip("v5e", 197 * _TERA, 16 * _GIB, 819 * _GB, 50 * _GB, (16, 16), 16, f"{_CLOUD}/v5e"),
        Chip("v5p", 459 * _TERA, 95 * _GIB, 2765 * _GB, 100 * _GB, (16, 16, 24), 4, f"{_CLOUD}/v5p"),
        Chip("v6e", 918 * _TERA, 32 * _GIB, 1638 * _GB, 100 * _GB, (16, 16), 16, f"{_CLOUD}/v6e"),
    )
}
"""Chips by their names.

Rates of links are the published bandwidth of a chip's interconnect in both directions (v5e 400, v5p 1,200 and v6e 800
GB/s), divided by its links and by two; that of v4 is the paper's. Read in November 2026.
"""
