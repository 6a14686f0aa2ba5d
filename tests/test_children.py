import os
import subprocess
import sys
import time
from pathlib import Path

PARENT = """
import multiprocessing, os, signal, time
from senet_jax.children import serve_parent

def work():
    serve_parent()
    os.killpg(0, signal.SIGTERM)
    print("works", flush=True)
    time.sleep(60)

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: None)  # As a run that has to save first.
    child = multiprocessing.get_context("spawn").Process(target=work)
    child.start()
    child.join()
"""


def test_a_child_outlives_a_signal_to_all_but_not_its_parent(tmp_path):
    (tmp_path / "parent.py").write_text(PARENT)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    parent = subprocess.Popen([sys.executable, tmp_path / "parent.py"], stdout=subprocess.PIPE, env=environment,
                              start_new_session=True)  # fmt: skip
    assert parent.stdout is not None
    with parent.stdout as output:
        assert output.readline() == b"works\n"
        parent.kill()
        killed = time.monotonic()
        assert output.read() == b""  # The child had the other end of the pipe.
    parent.wait()
    assert time.monotonic() - killed < 10
