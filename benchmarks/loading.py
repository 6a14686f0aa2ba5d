"""Measures the loading of a trained network and its first predictions: `python -m benchmarks.loading IMAGE SOURCE...`.

Each turn is a new process for each source, one after another; none finds compiled programs of another. Printed and,
with --output=FILE.csv, written are the least seconds of the wall clock over the turns and the median CPU seconds of all
threads, for `import senet_jax`, `load(SOURCE)`, which imports the rest, the first `predict([IMAGE])`, which compiles,
and the second. On a busy machine the CPU seconds are the better figures.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

from senet_jax.bench import report
from senet_jax.training.provenance import provenance

_STEPS = ("import", "load", "first", "second")
_TURN = """
import json, sys, time
def now():
    return time.perf_counter(), time.process_time()
times = [now()]
import senet_jax
times.append(now())
loaded = senet_jax.load(sys.argv[1])
times.append(now())
for _ in range(2):
    loaded.predict([sys.argv[2]])
    times.append(now())
spent = [[b - a for a, b in zip(*pair)] for pair in zip(times, times[1:])]
print(json.dumps({"network": loaded.config.name, "image_size": loaded.preprocessing.image_size, "spent": spent}))
"""


def _measure(source: str, image: str) -> dict:
    command = [sys.executable, "-W", "ignore", "-c", _TURN, source, image]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def main() -> None:
    """Measures the sources in turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image")
    parser.add_argument("sources", nargs="+")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    turns = [[_measure(source, given.image) for source in given.sources] for _ in range(given.turns)]
    rows = []
    for source, measured in zip(given.sources, zip(*turns, strict=True), strict=True):
        row = {"source": source, "network": measured[0]["network"], "image_size": measured[0]["image_size"]}
        for step, name in enumerate(_STEPS):
            wall, cpu = zip(*(each["spent"][step] for each in measured), strict=True)
            row |= {f"{name}_seconds": round(min(wall), 3), f"{name}_cpu_seconds": round(statistics.median(cpu), 3)}
        rows.append(row | {"turns": given.turns})
        print(*(f"{name} {value}" for name, value in rows[-1].items()), sep=", ")
    if given.output:
        report.write(given.output, rows, provenance())


if __name__ == "__main__":
    main()
