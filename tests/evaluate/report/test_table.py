from fr_eval.protocols.folds import TenFold
from fr_eval.report.table import format_accuracy, format_markdown_table, format_rate, format_table


def test_columns_are_aligned():
    assert format_table(["name", "n"], [["a", "10"], ["longer", "5"]]) == "\n".join(
        ["name     n", "------  --", "a       10", "longer   5"]
    )


def test_markdown_escapes_what_would_end_a_cell():
    assert format_markdown_table(["name", "n"], [["a|b", "10"]]) == "| name | n |\n| :-- | --: |\n| a\\|b | 10 |"


def test_figures_have_units_and_missing_ones_are_marked():
    assert format_accuracy(TenFold(0.9975, 0.0075, (), ())) == "99.75 ± 0.75 %"
    assert format_accuracy(None) == "-"
    assert format_rate(0.12345) == "12.35 %"
    assert format_rate(None) == "n/a"
