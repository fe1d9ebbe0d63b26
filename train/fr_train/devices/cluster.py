"""The processes that train together, on one machine or on several, and which of them this one is."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fr_train.config.config import require
from fr_train.devices.rendezvous import meet
from fr_train.errors import ConfigError

__all__ = ["Cluster", "read_cluster"]

_ADDRESS = re.compile(r"[^\s,:]+:\d{1,5}|\[[0-9a-fA-F:]+\]:\d{1,5}")


@dataclass(frozen=True, slots=True)
class Cluster:
    """Processes that train together.

    Attributes:
        addresses: HOST:PORT of each, on which it listens to the others.
        index: which of them this process is; 0 writes the run's folder.

    Raises:
        ConfigError: if an address is none, or the index is none of theirs.
    """

    addresses: tuple[str, ...]
    index: int

    def __post_init__(self) -> None:
        _require_addresses(self.addresses)
        _require_index(self.index, len(self.addresses))


def read_cluster(
    coordinator: str | None, num_processes: int | None, process_index: int | None, environment: Mapping[str, str]
) -> Cluster | None:
    """Gives the cluster that options name, or else `TF_CONFIG`; None is this process alone.

    Args:
        coordinator: HOST:PORT on which process 0 waits for the others; or those of all, with commas between, which then need not
            meet.
        num_processes: how many there are.
        process_index: which this one is.
        environment: may hold `TF_CONFIG`, as TensorFlow describes it: a cluster of workers, and this task's index.

    Raises:
        ConfigError: if something is missing or does not fit.
        ClusterError: if the others do not come to the one address.
    """
    given = {"coordinator": coordinator, "num_processes": num_processes, "process_index": process_index}
    missing = [key for key, value in given.items() if value is None]
    if len(missing) == 3:
        return _read_tf_config(environment["TF_CONFIG"]) if environment.get("TF_CONFIG") else None
    if coordinator is None or num_processes is None or process_index is None:
        raise ConfigError(f"{missing[0]}: expected with the other two of {', '.join(given)}, received none.")
    addresses = tuple(address.strip() for address in coordinator.split(","))
    if len(addresses) not in (1, num_processes):
        raise ConfigError(
            f"coordinator: expected one HOST:PORT, or those of all {num_processes} processes, received {coordinator!r}."
        )
    _require_addresses(addresses)
    _require_index(process_index, num_processes)
    if len(addresses) < num_processes:
        addresses = tuple(meet(addresses[0], num_processes, process_index))
    return Cluster(addresses, process_index)


def _require_addresses(addresses: Sequence[str]) -> None:
    wrong = [address for address in addresses if not _ADDRESS.fullmatch(address)]
    if wrong or not addresses:
        raise ConfigError(f"coordinator: expected HOST:PORT of each process, received {', '.join(wrong) or 'none'}.")
    if len(set(addresses)) < len(addresses):
        raise ConfigError(f"coordinator: expected an address for each process, received {', '.join(addresses)}.")


def _require_index(index: int, num_processes: int) -> None:
    expected = f"0 to {num_processes - 1}, one for each process"
    require(0 <= index < num_processes, "process_index", expected, index)


def _read_tf_config(text: str) -> Cluster | None:
    try:
        config: dict[str, Any] = json.loads(text)
        if set(config["cluster"]) != {"worker"} or config["task"]["type"] != "worker":
            raise ValueError("tasks other than workers")
        return Cluster(tuple(config["cluster"]["worker"]), int(config["task"]["index"]))
    except (ValueError, KeyError, TypeError) as error:
        expected = '{"cluster": {"worker": ["HOST:PORT", …]}, "task": {"type": "worker", "index": 0}}'
        raise ConfigError(f"TF_CONFIG: expected {expected}, received {text} ({error}).") from error
