"""What the plugin remembers, and what it takes over from QGIS's own settings.

The environment's folder is kept in the user's profile settings; where none was chosen, the plugin's
own folder inside the profile is used, if its set-up has been done.
"""

from __future__ import annotations

import configparser
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote

from qgis.core import QgsApplication, QgsNetworkAccessManager, QgsSettings
from qgis.PyQt.QtNetwork import QNetworkProxy

from .environment import EnvironmentProblemError, Installed, check_versions, is_complete, look_into

PLUGIN_FOLDER = Path(__file__).parent
_KEY = "buildext/environment"


@lru_cache(maxsize=1)
def plugin_version() -> str:
    """The version that `metadata.txt` gives."""
    metadata = configparser.ConfigParser(interpolation=None)
    metadata.read(PLUGIN_FOLDER / "metadata.txt", encoding="utf-8")
    return metadata["general"]["version"]


def own_folder() -> Path:
    """Where the plugin makes an environment unless told otherwise."""
    return Path(QgsApplication.qgisSettingsDirPath()) / "buildext" / "environment"


def chosen_folder() -> Path | None:
    """The environment in use; None where there is none yet."""
    chosen = QgsSettings().value(_KEY, "", type=str)
    if chosen:
        return Path(chosen)
    return own_folder() if is_complete(own_folder()) else None


def choose_folder(folder: Path) -> None:
    """Use this environment from now on."""
    settings = QgsSettings()
    settings.setValue(_KEY, str(folder))
    settings.sync()


def usable_environment(asked: str = "") -> Installed:
    """The environment to run buildext in, checked.

    Args:
        asked: a folder that goes before the chosen one.

    Raises:
        EnvironmentProblemError: there is none, it holds no buildext, or one that does not fit.
    """
    folder = Path(asked) if asked else chosen_folder()
    if folder is None:
        raise EnvironmentProblemError(
            "Buildext has no environment yet",
            "open Plugins → Buildext → Set up Buildext, or name a folder in the advanced "
            "parameter “Environment”",
        )
    installed = look_into(folder)
    check_versions(plugin_version(), installed.buildext)
    return installed


def proxy_variables() -> dict[str, str]:
    """QGIS's proxy (Settings → Options → Network) as the variables that pip reads.

    They are variables and not options, since the password must not show in a list of processes.

    Raises:
        EnvironmentProblemError: the proxy is of a kind that pip cannot use.
    """
    proxy = QgsNetworkAccessManager.instance().fallbackProxy()
    kind = proxy.type()
    if kind in (QNetworkProxy.ProxyType.NoProxy, QNetworkProxy.ProxyType.DefaultProxy):
        return {}
    if kind not in (QNetworkProxy.ProxyType.HttpProxy, QNetworkProxy.ProxyType.HttpCachingProxy):
        raise EnvironmentProblemError(
            "QGIS is set to a proxy that is not an HTTP proxy, which pip cannot use",
            "use a folder of wheels, or set an HTTP proxy in QGIS's network options",
        )
    login = ""
    if proxy.user():
        login = f"{quote(proxy.user(), safe='')}:{quote(proxy.password(), safe='')}@"
    address = f"http://{login}{proxy.hostName()}:{proxy.port()}"
    return dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), address)
