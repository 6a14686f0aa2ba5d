"""Means over seeds, differences with their intervals, and the tables made of them."""

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from senet_jax.analysis import comparison_pictures as pictures
from senet_jax.analysis.comparison import Run, cells, latex, markdown, mean_interval, runs_of, summarise, write_runs
from senet_jax.files import read_table


def run(variant, seed, accuracy, *, changes=None, baseline="no SE", classes=10):
    results = {"accuracy": accuracy, "top5_accuracy": 0.5 + accuracy / 2, "classes": classes, "images_per_second": 10.0}
    return Run(variant, seed, baseline, changes or {}, 1_000_000, 2_000_000_000, results)


RUNS = [
    *(run("no SE", seed, accuracy) for seed, accuracy in enumerate((0.90, 0.92, 0.91))),
    *(run("ratio=8", seed, accuracy, changes={"model.ratio": 8}) for seed, accuracy in enumerate((0.93, 0.95, 0.97))),
    run("ratio=2", 0, 0.94, changes={"model.ratio": 2}),
]


def test_means_stds_and_differences():
    plain, eight, two = summarise(RUNS)
    assert (plain.variant, plain.seeds, plain.difference, plain.interval) == ("no SE", 3, None, None)
    assert math.isclose(plain.std, 0.01)
    assert math.isclose(eight.accuracy, 0.95)
    assert math.isclose(eight.std, 0.02)
    assert math.isclose(eight.difference, 0.04)
    # The differences of the pairs are 0.03, 0.03 and 0.06: their std is sqrt(0.0003), the error of their mean 0.01, and
    # t is 4.3027 at 2 degrees of freedom.
    assert eight.interval is not None
    assert np.allclose(eight.interval, (0.04 - 0.043027, 0.04 + 0.043027), atol=1e-6)
    assert (two.std, two.pairs, two.interval) == (None, 1, None)
    assert math.isclose(two.difference, 0.04)


def test_only_equal_seeds_are_compared():
    (_, other, third) = summarise(
        [
            *(run("no SE", seed, accuracy) for seed, accuracy in ((0, 0.5), (1, 0.6))),
            *(run("a", seed, accuracy) for seed, accuracy in ((1, 0.7), (2, 0.9))),
            run("b", 3, 0.7),
        ]
    )
    assert (other.pairs, other.interval) == (1, None)
    assert math.isclose(other.difference, 0.1)
    assert (third.pairs, third.difference) == (0, None)
    rows = cells([other, third])
    assert [row["pairs"] for row in rows] == ["1", "0"]


def test_runs_that_are_all_alike_have_no_interval():
    summaries = summarise([run(name, seed, 0.5, baseline="a") for name in "ab" for seed in (0, 1)])
    assert (summaries[1].difference, summaries[1].interval) == (0.0, None)
    assert mean_interval([353 / 360 - 352 / 360, 355 / 360 - 354 / 360]) is None  # They differ by rounding.


def test_the_table():
    rows = cells(summarise(RUNS))
    assert markdown(rows).splitlines() == [
        "| variant | test accuracy, % | seeds | difference | 95 % interval | parameters | G multiply-adds |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| no SE | 91.00 ± 1.00 | 3 | baseline |  | 1,000,000 | 2 |",
        f"| ratio=8 | 95.00 ± 2.00 | 3 | +4.00 | {rows[1]['95 % interval']} | 1,000,000 | 2 |",
        "| ratio=2 | 94.00 | 1 | +4.00 |  | 1,000,000 | 2 |",
    ]
    low, high = map(float, rows[1]["95 % interval"].split(" to "))
    assert low < 4 < high
    assert "top-5 accuracy, %" not in rows[0]


def test_top_5_accuracy_is_shown_for_more_than_ten_classes():
    rows = cells(summarise([run("a", 0, 0.7, classes=100)]))
    assert rows[0]["top-5 accuracy, %"] == "85.00"


