"""Who trains together: one process with one device, unless `fr_train.devices.replicas` says otherwise."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

__all__ = ["Workers"]


class Workers:
    """One process that trains alone.

    Attributes:
        process: this process among all, from 0; 0 alone writes the run's folder.
        num_processes: all of them.
        num_replicas: devices of all processes.
    """

    process = 0
    num_processes = 1
    num_replicas = 1

    @property
    def is_chief(self) -> bool:
        """Whether this process is process 0."""
        return self.process == 0

    def scope(self) -> AbstractContextManager[Any]:
        """Variables that are made while it is entered are on all devices."""
        return nullcontext()

    def spread(self, network: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Gives what embeds images (n, H, W, 3) as the network does, but on all devices of this process."""
        return network

    def watch(self) -> AbstractContextManager[None]:
        """Says in one line that another process is gone, where something within waits for it in vain.

        Raises:
            ClusterError: names it.
        """
        return nullcontext()

    def agree(self, value: float) -> float:
        """Gives the value of process 0 to all, so that they decide alike.

        Raises:
            ClusterError: if a process is gone.
        """
        return value

    def any(self, value: bool) -> bool:
        """Says whether it is so in any process.

        Raises:
            ClusterError: if a process is gone.
        """
        return value
