"""The set-up: make an environment for buildext, or point at one that exists.

Everything has a default that works, so the usual way is one click and a minute of waiting. The
window stays alive meanwhile, says what is being fetched, and can be closed at any time: what was
begun is then removed.
"""

from __future__ import annotations

from pathlib import Path

from qgis.gui import QgsCollapsibleGroupBox, QgsFileWidget
from qgis.PyQt.QtCore import QElapsedTimer, QTimer
from qgis.PyQt.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QProgressBar,
    QRadioButton,
    QVBoxLayout,
    QWidget,
)

from .background import Background
from .environment import (
    OLDEST_PYTHON,
    EnvironmentProblemError,
    Installed,
    check_versions,
    find_interpreters,
    interpreter_at,
    look_into,
)
from .i18n import tr
from .installation import Plan, bundled_wheel, check_plan, install
from .runner import CancelledError
from .settings import (
    PLUGIN_FOLDER,
    choose_folder,
    own_folder,
    plugin_version,
    proxy_variables,
    usable_environment,
)

_OTHER = "other"


class SetupDialog(QDialog):
    """Makes or chooses the environment."""

    def __init__(self, parent: QWidget | None = None, reason: str = "") -> None:
        super().__init__(parent)
        self.setWindowTitle(tr("Set up Buildext"))
        self.setMinimumWidth(620)
        self._work: Background | None = None
        self._closing = False
        self._packages = 0
        self._step = ""
        self._clock = QElapsedTimer()
        self._tick = QTimer(self)
        self._tick.setInterval(1000)
        self._tick.timeout.connect(self._show_time)
        self._build(reason)
        self._search = Background(lambda *_: find_interpreters(), self)
        self._search.succeeded.connect(self._list_pythons)
        self._search.start()

    def _build(self, reason: str) -> None:
        column = QVBoxLayout(self)
        text = tr(
            "buildext runs beside QGIS, in a Python environment of its own, so that neither "
            "disturbs the other. The package comes with the plugin; the libraries below it "
            "(about 0.3 GB to fetch, 1.2 GB on disk, no torch) come from your package index."
        )
        intro = QLabel(f"<b>{reason}</b><br>{text}" if reason else text)
        intro.setWordWrap(True)
        column.addWidget(intro)
        self.make = QRadioButton(tr("Make an environment (recommended)"))
        self.make.setChecked(True)
        column.addWidget(self.make)
        column.addWidget(self._making())
        self.use = QRadioButton(tr("Use an existing environment"))
        column.addWidget(self.use)
        self.existing = QgsFileWidget()
        self.existing.setStorageMode(QgsFileWidget.StorageMode.GetDirectory)
        self.existing.setEnabled(False)
        column.addWidget(self.existing)
        self.use.toggled.connect(self._show_choice)
        self.status = QLabel()
        self.status.setWordWrap(True)
        column.addWidget(self.status)
        self.bar = QProgressBar()
        self.bar.setVisible(False)
        column.addWidget(self.bar)
        self.log = QPlainTextEdit()
        self.log.setReadOnly(True)
        self.log.setMaximumBlockCount(5000)
        self.log.setVisible(False)
        column.addWidget(self.log)
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        self.go = self.buttons.addButton(tr("Set up"), QDialogButtonBox.ButtonRole.ActionRole)
        self.go.setObjectName("buildextGo")
        self.go.setDefault(True)
        self.go.setEnabled(False)
        self.go.clicked.connect(self._start)
        self.buttons.rejected.connect(self.reject)
        column.addWidget(self.buttons)

    def _making(self) -> QWidget:
        self.options = QWidget()
        form = QFormLayout(self.options)
        self.python = QComboBox()
        self.python.addItem(tr("Looking for Python…"), None)
        form.addRow(tr("Python"), self.python)
        self.other_python = QgsFileWidget()
        self.other_python.setStorageMode(QgsFileWidget.StorageMode.GetFile)
        self.other_python.setVisible(False)
        form.addRow("", self.other_python)
        self.python.currentIndexChanged.connect(
            lambda *_: self.other_python.setVisible(self.python.currentData() == _OTHER)
        )
        self.folder = QgsFileWidget()
        self.folder.setStorageMode(QgsFileWidget.StorageMode.GetDirectory)
        self.folder.setFilePath(str(own_folder()))
        form.addRow(tr("Folder"), self.folder)
        more = QgsCollapsibleGroupBox(tr("Where the libraries come from"))
        more.setCollapsed(True)
        rows = QFormLayout(more)
        self.offline = QgsFileWidget()
        self.offline.setStorageMode(QgsFileWidget.StorageMode.GetDirectory)
        self.offline.setToolTip(tr("Wheels from this folder alone; the network is not used."))
        rows.addRow(tr("Folder of wheels (offline)"), self.offline)
        self.index = QLineEdit()
        self.index.setPlaceholderText(tr("as pip is configured"))
        rows.addRow(tr("Package index"), self.index)
        rows.addRow(tr("Proxy"), QLabel(_describe_proxy()))
        form.addRow(more)
        return self.options

    def _list_pythons(self, found: list) -> None:
        self.python.clear()
        for one in found:
            self.python.addItem(one.label, one)
        self.python.addItem(tr("Another one…"), _OTHER)
        if not found:
            oldest = ".".join(map(str, OLDEST_PYTHON))
            text = tr(
                "No Python {} or newer with venv was found. Install one (on Debian and Ubuntu: "
                "python3-venv), or choose “Another one…”."
            )
            self.status.setText(text.format(oldest))
        self.go.setEnabled(True)

    def _show_choice(self, existing: bool) -> None:
        self.options.setEnabled(not existing)
        self.existing.setEnabled(existing)
        self.go.setText(tr("Use") if existing else tr("Set up"))

    def _start(self) -> None:
        try:
            work = self._use_existing() if self.use.isChecked() else self._make_new()
        except EnvironmentProblemError as error:
            self._show_problem(error)
            return
        for widget in (self.go, self.make, self.use, self.options, self.existing):
            widget.setEnabled(False)
        self.bar.setRange(0, 0)
        self.bar.setVisible(True)
        self.log.setVisible(True)
        self.log.clear()
        self._packages, self._step = 0, ""
        self.buttons.button(QDialogButtonBox.StandardButton.Close).setText(tr("Cancel"))
        self._clock.start()
        self._tick.start()
        self._work = Background(work, self)
        self._work.begun.connect(self._begin)
        self._work.said.connect(self._hear)
        self._work.succeeded.connect(self._succeed)
        self._work.failed.connect(self._fail)
        self._work.start()

    def _use_existing(self):
        folder = Path(self.existing.filePath().strip())

        def work(begin, say, is_cancelled) -> tuple[Path, Installed]:
            begin("check")
            installed = look_into(folder)
            check_versions(plugin_version(), installed.buildext)
            return folder, installed

        return work

    def _make_new(self):
        chosen = self.python.currentData()
        if chosen == _OTHER:
            chosen = interpreter_at(Path(self.other_python.filePath().strip()))
        offline = self.offline.filePath().strip()
        plan = Plan(
            interpreter=chosen,
            folder=Path(self.folder.filePath().strip()),
            wheel=bundled_wheel(PLUGIN_FOLDER),
            offline=Path(offline) if offline else None,
            index=self.index.text().strip(),
            variables={} if offline else proxy_variables(),
        )
        check_plan(plan)

        def work(begin, say, is_cancelled) -> tuple[Path, Installed]:
            def listen(event) -> None:
                say(str(event.get("message", "")))

            return plan.folder, install(plan, begin, listen, is_cancelled)

        return work

    def _begin(self, step: str) -> None:
        self._step = step
        self._show_time()

    def _hear(self, line: str) -> None:
        self.log.appendPlainText(line)
        if line.lstrip().startswith("Collecting "):
            self._packages += 1

    def _show_time(self) -> None:
        steps = {
            "environment": tr("Making the environment"),
            "packages": tr("Fetching and installing ({} packages so far)").format(self._packages),
            "check": tr("Checking"),
        }
        seconds = self._clock.elapsed() // 1000
        self.status.setText(f"{steps.get(self._step, '')} … {seconds // 60}:{seconds % 60:02d}")

    def _succeed(self, result: tuple[Path, Installed]) -> None:
        folder, installed = result
        choose_folder(folder)
        seconds = self._clock.elapsed() // 1000
        self._end()
        text = tr("Ready: buildext {} with Python {}, in {} s.")
        self.status.setText(text.format(installed.buildext, installed.python_version, seconds))
        self.go.setVisible(False)
        done = self.buttons.button(QDialogButtonBox.StandardButton.Close)
        done.setText(tr("Done"))
        done.setObjectName("buildextDone")
        self.buttons.rejected.disconnect(self.reject)
        self.buttons.rejected.connect(self.accept)
        if self._closing:
            self.accept()

    def _fail(self, error: Exception) -> None:
        self._end()
        if self._closing:
            super().reject()
        elif isinstance(error, CancelledError):
            self.status.setText(tr("Cancelled; what was begun has been removed."))
        else:
            self._show_problem(error)

    def _end(self) -> None:
        self._tick.stop()
        self.bar.setVisible(False)
        for widget in (self.go, self.make, self.use):
            widget.setEnabled(True)
        self._show_choice(self.use.isChecked())
        self.buttons.button(QDialogButtonBox.StandardButton.Close).setText(tr("Close"))

    def _show_problem(self, error: Exception) -> None:
        hint = getattr(error, "hint", "")
        self.status.setText(f"<b>{error}</b><br>{hint}" if hint else f"<b>{error}</b>")

    def reject(self):
        """Close; a set-up under way is cancelled first and cleans up behind itself."""
        self._search.wait()
        if self._work is not None and self._work.isRunning():
            self._closing = True
            self._work.cancel()
            self.status.setText(tr("Cancelling …"))
            return
        super().reject()


def _describe_proxy() -> str:
    """The proxy in words, without its password."""
    try:
        variables = proxy_variables()
    except EnvironmentProblemError as error:
        return str(error)
    if not variables:
        return tr("none, or the system's (QGIS: Settings → Options → Network)")
    return tr("{} (from QGIS's settings)").format(variables["https_proxy"].rpartition("@")[2])


class _Offer:
    """Whether the user has closed the offered set-up without making one, in this session."""

    declined = False


def offer_setup(parent: QWidget | None) -> None:
    """Show the set-up where it is needed and was not declined before."""
    if _Offer.declined:
        return
    try:
        usable_environment()
    except EnvironmentProblemError as error:
        _Offer.declined = not SetupDialog(parent, str(error)).exec()