def test_latex_is_escaped():
    text = latex(
        [
            {"variant": "a_b & c#1", "x, %": "1.0 ± 0.1", "y": "-2.5 to -1.5"},
            {"variant": "SE-PRE-110", "x, %": "", "y": ""},
            {"variant": r"10^-4 {~\SE}", "x, %": "", "y": ""},
        ]
    )
    assert text.splitlines()[2:] == [
        r"variant & x, \% & y \\",
        r"\midrule",
        r"a\_b \& c\#1 & 1.0 $\pm$ 0.1 & $-$2.5 to $-$1.5 \\",
        r"SE-PRE-110 &  &  \\",
        r"10\textasciicircum{}$-$4 \{\textasciitilde{}\textbackslash{}SE\} &  &  \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_runs_come_back_from_their_file(tmp_path):
    write_runs(tmp_path / "runs.csv", RUNS)
    assert runs_of(read_table(tmp_path / "runs.csv")) == RUNS


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ([{}, {"model.ratio": 8}, {"model.ratio": 2}], "model.ratio"),
        ([{"model.ratio": 8}, {"model.ratio": 2.5}], "model.ratio"),
        ([{"model.gate": "relu"}, {"model.gate": "tanh"}], None),
        ([{"model.use_bias": True}, {"model.use_bias": False}], None),
        ([{"model.ratio": 8, "x": 1}, {"model.ratio": 8, "x": 2}, {"model.ratio": 2, "x": 1}], None),
        ([{}, {}, {"model.ratio": 8}], None),
    ],
)
def test_the_axis_of_the_picture(changes, field):
    summaries = summarise([run(str(number), 0, 0.5, changes=change) for number, change in enumerate(changes)])
    assert pictures.varied_number(summaries) == field


@pytest.mark.parametrize("draw", [pictures.plot_accuracy, pictures.plot_parameters])
def test_pictures(draw, tmp_path):
    for name, runs in (("numbers", RUNS), ("names", [run(name, 0, 0.5) for name in "abc"])):
        draw(summarise(runs), tmp_path / f"{name}.png", name)
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert picture.size[0] > 600


def test_ticks_say_their_values(monkeypatch):
    axes = []
    monkeypatch.setattr(pictures, "save", lambda figure, _: axes.append(figure.axes[0]))
    for values in ([0.0, 1e-6, 1e-4, 1e-2], [2, 4, 8, 16], [0.1, 0.2, 0.3]):
        runs = [run(str(x), 0, 0.772 + 0.00025 * number, changes={"data.x": x}) for number, x in enumerate(values)]
        pictures.plot_accuracy(summarise(runs), Path(), "")
        axis = axes.pop()
        assert [label.get_text() for label in axis.get_xticklabels()] == [f"{x:g}" for x in values]
        places = axis.transData.transform([(x, 0.772) for x in values])[:, 0]
        assert np.diff(places).min() > 0.1 * np.ptp(places)
        shown = axis.yaxis.get_major_formatter().format_ticks(axis.get_yticks())
        np.testing.assert_allclose([float(text.strip("%")) for text in shown], 100 * axis.get_yticks(), atol=1e-9)


def test_curves(tmp_path):
    records = [
        {"split": split, "step": 10 * x, "epoch": x, "loss": 1 / x, "accuracy": 0.5, "seconds": 6.0}
        for x in (1, 2)
        for split in ("train", "test")
    ]
    pictures.plot_training({"a": [records, records[:2]], "b": [records]}, tmp_path / "curves.png", "curves")
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.size[0] > 1000


def test_runs_with_records_at_other_epochs_are_compared_between_them():
    shown = [[{"epoch": epoch} for epoch in epochs] for epochs in ((1.0, 2.0), (0.9, 1.9, 2.0), ())]
    values = pictures._at([0.9, 1.0, 1.9, 2.0], shown, [[1.0, 2.0], [9.0, 19.0, 20.0], []])
    np.testing.assert_allclose(values.filled(-1), [[-1, 1, 1.9, 2], [9, 10, 19, 20]])
