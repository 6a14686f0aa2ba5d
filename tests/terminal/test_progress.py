import io
import queue
import re
import sys

import pytest

from senet_jax.terminal import progress as module
from senet_jax.terminal.progress import progress, say, working


@pytest.fixture
def comes(monkeypatch):
    """Waits for a line that matches a pattern and returns it; lines come a thousand times as fast here."""
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    monkeypatch.setattr(module, "_write", lines.put)
    monkeypatch.setattr(module, "_FIRST", 0.002)
    monkeypatch.setattr(module, "_LONGEST", 0.004)

    def wait(pattern):
        while not re.fullmatch(pattern, line := lines.get(timeout=60)):
            pass
        return line

    return wait


def test_plain_lines_count_items_of_any_size(comes):
    for item in progress([3, 5], 10, "writing", "images", done=2, size=int):
        assert comes(r"writing: 5 of 10 images, \d\d:\d\d left" if item == 5 else "writing: 2 of 10 images")


def test_work_without_items_says_how_long_it_takes_and_the_innermost_alone_does(comes):
    with working("preparing"):
        assert comes(r"preparing: \d+ s so far")
        with working("loading the network"):
            comes(r"loading the network: \d+ s so far")
            assert [comes(".*").partition(":")[0] for _ in range(3)] == ["loading the network"] * 3
        assert comes(r"preparing: \d+ s so far")


def test_short_work_is_silent_and_leaves_no_thread(capsys):
    assert list(progress(range(20), 20, "counting", "networks")) == list(range(20))
    with working("counting"):
        pass
    assert capsys.readouterr() == ("", "")
    assert module._running == []


def test_a_terminal_has_a_bar_and_lines_above_it(monkeypatch, capsys):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    for item in progress("ab", 2, "counting", "networks"):
        say(f"ready: {item}")
    assert capsys.readouterr().out == "ready: a\nready: b\n"
    assert "counting:   0%|" in terminal.getvalue()
    assert "| 0/2 networks, ? left" in terminal.getvalue()
