"""The page: whole, self-contained, and safe whatever the files are called."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from buildext.cli.main import run
from buildext.errors import InputError
from buildext.evaluate import evaluate_files
from buildext.evaluate.report import sheet, write_report
from tests.evaluate.files import box, write_mask, write_vector
from tests.evaluate.report.made import options, write_place

VOID = {"meta", "img", "br", "path", "rect", "image", "use", "line", "circle"}
NASTY = """pr"ed <b>&'.gpkg"""


class Tags(HTMLParser):
    """Checks that tags close in order, and collects addresses and text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.names: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.open.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href"):
                self.addresses.append(value or "")
            if name == "id":
                self.ids.append(value or "")
        if tag in VOID:
            self.open.pop()

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Tags, float]:
    folder = tmp_path_factory.mktemp("page")
    pred, ref, image = write_place(folder, NASTY)
    evaluation = evaluate_files(pred, ref, options(image))
    path = folder / "report.html"
    write_report(path, evaluation, images=[image])
    text = path.read_text("utf-8")
    tags = Tags()
    tags.feed(text)
    assert evaluation.pixels.f1 is not None
    return text, tags, evaluation.pixels.f1


def test_the_page_is_sound_html(page: tuple[str, Tags, float]) -> None:
    _, tags, _ = page
    assert tags.open == []
    assert len(tags.ids) == len(set(tags.ids))


def test_nothing_comes_from_elsewhere(page: tuple[str, Tags, float]) -> None:
    text, tags, _ = page
    for address in tags.addresses:
        assert address.startswith(("#", "data:image/jpeg;base64,")), address[:60]
        if address.startswith("#"):
            assert address[1:] in tags.ids, address
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)
    assert len(text) < 5e6


def test_names_of_files_are_text(page: tuple[str, Tags, float]) -> None:
    text, _, _ = page
    assert "pr&quot;ed &lt;b&gt;&amp;&#x27;.gpkg" in text
    assert NASTY not in text
    assert text.count("<b>") == text.count("<figcaption><b>")


def test_the_page_shows_the_scores_plots_map_and_places(page: tuple[str, Tags, float]) -> None:
    text, tags, f1 = page
    assert f"<dd>{f1:.3f}</dd>" in text
    for words in ("By height", "low-rise 0–12 m", "Map of errors", "worst places", "recall"):
        assert words in text
    for name in ("pr-predictions", "reliability-predictions", "height", "size", "displacement"):
        assert any(found.startswith(f"{name}-") for found in tags.ids), name
    assert "chip1" in tags.ids
    # The map's picture and one for each chip.
    chips = [name for name in tags.ids if re.fullmatch(r"chip\d+", name)]
    assert sum(address.startswith("data:") for address in tags.addresses) == len(chips) + 1


def test_without_image_heights_and_confidence(tmp_path: Path) -> None:
    ref = write_vector(tmp_path / "ref.gpkg", [box(2, 2, 6, 6), box(20, 2, 26, 8)])
    pred = write_vector(tmp_path / "pred.gpkg", [box(2, 2, 6, 6)])
    path = tmp_path / "report.html"
    evaluation = evaluate_files(pred, ref)
    write_report(path, evaluation)
    text = path.read_text("utf-8")
    assert "no field “confidence”" in text
    assert "--height-field" in text
    assert text.count("data:image") == 1


def test_an_image_of_another_place_is_refused(tmp_path: Path) -> None:
    pred, ref, image = write_place(tmp_path)
    evaluation = evaluate_files(pred, ref, options(image))
    elsewhere = write_mask(tmp_path / "far.tif", np.ones((3, 8, 8), np.uint8), crs="EPSG:32634")
    with pytest.raises(InputError, match="does not show"):
        write_report(tmp_path / "r.html", evaluation, images=[elsewhere])
    assert not (tmp_path / "r.html").exists()


def test_the_command_writes_the_page_and_the_layers(tmp_path: Path) -> None:
    pred, ref, image = map(str, write_place(tmp_path))
    page, layers = tmp_path / "page.html", tmp_path / "errors.gpkg"
    command = ["evaluate", pred, ref, "--extent", image, "--height-field", "height_m", "-q"]
    command += ["--report", str(page), "--image", image, "--errors", str(layers)]
    assert run(command) == 0
    assert page.stat().st_size > 10_000
    assert layers.exists()
    assert run(command) == 2
    assert run([*command, "--overwrite"]) == 0


def test_what_cannot_be_written_is_said_before_anything_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pred, ref, image = map(str, write_place(tmp_path))
    assert run(["evaluate", pred, ref, "--image", image]) == 2
    assert run(["evaluate", pred, ref, "--errors", str(tmp_path / "errors.json")]) == 2
    monkeypatch.setattr(sheet, "find_spec", lambda name: None)
    assert run(["evaluate", pred, ref, "--report", str(tmp_path / "page.html")]) == 2
    told = capsys.readouterr()
    assert 'pip install "buildext[report]"' in told.err
    assert told.out == ""
    assert not (tmp_path / "page.html").exists()
