import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from fr_eval.hardest import find_hardest
from fr_eval.job import Job, ModelFile, run_job
from fr_eval.plots import plot_histogram, plot_roc
from fr_eval.report import render_report


@pytest.fixture(scope="module")
def outcome(tiny_model_path, tmp_path_factory):
    from fr_eval.bins import write_bin

    folder = tmp_path_factory.mktemp("<i>bins&")  # what a page must escape
    pairs = _draw_pairs()
    write_bin(folder / "one.bin", *pairs)
    write_bin(folder / "two.bin", pairs[0][:12], pairs[1][:6])
    (folder / "broken.bin").write_bytes(b"<html>")
    bins = tuple(folder / f"{name}.bin" for name in ("one", "two", "broken"))
    return run_job(Job((ModelFile(tiny_model_path), ModelFile(tiny_model_path, "127.5")), bins, pca=2))


def _draw_pairs():
    import io

    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    images = []
    for _ in range(80):
        stream = io.BytesIO()
        Image.fromarray(rng.integers(0, 255, (20, 20, 3), dtype=np.uint8)).save(stream, "PNG")
        images.append(stream.getvalue())
    return images, [pair % 2 == 0 for pair in range(40)]


class Page(HTMLParser):
    def __init__(self, text: str):
        super().__init__()
        self.addresses, self.ids, self.tags, self.text = [], [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            if name in {"src", "href", "xlink:href", "data", "srcset"}:
                self.addresses.append(value)
            if name == "id":
                self.ids.append(value)

    def handle_data(self, data):
        self.text += data


def test_the_page_loads_nothing(outcome):
    text = render_report(outcome)
    page = Page(text)
    assert "http:" not in text
    assert "https:" not in text
    assert "@import" not in text
    assert not {"script", "link", "iframe"} & set(page.tags)
    assert all(address.startswith(("#", "data:image/jpeg;base64,")) for address in page.addresses)
    assert not re.search(r"url\((?!#)", text)


def test_identifiers_are_unique_and_references_meet_one(outcome):
    text = render_report(outcome)
    page = Page(text)
    assert len(page.ids) == len(set(page.ids)) > 20
    references = re.findall(r"url\(#([^)]+)\)", text) + [a[1:] for a in page.addresses if a.startswith("#")]
    assert references
    assert set(references) <= set(page.ids)


def test_the_page_says_what_was_measured(outcome):
    text = Page(render_report(outcome)).text
    for words in (
        outcome.models[0].sha256,
        outcome.models[1].label,
        outcome.command,
        "n/a",
        "optimistic",
        "Not measured",
        "PCA 2",
        "1e-06",
    ):
        assert words in text
    assert len(outcome.results) == 4
    for result in outcome.results.values():
        assert result.sha256 in text
        assert str(result.path) in text
    for package in ("fr-toolkit", "keras", "numpy"):
        assert f"{package} {outcome.versions[package]}" in text
    assert "6 folds were used in place of 10" in text


def test_names_are_escaped(outcome):
    assert "<i>" not in render_report(outcome)
    assert "&lt;i&gt;bins&amp;" in render_report(outcome)


def test_the_same_outcome_gives_the_same_page(outcome):
    assert render_report(outcome) == render_report(outcome)


def test_figures_follow_the_colour_of_the_page(outcome):
    verification = next(iter(outcome.results.values())).verification
    for draw in (plot_roc, plot_histogram):
        svg = draw(verification, prefix="p")
        assert svg.startswith("<svg viewBox=")
        assert svg.endswith("</svg>")
        assert "currentColor" in svg
        assert "#000000" not in svg
        assert draw(verification, prefix="p") == svg


def test_the_hardest_errors_are_the_worst_on_the_wrong_side(outcome):
    verification, bin_ = next(iter(outcome.results.values())).verification, outcome.bins[0]
    rejected, accepted = find_hardest(verification, bin_, num_pairs=3)
    assert [len(rejected), len(accepted)] == [3, 3]  # noise: many errors of both kinds
    assert [pair.cosine for pair in rejected] == sorted(pair.cosine for pair in rejected)
    assert [pair.cosine for pair in accepted] == sorted((pair.cosine for pair in accepted), reverse=True)
    assert all(verification.issame[pair.index] for pair in rejected)
    assert not any(verification.issame[pair.index] for pair in accepted)
    assert "data:image" not in render_report(outcome, num_hardest=0)


def test_the_template_ships_inside_the_package():
    import fr_eval

    assert (Path(fr_eval.__file__).parent / "templates" / "report.html.j2").is_file()
