"""The documentation builds, loads nothing from elsewhere, and says what the program does."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from buildext import errors
from buildext.cli import main
from buildext.cli.extract import extract
from buildext.models.card import Card
from tests.real import ROOT

DOCS = ROOT / "docs"
README = ROOT / "README.md"
LOADED = re.compile(r"""<(?:script|img|iframe|source)\b[^>]*\bsrc=["']?(?:https?:)?//""")
LINKED = re.compile(r"""<link\b[^>]*\brel=["']?(?:stylesheet|preconnect|preload)[^>]*//""")
PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built strictly: any warning of mkdocs is an error."""
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def test_each_page_is_built(site: Path) -> None:
    for page in DOCS.rglob("*.md"):
        path = page.relative_to(DOCS).with_suffix("")
        folder = path.parent if path.name == "index" else path
        assert (site / folder / "index.html").is_file()


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text("utf-8")
        assert not LOADED.search(text) and not LINKED.search(text), page


def options_of_extract() -> list[str]:
    names = [name for p in extract.params for name in (*p.opts, *p.secondary_opts)]
    return [name for name in names if name.startswith("-")]


@pytest.mark.parametrize("option", options_of_extract())
def test_each_option_of_extract_is_described(option: str) -> None:
    described = re.findall(r"`(-[-a-z]+)`", (DOCS / "extract.md").read_text("utf-8"))
    assert option in described


def test_no_option_is_described_that_extract_lacks() -> None:
    terms = re.findall(r"^(`-.*`)$", (DOCS / "extract.md").read_text("utf-8"), re.MULTILINE)
    described = {option for term in terms for option in re.findall(r"`(-[-a-z]+)`", term)}
    assert described - {"-h", "--help"} <= set(options_of_extract())


def error_classes() -> list[type[errors.BuildextError]]:
    return [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, errors.BuildextError)
    ]


@pytest.mark.parametrize("error", error_classes())
def test_each_error_is_described_with_its_code(error: type[errors.BuildextError]) -> None:
    text = (DOCS / "errors.md").read_text("utf-8")
    row = re.search(rf"^\| `{error.__name__}` \| `(\w+)` \| (\d+) \|", text, re.MULTILINE)
    assert row
    assert row[1] in {base.__name__ for base in error.__mro__}
    assert int(row[2]) == error.exit_code


def test_each_exit_code_is_described() -> None:
    text = (DOCS / "errors.md").read_text("utf-8")
    described = {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}
    raised = {error.exit_code for error in error_classes()}
    assert described == raised | {0, main.DEFECT_CODE, main.SIGINT_CODE, main.SIGTERM_CODE}


@pytest.mark.parametrize("field", list(Card.model_fields))
def test_each_field_of_a_card_is_described(field: str) -> None:
    table = (DOCS / "models.md").read_text("utf-8").partition("## The card")[2]
    assert f"`{field}`" in table


def test_links_in_the_readme_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)", README.read_text("utf-8"))
    inner = [link for link in links if "://" not in link]
    assert inner
    assert [link for link in inner if not (ROOT / link).exists()] == []


@pytest.mark.parametrize("page", [README, *sorted(DOCS.rglob("*.md"))], ids=lambda path: path.name)
def test_python_in_the_docs_is_python_and_imports_what_exists(page: Path) -> None:
    for code in PYTHON.findall(page.read_text("utf-8")):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom):
                assert node.module
                assert find_spec(node.module)
                module = __import__(node.module, fromlist=["_"])
                assert all(hasattr(module, alias.name) for alias in node.names)


def test_the_readme_shows_a_picture_of_bearable_size() -> None:
    shown = re.search(r"!\[[^]]+\]\((docs/images/[^)]+)\)", README.read_text("utf-8"))
    assert shown
    assert (ROOT / shown[1]).stat().st_size < 600_000
