"""Describes an estimate in words."""

from senet_jax.planning.chips import Gpu
from senet_jax.planning.estimate import Estimate
from senet_jax.planning.programs import Program

NOTE = (
    "These are bounds from published peaks and the compiler's own counts, not measurements. Arithmetic and\n"
    "interconnect bound a step from below. Memory does not strictly: the compiler counts bytes that never leave the\n"
    "chip too. How long a step takes, only a run on the hardware tells."
)
GPU_NOTE = (
    "JAX reserves three quarters of a GPU's memory (XLA_PYTHON_CLIENT_MEM_FRACTION). The workspaces that cuDNN\n"
    "chooses on the GPU are not counted, arithmetic is counted before compilation, and hosts are taken to have 8 GPUs\n"
    "with a network adapter each. The start of a kernel costs microseconds, which no bound contains: small networks\n"
    "are bound by their number."
)


def rows(estimate: Estimate, decoding: tuple[float, str] | None) -> dict[str, str]:
    """Returns the lines of an estimate, a name and a value each.

    `decoding`: seconds of a core for an image, and how they were measured; None for images that are kept in memory.
    """
    plan, topology = estimate.plan, estimate.topology
    config = plan.config
    kind = "GPU" if isinstance(topology.chip, Gpu) else "chip" if topology.chip else "device"
    chips = f"{topology.size:,} {kind}{'s' if topology.size > 1 else ''}"
    dtype = config.model.dtype
    if topology.chip and dtype == "float32":
        dtype += f", multiplied in {topology.chip.float32_type} as JAX does by default"
    written = {
        "network": f"{config.model.name}, {dtype}",
        "topology": f"{topology.name}: {chips}, {estimate.hosts:,} host{'s' if estimate.hosts > 1 else ''}",
        "batch": f"{size(estimate)}; {_groups(estimate)}",
        "duration": f"{plan.total_steps:,} steps, {plan.total_steps / plan.steps_per_epoch:,.1f} epochs of "
        f"{len(plan.dataset.train):,} images",
        "memory of a chip": _memory(estimate),
    } | {f"  {name}": _size(part) for name, part in estimate.state_bytes.items() if part}
    program = estimate.program
    if program is None:
        return written
    kernels = f", {program.kernels:,} kernels" if program.kernels else ""
    parts = plan.config.accumulate
    step = "a step" if parts == 1 else f"each of {parts} parts of a step"
    written |= {
        "  activations and temporaries": _size(program.temporary_bytes),
        f"{step}, of a chip"
        if parts > 1
        else "a step of a chip": f"{_count(program.flops)}, {_size(program.bytes_accessed)} accessed{kernels}",
        f"collectives of {step}": _collectives(program),
        "compiled in": f"{program.compile_seconds:,.0f} s",
    }
    return written | _speed(estimate, decoding)


def size(estimate: Estimate) -> str:
    """Describes the batch."""
    return f"{estimate.batch_size:,} images, {estimate.images_per_chip:,} on each chip"


def trial(estimate: Estimate) -> str:
    """Describes the batch and the memory that it needs."""
    return f"{size(estimate)}: {_memory(estimate)}"


def _groups(estimate: Estimate) -> str:
    """Describes whether the statistics groups of batch normalisation lie within chips."""
    config = estimate.plan.config
    group, images = config.model.statistics_group, estimate.images_per_chip // config.accumulate
    if group is None:
        exchanges = ", and so with exchanges between chips" if estimate.topology.size > 1 else ""
        whole = "the whole batch" if config.accumulate == 1 else f"each of {config.accumulate} parts of the batch"
        return f"batch normalisation over {whole}{exchanges}"
    if images % group == 0:
        return f"statistics groups of {group} lie within a chip"
    return f"statistics groups of {group} reach over chips, and so need exchanges between them"


def _memory(estimate: Estimate) -> str:
    """Describes the needed part of a chip's memory."""
    chip, needed = estimate.topology.chip, estimate.needed_bytes
    said = "more than there is" if needed is None else _size(needed)
    if chip is None:
        return said
    return f"{said} of {_size(chip.memory_bytes)}: {'it fits' if estimate.program else 'it does NOT fit'}"


def _speed(estimate: Estimate, decoding: tuple[float, str] | None) -> dict[str, str]:
    chip = estimate.topology.chip
    if estimate.bound is None or chip is None:
        parts = estimate.plan.config.accumulate
        return {"bound on a step": f"not known: of {parts} parts, the compiler counts one"} if parts > 1 else {}
    bound, images = estimate.bound, estimate.batch_size
    rate = images / bound.step
    hours = estimate.plan.total_steps * bound.step / 3600
    per_host = rate / estimate.hosts
    cores = "few: the images are kept in memory"
    if decoding is not None:
        seconds, measured = decoding
        cores = (
            f"{per_host * seconds:,.1f} of this machine's ({1 / seconds:,.0f} images/s each, measured on {measured})"
        )
    return {
        "bound on a step": f"{1e3 * bound.step:,.3f} ms, by {bound.by}",
        "  arithmetic": f"{1e3 * bound.arithmetic:,.3f} ms",
        "  memory": f"{1e3 * bound.memory:,.3f} ms",
        "  interconnect": f"{1e3 * bound.interconnect:,.3f} ms over {chip.connection(estimate.topology.shape)}",
        "images per second": f"{rate:,.0f} under that bound",
        "the whole experiment": f"{hours:,.2f} hours under that bound, without evaluation and checkpoints",
        "input of a host": f"{per_host:,.0f} images/s to keep up with that",
        "  cores for it": cores,
        "peaks": chip.source,
    }


def _collectives(program: Program) -> str:
    if not program.collectives:
        return "none"
    counts = ", ".join(f"{number} {kind}" for kind, number in sorted(program.counts.items()))
    return f"{counts}; {_size(program.collective_bytes)}"


def _size(number: float) -> str:
    return f"{number / 2**30:,.2f} GiB" if number >= 2**30 else f"{number / 2**20:,.2f} MiB"


def _count(number: float) -> str:
    return f"{number / 1e12:,.3f} TFLOP" if number >= 1e11 else f"{number / 1e9:,.3f} GFLOP"
