"""Injects every fault of the documentation into training runs and checkpoints, and prints how many survived.

    python -m benchmarks.faults [--only=checkpoints,signals] [--kills=50] [--terms=10] [--flips=200] [--output=FILE.csv]

The networks train on the digits. Random numbers have the seed 0. Each row has a fault, its tries, how often all was as
promised (survived) and how often not (lost), and the median of the seconds to recover: of a run, from the next start of
the command until its first step is done, with compiled programs kept; of a checkpoint, those of the restore. Rows of
other faults in the file stay.
"""

import argparse
import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.faults import checkpoints, disks, parts, signals
from benchmarks.faults.runs import Tally
from senet_jax.bench import report
from senet_jax.files import read_table
from senet_jax.terminal.tables import aligned
from senet_jax.training.provenance import provenance

_COLUMNS = ("fault", "tries", "survived", "lost", "seconds_to_recover", "seen")


def main() -> None:
    """Prints the table, and writes it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    groups: dict[str, Callable[[Path, Any], Iterator[Tally]]] = {
        "checkpoints": lambda place, given: checkpoints.campaign(place, given.network, given.flips),
        "signals": lambda place, given: signals.campaign(place, given.kills, given.terms),
        "disks": lambda place, given: disks.campaign(place, given.tries, given.match),
        "parts": lambda place, given: parts.campaign(place, given.tries, given.match),
        "large": lambda place, given: itertools.chain(
            signals.large(place, "se_resnet50", given.tries),
            checkpoints.digests_of_a_restore(place, "se_resnet50"),
        ),
    }
    parser.add_argument("--only", default=",".join(groups), help=f"groups of faults: {', '.join(groups)}")
    parser.add_argument("--network", default="se_resnet20_cifar", help="whose checkpoints are damaged")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--terms", type=int, default=10)
    parser.add_argument("--flips", type=int, default=200)
    parser.add_argument("--tries", type=int, default=3, help="of each fault of disks and parts")
    parser.add_argument("--match", default="*", help="pattern of the names of these faults")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    all_rows: list[dict[str, Any]] = []
    for group in arguments.only.split(","):
        rows: list[dict[str, Any]] = []
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
            for tally in groups[group](Path(directory), arguments):
                rows.append(tally.row())
                print(*(f"{name}: {value}" for name, value in tally.row().items() if value != ""), sep=", ", flush=True)
        if arguments.output:
            _write(arguments.output, [row | provenance() for row in rows])
        all_rows += rows
    print("", *aligned([_COLUMNS, *([str(row[name]) for name in _COLUMNS] for row in all_rows)], left=(0, 5)), sep="\n")


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    """Replaces the rows of the same faults in the file, and adds those of others."""
    before: list[dict[str, Any]] = list(read_table(path)) if path.exists() else []
    new = {row["fault"]: row for row in rows}
    kept = [new.pop(row["fault"], row) for row in before]
    report.write(path, [*kept, *new.values()], {})


if __name__ == "__main__":
    main()
