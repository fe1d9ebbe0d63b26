import json

import pytest

from fr_train.devices.cluster import Cluster, read_cluster
from fr_train.errors import ConfigError

ADDRESSES = ("node0:2222", "10.0.0.2:2223", "[::1]:2224")


def test_options_say_who_trains_together():
    assert read_cluster(" , ".join(ADDRESSES), 3, 2, {}) == Cluster(ADDRESSES, 2)


def test_tf_config_says_the_same():
    text = json.dumps({"cluster": {"worker": ADDRESSES}, "task": {"type": "worker", "index": 1}})
    assert read_cluster(None, None, None, {"TF_CONFIG": text}) == Cluster(ADDRESSES, 1)


def test_without_either_a_process_is_alone():
    assert read_cluster(None, None, None, {"TF_CONFIG": ""}) is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("a:1,b:2", 2, None), "process_index: expected with the other two"),
        (("a:1,b:2", None, 0), "num_processes: expected with the other two"),
        ((None, 2, 0), "coordinator: expected with the other two"),
        (("a:1,b:1", 3, 0), "expected one HOST:PORT, or those of all 3 processes"),
        (("a", 2, 1), "expected HOST:PORT of each process, received a"),
        (("a:1", 2, 2), "process_index: expected 0 to 1"),
        (("a:1,b", 2, 0), "expected HOST:PORT of each process, received b"),
        (("a:1,a:1", 2, 0), "expected an address for each process"),
        (("a:1,b:2", 2, 2), "process_index: expected 0 to 1"),
    ],
)
def test_options_that_do_not_fit_are_refused(given, said):
    with pytest.raises(ConfigError, match=said):
        read_cluster(*given, {})


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        json.dumps({"cluster": {"worker": ["a:1"]}}),
        json.dumps({"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {"type": "worker", "index": 0}}),
        json.dumps({"cluster": {"chief": ["a:1"]}, "task": {"type": "chief", "index": 0}}),
    ],
)
def test_a_tf_config_of_another_form_is_refused(text):
    with pytest.raises(ConfigError, match="TF_CONFIG: expected"):
        read_cluster(None, None, None, {"TF_CONFIG": text})


def test_processes_that_know_one_address_meet_there(monkeypatch):
    met = []
    monkeypatch.setattr("fr_train.devices.cluster.meet", lambda *given: met.append(given) or list(ADDRESSES))
    assert read_cluster("node0:2222", 3, 1, {}) == Cluster(ADDRESSES, 1)
    assert met == [("node0:2222", 3, 1)]
    assert read_cluster("node0:2222", 1, 0, {}) == Cluster(("node0:2222",), 0)
