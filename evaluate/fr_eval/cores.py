"""How many processor cores this process may use."""

import os

__all__ = ["count_cores"]


def count_cores() -> int:
    """Gives the number of cores, those of the process's affinity where the system knows it."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
