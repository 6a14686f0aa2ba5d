"""Child processes that do not outlive their parent, however it ends."""

import multiprocessing
import os
import signal
import threading


def end_with_parent() -> None:
    """Ends this process, a child of `multiprocessing`, when its parent is gone, even if that was killed."""
    threading.Thread(target=_wait, daemon=True).start()


def belong_to_parent() -> None:
    """Ends this process with its parent, and leaves Ctrl-C to the parent, which is interrupted too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()


def serve_parent(*_: int) -> None:
    """Ends this process with its parent alone: after a SIGTERM to all, the parent needs batches until it saves.

    The arguments are those that Grain gives to a worker, and are not used.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    belong_to_parent()


def _wait() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)
