"""The allocator's setting, in a process of its own."""

import os
import subprocess
import sys

PROGRAM = """
import platform
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


def run(*words, environment=None):
    settings = os.environ | (environment or {})
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, check=True, env=settings).stdout


def test_memory_that_was_freed_is_used_again():
    assert run("-c", PROGRAM) == "True\n"


def test_the_environment_can_ask_for_it_from_the_beginning():
    printed = run("-m", "senet_jax.allocator").strip()
    program = PROGRAM.replace("kept = keep_memory()", 'kept = platform.libc_ver()[0] == "glibc"')
    assert run("-c", program, environment={"GLIBC_TUNABLES": printed}) == "True\n"
