"""Tables on the terminal."""

from collections.abc import Collection, Mapping, Sequence
from itertools import zip_longest


def print_table(rows: Mapping[str, str]) -> None:
    """Prints a name and a value in each line, below each other."""
    print("\n".join(["", *aligned([[name, value] for name, value in rows.items()], left=(0, 1))]), flush=True)


def aligned(rows: Sequence[Sequence[str]], left: Collection[int] = (0,)) -> list[str]:
    """Rows of cells as lines, some columns flush left, the others flush right; a row may end early."""
    widths = [max(map(len, column)) for column in zip_longest(*rows, fillvalue="")]
    return [
        "  ".join(
            cell.ljust(width) if number in left else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=False))
        ).rstrip()
        for row in rows
    ]


def accuracy_rows(results: dict[str, float], classes: int, split: str = "test") -> dict[str, str]:
    """Rows of the metrics of a split; top-5 accuracy where there are enough classes for it to say something."""
    rows = {f"{split} accuracy": f"{results['accuracy']:.2%}", f"{split} loss": f"{results['loss']:.4f} nats"}
    return rows | ({"top-5 accuracy": f"{results['top5_accuracy']:.2%}"} if classes > 10 else {})
