"""Tables on the terminal."""

from collections.abc import Collection, Mapping, Sequence
from itertools import zip_longest


def print_table(rows: Mapping[str, str]) -> None:
    """Prints a name and a value in each line."""
    print("\n".join(["", *aligned([[name, value] for name, value in rows.items()], left=(0, 1))]), flush=True)


def aligned(rows: Sequence[Sequence[str]], left: Collection[int] = (0,)) -> list[str]:
    """Returns rows of cells as lines, the columns of `left` flush left, others flush right; rows can end early."""
    widths = [max(map(len, column)) for column in zip_longest(*rows, fillvalue="")]
    return [
        "  ".join(
            cell.ljust(width) if number in left else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=False))
        ).rstrip()
        for row in rows
    ]


def accuracy_rows(results: dict[str, float], classes: int, split: str = "test") -> dict[str, str]:
    """Returns rows of the metrics of a split, with top-5 accuracy if there are more than ten classes."""
    rows = {f"{split} accuracy": f"{results['accuracy']:.2%}", f"{split} loss": f"{results['loss']:.4f} nats"}
    return rows | ({"top-5 accuracy": f"{results['top5_accuracy']:.2%}"} if classes > 10 else {})
