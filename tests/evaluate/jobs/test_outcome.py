import json

from fr_eval.jobs.outcome import choose_labels


def test_labels_are_the_shortest_names_that_tell_things_apart():
    names = [("last.keras", "a/last.keras"), ("last.keras", "b/last.keras"), ("m.onnx", "m.onnx")]
    assert choose_labels(names) == ["a/last.keras", "b/last.keras", "m.onnx"]
    assert choose_labels([("m", "a/m"), ("m", "a/m")]) == ["a/m #1", "a/m #2"]
    assert choose_labels([]) == []


def test_results_are_found_by_model_in_the_order_of_the_bins(drawn_outcome):
    assert [bin_.name for bin_, _ in drawn_outcome.of_model(drawn_outcome.models[0])] == ["lfw", "cfp"]
    assert [bin_.name for bin_, _ in drawn_outcome.of_model(drawn_outcome.models[1])] == ["lfw"]


def test_json_holds_models_results_and_failures(drawn_outcome):
    stored = json.loads(json.dumps(drawn_outcome.to_dict(), allow_nan=False))
    assert [(result["model"], result["bin"]) for result in stored["results"]] == [
        ("a.keras", "lfw"),
        ("a.keras", "cfp"),
        ("e|f.npz", "lfw"),
    ]
    assert stored["models"][0]["input_size"] == [112, 112]
    assert stored["models"][1]["scaling"] is None
    assert stored["failures"] == [
        {"model": "e|f.npz", "bin": "cfp", "error": "no array"},
        {"model": None, "bin": "x.bin", "error": "x.bin: damaged"},
    ]


def test_a_failure_names_its_model_where_the_message_names_the_bin(drawn_outcome):
    assert [str(failure) for failure in drawn_outcome.failures] == ["e|f.npz: no array", "x.bin: damaged"]
