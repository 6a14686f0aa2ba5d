"""Preparation and run of a command, and the messages of its errors."""

import errno
import importlib
import os
import re
import signal
import subprocess
import sys
import types
from pathlib import Path

import pytest
from processes import run_python

from senet_jax.commands.command_line import main, parse
from senet_jax.training.stopping import handled_by

REPOSITORY = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.usefixtures("directory")


@pytest.fixture
def command(monkeypatch):
    """Stands for the module of `eval`; a test may replace its `prepare`."""
    file = importlib.import_module("senet_jax.commands.eval").__file__  # The flags' meanings are read from it.
    module = types.SimpleNamespace(__file__=file, prepared=[], runs=0)

    def run():
        module.runs += 1

    def prepare(request):
        module.prepared.append(request)
        return run

    module.prepare = prepare
    monkeypatch.setitem(sys.modules, "senet_jax.commands.eval", module)
    return module


def test_main_prepares_a_command_and_runs_it(command):
    main(["eval", "--workdir=runs/good"])
    assert command.prepared == [parse(["eval", "--workdir=runs/good"])]
    assert command.runs == 1


@pytest.mark.parametrize("kind", [ValueError, FileNotFoundError])
def test_errors_of_prepare_are_one_line(command, capsys, kind):
    def prepare(request):
        raise kind("no such network\nat all")

    command.prepare = prepare
    with pytest.raises(SystemExit) as raised:
        main(["eval", "--workdir=runs/good"])
    assert raised.value.code == 2
    assert capsys.readouterr().err == "launch.py: error: no such network at all\n"


def test_a_full_disk_while_a_command_runs_is_one_line(command):
    def run():
        raise OSError(errno.ENOSPC, "No space left on device", "report/table.csv")

    command.prepare = lambda request: run
    with pytest.raises(SystemExit) as raised:
        main(["eval", "--workdir=runs/good"])
    assert raised.value.code == "launch.py: error: [Errno 28] No space left on device: 'report/table.csv'"


@pytest.mark.parametrize("part", ["prepare", "run"])
def test_ctrl_c_ends_a_command_in_one_line(command, part, capsys):
    def interrupted(*_):
        signal.raise_signal(signal.SIGINT)

    command.prepare = interrupted if part == "prepare" else lambda request: interrupted
    with pytest.raises(SystemExit) as raised, handled_by(signal.default_int_handler, [signal.SIGINT]):
        main(["eval", "--workdir=runs/good"])
    assert (raised.value.code, capsys.readouterr().err) == (130, "\nlaunch.py: stopped\n")


WAITING = """
import importlib, os, signal, threading
from types import SimpleNamespace
from senet_jax.commands.command_line import main

signal.signal(signal.SIGINT, signal.default_int_handler)  # A process that was started in the background ignores it.

def run():
    threading.Thread(target=threading.Event().wait).start()
    threading.Timer(1, os.kill, [os.getpid(), signal.SIGINT]).start()
    signal.raise_signal(signal.SIGINT)

importlib.import_module = lambda name: SimpleNamespace(prepare=lambda request: run)
main(["list"])
"""
"""Is interrupted, and a second time while it waits for a thread at its exit."""


def test_a_second_ctrl_c_ends_it_at_once_and_silently():
    done = run_python(WAITING)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "\n-c: stopped\n")


@pytest.mark.parametrize(
    ("called", "name"),
    [
        ("/usr/bin/senet-jax", "senet-jax"),
        ("/site-packages/senet_jax/__main__.py", "python -m senet_jax"),
        ("code/launch.py", "launch.py"),
    ],
)
def test_messages_name_the_program_that_was_called(called, name, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [called])
    with pytest.raises(SystemExit):
        main(["trian"])
    assert capsys.readouterr().err.startswith(f"{name}: error: unknown command 'trian'")
    main(["--help"])
    assert capsys.readouterr().out.startswith(f"usage: {name} [train|")


@pytest.mark.parametrize(
    ("missing", "raised"), [("grain", SystemExit), ("senet_jax.absent", ModuleNotFoundError), (None, ImportError)]
)
def test_a_library_that_is_not_installed_is_named(missing, raised, monkeypatch, capsys):
    def fail(name):
        raise ModuleNotFoundError("absent", name=missing)

    monkeypatch.setattr(importlib, "import_module", fail)
    with pytest.raises(raised):
        main(["list"])
    message = "list needs grain, which is not installed; pip install '.[train]' in the checkout installs the"
    assert (message in capsys.readouterr().err) == (missing == "grain")


def test_a_library_that_is_imported_late_is_named_too(command, capsys):
    def run():
        raise ModuleNotFoundError("absent", name="matplotlib")

    command.prepare = lambda request: run
    with pytest.raises(SystemExit):
        main(["eval", "--workdir=runs/good"])
    assert "eval needs matplotlib, which is not installed" in capsys.readouterr().err


def test_errors_after_prepare_are_not_hidden(command):
    def run():
        raise ValueError("a fault")

    command.prepare = lambda request: run
    with pytest.raises(ValueError, match="a fault"):
        main(["eval", "--workdir=runs/good"])


def test_a_closed_pipe_is_not_an_error():
    reading, writing = os.pipe()
    os.close(reading)
    program = [sys.executable, str(REPOSITORY / "launch.py"), "--help"]
    done = subprocess.run(program, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


ALONE = """
import sys

for name in ("PIL", "cv2", "grain", "matplotlib", "safetensors", "simplejpeg", "tensorflow_datasets", "tqdm", "xxhash"):
    sys.modules[name] = None  # An import of it fails.
from senet_jax import *
from senet_jax.commands.command_line import main

SqueezeExcite(), load
main(["list"])
main(["cost", "--model=se_resnet20_cifar"])
"""


def test_the_modules_alone_have_all_names_help_and_list():
    run = run_python(ALONE)
    assert "se_resnet50" in run.stdout
    assert re.search(r"error: cost needs \w+, which is not installed; pip install '.\[train\]'", run.stderr), run.stderr
