"""The TPUs and GPUs that a run can be planned for, by their published figures."""

import math
from dataclasses import dataclass

Shape = tuple[int, ...]
"""Number of chips along each axis of a topology; of GPUs, the hosts and the GPUs of each."""


@dataclass(frozen=True, kw_only=True)
class Chip:
    """A TPU chip or a GPU, with the peaks that its maker publishes; no program reaches all of them."""

    name: str
    flops_per_second: float
    """Rate of dense matrix products in bfloat16."""
    float32_type: str
    """Type in which JAX multiplies float32 by default."""
    float32_flops_per_second: float
    memory_bytes: int
    """Bytes of memory that a program can use."""
    memory_bytes_per_second: float
    source: str


@dataclass(frozen=True, kw_only=True)
class Tpu(Chip):
    """A TPU chip with links to its neighbours."""

    link_bytes_per_second: float
    """Rate of one link, in one direction."""
    pod: Shape
    """Chips along each axis of the largest slice: of two axes a chip has four links, of three six."""
    wraps_at: int
    """An axis closes to a ring if its length is a multiple of this many chips and, in three axes, all are."""

    def links(self, shape: Shape) -> int:
        """Returns the least number of links of a chip: two on an axis that is a ring, one at the end of a line.

        An axis of one chip has none.
        """
        at = self.wraps_at
        whole = len(shape) == 2 or all(length % at == 0 for length in shape)
        return sum(2 if whole and length % at == 0 else int(length > 1) for length in shape)

    def connection(self, shape: Shape) -> str:
        """Describes the connection of a chip with the others."""
        return f"{self.links(shape)} links of a chip"

    def all_reduce_seconds(self, number: float, shape: Shape) -> float:
        """Returns the least time to sum `number` bytes over all chips.

        Each of n chips sends 2 (n - 1) / n as many bytes, spread over all its links.
        """
        size, rate = math.prod(shape), self.links(shape) * self.link_bytes_per_second
        return _sent(number, size) / rate if rate else 0.0


@dataclass(frozen=True, kw_only=True)
class Gpu(Chip):
    """A GPU, connected with the others of its host by NVLink, and with those of other hosts by a network."""

    nvlink_bytes_per_second: float
    """Rate of a GPU to the others of its host, in one direction."""
    network_bytes_per_second: float
    """Rate of a GPU's part of the network between hosts, in one direction."""
    target: str
    """The device that XLA compiles for: a `GpuTargetConfigProto` as text."""

    def connection(self, shape: Shape) -> str:
        """Describes the connection of a GPU with the others."""
        return "NVLink and the network of the hosts" if shape[0] > 1 else "NVLink"

    def all_reduce_seconds(self, number: float, shape: Shape) -> float:
        """Returns the least time to sum `number` bytes over all GPUs: within hosts, and between them in equal parts."""
        hosts, gpus = shape
        within = _sent(number, gpus) / self.nvlink_bytes_per_second
        return max(within, _sent(number / gpus, hosts) / self.network_bytes_per_second)


def _sent(number: float, size: int) -> float:
    """Returns the bytes that each of `size` chips sends at least to sum `number` bytes over all."""
    return 2 * (size - 1) / size * number


_GIB, _GB, _TERA = 2**30, 10**9, 10**12


def _tpu(
    name: str, tera_flops: int, gib: int, memory: int, link: int, pod: Shape, wraps_at: int, more_source: str = ""
) -> Tpu:
    return Tpu(
        name=name,
        flops_per_second=tera_flops * _TERA,
        float32_type="bfloat16",
        float32_flops_per_second=tera_flops * _TERA,
        memory_bytes=gib * _GIB,
        memory_bytes_per_second=memory * _GB,
        source=f"https://docs.cloud.google.com/tpu/docs/{name}{more_source}",
        link_bytes_per_second=link * _GB,
        pod=pod,
        wraps_at=wraps_at,
    )


