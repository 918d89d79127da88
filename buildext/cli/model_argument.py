"""The argument MODEL of commands that also take the folder of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from buildext.models.store import Model

# What `buildext train` calls the folder of its result.
EXPORTED = "model"


def find_model(name: str) -> Model:
    """A bundled model by name, a model by its folder, or the result of a run by the run's folder.

    Raises:
        ModelError: there is no such model, or it is damaged.
    """
    from buildext.models.card import CARD_NAME
    from buildext.models.store import load_model

    exported = Path(name) / EXPORTED
    return load_model(exported if (exported / CARD_NAME).is_file() else name)
