import numpy as np
import pytest
from matplotlib import font_manager
from matplotlib.figure import Figure
from PIL import Image

from senet_jax.analysis.evaluation import Evaluation
from senet_jax.analysis.evaluation_pictures import plot_confusion
from senet_jax.analysis.figures import add_legend, plain, save

FOUND = Evaluation(
    labels=np.array([0, 0, 0, 1, 1]),
    losses=np.array([0.5, 1.0, 1.5, 2.0, 3.0], np.float32),
    ranks=np.array([1, 1, 6, 5, 1]),
    predicted=np.array([0, 0, 2, 0, 1]),
    confidences=np.array([0.95, 0.99, 1.0, 0.4, 0.39], np.float32),
    class_names=("cat", "dog", "eel"),
)


def test_figures():
    figures = FOUND.figures
    assert (figures["accuracy"], figures["top5_accuracy"], figures["loss"]) == (0.6, 0.8, pytest.approx(1.6))
    # The bins (14/15, 1] of three and (5/15, 6/15] of two, since 0.4 in float32 is above 6/15: that of one each.
    assert figures["balanced_accuracy"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    errors = 3 * abs(2 / 3 - 0.98) + abs(0 - 0.4) + abs(1 - 0.39)
    assert figures["calibration_error"] == pytest.approx(errors / 5, abs=1e-6)
    assert [(row["examples"], row["accuracy"]) for row in FOUND.calibration] == [(1, 1.0), (1, 0.0), (3, 2 / 3)]


def test_a_confidence_of_nothing_or_everything_has_a_bin():
    few = Evaluation(*(np.ones(2, int),) * 3, np.ones(2, int), np.array([0.0, 1.0]), ("a", "b"))
    assert [row["to"] for row in few.calibration] == [pytest.approx(1 / 15), 1.0]


def test_classes_that_have_examples():
    assert FOUND.confusion.tolist() == [[2, 0, 1], [1, 1, 0], [0, 0, 0]]
    cat, dog = FOUND.classes
    assert (cat["class"], cat["examples"], cat["accuracy"], cat["precision"]) == ("cat", 3, 2 / 3, 2 / 3)
    assert (cat["mistaken_for"], cat["mistaken"], dog["mistaken_for"], dog["mistaken"]) == ("eel", 1, "cat", 1)


def test_the_confusion_matrix_is_a_picture_of_shares(tmp_path):
    path = tmp_path / "confusion.png"
    plot_confusion(FOUND.confusion[:2], ("cat", "dog"), FOUND.class_names, path, "title")
    assert ">title<" in path.with_suffix(".svg").read_text()
    pixels = np.asarray(Image.open(path).convert("RGB"))
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 10


def test_names_are_no_mathematics_and_all_are_in_the_legend(tmp_path):
    axis = (figure := Figure()).subplots()
    axis.plot([0, 1], label=plain("_other"))
    axis.plot([1, 0], label=plain("$1$ shop"))
    add_legend(figure, axis)
    save(figure, tmp_path / "names.png")
    drawn = (tmp_path / "names.svg").read_text()
    assert "_other" in drawn
    assert "$1$ shop" in drawn


def test_letters_that_no_font_has_are_told(tmp_path, capsys):
    names = ["\U0001f980 crab", "chat é"]  # No usual font of a machine without a desktop has the first.
    plot_confusion(np.array([[3, 1], [0, 4]]), names, names, tmp_path / "confusion.png", "±")
    told = "confusion.png has letters that no font of this machine has" in capsys.readouterr().err
    assert told or any("Emoji" in name for name in font_manager.get_font_names())
    assert "\U0001f980" in (tmp_path / "confusion.svg").read_text()
