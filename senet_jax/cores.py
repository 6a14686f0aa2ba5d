"""CPU cores that a process may use."""

import os


def usable() -> int:
    """Returns the number of cores that this process may use; it can be less than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def keep_to_part(part: int, parts: int) -> None:
    """Keeps this process, and the children that it starts, to the `part`-th (from 0) of equal parts of its cores.

    Does nothing if there are fewer cores than parts, or if the system cannot.
    """
    if parts <= usable() and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores[len(cores) * part // parts : len(cores) * (part + 1) // parts])
