"""The files of results agree with the texts that quote them."""

import re
import statistics
from pathlib import Path

from benchmarks import readme

ROOT = Path(__file__).parents[1]


def test_every_table_is_on_a_page_and_up_to_date():
    readme.main(["--check"])
    text = "".join(page.read_text() for page in readme.pages())
    assert [name for name in readme.tables() if f"<!-- {name} -->" not in text] == []


def test_results_name_no_directory_of_a_machine():
    named = [path.name for path in readme.RESULTS.glob("*.csv") if re.search(r"[=\s'\"]/\w", path.read_text())]
    assert named == []


def test_the_recipe_of_the_digits_quotes_its_results():
    accuracies = [100 * float(row["accuracy"]) for row in readme.read("digits")]
    mean, std = f"{statistics.mean(accuracies):.2f}", f"{statistics.stdev(accuracies):.2f}"
    assert len(accuracies) == 5
    recipe = " ".join((ROOT / "experiments/digits.py").read_text().split())
    extremes = f"from {min(accuracies):.2f} to {max(accuracies):.2f} %"
    assert f"{mean} % test accuracy (mean of seeds 0 to 4, std {std}, {extremes})" in recipe
