"""What was worked out once and can be worked out again: kept between runs, for one user.

To compile a network for a processor takes longer than to run it over a small scene, and gives the
same every time. So it is kept in the folder where programs of this user keep such things
(`BUILDEXT_CACHE` names another).

Nothing depends on the cache. An entry is named by all that it was made from, so there is nothing to
be out of date; it appears complete or not at all, carries its own digest, and whatever cannot be
read or written is made again. The entries used last are kept, up to a fixed size.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import sys
from pathlib import Path

from buildext.atomic import atomic_path

log = logging.getLogger(__name__)

LARGEST_BYTES = 256_000_000
_DIGEST_BYTES = 32


def cache_folder() -> Path:
    """Where this user's programs keep what they can make again."""
    if chosen := os.environ.get("BUILDEXT_CACHE"):
        return Path(chosen)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "buildext" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "buildext"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "buildext"


def key_of(*parts: object) -> str:
    """A name for what is made from these parts alone; equal where all their `repr` are."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def recall(key: str) -> bytes | None:
    """What was kept under a key, or None where there is nothing whole."""
    path = cache_folder() / key
    try:
        content = path.read_bytes()
        digest, value = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        if hashlib.sha256(value).digest() != digest:
            log.info("%s is damaged and will be made again", path)
            path.unlink()
            return None
        # Marks it as used, so that others go first.
        os.utime(path)
    except OSError:
        return None
    return value


def keep(key: str, value: bytes) -> None:
    """Keep a value; where that cannot be done it is not kept."""
    folder = cache_folder()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with atomic_path(folder / key, overwrite=True) as temporary:
            temporary.write_bytes(hashlib.sha256(value).digest() + value)
        _forget(folder)
    except OSError as error:
        log.info("nothing is kept in %s: %s", folder, error)


def forget(key: str) -> None:
    """Remove what turned out to be of no use."""
    with contextlib.suppress(OSError):
        (cache_folder() / key).unlink(missing_ok=True)


def _forget(folder: Path) -> None:
    """Remove what was not used for longest, until the rest is small enough."""
    entries = [(path, path.stat()) for path in folder.iterdir() if not path.name.startswith(".")]
    left = LARGEST_BYTES
    for path, stat in sorted(entries, key=lambda entry: -entry[1].st_mtime_ns):
        left -= stat.st_size
        if left < 0:
            path.unlink(missing_ok=True)
