"""Writes the tables of README.md and docs/ from the CSV files in experiments/results/.

    python -m benchmarks.readme [--check]

A page shows a table between `<!-- NAME -->` and `<!-- end -->`. With --check nothing is written, and the exit status
is 1 if a table differs.
"""

import argparse
import itertools
import re
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from scipy import stats

from benchmarks import claims
from senet_jax.analysis import comparison, excitation_runs
from senet_jax.analysis.published import networks_table
from senet_jax.files import read_table

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "experiments/results"
Rows = Sequence[dict[str, str]]


def pages() -> list[Path]:
    """Returns the pages that can have tables."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def tables() -> dict[str, str]:
    """Returns each table as Markdown by its name, which is that of its CSV file unless `_FILES` has another."""
    return {name: table(read(_FILES.get(name, name))) for name, table in _TABLES.items()}


def read(name: str) -> Rows:
    """Reads the rows of a CSV file of results."""
    return read_table(RESULTS / f"{name}.csv")


def filled(text: str, tables: dict[str, str]) -> str:
    """Returns the text of a page with its tables replaced."""
    return re.sub(
        rf"<!-- ({'|'.join(tables)}) -->\n.*?<!-- end -->",
        lambda match: f"<!-- {match[1]} -->\n\n{tables[match[1]]}\n\n<!-- end -->",
        text,
        flags=re.DOTALL,
    )


def _digits(rows: Rows) -> str:
    """Returns one row, with mean and std over seeds."""
    accuracies = [100 * float(row["accuracy"]) for row in rows]
    seconds = statistics.fmean(float(row["seconds"]) for row in rows)
    cells = {
        "experiment": "digits",
        "test accuracy": f"{statistics.mean(accuracies):.2f} ± {statistics.stdev(accuracies):.2f} %",
        "seeds": str(len(rows)),
        "parameters": f"{int(rows[0]['parameters']):,}",
        "training": f"{seconds:.0f} s",
        "hardware": rows[0]["hardware"],
        "commit": rows[0]["commit"][:7],
    }
    return comparison.markdown([cells])


_TASKS = {
    "SE-ResNet-50, training, 16 images": ("training", "16", "timm/seresnet50", "timm/resnet50"),
    "SE-ResNeXt-50, training, 16 images": ("training", "16", "timm/seresnext50_32x4d", "timm/resnext50_32x4d"),
    "SE-ResNet-20, training, 128 images": ("training", "128", "se_resnet20_cifar", "resnet20_cifar"),
    "SE-ResNet-50, inference, 16 images": ("inference", "16", "timm/seresnet50", "timm/resnet50"),
    "SE-ResNet-50, inference, 1 image": ("inference", "1", "timm/seresnet50", "timm/resnet50"),
}


def _speed(rows: Rows) -> str:
    """Returns a row for each contestant of each task; images per second and memory are with SE / without."""
    measured = {(row["mode"], row["batch_size"], row["network"], row["contestant"]): row for row in rows}

    def both(pair: Rows, field: str, form: str) -> str:
        return " / ".join(format(float(row[field]), form) for row in pair if row[field])

    table = []
    for title, (mode, batch_size, *networks) in _TASKS.items():
        for contestant in dict.fromkeys(row["contestant"] for row in rows):
            keys = [(mode, batch_size, network, contestant) for network in networks]
            pair = [measured[key] for key in keys if key in measured]
            if not pair:
                continue
            rounds = [map(float, row["rounds"].split()) for row in pair]
            taxes = [100 * (plain / se - 1) for se, plain in zip(*rounds, strict=True)]
            table.append(
                {
                    "task": title,
                    "contestant": contestant,
                    "images/s": both(pair, "images_per_second", ".4g"),
                    "SE adds": f"{statistics.median(taxes):+.1f} %",
                    "CPU s a step": both(pair, "cpu_seconds_per_step", ".3g"),
                    "compiled GiB": both(pair, "compiled_memory_gib", ".2f"),
                    "process GiB": both(pair, "peak_memory_gib", ".2f"),
                }
            )
    return comparison.markdown(table)


def _accelerator_bytes(rows: Rows) -> str:
    """Returns a row for each contestant on a topology, whose ResNet-50 comes before its SE-ResNet-50 in the file."""
    table = []
    for plain, se in zip(rows[::2], rows[1::2], strict=True):
        row = {"topology": se["topology"], "contestant": se["contestant"]}
        for field, title in (("gb_accessed", "GB accessed"), ("peak_gb", "GB at its peak")):
            with_se, without = float(se[field]), float(plain[field])
            row |= {title: f"{with_se:.2f} / {without:.2f}, {100 * (with_se / without - 1):+.1f} %"}
        table.append(row)
    return comparison.markdown(table)


def _exports(rows: Rows) -> str:
    """Returns the largest difference to JAX in each format, for a network of each family, and the number of others."""
    formats = {"StableHLO": "stablehlo", "ONNX": "onnx", "TFLite": "tflite"}
    found = {(row["network"], row["format"]): row["difference"] or row["fault"] for row in rows}
    networks = dict.fromkeys(network for (network, _), text in found.items() if text)
    table = [{"network": name} | {title: found[name, form] for title, form in formats.items()} for name in networks]
    others = {"network": f"{list(found.values()).count('')} others", "StableHLO": "lowered"}
    return comparison.markdown([*table, others | {"ONNX": "", "TFLite": ""}])


def _loading(rows: Rows) -> str:
    """Returns the seconds of each source, by the clock and of the CPU."""
    steps = {"load": "load, s (CPU)", "first": "first prediction, s (CPU)", "second": "second, s (CPU)"}

    def times(row: dict[str, str], step: str) -> str:
        return f"{float(row[f'{step}_seconds']):.2f} ({float(row[f'{step}_cpu_seconds']):.2f})"

    return comparison.markdown(
        [{"source": row["source"]} | {title: times(row, step) for step, title in steps.items()} for row in rows]
    )


def _report(rows: Rows) -> str:
    """Returns the table of a report."""
    return comparison.markdown(comparison.cells(comparison.summarise(comparison.runs_of(rows))))


def _pair(rows: Rows) -> str:
    """Returns the table of a report with the plain network and SE alone."""
    return _report([row for row in rows if row["variant"] in ("no SE", "SE")])


def _pairs() -> list[comparison.Run]:
    """Returns the runs of se_against_plain.py."""
    return comparison.runs_of(read("se_against_plain"))


def _peer_training(rows: Rows) -> str:
    """Returns a row for each network: accuracy of our runs, of the peer's, and the difference of their means."""
    table, pairs = [], _pairs()
    for name in dict.fromkeys(row["network"] for row in rows):
        ours = [run.results["accuracy"] for run in pairs if run.variant == name]
        peers = [float(row["accuracy"]) for row in rows if row["network"] == name]
        low, high = stats.ttest_ind(ours, peers, equal_var=False).confidence_interval(comparison.CONFIDENCE)
        titles = f"senet_jax, {len(ours)} seeds", f"timm and PyTorch, {len(peers)} seeds"
        table.append(
            {"network": name}
            | {
                title: f"{100 * statistics.mean(own):.2f} ± {100 * statistics.stdev(own):.2f} %"
                for title, own in zip(titles, (ours, peers), strict=True)
            }
            | {"difference": f"{100 * (statistics.mean(ours) - statistics.mean(peers)):+.2f}"}
            | {"95 % interval": f"{100 * low:+.2f} to {100 * high:+.2f}"}
        )
    return comparison.markdown(table)


