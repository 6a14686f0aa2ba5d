"""What the README and the experiments say was measured is what the results hold.

`python -m pytest tests/test_results.py --update-golden` writes the README's tables anew.
"""

import csv
import re
import statistics
from pathlib import Path

import pytest

from senet_jax.analysis import comparison
from senet_jax.analysis.published import ABLATIONS
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


SPEED = {
    "SE-ResNeXt-50, training": ("training", "16", "timm/seresnext50_32x4d", "timm/resnext50_32x4d"),
    "inference": ("inference", "16", "timm/seresnet50", "timm/resnet50"),
    "inference, 1 image": ("inference", "1", "timm/seresnet50", "timm/resnet50"),
}


def speed_table(rows):
    """A row for each contestant; images per second and memory are with SE / without."""
    measured = {(row["mode"], row["batch_size"], row["network"], row["contestant"]): row for row in rows}

    def pair(contestant, mode, batch_size, *networks):
        return [measured.get((mode, batch_size, network, contestant)) for network in networks]

    def both(pair, field, form):
        known = all(row and row[field] for row in pair)
        return " / ".join(format(float(row[field]), form) for row in pair) if known else ""

    table = []
    for contestant in dict.fromkeys(row["contestant"] for row in rows):
        training = pair(contestant, "training", "16", "timm/seresnet50", "timm/resnet50")
        rounds = ([float(speed) for speed in row["rounds"].split()] for row in training if row)
        taxes = [100 * (plain / se - 1) for se, plain in zip(*rounds, strict=True)]
        row = {
            "contestant": contestant,
            "SE-ResNet-50, training": both(training, "images_per_second", ".2f"),
            "SE adds": f"{statistics.median(taxes):+.1f} %",
            "compiled GiB": both(training, "compiled_memory_gib", ".2f"),
            "process GiB": both(training, "peak_memory_gib", ".2f"),
        }
        others = {title: both(pair(contestant, *task), "images_per_second", ".1f") for title, task in SPEED.items()}
        table.append(row | others)
    return comparison.markdown(table)


def tpu_table(rows):
    """A row for each contestant, of the two for its networks."""
    table = []
    for plain, se in zip(rows[::2], rows[1::2], strict=True):
        assert se["network"] == "timm/seresnet50"
        row = {"contestant": se["contestant"]}
        for field, title in (("gb_accessed", "GB accessed"), ("peak_gb", "GB at its peak")):
            with_se, without = float(se[field]), float(plain[field])
            row |= {title: f"{with_se:.2f} / {without:.2f}, {100 * (with_se / without - 1):+.1f} %"}
        table.append(row)
    return comparison.markdown(table)


def ablation_table(_):
    """The report's table without the speed, which others slowed down, and with the paper's ResNet-50 on ImageNet."""
    errors = {each.fields.get("ratio"): each.error for each in ABLATIONS if each.table == "10"}
    summaries = comparison.summarise(comparison.read_runs(ROOT / "experiments/results/reduction_ratio.csv"))
    table = []
    for row, summary in zip(comparison.cells(summaries), summaries, strict=True):
        del row["images/s"]
        table.append(row | {"paper: error, %": errors[summary.changes.get("model.ratio")]})
    return comparison.markdown(table)


TABLES = {
    "networks": markdown,
    "parity": comparison.markdown,
    "speed": speed_table,
    "tpu_bytes": tpu_table,
    "reduction_ratio": ablation_table,
}


@pytest.mark.parametrize(("name", "table"), TABLES.items())
def test_the_tables_of_the_readme(name, table, request):
    expected = f"<!-- {name} -->\n{table(read(name))}\n<!-- end -->"
    text = README.read_text()
    if request.config.getoption("--update-golden"):
        text = re.sub(rf"<!-- {name} -->.*?<!-- end -->", lambda _: expected, text, flags=re.DOTALL)
        README.write_text(text)
    assert expected in text
