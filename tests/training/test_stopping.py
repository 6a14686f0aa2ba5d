import os
import signal
import threading
from types import SimpleNamespace

import pytest

from senet_jax.training.stopping import StoppedError, stop_on_signals


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_is_noted_and_the_second_is_not_caught(signum):
    before = signal.getsignal(signum)
    with stop_on_signals() as stop:
        assert stop.signum is None
        os.kill(os.getpid(), signum)
        assert stop.signum == signum
        assert signal.getsignal(signum) is signal.SIG_DFL
    assert signal.getsignal(signum) is before


def test_an_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stop_on_signals() as stop:
            os.kill(os.getpid(), signal.SIGINT)
            assert stop.signum is None
    finally:
        signal.signal(signal.SIGINT, before)


def test_another_thread_notes_nothing():
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