def _gpu(
    name: str,
    tera_flops: float,
    memory: int,
    nvlink: int,
    network_bits: int,
    memory_bytes: int,
    device: str,
    fields: str,
) -> Gpu:
    """Returns a GPU of which JAX reserves three quarters of the memory, its default.

    TF32 has half the rate of bfloat16.
    """
    target = f"""
        platform_name: "CUDA" device_description_str: "{device}" dnn_version_info {{ major: 9 minor: 10 }}
        gpu_device_info {{
          name: "{device}" device_memory_size: {memory_bytes} memory_bandwidth: {memory * _GB} {fields}
          threads_per_block_limit: 1024 threads_per_warp: 32 threads_per_core_limit: 2048
          thread_dim_limit_x: 1024 thread_dim_limit_y: 1024 thread_dim_limit_z: 64
          block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
          registers_per_core_limit: 65536 registers_per_block_limit: 65536 shared_memory_per_block: 49152
        }}
    """
    return Gpu(
        name=name,
        flops_per_second=tera_flops * _TERA,
        float32_type="TF32",
        float32_flops_per_second=tera_flops / 2 * _TERA,
        memory_bytes=memory_bytes * 3 // 4,
        memory_bytes_per_second=memory * _GB,
        source=f"https://www.nvidia.com/en-us/data-center/{name}",
        nvlink_bytes_per_second=nvlink * _GB,
        network_bytes_per_second=network_bits * _GB / 8,
        target=target,
    )


_AMPERE = (
    "cuda_compute_capability { major: 8 } core_count: 108 fpus_per_core: 64 clock_rate_ghz: 1.41 "
    "l2_cache_size: 41943040 shared_memory_per_core: 167936 shared_memory_per_block_optin: 166912"
)
_HOPPER = (
    "cuda_compute_capability { major: 9 feature_extension: ACCELERATED_FEATURES } core_count: 132 fpus_per_core: 128 "
    "clock_rate_ghz: 1.98 l2_cache_size: 52428800 shared_memory_per_core: 233472 shared_memory_per_block_optin: 232448"
)
_BLACKWELL = (
    "cuda_compute_capability { major: 10 feature_extension: ACCELERATED_FEATURES } core_count: 148 fpus_per_core: 128 "
    "clock_rate_ghz: 1.965 l2_cache_size: 132644864 shared_memory_per_core: 233472 "
    "shared_memory_per_block_optin: 232448"
)

CHIPS: dict[str, Tpu | Gpu] = {
    chip.name: chip
    for chip in (
        _tpu("v4", 275, 32, 1200, 50, (16, 16, 16), 4, "; arXiv 2304.01433"),
        _tpu("v5e", 197, 16, 819, 50, (16, 16), 16),
        _tpu("v5p", 459, 95, 2765, 100, (16, 16, 24), 4),
        _tpu("v6e", 918, 32, 1638, 100, (16, 16), 16),
        _gpu("a100", 312, 2039, 300, 200, 85100068864, "NVIDIA A100-SXM4-80GB", _AMPERE),
        _gpu("h100", 989.5, 3352, 450, 400, 84942979072, "NVIDIA H100 80GB HBM3", _HOPPER),
        _gpu("h200", 989.5, 4800, 450, 400, 151397597184, "NVIDIA H200 141GB HBM3e", _HOPPER),
        _gpu("b200", 2250, 7672, 900, 400, 191514411008, "NVIDIA B200", _BLACKWELL),
    )
}
"""Chips by their names.

Rates of links of TPUs are the published bandwidth of a chip's interconnect in both directions (v5e 400, v5p 1,200 and
v6e 800 GB/s), divided by its links and by two; that of v4 is the paper's. GPUs are those of NVIDIA's DGX and HGX hosts,
with one network adapter each; their fields are those of XLA (openxla/xla, xla/backends/gpu/target_config/specs). Read
in November 2026.
"""
