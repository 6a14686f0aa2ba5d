"""The table of the cost of a network, module by module, and of squeeze-and-excitation's share."""

from dataclasses import astuple

from senet_jax.analysis.cost import Cost, NetworkCost
from senet_jax.terminal.tables import aligned

_COUNTS = ["parameters", "multiply-adds", "activations", "elementwise"]
_EXPLANATION = """
For one image. Multiply-adds and activations (elements put out) are of convolutions and dense layers; elementwise is
all other work: elements that reductions read and that arithmetic writes. Indented lines are part of what they stand
under."""


def cost_table(network: NetworkCost, depth: int) -> str:
    """Returns the table down to a depth of modules, with its explanation."""
    return "\n".join([*_table(network, depth), _EXPLANATION])


def _table(network: NetworkCost, depth: int) -> list[str]:
    """Returns a line for each module down to a depth, with blocks inside their stage, and lines for the network."""
    nested, attention = (
        NetworkCost({path.replace("_block", "/block"): own for path, own in part.own.items()}).modules
        for part in (network, network.of_attention())
    )
    rows = [["", *_COUNTS, *_COUNTS]]
    for path, whole in nested.items():
        *holders, name = path.split("/")
        if path and len(holders) < depth and whole != Cost():
            rows.append(["  " * len(holders) + name, *_counts(whole), *_shares(attention.get(path, Cost()), whole)])
    total, extra = network.total, network.squeeze_excite
    rows.append(["total", *_counts(total), *_shares(extra, total)])
    if extra == Cost():
        return aligned([row[: len(_COUNTS) + 1] for row in rows])
    plain = total - extra
    increase = [f"+{share}" for share in _shares(extra, plain)]
    rows += [["without SE", *_counts(plain)], ["SE adds", *_counts(extra)], ["", *increase]]
    lines = aligned(rows)
    return ["of which squeeze-and-excitation".rjust(len(lines[0])), *lines]


def _counts(cost: Cost) -> list[str]:
    return [f"{count:,}" for count in astuple(cost)]


def _shares(part: Cost, whole: Cost) -> list[str]:
    return [f"{a / b:.2%}" if a else "-" for a, b in zip(astuple(part), astuple(whole), strict=True)]
