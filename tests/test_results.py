"""What the README and the experiments say was measured is what the results hold.

`python -m pytest tests/test_results.py --update-golden` writes the README's tables anew.
"""

import csv
import re
import statistics
from pathlib import Path

import pytest

from senet_jax.commands.networks import markdown

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"


def read(name):
    with (ROOT / "experiments/results" / f"{name}.csv").open() as file:
        return list(csv.DictReader(file))


def test_digits():
    accuracies = [100 * float(row["accuracy"]) for row in read("digits")]
    mean, deviation = f"{statistics.mean(accuracies):.2f}", f"{statistics.stdev(accuracies):.2f}"
    assert len(accuracies) == 5
    assert f"| {mean} ± {deviation} % | {len(accuracies)} |" in README.read_text()
    recipe = " ".join((ROOT / "experiments/digits.py").read_text().split())
    extremes = f"from {min(accuracies):.2f} to {max(accuracies):.2f} %"
    assert f"{mean} % test accuracy (mean of seeds 0 to 4, standard deviation {deviation}, {extremes})" in recipe


def parity_table(rows):
    lines = ["| network | logits | maps |", "| --- | --- | --- |"]
    return "\n".join([*lines, *(f"| {row['network']} | {row['logits']} | {row['maps']} |" for row in rows)])


@pytest.mark.parametrize(("name", "table"), [("networks", markdown), ("parity", parity_table)])
def test_the_tables_of_the_readme(name, table, request):
    expected = f"<!-- {name} -->\n{table(read(name))}\n<!-- end -->"
    text = README.read_text()
    if request.config.getoption("--update-golden"):
        text = re.sub(rf"<!-- {name} -->.*?<!-- end -->", lambda _: expected, text, flags=re.DOTALL)
        README.write_text(text)
    assert expected in text
