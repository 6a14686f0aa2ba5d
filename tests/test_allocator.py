"""The allocator's setting, in a process of its own."""

import subprocess
import sys

PROGRAM = """
import resource
import numpy as np
from senet_jax.allocator import keep_memory

kept = keep_memory()
np.ones(1 << 23)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    np.ones(1 << 23)
faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(kept == (faults < 1000))
"""


def test_memory_that_was_freed_is_used_again():
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert run.stdout == "True\n"
