import socket
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress

import pytest

from fr_train.devices.rendezvous import meet
from fr_train.errors import ClusterError


@pytest.fixture
def place():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return f"127.0.0.1:{port}"


def connect(place):
    """Connect as soon as somebody listens there."""
    host, _, port = place.rpartition(":")
    while True:
        with suppress(ConnectionRefusedError):
            return socket.create_connection((host, int(port)))
        time.sleep(0.01)


@pytest.mark.parametrize("first", [0, 2])
def test_all_learn_the_same_addresses_whoever_comes_first(place, first):
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(meet, place, 3, first)]
        time.sleep(0.3)
        waiting += [pool.submit(meet, place, 3, number) for number in range(3) if number != first]
        one, *others = [each.result() for each in waiting]
    assert others == [one, one]
    assert len(set(one)) == 3
    assert all(address.startswith("127.0.0.1:") for address in one)


def test_one_that_does_not_come_is_named(place):
    with ThreadPoolExecutor(2) as pool:
        other = pool.submit(meet, place, 3, 2)
        with pytest.raises(ClusterError, match=r"expected 3 processes within 3 s, received all but 1\. Start"):
            meet(place, 3, 0, patience_seconds=3)
        with pytest.raises(ClusterError, match="process 0 has ended before all were there"):
            other.result()


def test_without_process_0_the_others_say_so(place):
    with pytest.raises(ClusterError, match=r"expected process 0 within 0\.5 s, none answers there"):
        meet(place, 2, 1, patience_seconds=0.5)


@pytest.mark.parametrize(
    ("count", "index", "said"),
    [
        (4, 2, "expected --num-processes 3, as process 0 has, received 4"),
        (3, 1, r"expected a --process-index that is not there yet \(\[2\]\), received 1"),
    ],
)
def test_one_that_does_not_belong_is_refused_and_the_others_meet(place, count, index, said):
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(meet, place, *process) for process in ((3, 0), (3, 1), (count, index))]
        refused = next(as_completed(waiting))  # of two with one number, the one that comes later
        with pytest.raises(ClusterError, match=said):
            refused.result()
        addresses = meet(place, 3, 2)
        assert [each.result() for each in waiting if each is not refused] == [addresses, addresses]


def test_who_is_no_process_of_ours_is_ignored(place):
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(meet, place, 2, 0)
        with connect(place) as stranger:
            stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert b"expected a process of fr-train" in stranger.recv(1000)
        assert meet(place, 2, 1) == first.result()


def test_an_address_where_process_0_cannot_listen_is_said(place):
    with (
        socket.create_server(("127.0.0.1", int(place.rpartition(":")[2]))),
        pytest.raises(ClusterError, match="process 0 cannot listen there"),
    ):
        meet(place, 2, 0)
