import io
import sys
from types import SimpleNamespace

import pytest

from senet_jax.terminal import progress as module
from senet_jax.terminal.progress import progress, say


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still; its content is the seconds."""
    seconds = [0.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: seconds[0]))
    return seconds


def work(clock, items, seconds):
    for item in progress(range(items), items, "counting", "networks"):
        clock[0] += seconds
        yield item


def test_plain_lines_come_after_two_seconds_and_then_more_rarely(clock, capsys):
    assert list(work(clock, 20, 1.0)) == list(range(20))
    assert capsys.readouterr() == (
        "",
        "counting: 2 of 20 networks, 00:18 left\n"
        "counting: 6 of 20 networks, 00:14 left\n"
        "counting: 14 of 20 networks, 00:06 left\n",
    )


def test_short_work_is_silent(clock, capsys):
    assert len(list(work(clock, 20, 0.09))) == 20
    assert capsys.readouterr() == ("", "")


def test_a_terminal_has_a_bar_and_lines_above_it(monkeypatch, capsys):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    for item in progress("ab", 2, "counting", "networks"):
        say(f"ready: {item}")
    assert capsys.readouterr().out == "ready: a\nready: b\n"
    assert "counting:   0%|" in terminal.getvalue()
    assert "| 0/2 networks, ? left" in terminal.getvalue()
