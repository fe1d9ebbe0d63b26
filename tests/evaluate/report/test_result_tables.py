import csv
import io
from dataclasses import replace

from fr_eval.report.result_tables import format_csv, format_markdown, format_text
from fr_eval.report.table import format_accuracy


def keep_one_model(outcome):
    model = outcome.models[0]
    results = {key: result for key, result in outcome.results.items() if key[0] is model}
    return replace(outcome, models=[model], results=results)


def test_one_model_gives_a_row_a_bin_and_the_optimistic_figure_its_label(drawn_outcome):
    table, notes = format_text(keep_one_model(drawn_outcome)).split("\n\n")
    assert [line.split()[0] for line in table.splitlines()] == ["bin", "---", "lfw", "cfp"]
    assert "accuracy (PCA)" not in table
    assert "* optimistic: threshold chosen on the same pairs" in notes


def test_several_models_are_compared_by_one_protocol_and_what_failed_is_said(drawn_outcome):
    grid, first, second, notes = format_text(drawn_outcome).split("\n\n")
    header, _, *rows = grid.splitlines()
    assert header.split("  ")[0] == "accuracy (no mirror)"  # the second model has no mirror sum
    assert header.split()[-2:] == ["lfw", "cfp"]
    plain = drawn_outcome.results[drawn_outcome.models[0], drawn_outcome.bins[0]].verification.plain
    assert rows[0].startswith("a.keras ")
    assert format_accuracy(plain) in rows[0]
    assert rows[1].startswith("e|f.npz ")
    assert rows[1].endswith("failed")
    assert first.startswith("a.keras\nbin ")
    assert second.startswith("e|f.npz\nbin ")
    assert notes.count("note, lfw: There are 30 pairs: 30 folds") == 1  # though it is of both models


def test_markdown_has_the_same_tables(drawn_outcome):
    text = format_markdown(drawn_outcome)
    assert text.startswith("| accuracy (no mirror) | lfw | cfp |\n| :-- | --: | --: |\n| a.keras | ")
    assert "\n| e\\|f.npz | " in text
    assert "\n### a.keras\n\n| bin | pairs |" in text
    assert "\n- \\* optimistic" in text
    assert text.endswith("\n")


def test_csv_has_a_line_a_result_with_all_digits(drawn_outcome):
    lines = list(csv.DictReader(io.StringIO(format_csv(drawn_outcome))))
    assert [(line["model"], line["bin"]) for line in lines] == [
        ("a.keras", "lfw"),
        ("a.keras", "cfp"),
        ("e|f.npz", "lfw"),
    ]
    for line, result in zip(lines, drawn_outcome.results.values(), strict=True):
        figures = result.verification
        assert float(line["accuracy_no_mirror_mean"]) == figures.plain.accuracy_mean
        assert float(line["tar_at_far_1e-01"]) == figures.tars[1e-1]
        assert line["tar_at_far_1e-06"] == line["accuracy_pca_mean"] == ""
        assert float(line["auc"]) == figures.roc.auc
    assert lines[2]["accuracy_mirror_sum_mean"] == ""
