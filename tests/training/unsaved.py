"""Saves checkpoints under a limit on the size of files, without their directory or stuck, and prints the outcome.

    python unsaved.py WORKDIR limit|gone|save|wait_until_finished

The last two are functions of Orbax, which then hang.

A process of its own, because the limit holds for all of it.
"""

import resource
import shutil
import sys
import time
from contextlib import closing
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from training.damaged import CONFIG, state

from senet_jax.training.checkpoints import Checkpoints, SaveError

workdir, fault = Path(sys.argv[1]), sys.argv[2]
noise = jnp.asarray(np.random.default_rng(0).random((256, 1024), np.float32))
try:
    with closing(Checkpoints(workdir)) as checkpoints:
        checkpoints.save(10, state(10), CONFIG)
        checkpoints._manager.wait_until_finished()
        if fault == "limit":
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        elif fault == "gone":
            shutil.rmtree(workdir)
        else:
            checkpoints._stuck_after = 1
            setattr(checkpoints._manager, fault, lambda *_, **__: time.sleep(60))
        checkpoints.save(20, state(20).replace(variables={"params": {"kernel": noise}}), CONFIG)
except SaveError as error:
    print(error)
