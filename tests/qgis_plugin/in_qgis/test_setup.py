"""The set-up's window: choose, make, cancel, proxy; and the “Try it” action's parameters."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.qgis_plugin.in_qgis import support

# isort: split
from qgis.core import QgsNetworkAccessManager, QgsRasterLayer, QgsSettings
from qgis.PyQt.QtWidgets import QApplication, QDialogButtonBox

pytestmark = pytest.mark.usefixtures("qgis_app")


def shown_dialog() -> Any:
    from buildext_qgis.setup_dialog import SetupDialog

    dialog = SetupDialog()
    dialog.show()
    wait(dialog.go.isEnabled, "Pythons are listed")
    return dialog


def wait(condition: Any, what: str) -> None:
    def turn() -> bool:
        QApplication.processEvents()
        return bool(condition())

    support.wait_until(turn, what)


def close_button(dialog: Any) -> Any:
    return dialog.buttons.button(QDialogButtonBox.StandardButton.Close)


def test_a_python_is_offered_and_an_existing_environment_can_be_used(environment: Path) -> None:
    from buildext_qgis.settings import chosen_folder

    QgsSettings().remove("buildext/environment")
    dialog = shown_dialog()
    assert dialog.python.itemText(0).startswith("Python 3.")
    dialog.use.setChecked(True)
    dialog.existing.setFilePath(str(environment))
    dialog.go.click()
    wait(lambda: "Ready" in dialog.status.text() or "<b>" in dialog.status.text(), "an answer")
    assert "Ready: buildext" in dialog.status.text()
    assert chosen_folder() == environment
    close_button(dialog).click()
    assert dialog.result() == 1


def test_a_wrong_environment_is_refused_with_a_hint(tmp_path: Path, environment: Path) -> None:
    from buildext_qgis.settings import chosen_folder

    dialog = shown_dialog()
    dialog.use.setChecked(True)
    dialog.existing.setFilePath(str(tmp_path))
    dialog.go.click()
    wait(lambda: "there is no" in dialog.status.text(), "a refusal")
    assert chosen_folder() == environment
    assert dialog.go.isEnabled()
    dialog.reject()


class Proxy(http.server.BaseHTTPRequestHandler):
    """Refuses everything and remembers who asked, and with which login."""

    asked: ClassVar[list[tuple[str, str]]] = []

    def do_CONNECT(self) -> None:
        self.asked.append((self.path, self.headers.get("Proxy-Authorization", "")))
        self.send_error(403)

    do_GET = do_CONNECT  # noqa: N815

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def proxy() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings = QgsSettings()
    values = {
        "proxyEnabled": True, "proxyType": "HttpProxy", "proxyHost": "127.0.0.1",
        "proxyPort": str(server.server_port), "proxyUser": "jürgen", "proxyPassword": "p:w@d",
    }  # fmt: skip
    for name, value in values.items():
        settings.setValue(f"proxy/{name}", value)
    QgsNetworkAccessManager.instance().setupDefaultProxyAndCache()
    Proxy.asked.clear()
    yield f"127.0.0.1:{server.server_port}"
    settings.remove("proxy")
    QgsNetworkAccessManager.instance().setupDefaultProxyAndCache()
    server.shutdown()
    server.server_close()


def plan_for(folder: Path, index: str) -> Any:
    """What the dialog would make, with a wheel that asks for its libraries."""
    from buildext_qgis.environment import find_interpreters
    from buildext_qgis.installation import Plan
    from buildext_qgis.settings import proxy_variables

    return Plan(
        find_interpreters()[0],
        folder,
        Path("buildext-9.9.9-py3-none-any.whl"),
        index=index,
        variables={**proxy_variables(), "PIP_RETRIES": "0", "PIP_CONFIG_FILE": "/dev/null"},
    )


def test_pip_goes_through_the_proxy_of_qgis(proxy: str, tmp_path: Path) -> None:
    from buildext_qgis.runner import ToolError, run
    from buildext_qgis.settings import proxy_variables
    from buildext_qgis.setup_dialog import _describe_proxy

    assert proxy in _describe_proxy()
    assert "p%3A" not in _describe_proxy()
    assert proxy_variables()["https_proxy"].endswith(f"p%3Aw%40d@{proxy}")
    plan = plan_for(tmp_path / "env", "https://index.example/simple")
    steps = dict(plan.steps())
    run(steps["environment"], lambda event: None)
    # A package of the index in place of the wheel, which pip would look for first.
    line = [*steps["packages"][:-1], "click"]
    with pytest.raises(ToolError):
        run(line, lambda event: None, variables=plan.variables)
    assert ("index.example:443") in {path for path, _ in Proxy.asked}
    assert all(login.startswith("Basic ") for _, login in Proxy.asked)
    assert not any("p%3A" in part or "p:w" in part for part in line)


def test_cancelling_the_window_removes_what_was_begun(tmp_path: Path) -> None:
    from buildext_qgis import setup_dialog

    folder = tmp_path / "Umgebung neu"
    wheel = tmp_path / "buildext-9.9.9-py3-none-any.whl"
    wheel.touch()
    before = setup_dialog.bundled_wheel
    setup_dialog.bundled_wheel = lambda _: wheel
    try:
        dialog = shown_dialog()
        dialog.folder.setFilePath(str(folder))
        dialog.go.click()
        wait(folder.exists, "the set-up has begun")
        assert close_button(dialog).text() == "Cancel"
        close_button(dialog).click()
        wait(lambda: not dialog.isVisible(), "the window closes")
    finally:
        setup_dialog.bundled_wheel = before
    assert not folder.exists()
    assert support.processes_with(str(folder)) == []


def test_try_it_asks_for_the_view_in_the_layers_crs() -> None:
    from buildext_qgis.try_it import parameters

    raster = QgsRasterLayer(str(support.SCENE), "scene")
    chosen = parameters(raster, raster.extent())
    assert chosen["EXTENT"].endswith("[EPSG:3857]")
    assert chosen["OUTPUT"].endswith(".gpkg")
