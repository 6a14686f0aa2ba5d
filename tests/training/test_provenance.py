import os
import shlex
import subprocess
import sys
from types import SimpleNamespace

import pytest

from senet_jax.runs import run
from senet_jax.training import provenance


@pytest.fixture
def git(tmp_path):
    """Calls git in a new repository with one commit."""

    def git(*words):
        command = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=b", *words]
        own = os.environ | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        return subprocess.run(command, env=own, check=True, capture_output=True, text=True).stdout.strip()

    git("init")
    git("commit", "--allow-empty", "--message=first")
    return git


def test_the_commit_is_that_of_the_start(git, tmp_path, monkeypatch):
    file = tmp_path / "provenance.py"
    file.touch()
    git("add", ".")
    git("commit", "--message=second")
    monkeypatch.setattr(provenance, "__file__", str(file))
    second = git("rev-parse", "HEAD")
    assert provenance.commit() == second
    file.write_text("changed")
    git("commit", "--all", "--message=third")
    assert provenance.provenance()["commit"] == second


@pytest.mark.parametrize(("name", "mark"), [("provenance.py", "+"), ("nohup.out", "")])
def test_files_of_the_commit_that_have_changed_mark_it(name, mark, git, tmp_path, monkeypatch):
    file = tmp_path / "provenance.py"
    file.touch()
    git("add", ".")
    git("commit", "--message=second")
    (tmp_path / name).write_text("changed")
    monkeypatch.setattr(provenance, "__file__", str(file))
    assert provenance.commit() == git("rev-parse", "HEAD") + mark


def test_a_run_takes_the_commit_before_it_trains(monkeypatch, tmp_path, unchecked_types):
    taken = []
    monkeypatch.setattr(run, "commit", lambda: taken.append(True))
    monkeypatch.setattr(run.runs, "check_data", lambda *_: pytest.fail("not yet") if not taken else sys.exit("enough"))
    dataset = SimpleNamespace(train=(), class_names=(), fingerprint="")
    with pytest.raises(SystemExit, match="enough"):
        run.run(SimpleNamespace(config=None, dataset=dataset), tmp_path)


def test_a_package_in_the_checkout_of_another_project_does_not_name_its_commit(git, tmp_path, monkeypatch):
    package = tmp_path / "site-packages" / "provenance.py"
    package.parent.mkdir()
    package.touch()
    monkeypatch.setattr(provenance, "__file__", str(package))
    assert provenance.provenance()["commit"] == "unknown"


@pytest.mark.parametrize(
    ("words", "begins"),
    [
        (["/venv/bin/senet-jax"], ["senet-jax"]),
        (["/a checkout/launch.py"], ["python", "launch.py"]),
        (["launch.py"], ["python", "launch.py"]),
        (["-m", "senet_jax"], ["python", "-m", "senet_jax"]),
        (["-m", "benchmarks.accelerator_bytes"], ["python", "-m", "benchmarks.accelerator_bytes"]),
    ],
)
def test_the_recorded_command_can_be_pasted(words, begins, monkeypatch):
    flags = [
        "sweep",
        "--config=own.py:large",
        "--config.duration=4 epochs",
        "--config.optimizer.decay_at=('1 epochs',)",
    ]
    monkeypatch.setattr(sys, "orig_argv", ["/venv/bin/python3.11", *words, *flags])
    assert shlex.split(provenance.provenance()["command"]) == [*begins, *flags]


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("flags\t\t: fpu avx avx2 avx512f\nmodel name\t: AMD EPYC\n", "AMD EPYC, AVX-512"),
        ("model name\t: Intel Atom\nflags\t\t: fpu\n", "Intel Atom"),
        ("Features\t: asimd\n", "aarch64"),
    ],
)
def test_the_processor_has_its_name_and_widest_vectors(told, expected, monkeypatch):
    monkeypatch.setattr(provenance.Path, "read_text", lambda _, **__: told)
    monkeypatch.setattr(provenance.platform, "machine", lambda: "aarch64")
    assert provenance._processor() == expected
