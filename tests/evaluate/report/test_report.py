import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fr_data.bins.bins import write_bin
from fr_eval.jobs.hardest import find_hardest
from fr_eval.jobs.job import Job, ModelFile, run_job
from fr_eval.report.page import render_report, write_report
from fr_eval.report.plots import COLOURS, choose_line, plot_histogram, plot_roc


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two bins, one that is none, and embeddings of both bins by three models, of which one has no mirrored ones."""
    folder = tmp_path_factory.mktemp("<i>bins&")  # what a page must escape
    images, issame = _draw_pairs()
    write_bin(folder / "one.bin", images, issame)
    write_bin(folder / "two.bin", images[:12], issame[:6])
    (folder / "broken.bin").write_bytes(b"<html>")
    for seed, name in enumerate(("a", "b", "plain")):
        rng = np.random.default_rng(seed)
        arrays = {}
        for bin_name, num_pairs in (("one", 40), ("two", 6)):
            rows = rng.normal(size=(2 * num_pairs, 8))
            rows[1::2][issame[:num_pairs]] += (0.7 + seed) * rows[0::2][issame[:num_pairs]]
            arrays[bin_name] = rows
            if name != "plain":
                arrays[f"{bin_name}_mirrored"] = rows + rng.normal(size=rows.shape)
        np.savez(folder / f"{name}.npz", **arrays)
    return folder


@pytest.fixture(scope="module")
def outcome(folder, tiny_model_path):
    """A network, and embeddings by two other models, on two bins and one that cannot be read."""
    bins = tuple(folder / f"{name}.bin" for name in ("one", "two", "broken"))
    embeddings = folder / "a.npz", folder / "plain.npz"
    return run_job(Job((ModelFile(tiny_model_path),), bins, embeddings, pca=2, num_resamples=50))


@pytest.fixture(scope="module")
def text(outcome):
    return render_report(outcome)


@pytest.fixture(scope="module")
def small(folder):
    """Embeddings of one model on one bin."""
    return run_job(Job((), (folder / "one.bin",), (folder / "a.npz",), num_resamples=50))


def _draw_pairs():
    rng = np.random.default_rng(0)
    images = []
    for _ in range(80):
        stream = io.BytesIO()
        Image.fromarray(rng.integers(0, 255, (20, 20, 3), dtype=np.uint8)).save(stream, "PNG")
        images.append(stream.getvalue())
    return images, np.arange(40) % 2 == 0


class Page(HTMLParser):
    """What a page holds; `tables` gives each table as rows of the texts of its cells."""

    def __init__(self, text: str):
        super().__init__()
        self.addresses, self.ids, self.tags, self.text, self.tables = [], [], [], "", []
        self.in_cell, self.labels, self.headers, self.images, self.headings = False, [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append(tag)
        self.addresses += [v for n, v in attrs if n in {"src", "href", "xlink:href", "data", "srcset"}]
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.labels += [attributes["aria-labelledby"]] if "aria-labelledby" in attributes else []
        self.images += [attributes] if tag == "img" or (tag == "svg" and attributes.get("role") == "img") else []
        self.headings += [int(tag[1])] if re.fullmatch("h[1-6]", tag) else []
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in {"td", "th"}:
            self.tables[-1][-1].append("")
            self.in_cell = True
            self.headers += [attributes.get("scope")] if tag == "th" else []
        elif tag == "small":
            self.handle_data(" | ")

    def handle_endtag(self, tag):
        self.in_cell = self.in_cell and tag not in {"td", "th"}

    def handle_data(self, data):
        self.text += data
        if self.in_cell:
            self.tables[-1][-1][-1] += data.strip("\n")


def test_the_page_loads_nothing(text):
    page = Page(text)
    assert "http:" not in text
    assert "https:" not in text
    assert "@import" not in text
    assert not {"script", "link", "iframe"} & set(page.tags)
    assert all(address.startswith(("#", "data:image/jpeg;base64,")) for address in page.addresses)
    assert not re.search(r"url\((?!#)", text)


def test_identifiers_are_unique_and_references_meet_one(text):
    page = Page(text)
    assert len(page.ids) == len(set(page.ids)) > 20
    references = re.findall(r"url\(#([^)]+)\)", text) + [a[1:] for a in page.addresses if a.startswith("#")]
    assert references
    assert set(references + page.labels) <= set(page.ids)


def test_the_page_can_be_heard(text):
    page = Page(text)
    assert len(page.images) > 20
    assert all(image.get("alt") or image.get("aria-label") for image in page.images)
    assert set(page.headers) == {"col", "row", "rowgroup"}
    assert page.headings[0] == 1
    assert page.headings.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(page.headings, page.headings[1:], strict=False))


def test_the_page_says_what_was_measured(outcome, text):
    text = Page(text).text
    for words in (outcome.command, "optimistic", "50 bootstrap sets", "PCA 2", "6 folds were used in place of 10"):
        assert words in text
    for model in outcome.models:
        assert model.sha256 in text
        assert model.label in text
    assert "16 × 16 RGB, nhwc, scaling none (the model does it)" in text
    assert len(outcome.results) == 6
    for result in outcome.results.values():
        assert result.sha256 in text
        assert str(result.path) in text
    for package in ("fr-toolkit", "keras", "numpy"):
        assert f"{package} {outcome.versions[package]}" in text
    (failure,) = outcome.failures
    assert f"Not measured: {failure}" in text


def test_tables_give_each_model_on_each_bin_with_its_intervals(outcome, text):
    accuracies, figures, *_ = Page(text).tables
    labels = [model.label for model in outcome.models]
    assert accuracies[0] == ["Model", "one", "two"]
    assert [row[0] for row in accuracies[1:]] == labels
    assert [row[0] for row in figures[1:]] == ["one", *labels, "two", *labels]
    model, bin_ = outcome.models[1], outcome.bins[0]
    verification, sure = outcome.results[model, bin_].verification, outcome.confidences[model, bin_]
    row = dict(zip(figures[0], figures[3], strict=True))
    mean, std = 100 * verification.mirrored.accuracy_mean, 100 * verification.mirrored.accuracy_std
    low, high = 100 * sure.accuracy.low, 100 * sure.accuracy.high
    assert row["Accuracy, mirror sum"] == f"{mean:.2f} ± {std:.2f} % | {low:.2f} – {high:.2f} %"
    assert row["AUC"] == f"{verification.roc.auc:.5f} | {sure.auc.low:.5f} – {sure.auc.high:.5f}"
    assert row["TAR at FAR"] == f"{100 * verification.tars[0.1]:.2f} % @1e-1"  # 20 pairs: no 1e-2, and no interval
    assert list(row.values())[-1] == f"{100 * verification.recipe.accuracy:.2f} %"
    unmirrored = dict(zip(figures[0], figures[4], strict=True))
    assert unmirrored["Accuracy, mirror sum"] == "-"
    assert " | " in unmirrored["Accuracy, no mirror"]


def test_tars_that_cannot_be_measured_are_not_available(text):
    tables = Page(text).tables
    for table in (table for table in tables if table[0][1:] == ["1e-1", "1e-2", "1e-3", "1e-4", "1e-5", "1e-6"]):
        assert all(row[2:] == ["n/a"] * 5 for row in table[1:])
        assert len(table) == 4
    (first, *_) = [table for table in tables if table[0][0] == "FAR"]
    assert [row[1:] for row in first[2:]] == [["n/a"] * 3] * 5


def test_models_are_compared_with_the_first(outcome, text):
    page = Page(text)
    (compared, _) = [table for table in page.tables if table[0][-1] == "p (McNemar)"]
    comparison = outcome.comparisons[outcome.models[1], outcome.bins[0]]
    ((label, accuracy, *_, alone, p),) = compared[1:]
    assert label == "a.npz"
    assert accuracy.startswith(f"{100 * comparison.accuracy.value:+.2f} % | ".replace("-", "−"))
    assert alone == f"{comparison.only_second} : {comparison.only_first}"
    assert p == f"{comparison.p_value:.3g}"
    assert "Not compared with tiny.keras: plain.npz. Only one of the two has a mirror sum." in page.text


def test_a_page_of_one_model_and_bin_is_plain(small):
    page = Page(render_report(small))
    assert len(page.tables) == 3  # all figures, TAR at FAR, folds
    assert "Verification of a.npz" in page.text
    assert "nav" not in page.tags
    assert "Model a" not in page.text
    assert page.text.count("ROC over all pairs") == 1


def test_without_intervals_the_page_speaks_of_none(outcome):
    text = Page(render_report(replace(outcome, confidences={}, comparisons={}))).text
    for words in ("sets of pairs", "interval", "McNemar", "Not compared"):
        assert words not in text


def test_images_that_cannot_be_read_leave_a_gap(folder, tmp_path):
    write_bin(tmp_path / "one.bin", [b"x"] * 80, np.arange(40) % 2 == 0)
    text = render_report(run_job(Job((), (tmp_path / "one.bin",), (folder / "b.npz",), num_resamples=0)))
    assert "data:image" not in text
    assert text.count('<span class="missing">no image</span>') > 2


def test_thumbnails_are_small(small):
    images = re.findall(r"data:image/jpeg;base64,([^\"]+)", render_report(small))
    assert images
    for image in map(base64.b64decode, images):
        assert Image.open(io.BytesIO(image)).size == (112, 112)
        assert len(image) < 9_000  # noise, which JPEG cannot compress; a face takes 3 kB


def test_names_are_escaped(text):
    assert "<i>" not in text
    assert "&lt;i&gt;bins&amp;" in text


def test_the_same_outcome_gives_the_same_page(outcome, text, tmp_path):
    write_report(tmp_path / "page.html", outcome)
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == text


def test_figures_follow_the_colour_of_the_page(small):
    verification = next(iter(small.results.values())).verification
    curves = [(choose_line(number), verification) for number in range(2)]
    for draw, what in ((plot_roc, curves), (plot_histogram, verification)):
        svg = draw(what, prefix="p", label='<of> "a"')
        assert svg.startswith("<svg viewBox=")
        assert svg.endswith("</svg>")
        assert 'role="img" aria-label="&lt;of&gt; &quot;a&quot;"' in svg
        assert "currentColor" in svg
        assert "#000000" not in svg
        assert draw(what, prefix="p", label='<of> "a"') == svg


def test_every_model_has_a_line_of_its_own_that_stands_out_on_both_papers():
    assert len({choose_line(number) for number in range(32)}) == 32
    for colour in COLOURS:
        for paper in ("#ffffff", "#14181c"):
            assert contrast(colour, paper) >= 3, colour  # WCAG 2.2, 1.4.11


def contrast(first: str, second: str) -> float:
    """The ratio of WCAG 2.2."""
    dark, light = sorted(map(_luminance, (first, second)))
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    channels = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_the_hardest_errors_are_the_worst_on_the_wrong_side(small):
    ((_, bin_), result) = next(iter(small.results.items()))
    verification = result.verification
    rejected, accepted = find_hardest(verification, bin_, num_pairs=1)
    threshold = np.mean(verification.best_protocol.thresholds)
    wrong = {
        same: sorted(
            (
                (float(1 - d / 2), index)
                for index, (d, truth) in enumerate(zip(verification.distances, verification.issame, strict=True))
                if truth == same and (d < threshold) != same
            ),
            reverse=not same,
        )
        for same in (True, False)
    }
    for same, errors in ((True, rejected), (False, accepted)):
        assert errors.num_errors == len(wrong[same]) > 1
        assert [(pair.cosine, pair.index) for pair in errors.pairs] == wrong[same][:1]
    page = render_report(small, num_hardest=0)
    assert "data:image" not in page
    assert "rejected" not in page


def test_the_templates_ship_inside_the_package():
    import fr_eval

    folder = Path(fr_eval.__file__).parent / "report" / "templates"
    names = {"report.css", "report.html.j2", "report_models.html.j2", "report_parts.html.j2"}
    assert names <= {path.name for path in folder.iterdir()}
