"""Logs of a run: `metrics.jsonl`, TensorBoard event files, and the terminal."""

from contextlib import closing
from pathlib import Path
from typing import Any

from senet_jax.files import line_of, read_records, write_records
from senet_jax.terminal import progress
from senet_jax.terminal.bars import tqdm
from senet_jax.training.events import Events
from senet_jax.workdir import METRICS


class Logs:
    """Writes the records of a run; a terminal has a progress bar below them, other outputs plain lines."""

    def __init__(self, workdir: Path, *, start: int, total: int, steps_per_epoch: float):
        """Continues after step `start`; later records of an interrupted run are dropped, because they come again."""
        kept = [record for record in read(workdir) if record["step"] <= start]
        write_records(workdir / METRICS, kept)
        self._file = (workdir / METRICS).open("a", encoding="utf-8")
        self._events = Events(workdir, start)
        self._steps_per_epoch = steps_per_epoch
        self._start, self._total = start, total
        self._bar: tqdm | None = None
        self._train_line = ""

    def advance(self) -> None:
        """Counts one more step. The progress bar begins with the first, so that its rate is without compilation."""
        if self._bar is None:
            self._bar = tqdm(
                total=self._total, initial=self._start + 1, unit="step", disable=None, dynamic_ncols=True,
                smoothing=0.05, leave=False,
                bar_format="{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} steps, {remaining} left{postfix}",
            )  # fmt: skip
        else:
            self._bar.update()

    def write(self, split: str, step: int, values: dict[str, float]) -> None:
        """Records the values that a split ("train" or "test") had at a step."""
        epoch = step / self._steps_per_epoch
        self._file.write(line_of({"split": split, "step": step, "epoch": round(epoch, 4), **values}))
        self._file.flush()
        for name, value in values.items():
            self._events.write(f"{split}/{name}", value, step)
        line = f"loss {values['loss']:.4f}, accuracy {values['accuracy']:7.2%}"
        if "images_per_second" in values:
            line += f", {values['images_per_second']:,.0f} images/s"
        if values.get("data_wait", 0) > 0.05:
            line += f", {values['data_wait']:.0%} of the time waiting for data"
        if self._bar is None or self._bar.disable:
            self.say(f"step {step:>{len(str(self._total))}}/{self._total}  epoch {epoch:6.1f}  {split:5}  {line}")
        elif split == "train":
            self._train_line = line
            self._bar.set_postfix_str(line)
        else:
            rate = self._bar.format_dict["rate"]
            left = tqdm.format_interval((self._total - self._bar.n) / rate) if rate else "?"
            self.say(f"epoch {epoch:6.1f}  train: {self._train_line}  {split}: {line}, {left} left")

    def say(self, text: str) -> None:
        """Prints a line, above the progress bar if there is one."""
        progress.say(text)

    def close(self) -> None:
        """Closes the files, and removes the progress bar."""
        if self._bar is not None:
            self._bar.close()
        with closing(self._file):
            self._events.close()


class NoLogs:
    """The logs of a process that does not write them: nothing."""

    def advance(self) -> None:
        """Counts nothing."""

    def write(self, split: str, step: int, values: dict[str, float]) -> None:
        """Records nothing."""

    def say(self, text: str) -> None:
        """Prints nothing."""

    def close(self) -> None:
        """Has nothing to write."""


def speed(workdir: Path) -> dict[str, float]:
    """Returns the seconds and images_per_second of the logged steps, without compilation; empty if there are none.

    A resumed run's log holds the steps of all its processes, each step once, but for those between the last line of
    the log and a stop.
    """
    measured = [record for record in read(workdir) if "seconds" in record]
    seconds = sum(record["seconds"] for record in measured)
    images = sum(record["seconds"] * record["images_per_second"] for record in measured)
    return {"images_per_second": images / seconds, "seconds": seconds} if measured else {}


def read(workdir: Path) -> list[dict[str, Any]]:
    """Returns the records of a run, in the order of writing; a last line that a kill cut short is left out."""
    return read_records(workdir / METRICS)
