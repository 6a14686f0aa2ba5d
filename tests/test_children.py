import os
import subprocess
import sys
import time
from pathlib import Path

PARENT = """
import multiprocessing, time
from senet_jax.children import end_with_parent

def work():
    end_with_parent()
    print("works", flush=True)
    time.sleep(60)

if __name__ == "__main__":
    child = multiprocessing.get_context("spawn").Process(target=work)
    child.start()
    child.join()
"""


def test_a_child_ends_when_its_parent_is_killed(tmp_path):
    (tmp_path / "parent.py").write_text(PARENT)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    parent = subprocess.Popen([sys.executable, tmp_path / "parent.py"], stdout=subprocess.PIPE, env=environment)
    assert parent.stdout is not None
    with parent.stdout as output:
        assert output.readline() == b"works\n"
        parent.kill()
        killed = time.monotonic()
        assert output.read() == b""  # The child had the other end of the pipe.
    parent.wait()
    assert time.monotonic() - killed < 10
