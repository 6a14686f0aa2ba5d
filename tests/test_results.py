"""What the README and the experiments say was measured is what the results hold."""

import csv
import statistics
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_digits():
    with (ROOT / "experiments/results/digits.csv").open() as file:
        accuracies = [100 * float(row["accuracy"]) for row in csv.DictReader(file)]
    mean, deviation = f"{statistics.mean(accuracies):.2f}", f"{statistics.stdev(accuracies):.2f}"
    assert len(accuracies) == 5
    assert f"| {mean} ± {deviation} % | {len(accuracies)} |" in (ROOT / "README.md").read_text()
    recipe = " ".join((ROOT / "experiments/digits.py").read_text().split())
    extremes = f"from {min(accuracies):.2f} to {max(accuracies):.2f} %"
    assert f"{mean} % test accuracy (mean of seeds 0 to 4, standard deviation {deviation}, {extremes})" in recipe
