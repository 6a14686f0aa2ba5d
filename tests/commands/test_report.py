"""`launch.py report`: a sweep and a run as tables, pictures and a page, which a browser shows."""

import json
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from senet_jax.commands.command_line import main
from senet_jax.config import DataConfig, Experiment, ModelConfig
from senet_jax.files import read_table
from senet_jax.schema import to_dict

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--headless --no-sandbox --disable-gpu --hide-scrollbars --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --window-size=1000,2400"
)


def write_run(directory, *, ratio=None, seed=0, accuracy=0.9, ended=True):
    directory.mkdir(parents=True)
    config = Experiment(ModelConfig("se_resnet20_cifar", ratio=ratio), DataConfig(data_dir="data"), seed=seed)
    (directory / "config.json").write_text(json.dumps(to_dict(config)))
    records = [
        {"split": split, "step": step, "epoch": step / 10, "loss": 3 / step, "accuracy": accuracy * step / 20} | more
        for step in (10, 20)
        for split, more in (("train", {"seconds": 6.0}), ("test", {}))
    ]
    (directory / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    result = {"seed": seed, "steps": 20, "classes": 10, "accuracy": accuracy, "loss": 0.3, "seconds": 12.0}
    result |= {"commit": "abc<def", "hardware": "2 CPU cores", "command": "python launch.py sweep", "finished": "today"}
    if ended:
        (directory / "result.json").write_text(json.dumps(result))


@pytest.fixture
def sweep(tmp_path):
    """A workdir with a sweep of two variants and two seeds; one of the four runs is unfinished."""
    variants = {}
    for ratio, accuracies in ((4, (0.90, 0.92)), (16, (0.95, 0.97))):
        for seed, accuracy in enumerate(accuracies):
            name = f"ratio={ratio}/seed={seed}"
            changes = {"model.ratio": ratio, "seed": seed}
            group = {"group": f"ratio={ratio}", "baseline": "ratio=4", "changes": changes}
            variants[name] = group | {"parameters": 7, "multiply_adds": 9}
            write_run(tmp_path / name, ratio=ratio, seed=seed, accuracy=accuracy, ended=accuracy < 0.97)
    content = {"name": "ratios & more", "variants": variants}
    (tmp_path / "sweep.json").write_text(json.dumps(content))
    return tmp_path


def test_a_sweep(sweep, capsys):
    main(["report", f"--workdir={sweep}"])
    output = sweep / "report"
    printed = capsys.readouterr().out
    assert "ratio=4       91.00 ± 1.41      2    baseline" in printed
    assert "3 of 4 runs have ended, 1 started; tables" in printed
    rows = read_table(output / "table.csv")
    assert [(row["variant"], row["seeds"], row["difference"]) for row in rows] == [
        ("ratio=4", "2", "baseline"),
        ("ratio=16", "1", "+5.00"),
    ]
    assert "| ratio=4 | 91.00 ± 1.41 | 2 | baseline | 7 |" in (output / "table.md").read_text()
    assert r"ratio=4 & 91.00 $\pm$ 1.41 & 2 & baseline & 7 &" in (output / "table.tex").read_text()
    runs = read_table(output / "runs.csv")
    assert [(row["variant"], row["seed"], row["commit"]) for row in runs] == [
        ("ratio=4", "0", "abc<def"),
        ("ratio=4", "1", "abc<def"),
        ("ratio=16", "0", "abc<def"),
    ]
    assert {path.name for path in output.glob("*.png")} == {"accuracy.png", "parameters.png", "training.png"}


@pytest.mark.slow
@pytest.mark.parametrize("other", [(10, "test"), (20, "test[:50]"), (20, "test of other data")])
def test_gates_over_the_seeds_of_runs_that_were_analyzed(other, sweep, capsys):
    columns = "block,channels,mean,between_classes,step,split\n"
    for run, mean, step, split in (
        ("ratio=4/seed=0", 0.5, 20, "test"),
        ("ratio=4/seed=1", 0.7, 20, "test"),
        ("ratio=16/seed=0", 0.6, *other),
    ):
        folder = sweep / run / "excitations"
        folder.mkdir()
        (folder / "blocks.csv").write_text(f"{columns}stage2_block1,16,{mean},nan,{step},{split}\n")
    main(["report", f"--workdir={sweep}"])
    said = f"the gates of {sweep}/ratio=16/seed=0 do not say that they are of the last step"
    assert said in capsys.readouterr().out
    rows = read_table(sweep / "report/gates.csv")
    assert [(row["variant"], row["seed"], row["mean"]) for row in rows] == [
        ("ratio=4", "0", "0.5"),
        ("ratio=4", "1", "0.7"),
    ]
    assert not (sweep / "report/mean_gates.csv").exists()
    page = (sweep / "report/report.html").read_text()
    assert "<td>ratio=4</td><td>stage2_block1</td><td>2</td><td>0.600 ± 0.141</td><td></td>" in page


def test_a_run(tmp_path, capsys):
    write_run(tmp_path / "one")
    main(["report", f"--workdir={tmp_path / 'one'}", f"--output={tmp_path / 'new' / 'page'}"])
    assert "se_resnet20_cifar 90.00 1 274,559 0.002535" in " ".join(capsys.readouterr().out.split())
    assert {path.name for path in (tmp_path / "new/page").glob("*.png")} == {"training.png"}


def test_nothing_is_left_of_another_report_and_a_run_can_lack_its_records(sweep, capsys):
    (sweep / "ratio=16/seed=0/metrics.jsonl").unlink()
    output = f"--output={sweep / 'page'}"
    main(["report", f"--workdir={sweep}", output])
    (sweep / "page/gates.csv").touch()
    main(["report", f"--workdir={sweep}/ratio=4/seed=0", output])
    assert {path.name for path in (sweep / "page").glob("*.png")} == {"training.png"}
    assert not (sweep / "page/gates.csv").exists()


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
def test_the_page_in_a_browser(sweep, tmp_path):
    main(["report", f"--workdir={sweep}"])
    shutil.copy(sweep / "report/report.html", tmp_path / "alone.html")  # Beside it nothing that it could need.

    def browser(*words):
        command = [CHROMIUM, *FLAGS.split(), f"--user-data-dir={tmp_path / 'profile'}", *words]
        page = (tmp_path / "alone.html").as_uri()
        return subprocess.run([*command, page], capture_output=True, text=True, check=True, timeout=120).stdout

    shown = browser("--dump-dom")
    assert "<title>ratios &amp; more</title>" in shown
    assert '<tr class="baseline"><td>ratio=4</td><td>91.00 ± 1.41</td>' in shown
    assert "<td>ratio=16/seed=1</td><td>started</td>" in shown
    assert "Commit abc&lt;def; 2 CPU cores." in shown
    browser(f"--screenshot={tmp_path / 'page.png'}")
    pixels = np.asarray(Image.open(tmp_path / "page.png").convert("RGB")).astype(int)
    assert pixels.shape == (2400, 1000, 3)
    orange = (abs(pixels - (255, 127, 14)).sum(-1) < 30).sum(1)  # Of the pictures' points and lines.
    assert (orange > 0).sum() > 100
    assert (pixels[:, -8:] == 255).all()  # Nothing is wider than the page.


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "report needs --workdir=DIRECTORY, the directory of a sweep or of a training run"),
        ("--workdir=nowhere", "--workdir is 'nowhere', without a config.json; it must be that of a sweep or of a tr"),
        ("--workdir=new", "0 of 1 runs have ended, 1 started in --workdir=new; the command that began them goes on"),
        ("--workdir=new --output=file", "--output is 'file', which is a file; give a directory"),
        (
            "--workdir=damaged",
            "damaged/sweep.json does not hold the variants of a sweep; the same sweep command writes",
        ),
        ("--workdir=logged", "line 1 of logged/metrics.jsonl is damaged"),
        ("--workdir=new --config.seed=1", "report takes --workdir, --output; --config and --config.FIELD are for"),
    ],
)
def test_invalid_workdirs_are_refused(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "new", ended=False)
    write_run(tmp_path / "logged")
    (tmp_path / "logged" / "metrics.jsonl").write_text("{bad\n{}\n")
    (tmp_path / "file").touch()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "sweep.json").write_text('{"name": "x"}')
    with pytest.raises(SystemExit) as raised:
        main(["report", *words.split()])
    assert raised.value.code == 2
    assert message in capsys.readouterr().err
