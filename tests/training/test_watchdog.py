import time

from processes import run_python

from senet_jax.training.watchdog import watched

HANGS = """
import threading, time
from senet_jax.training.watchdog import watched

def a_worker_that_hangs():
    time.sleep(60)

threading.Thread(target=a_worker_that_hangs, daemon=True).start()
with watched(0.2):
    time.sleep(60)
"""


def test_a_process_that_hangs_ends_with_all_stacks():
    ended = run_python(HANGS)
    assert ended.returncode == 1
    assert ended.stderr.startswith("Timeout (0:00:00.2")
    assert "a_worker_that_hangs" in ended.stderr


def test_work_that_ends_in_time_is_not_ended():
    with watched(0.1):
        pass
    time.sleep(0.2)
    with watched(None):
        pass


def test_progress_restarts_the_time():
    works = "import time\nfrom senet_jax.training.watchdog import watched\nwith watched(0.5) as gets_on:\n"
    works += "    for _ in range(4):\n        time.sleep(0.25)\n        gets_on()\n"
    ended = run_python(works)
    assert (ended.returncode, ended.stderr) == (0, "")