def _gates(rows: Rows) -> str:
    """Returns a row for each block, or group of blocks, over seeds."""
    return comparison.markdown([cells for cells in excitation_runs.cells(rows) if cells.pop("variant")])


def _claims(gates: Rows) -> str:
    """Returns a row for each claim of the paper about gates."""
    found = claims.claims(gates, read("mean_gates"), _pairs())
    return comparison.markdown(claims.decide(found, planned=5))


_FAULTS = ("fault", "tries", "survived", "lost", "seconds_to_recover", "seen")


def _faults(rows: Rows) -> str:
    """Returns a row for each fault of the campaign."""
    return comparison.markdown([{name.replace("_", " "): row[name] for name in _FAULTS} for row in rows])


def _input(rows: Rows) -> str:
    """Returns a row for each way to read training images."""
    kind, *rates = itertools.takewhile(lambda name: name != "commit", rows[0])
    return comparison.markdown(
        [{kind: row[kind]} | {name: f"{float(row[name]):,.0f}" if row[name] else "" for name in rates} for row in rows]
    )


_FILES = {"claims": "gates", "pair": "se_against_plain"}
_TABLES: dict[str, Callable[[Rows], str]] = {
    "digits": _digits,
    "faults": _faults,
    "exports": _exports,
    "loading": _loading,
    "input": _input,
    "networks": networks_table,
    "parity": comparison.markdown,
    "speed": _speed,
    "accelerator_bytes": _accelerator_bytes,
    "se_against_plain": _report,
    "pair": _pair,
    "insert_se": _report,
    "depths_trial": _report,
    "peer_training": _peer_training,
    "gates": _gates,
    "mean_gates": _gates,
    "claims": _claims,
}


def main(argv: Sequence[str] | None = None) -> None:
    """Writes the tables that differ, or names their pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    check, made = parser.parse_args(argv).check, tables()
    texts = {page: page.read_text(encoding="utf-8") for page in pages()}
    stale = {page: new for page, text in texts.items() if (new := filled(text, made)) != text}
    if check and stale:
        names = ", ".join(str(page.relative_to(ROOT)) for page in stale)
        sys.exit(f"tables differ from experiments/results in {names}; run python -m benchmarks.readme")
    for page, text in stale.items():
        page.write_text(text, encoding="utf-8")
        print(f"written: {page.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
