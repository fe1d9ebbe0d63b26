"""The report as a browser shows it: on a wide and a narrow screen, in light and dark, on paper."""

import io

import numpy as np
import pytest
from PIL import Image
from tests.evaluate.report.browser import PROGRAM, Browser

from fr_data.bins.bins import write_bin
from fr_eval.jobs.job import Job, run_job
from fr_eval.report.page import write_report

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium: apt install chromium")

# The text that stands out least from what lies behind it: [number of texts, its contrast as WCAG 2.2 has it, the text].
FAINTEST_TEXT = """(() => {
  const parse = colour => colour.match(/[\\d.]+/g).map(Number);
  const luminance = colour => colour.slice(0, 3).map(c => c / 255)
    .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, channel) => sum + c * [0.2126, 0.7152, 0.0722][channel], 0);
  const findPaper = element => {
    const colour = parse(getComputedStyle(element).backgroundColor);
    return colour.length < 4 || colour[3] === 1 ? colour : findPaper(element.parentElement);
  };
  const texts = [...document.querySelectorAll("body *")].filter(element => !element.closest("style, defs")
    && [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim()));
  const ratios = texts.map(element => {
    const style = getComputedStyle(element);
    const ink = parse(element.closest("svg") ? style.fill : style.color);
    const [dark, light] = [ink, findPaper(element)].map(luminance).sort((a, b) => a - b);
    return [texts.length, (light + 0.05) / (dark + 0.05), element.textContent.trim().slice(0, 40)];
  });
  return ratios.reduce((a, b) => a[1] < b[1] ? a : b);
})()"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Three models with long names on three bins, a fourth bin that cannot be read, and errors of both kinds."""
    folder = tmp_path_factory.mktemp("report")
    rng = np.random.default_rng(0)
    issame = np.arange(120) % 2 == 0
    stream = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (112, 112, 3), dtype=np.uint8)).save(stream, "JPEG")
    for name in ("one", "two", "three"):
        write_bin(folder / f"{name}.bin", [stream.getvalue()] * 240, issame)
    (folder / "broken.bin").write_bytes(b"<html>")
    for spread in (2, 3, 4):
        arrays = {}
        for name in ("one", "two", "three"):
            rows = rng.normal(size=(240, 16))
            rows[1::2][issame] = rows[0::2][issame] + spread / 2 * rng.normal(size=(60, 16))
            arrays |= {name: rows, f"{name}_mirrored": rows}
        np.savez(folder / f"iresnet50_webface_of_a_long_name_{spread}.npz", **arrays)
    bins = tuple(folder / f"{name}.bin" for name in ("one", "two", "three", "broken"))
    outcome = run_job(Job((), bins, tuple(sorted(folder.glob("*.npz"))), pca=4, num_resamples=50))
    assert len(outcome.results) == 9
    assert len(outcome.failures) == 1
    write_report(folder / "page.html", outcome)
    return folder / "page.html"


@pytest.fixture
def browser(tmp_path):
    with Browser(tmp_path) as browser:
        yield browser


@pytest.mark.parametrize("width", [1280, 400])
def test_the_page_is_as_wide_as_the_screen_and_loads_nothing(browser, page, width):
    browser.open(page, width=width)
    assert browser.evaluate("document.documentElement.scrollWidth") == width
    assert browser.evaluate("innerWidth") == width  # a phone would else zoom out
    assert browser.evaluate("document.querySelectorAll('img').length") > 20
    assert browser.evaluate("[...document.images].every(image => image.naturalWidth === 112)")
    requests = {event["params"]["request"]["url"] for event in browser.take("Network.requestWillBeSent")}
    assert {url for url in requests if not url.startswith("data:image/jpeg;")} == {page.as_uri()}
    complaints = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded", "Network.loadingFailed")
    assert [event for name in complaints for event in browser.take(name)] == []


def test_the_browser_of_these_tests_sees_what_a_bad_page_does(browser, tmp_path):
    bad = '<p style="width: 900px; color: #999">x</p><img src="http://localhost:9/x.png"><script>console.error(1)</script>'
    (tmp_path / "bad.html").write_text(bad)
    browser.open(tmp_path / "bad.html", width=400)
    assert browser.evaluate("document.documentElement.scrollWidth") > 400
    assert browser.take("Runtime.consoleAPICalled")
    assert "http://localhost:9/x.png" in str(browser.take("Network.requestWillBeSent"))


def test_texts_stand_out_in_light_and_in_dark(browser, page):
    pictures = []
    for scheme in ("light", "dark"):
        browser.open(page, width=1280, scheme=scheme)
        num_texts, contrast, text = browser.evaluate(FAINTEST_TEXT)
        assert num_texts > 500
        assert contrast >= 4.5, (scheme, text)
        pictures.append(np.asarray(Image.open(io.BytesIO(browser.take_picture())).convert("L")))
    light, dark = pictures
    assert light.shape == dark.shape
    assert np.median(light) > 250
    assert np.median(dark) < 30


def test_on_paper_no_table_is_cut_off_and_no_model_divided(browser, page):
    """Tables fit in the width of A4 less its margins, models on a bin in its height: 186 × 269 mm at 96 dots an inch."""
    browser.open(page, width=703, scheme="dark", media="print")
    tables = browser.evaluate(
        "[...document.querySelectorAll('table')].map(table => table.getBoundingClientRect().right)"
    )
    assert len(tables) > 20
    assert max(tables) <= 703
    models = browser.evaluate("[...document.querySelectorAll('.model')].map(model => model.offsetHeight)")
    assert len(models) == 9
    assert max(models) <= 1016
    assert browser.evaluate("getComputedStyle(document.querySelector('.model')).breakInside") == "avoid"
    assert browser.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.print_pdf().startswith(b"%PDF")
