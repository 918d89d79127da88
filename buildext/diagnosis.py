"""Facts about the environment that results and bug reports depend on."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
import tempfile
from pathlib import Path

PACKAGES = (
    "buildext",
    "numpy",
    "scipy",
    "rasterio",
    "shapely",
    "pyproj",
    "pyogrio",
    "pyarrow",
    "openvino",
    "onnxruntime",
    "torch",
    "timm",
    "segmentation-models-pytorch",
    "distributed",
)
CPU_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "asimd")
VECTOR_DRIVERS = ("GPKG", "FlatGeobuf", "GeoJSON", "PMTiles")

Facts = dict[str, dict[str, str]]


def environment() -> Facts:
    """Versions, processor, engines, drivers, models and disk, each as short text."""
    return {
        "versions": _versions(),
        "machine": _machine(),
        "engines": _engines(),
        "gdal": _gdal(),
        "models": _models(),
        "disk": _disk(),
    }


def _versions() -> dict[str, str]:
    versions = {"python": sys.version.split()[0], "platform": platform.platform()}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def _machine() -> dict[str, str]:
    import psutil

    memory = psutil.virtual_memory()
    # Containers often grant fewer cores than the processor has.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processor": _processor_line("model name") or platform.processor() or platform.machine(),
        "cores": str(cores),
        "features": " ".join(flag for flag in CPU_FLAGS if flag in _processor_line("flags").split())
        or "unknown",
        "memory": f"{memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB free",
    }


def _processor_line(key: str) -> str:
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return ""
    for line in info.read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip().lower() == key:
            return value.strip()
    return ""


def _engines() -> dict[str, str]:
    engines = {}
    if importlib.util.find_spec("openvino"):
        from buildext.engines.openvino import describe_devices

        engines["openvino"] = describe_devices()
    if importlib.util.find_spec("onnxruntime"):
        import onnxruntime

        engines["onnxruntime"] = ", ".join(onnxruntime.get_available_providers())
    if importlib.util.find_spec("torch"):
        # torch is asked in its own process: importing it here would cost seconds and memory.
        engines["torch"] = "installed (CUDA: run `buildext extract --engine torch --device cuda`)"
    return engines


def _gdal() -> dict[str, str]:
    import pyogrio
    import rasterio
    from rasterio.drivers import raster_driver_extensions

    drivers = pyogrio.list_drivers()
    return {
        "rasterio's": rasterio.__gdal_version__,
        "pyogrio's": ".".join(map(str, pyogrio.__gdal_version__)),
        "vector drivers": ", ".join(
            f"{name} ({drivers[name]})" if name in drivers else f"{name} (missing)"
            for name in VECTOR_DRIVERS
        ),
        "raster drivers": f"{len(set(raster_driver_extensions().values()))}",
    }


def _models() -> dict[str, str]:
    from buildext.errors import ModelError
    from buildext.models.store import bundled_names, load_model

    states = {}
    for name in bundled_names():
        try:
            states[name] = f"version {load_model(name).card.version}, verified"
        except ModelError as error:
            states[name] = str(error)
    return states


def _disk() -> dict[str, str]:
    return {
        str(folder): f"{shutil.disk_usage(folder).free / 1e9:.1f} GB free"
        for folder in dict.fromkeys((Path.cwd(), Path(tempfile.gettempdir())))
    }
