"""What QGIS loads: the provider everywhere, menu and toolbar where there is a desktop."""

from __future__ import annotations

from qgis.core import QgsApplication
from qgis.PyQt.QtGui import QIcon

try:
    from qgis.PyQt.QtGui import QAction
except ImportError:  # Qt 5
    from qgis.PyQt.QtWidgets import QAction

from .i18n import load_translation, tr
from .messages import Offer
from .provider import BuildextProvider
from .settings import PLUGIN_FOLDER, chosen_folder

MENU = "Buildext"


class BuildextPlugin:
    """Registers everything, and takes it away again."""

    def __init__(self, iface) -> None:
        self.iface = iface
        self.provider = None
        self._translator = load_translation()
        self._actions: list[QAction] = []
        self._try_it = None
        self._offer: Offer | None = None

    def initProcessing(self):
        """Add the provider; all that `qgis_process` calls."""
        self.provider = BuildextProvider()
        QgsApplication.processingRegistry().addProvider(self.provider)

    def initGui(self):
        """Add what the desktop shows."""
        from .try_it import TryIt

        self.initProcessing()
        self._try_it = TryIt(self.iface)
        icon = QIcon(str(PLUGIN_FOLDER / "icon.svg"))
        try_it = QAction(icon, tr("Try it: buildings in the map view"), self.iface.mainWindow())
        try_it.setObjectName("buildextTryIt")
        try_it.triggered.connect(self._try_it.start)
        set_up = QAction(icon, tr("Set up Buildext…"), self.iface.mainWindow())
        set_up.setObjectName("buildextSetUp")
        set_up.triggered.connect(self.set_up)
        self._actions = [try_it, set_up]
        for action in self._actions:
            self.iface.addPluginToMenu(MENU, action)
        self.iface.addToolBarIcon(try_it)
        if chosen_folder() is None:
            self._announce_setup()

    def unload(self):
        """Take everything away; QGIS calls this when the plugin is switched off."""
        for action in self._actions:
            self.iface.removePluginMenu(MENU, action)
            self.iface.removeToolBarIcon(action)
        if self._offer is not None:
            self._offer.take_back()
        if self._try_it is not None:
            self._try_it.leave()
        if self.provider is not None:
            QgsApplication.processingRegistry().removeProvider(self.provider)

    def set_up(self, *_: object) -> bool:
        """Show the set-up; true where there is an environment afterwards."""
        from .setup_dialog import SetupDialog

        dialog = SetupDialog(self.iface.mainWindow())
        return bool(dialog.exec())

    def _announce_setup(self) -> None:
        text = tr("One step is left: buildext needs an environment of its own.")
        self._offer = Offer(self.iface.messageBar(), text, tr("Set up…"), self.set_up)
        self._offer.button.setObjectName("buildextSetUpButton")
