"""The allocator's setting, in a process of its own."""

import os
import platform
import subprocess
import sys

import pytest

PROGRAM = """
import platform, resource, sys
import numpy as np
from senet_jax import allocator

allocator.restart()
np.ones(1 << 23)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    np.ones(1 << 23)
faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults < 1000, platform.libc_ver()[0] == "glibc", sys.argv[1:], sys.flags.utf8_mode)
"""


TRIM = """
from pathlib import Path
import numpy as np
from senet_jax import allocator

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1])

allocator.restart()
np.ones(1 << 25)
before = resident()
allocator.trim()
print(resident() < before / 2)
"""


def run(environment=None, program=PROGRAM):
    settings = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"} | (environment or {})
    words = [sys.executable, "-X", "utf8", "-c", program, "--config=a b"]
    return subprocess.run(words, capture_output=True, text=True, check=True, env=settings).stdout


def test_a_process_that_started_again_uses_freed_memory_and_has_its_arguments():
    glibc = run({"GLIBC_TUNABLES": ""}).split()[1] == "True"
    assert run() == f"{glibc} {glibc} ['--config=a b'] 1\n"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no glibc")
def test_a_setting_of_the_user_stays():
    assert run({"GLIBC_TUNABLES": "glibc.malloc.mmap_max=65536"}).startswith("False")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no such function")
def test_freed_memory_is_given_back():
    assert run(program=TRIM) == "True\n"
