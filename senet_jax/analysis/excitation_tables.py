"""Tables and arrays of the gates of a network."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from senet_jax.analysis.excitations import CONSTANT, NEAR, Excitations
from senet_jax.files import write_table
from senet_jax.terminal.tables import aligned

COLUMNS = (
    "The std is over images, the class std over those of one class, both averaged over channels. Near 0 and near 1 is "
    f"the share of gates closer than {NEAR}, constant the share of channels with a std below {CONSTANT}, between "
    "classes the share of the gates' variance that is between the means of classes; constant gates have none. The "
    "class std over n images is too small by 3 / (4 n) of itself, as the std of any small sample is."
)
"""Explanation of the table of blocks."""
_FORMATS = {"mean": ".3f", "std": ".3f", "class_std": ".3f", "channels": "d", "accuracy": ".2%", "difference": "+.2%"}
"""Formats of the printed columns; all others are shares."""


def printed(found: Excitations, left: Mapping[str, float]) -> str:
    """Returns the tables of blocks and of replaced gates, with their explanation."""
    chance = (np.count_nonzero(found.images) - 1) / (found.images.sum() - 1)
    explanation = textwrap.fill(f"{COLUMNS} If classes do not matter, the last is {chance:.1%} by chance.", 120)
    heading = "Test accuracy if all gates of some blocks are replaced by their means over images:"
    blocks, replaced = map(_lines, _tables(found, left).values())
    return "\n".join([*blocks, "", explanation, "", heading, "", *replaced])


def save(
    output: Path,
    title: str,
    class_names: Sequence[str],
    classes: Mapping[str, int],
    found: Excitations,
    left: Mapping[str, float],
    origin: Mapping[str, Any],
) -> None:
    """Writes pictures, tables and an array file; the tables of blocks and of replaced gates have `origin` in each row.

    In the array file are "classes", their names, "images" of each, and for each block "<block>/mean" and "<block>/std"
    over the images of each class, (classes, c).
    """
    from senet_jax.analysis import excitation_pictures as pictures  # Matplotlib is slow to import.

    output.mkdir(parents=True, exist_ok=True)
    pictures.plot_means(found, classes, output / "classes.png", f"Mean gates: {title}")
    two = dict(list(classes.items())[:2])
    pictures.plot_stds(found, two, output / "instances.png", f"Mean gates ± std: {title}")
    tables = {name: [row | dict(origin) for row in rows] for name, rows in _tables(found, left).items()}
    tables["gates"] = _gates(found, classes)
    for name, rows in tables.items():
        write_table(output / f"{name}.csv", rows)
    arrays: dict[str, Any] = {
        f"{path}/{name}": values.astype(np.float32)
        for path, gates in found.blocks.items()
        for name, values in (("mean", gates.class_mean), ("std", gates.class_std))
    }
    np.savez_compressed(output / "excitations.npz", classes=np.array(class_names), images=found.images, **arrays)


def _tables(found: Excitations, left: Mapping[str, float]) -> dict[str, list[dict[str, Any]]]:
    """Returns a row for each block; and one for the network as it is, and for each group of replaced gates."""
    blocks = [
        {
            "block": path,
            "channels": gates.channels,
            "mean": _rounded(gates.mean.mean()),
            "std": _rounded(gates.std.mean()),
            "class_std": _rounded(np.nanmean(gates.class_std)),
            "near_0": _rounded(gates.near_zero),
            "near_1": _rounded(gates.near_one),
            "constant": _rounded(gates.constant),
            "between_classes": _rounded(gates.between_classes),
        }
        for path, gates in found.blocks.items()
    ]
    replaced = [
        {"replaced": name, "accuracy": _rounded(accuracy), "difference": _rounded(accuracy - found.accuracy)}
        for name, accuracy in ({"none": found.accuracy} | dict(left)).items()
    ]
    return {"blocks": blocks, "replaced": replaced}


def _gates(found: Excitations, classes: Mapping[str, int]) -> list[dict[str, Any]]:
    """Returns the values in the pictures: a row for each block, class and channel."""
    rows = []
    for path in found.shown:
        gates = found.blocks[path]
        moments = {"all classes": (gates.mean, gates.std)}
        moments |= {name: (gates.class_mean[label], gates.class_std[label]) for name, label in classes.items()}
        for name, (mean, std) in moments.items():
            rows += [
                {"block": path, "class": name, "channel": int(channel)}
                | {"mean": _rounded(mean[channel]), "std": _rounded(std[channel])}
                for channel in gates.sampled
            ]
    return rows


def _rounded(value: Any) -> float:
    return float(f"{value:.6g}")


def _lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Returns the rows as lines under their titles, the first column flush left."""
    cells = [
        [name.replace("_", " ") for name in rows[0]],
        *([_cell(name, value) for name, value in row.items()] for row in rows),
    ]
    return aligned(cells)


def _cell(column: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    return format(value, _FORMATS.get(column, ".1%")) if np.isfinite(value) else "-"
