"""Lower bounds on the time of a compiled step, from published peaks."""

from dataclasses import asdict, astuple, dataclass

from senet_jax.planning.programs import Program
from senet_jax.planning.topologies import Topology


@dataclass(frozen=True)
class Bound:
    """Seconds that a step needs at least, for each resource of a chip at its published peak."""

    arithmetic: float
    memory: float
    """Seconds for all bytes that the compiler counts. A step can take less: some of them never leave the chip."""
    interconnect: float

    @property
    def step(self) -> float:
        """Seconds of a step if the three overlap perfectly."""
        return max(astuple(self))

    @property
    def by(self) -> str:
        """Resource that bounds the step."""
        seconds = asdict(self)
        return max(seconds, key=seconds.__getitem__)


def bound(program: Program, topology: Topology, dtype: str = "bfloat16") -> Bound | None:
    """Returns the bound of a program that computes in "bfloat16" or "float32".

    None for devices without published peaks.
    """
    chip = topology.chip
    if chip is None:
        return None
    rate = chip.flops_per_second if dtype == "bfloat16" else chip.float32_flops_per_second
    return Bound(
        arithmetic=program.flops / rate,
        memory=program.bytes_accessed / chip.memory_bytes_per_second,
        interconnect=chip.all_reduce_seconds(program.reduced_bytes, topology.shape),
    )
