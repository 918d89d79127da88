"""The provider: all algorithms are there, explained, and safe to list without an environment."""

from __future__ import annotations

from typing import Any

import pytest

from tests.qgis_plugin.in_qgis import support

# isort: split
from qgis.core import QgsApplication, QgsProcessingParameterDefinition

NAMES = ("extract", "evaluate", "align", "mosaic", "check")

pytestmark = pytest.mark.usefixtures("qgis_app")


def algorithm(name: str) -> Any:
    return QgsApplication.processingRegistry().createAlgorithmById(f"buildext:{name}")


def test_the_provider_has_all_algorithms() -> None:
    provider = QgsApplication.processingRegistry().providerById("buildext")
    assert {one.name() for one in provider.algorithms()} == set(NAMES)
    assert provider.versionInfo()
    assert "gpkg" in provider.supportedOutputVectorLayerExtensions()
    assert provider.defaultVectorFileExtension() == "gpkg"


@pytest.mark.parametrize("name", NAMES)
def test_an_algorithm_is_explained(name: str) -> None:
    one = algorithm(name)
    assert len(one.shortHelpString()) > 80
    assert one.shortDescription() and one.tags()
    assert not one.icon().isNull()
    flag = QgsProcessingParameterDefinition.Flag.FlagAdvanced
    for parameter in one.parameterDefinitions():
        assert parameter.description()
        assert parameter.isDestination() or parameter.help(), parameter.name()
    shown = [p for p in one.parameterDefinitions() if not p.flags() & flag]
    assert len(shown) <= 12, "fold more of them away"


@pytest.mark.parametrize("name", NAMES)
def test_the_environment_can_be_overridden(name: str) -> None:
    flag = QgsProcessingParameterDefinition.Flag.FlagAdvanced
    assert algorithm(name).parameterDefinition("ENVIRONMENT").flags() & flag


def test_without_an_environment_it_says_what_to_do(tmp_path: Any) -> None:
    ran = support.run(
        "extract",
        {
            "INPUT": str(support.SCENE),
            "ENVIRONMENT": str(tmp_path),
            "OUTPUT": str(tmp_path / "out.gpkg"),
        },
    )
    assert not ran.ok
    assert "set one up" in ran.log
    assert "Traceback" not in ran.log
