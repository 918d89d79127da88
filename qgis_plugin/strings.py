"""All words of the plugin that can be translated, as a file for Qt's translators' tools.

    python qgis_plugin/strings.py > buildext_de.ts     # translate it in Qt Linguist, then
    lrelease buildext_de.ts                            # and put the .qm into buildext_qgis/i18n/

Words are the literals that are handed to `tr`. Only the standard library is used.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from xml.sax.saxutils import escape

SOURCE = Path(__file__).parent / "buildext_qgis"
CONTEXT = "Buildext"


def words(folder: Path) -> dict[str, tuple[str, int]]:
    """Each text, with the file and the line where it stands first.

    Raises:
        ValueError: `tr` is called with something else than a literal, which no tool can collect.
    """
    found: dict[str, tuple[str, int]] = {}
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call) or getattr(node.func, "id", "") != "tr":
                continue
            text = node.args[0]
            if not isinstance(text, ast.Constant) or not isinstance(text.value, str):
                raise ValueError(f"{path}:{node.lineno}: tr() of something that is not a literal")
            found.setdefault(text.value, (path.relative_to(folder).as_posix(), node.lineno))
    return found


def document(found: dict[str, tuple[str, int]]) -> str:
    """The texts as a `.ts` file without translations."""
    messages = "".join(
        f'<message><location filename="{file}" line="{line}"/><source>{_xml(text)}</source>'
        '<translation type="unfinished"></translation></message>\n'
        for text, (file, line) in found.items()
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE TS>\n<TS version="2.1">\n<context>'
        f"<name>{CONTEXT}</name>\n{messages}</context>\n</TS>\n"
    )


def _xml(text: str) -> str:
    return re.sub("\n", "&#xa;", escape(text))


if __name__ == "__main__":
    sys.stdout.write(document(words(SOURCE)))
