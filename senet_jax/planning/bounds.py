"""Lower bounds on the time of a compiled step, from published peaks."""

from dataclasses import dataclass

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
        return max(self.arithmetic, self.memory, self.interconnect)

    @property
    def by(self) -> str:
        """Resource that bounds the step."""
        return max(("arithmetic", "memory", "interconnect"), key=lambda name: getattr(self, name))


def bound(program: Program, topology: Topology) -> Bound | None:
    """Returns the bound of a program; None for devices without published peaks.

    An all-reduce of b bytes over n chips sends 2 (n - 1) / n b from each chip, spread over all its links.
    """
    chip, n = topology.chip, topology.size
    if chip is None:
        return None
    rate = topology.links * chip.link_bytes_per_second
    sent = 2 * (n - 1) / n * program.collective_bytes
    return Bound(
        arithmetic=program.flops / chip.flops_per_second,
        memory=program.bytes_accessed / chip.memory_bytes_per_second,
        interconnect=sent / rate if rate else 0.0,
    )
