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
    assert ended.stderr.startswith("error: no progress for 0.2 seconds; the stacks of all threads:\n")
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


STOPPED = """
import os, signal, subprocess, time
from senet_jax.training.watchdog import watched

with watched(1):
    time.sleep(0.2)
    subprocess.Popen(["sh", "-c", f"sleep 2; kill -CONT {os.getpid()}"])
    os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(0.2)
print("goes on")
"""


def test_the_time_in_which_a_process_is_stopped_does_not_count():
    ended = run_python(STOPPED)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "goes on\n", "")
