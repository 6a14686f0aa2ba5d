import subprocess
import sys

BAR = "import multiprocessing.resource_tracker as tracker\nfrom senet_jax.terminal.bars import tqdm\nlist(tqdm([1]))\n"


def test_a_bar_makes_no_semaphore_that_a_signal_would_leave():
    command = [sys.executable, "-c", BAR + "print(tracker._resource_tracker._pid)"]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout == "None\n"
