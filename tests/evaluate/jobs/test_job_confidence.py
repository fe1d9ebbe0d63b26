import csv
import io
import json

import pytest
from click.testing import CliRunner
from tests.made_pairs import draw_pairs

from fr_data.bins.bins import write_bin
from fr_eval.cli import main
from fr_eval.jobs.job import Job, ModelFile, run_job
from fr_eval.protocols.bootstrap import resample
from fr_eval.protocols.confidence import Difference, Interval, compare, measure_confidence
from fr_eval.report.result_tables import format_csv, format_text
from fr_eval.report.table import format_difference, format_interval


@pytest.fixture(scope="module")
def outcome(tiny_model_path, tmp_path_factory):
    """One network in two ways, on two bins, of which the second has pairs of one kind alone."""
    folder = tmp_path_factory.mktemp("bins")
    images, truths = draw_pairs(40)
    write_bin(folder / "pairs.bin", images, truths)
    write_bin(folder / "same.bin", images[:8], [True] * 4)
    models = (ModelFile(tiny_model_path), ModelFile(tiny_model_path, "255"))
    return run_job(Job(models, (folder / "pairs.bin", folder / "same.bin"), num_resamples=200))


def test_each_result_has_intervals_and_each_further_model_a_comparison(outcome):
    first, second = outcome.models
    bin_ = outcome.bins[0]
    drawn = [resample(outcome.results[model, bin_].verification, num_resamples=200) for model in (first, second)]
    assert outcome.confidences == {
        (model, bin_): measure_confidence(resamples) for model, resamples in zip((first, second), drawn, strict=True)
    }
    assert outcome.comparisons == {(second, bin_): compare(*drawn)}


def test_json_csv_and_text_show_them(outcome):
    stored = json.loads(json.dumps(outcome.to_dict(), allow_nan=False))
    assert [result["confidence"]["num_resamples"] for result in stored["results"]] == [200, 200]
    (comparison,) = stored["comparisons"]
    assert (comparison["first"], comparison["second"]) == tuple(model.label for model in outcome.models)
    lines = list(csv.DictReader(io.StringIO(format_csv(outcome))))
    assert [line["mcnemar_p_with_first"] for line in lines] == ["", str(comparison["p_value"])]
    assert (
        float(lines[0]["accuracy_low"])
        <= float(lines[0]["accuracy_mirror_sum_mean"])
        <= float(lines[0]["accuracy_high"])
    )
    text = format_text(outcome)
    interval = format_interval(outcome.confidences[outcome.models[0], outcome.bins[0]].accuracy)
    assert f"  {interval}  " in text
    assert f"Difference to {outcome.models[0].label}, with 95 % interval\n" in text
    assert f"{comparison['only_second']} : {comparison['only_first']}" in text
    assert "bootstrap of 200 sets of pairs" in text


def test_without_bootstrap_nothing_of_it_is_shown(bin_path, tiny_model_path):
    arguments = ["--model", str(tiny_model_path), str(bin_path), "--bootstrap", "0"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert "interval" not in result.stdout
    assert "bootstrap" not in result.stdout
    stored = json.loads(CliRunner().invoke(main, [*arguments, "--json"]).stdout)
    assert stored["results"][0]["confidence"] is None
    assert stored["comparisons"] == []
    assert "--bootstrap 0" in stored["command"]


def test_differences_are_written_with_sign_and_interval():
    assert format_difference(Difference(-0.0012, Interval(-0.0034, 0.001))) == "−0.12 (−0.34 to +0.10) %"
    assert format_difference(Difference(0.0, None)) == "+0.00 %"
    assert format_interval(Interval(0.9925, 1)) == "99.25 – 100.00 %"
    assert format_interval(None) == "n/a"
