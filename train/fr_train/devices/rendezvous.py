"""How processes that know one address alone find each other: process 0 waits there, and tells all who they are."""

import json
import socket
import sys
import time
from contextlib import ExitStack, suppress
from typing import Any

from tqdm import tqdm

from fr_train.errors import ClusterError

__all__ = ["meet"]

_PATIENCE_SECONDS = 300.0
_LONGEST_MESSAGE = 1 << 20


def meet(coordinator: str, num_processes: int, index: int, *, patience_seconds: float = _PATIENCE_SECONDS) -> list[str]:
    """Waits until all processes are there.

    Args:
        coordinator: HOST:PORT, on which process 0 listens meanwhile.
        num_processes: how many there are.
        index: which this one is.
        patience_seconds: for the others.

    Returns:
        HOST:PORT of each, free ports on which they can listen to each other.

    Raises:
        ClusterError: if some do not come, or one comes twice.
    """
    host, port = _split(coordinator)
    deadline = time.monotonic() + patience_seconds
    if index == 0:
        return _gather(host, port, num_processes, deadline, patience_seconds)
    return _report(coordinator, num_processes, index, deadline, patience_seconds)


def _gather(host: str, port: int, num_processes: int, deadline: float, patience_seconds: float) -> list[str]:
    place = _join(host, port)
    known = {0: _join(host, _free_port())}
    tqdm.write(f"{place}: waiting for {num_processes - 1} more of {num_processes} processes.", file=sys.stderr)
    with ExitStack() as stack:
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            server = stack.enter_context(socket.create_server((host, port), family=family))
        except OSError as error:
            raise ClusterError(
                f"{place}: process 0 cannot listen there: {error}. Give an address of its own machine, and a free port."
            ) from error
        waiting = []
        while len(known) < num_processes:
            server.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                connection, (peer, *_) = server.accept()
            except TimeoutError as error:
                missing = ", ".join(str(number) for number in range(num_processes) if number not in known)
                raise ClusterError(
                    f"{place}: expected {num_processes} processes within {patience_seconds:g} s, received all but {missing}. "
                    "Start those as well, with the same --coordinator and --num-processes."
                ) from error
            stack.enter_context(connection)
            message = _receive(connection, seconds=5.0)
            fault = _find_fault(message, known, num_processes)
            if fault:
                _send(connection, {"error": fault})
            else:
                known[message["index"]] = _join(peer, message["port"])
                waiting.append(connection)
        addresses = [known[number] for number in range(num_processes)]
        for connection in waiting:
            _send(connection, {"addresses": addresses})
    return addresses


def _find_fault(message: dict[str, Any], known: dict[int, str], num_processes: int) -> str | None:
    """Says why who sent a message is not one of the processes, if so."""
    if not all(isinstance(message.get(key), int) for key in ("count", "index", "port")):
        return "expected a process of fr-train"
    if message["count"] != num_processes:
        return f"expected --num-processes {num_processes}, as process 0 has, received {message['count']}"
    if not 0 <= message["index"] < num_processes or message["index"] in known:
        others = [number for number in range(num_processes) if number not in known]
        return f"expected a --process-index that is not there yet ({others}), received {message['index']}"
    return None


def _report(coordinator: str, num_processes: int, index: int, deadline: float, patience_seconds: float) -> list[str]:
    while True:
        try:
            with socket.create_connection(_split(coordinator), timeout=5.0) as connection:
                _send(connection, {"count": num_processes, "index": index, "port": _free_port()})
                answer = _receive(connection, seconds=max(deadline - time.monotonic(), 0.001))
            break
        except OSError as error:
            if time.monotonic() >= deadline:
                raise ClusterError(
                    f"{coordinator}: expected process 0 within {patience_seconds:g} s, none answers there ({error}). Start it as "
                    "well, with that address of its machine."
                ) from error
            time.sleep(0.2)
    if "error" in answer:
        raise ClusterError(f"{coordinator}: {answer['error']}.")
    if "addresses" not in answer:
        raise ClusterError(
            f"{coordinator}: expected the addresses of all processes, received none: process 0 has ended before all were there, or "
            "another program listens there. See which, and start all again."
        )
    return list(answer["addresses"])


def _send(connection: socket.socket, message: dict[str, Any]) -> None:
    with suppress(OSError):  # who is gone will be missed
        connection.sendall(json.dumps(message).encode() + b"\n")


def _receive(connection: socket.socket, *, seconds: float) -> dict[str, Any]:
    """Gives the next message; an empty one if none comes, or something else."""
    connection.settimeout(seconds)
    try:
        with connection.makefile("rb") as file:
            message = json.loads(file.readline(_LONGEST_MESSAGE))
    except (OSError, ValueError):
        return {}
    return message if isinstance(message, dict) else {}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
