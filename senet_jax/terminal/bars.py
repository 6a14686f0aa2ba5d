"""tqdm's progress bars, with a lock for threads alone."""

import threading

from tqdm import tqdm

__all__ = ["tqdm"]

# Else tqdm makes a semaphore for processes, which Python calls leaked if a signal ends the process.
tqdm.set_lock(threading.RLock())
