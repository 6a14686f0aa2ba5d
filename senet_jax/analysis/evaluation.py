"""Metrics of an evaluation: of each class, between classes, and the calibration of its probabilities."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

BINS = 15


@dataclass(frozen=True)
class Evaluation:
    """Predictions for n examples, and the metrics that follow from them."""

    labels: np.ndarray
    """Class of each example, int (n,)."""
    losses: np.ndarray
    """Cross entropy in nats, (n,)."""
    ranks: np.ndarray
    """Place of the example's class among the logits, from 1, int (n,)."""
    predicted: np.ndarray
    """Likeliest class, int (n,)."""
    confidences: np.ndarray
    """Probability of the likeliest class, (n,)."""
    class_names: Sequence[str]
    """Names in the order of the logits."""

    @property
    def figures(self) -> dict[str, Any]:
        """Accuracies and calibration error in [0, 1], loss in nats, number of examples.

        The balanced accuracy is the mean of the classes' accuracies.
        """
        return {
            "accuracy": float((self.ranks == 1).mean()),
            "balanced_accuracy": float(np.mean([(self.ranks[self.labels == own] == 1).mean() for own in self.present])),
            "top5_accuracy": float((self.ranks <= 5).mean()),
            "loss": float(self.losses.mean(dtype=np.float64)),
            "calibration_error": self.calibration_error,
            "examples": len(self.labels),
        }

    @property
    def present(self) -> np.ndarray:
        """Classes that have examples, ascending."""
        return np.unique(self.labels)

    @property
    def is_uneven(self) -> bool:
        """Whether a class has at least twice as many examples as another one."""
        _, sizes = np.unique(self.labels, return_counts=True)
        return bool(sizes.max() >= 2 * sizes.min())

    @property
    def confusion(self) -> np.ndarray:
        """Number of examples of each class (rows) predicted as each class (columns), int (classes, classes)."""
        classes = len(self.class_names)
        pairs = np.bincount(self.labels * classes + self.predicted, minlength=classes**2)
        return pairs.reshape(classes, classes)

    @property
    def classes(self) -> list[dict[str, Any]]:
        """A row for each class that has examples.

        Precision is the share of correct predictions among those of the class, "" if there are none. `mistaken_for` is
        the class that most of its examples are mistaken for.
        """
        confusion, rows = self.confusion, []
        for label in map(int, self.present):
            own = self.labels == label
            named = confusion[:, label].sum()
            others = np.where(np.arange(len(confusion)) == label, 0, confusion[label])
            rows.append(
                {
                    "class": self.class_names[label],
                    "examples": int(own.sum()),
                    "accuracy": float((self.ranks[own] == 1).mean()),
                    "top5_accuracy": float((self.ranks[own] <= 5).mean()),
                    "precision": float(confusion[label, label] / named) if named else "",
                    "loss": float(self.losses[own].mean(dtype=np.float64)),
                    "mistaken_for": self.class_names[int(others.argmax())] if others.any() else "",
                    "mistaken": int(others.max()),
                }
            )
        return rows

    @property
    def calibration(self) -> list[dict[str, Any]]:
        """A row for each bin that is not empty, of 15 of equal width of the confidence, (k / 15, (k + 1) / 15].

        Confidence is the probability of the likeliest class.
        """
        edges = np.linspace(0, 1, BINS + 1)
        places = np.clip(np.digitize(self.confidences, edges, right=True) - 1, 0, BINS - 1)
        rows = []
        for place in np.unique(places):
            inside = places == place
            rows.append(
                {
                    "from": float(edges[place]),
                    "to": float(edges[place + 1]),
                    "examples": int(inside.sum()),
                    "confidence": float(self.confidences[inside].mean(dtype=np.float64)),
                    "accuracy": float((self.ranks[inside] == 1).mean()),
                }
            )
        return rows

    @property
    def calibration_error(self) -> float:
        """Expected calibration error (Guo et al., arXiv 1706.04599, equation 3) over the bins of `calibration`."""
        rows = self.calibration
        return sum(row["examples"] * abs(row["accuracy"] - row["confidence"]) for row in rows) / len(self.labels)
