import os
import queue
import signal
import threading
from types import SimpleNamespace

import pytest

from senet_jax.training import stopping
from senet_jax.training.stopping import StoppedError, ended_at_once, handled_by, stop_on_signals


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("before", [signal.SIG_DFL, signal.default_int_handler])
def test_the_first_signal_is_noted_and_the_second_is_not_caught(signum, before):
    with handled_by(before, [signum]):  # A process that was started in the background ignores SIGINT.
        with stop_on_signals() as stop:
            assert stop.signum is None
            os.kill(os.getpid(), signum)
            assert stop.signum == signum
            assert signal.getsignal(signum) is signal.SIG_DFL
        assert signal.getsignal(signum) is before


def test_a_run_of_a_sweep_saves_after_a_second_signal(monkeypatch):
    monkeypatch.setattr(stopping.multiprocessing, "parent_process", lambda: "the sweep")
    with handled_by(signal.SIG_DFL, [signal.SIGTERM]), stop_on_signals() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.signum == signal.SIGTERM


def test_an_ignored_signal_stays_ignored():
    with handled_by(signal.SIG_IGN, [signal.SIGINT]), stop_on_signals() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.signum is None


def test_nothing_is_waited_for_if_nothing_is_to_be_saved(monkeypatch, capsys):
    ended = queue.SimpleQueue()
    monkeypatch.setattr(stopping.os, "_exit", ended.put)
    with stop_on_signals() as stop, ended_at_once(40):
        assert ended.empty()
        os.kill(os.getpid(), signal.SIGTERM)
        assert ended.get(timeout=5) == 143
    assert capsys.readouterr().out == "\nstopped by SIGTERM after step 40; the same command goes on\n"
    assert stop.signum == signal.SIGTERM
    with stop_on_signals() as stop:
        with ended_at_once(0):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.signum == signal.SIGTERM
    assert ended.empty()


def test_signals_are_not_noted_outside_the_main_thread():
    found = SimpleNamespace()

    def run():
        before = signal.getsignal(signal.SIGTERM)
        with stop_on_signals() as stop:
            found.same = signal.getsignal(signal.SIGTERM) is before
            found.signum = stop.signum

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == SimpleNamespace(same=True, signum=None)


def test_the_exit_status_is_the_shells():
    error = StoppedError(signal.SIGTERM, 40)
    assert (str(error), error.status) == ("stopped by SIGTERM after step 40", 143)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_several_processes_stop_after_the_step_that_they_agree_on(signum, monkeypatch):
    monkeypatch.setattr(stopping.multihost_utils, "reached_preemption_sync_point", lambda step: step == 7)
    taken = []
    with (
        handled_by(lambda number, frame: taken.append(number), [signal.SIGTERM]),  # As jax.distributed takes it.
        handled_by(signal.default_int_handler, [signal.SIGINT]),
        stop_on_signals(together=True) as stop,
    ):
        os.kill(os.getpid(), signum)
        assert taken == [signal.SIGTERM]
        assert [stop.after(step) for step in (5, 6, 7)] == [False, False, True]
        assert stop.signum == signum
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
