"""Signals at random moments of a run: steps that are repeated, and whether the result equals that without signals.

    python -m benchmarks.kills [--kills=50] [--terms=10]

Trains se_resnet20_cifar on the digits, 400 steps with a checkpoint every 20, once without a signal and once with so
many SIGKILLs and SIGTERMs, each 0 to 20 s after the start of its process. Then compares every array of the last
checkpoint, and the log. Random numbers have the seed 0.
"""

import argparse
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import jax
import numpy as np

from senet_jax.checkpoints import verify
from senet_jax.training import logs

_EVERY = 20
_FLAGS = [
    "--config.model.name=se_resnet20_cifar",
    "--config.duration=400 steps",
    f"--config.checkpoint_every={_EVERY} steps",
    "--config.eval_every=50 steps",
    "--config.data.crop_padding=1",
    "--config.optimizer.ema_decay=0.9",
]


def _start(workdir: Path) -> subprocess.Popen:
    command = [sys.executable, "launch.py", *_FLAGS, f"--workdir={workdir}"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _finish(process: subprocess.Popen) -> str:
    output, _ = process.communicate()
    if process.returncode:
        sys.exit(f"a run ended with status {process.returncode}:\n{output}")
    return output


def records(workdir: Path) -> list[dict]:
    """Returns the log of a run, without its speed."""
    timed = ("images_per_second", "seconds", "data_wait")
    return [{name: value for name, value in record.items() if name not in timed} for record in logs.read(workdir)]


def _newest_step(workdir: Path) -> int:
    return max((record["step"] for record in logs.read(workdir)), default=0)


def main() -> None:
    """Prints the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--terms", type=int, default=10)
    arguments = parser.parse_args()
    draw = random.Random(0)
    signals = [signal.SIGKILL] * arguments.kills + [signal.SIGTERM] * arguments.terms
    draw.shuffle(signals)
    with tempfile.TemporaryDirectory() as directory:
        whole, killed = Path(directory) / "whole", Path(directory) / "killed"
        _finish(_start(whole))
        ends, most_again, seconds_to_stop, before = Counter(), 0, [], 0
        for signum in signals:
            process = _start(killed)
            time.sleep(draw.uniform(0, 20))
            logged, sent = _newest_step(killed), time.perf_counter()
            process.send_signal(signum)
            output, _ = process.communicate()
            if signum == signal.SIGTERM:
                seconds_to_stop.append(time.perf_counter() - sent)
            ends[f"{signal.Signals(signum).name}, status {process.returncode}"] += 1
            if went_on := re.search(r"goes on after step (\d+)", output):
                most_again = max(most_again, before - int(went_on[1]))
            before = logged
        output = _finish(_start(killed))
        expected, given = (verify(workdir / "checkpoints/400") for workdir in (whole, killed))
        leaves = list(zip(jax.tree.leaves(expected), jax.tree.leaves(given), strict=True))
        equal = sum(bool(np.array_equal(a, b)) for a, b in leaves)
        print(*(f"{name}: {count}" for name, count in sorted(ends.items())), sep="\n")
        print(f"bit-equal arrays: {equal} of {len(leaves)}; equal logs: {records(whole) == records(killed)}")
        print(f"at most {most_again} logged steps computed again, with a checkpoint every {_EVERY}")
        if seconds_to_stop:
            print(f"seconds from SIGTERM to the end: at most {max(seconds_to_stop):.1f}")


if __name__ == "__main__":
    main()
