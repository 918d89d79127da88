"""Finding models: the bundled by name, all others by folder; files verified by sha256."""

from __future__ import annotations

import difflib
import hashlib
from dataclasses import dataclass
from pathlib import Path

from buildext.errors import DamagedModelError, UnknownModelError
from buildext.models.card import CARD_NAME, Card, read_card

WEIGHTS_NAME = "model.onnx"
BUNDLED = Path(__file__).parent / "bundled"


@dataclass(frozen=True, slots=True)
class Model:
    """A model whose card has been read and whose files match it.

    Attributes:
        folder: of the card, by which the model is found again.
        card: what the model is.
    """

    folder: Path
    card: Card

    @property
    def files(self) -> Path:
        """The folder of its files: another bundled model's where the card says `weights_of`."""
        return BUNDLED / self.card.weights_of if self.card.weights_of else self.folder

    @property
    def weights(self) -> Path:
        """The ONNX file: uint8 `(N, C, H, W)` in, float32 probabilities `(N, K, H, W)` out."""
        return self.files / WEIGHTS_NAME


def sha256_of(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def bundled_names() -> list[str]:
    """Names of the models that come with the package."""
    return sorted(path.parent.name for path in BUNDLED.glob(f"*/{CARD_NAME}"))


def load_model(name: str | Path) -> Model:
    """Find a model, read its card and verify its files.

    Args:
        name: a bundled model's name, or the path of a model folder.

    Raises:
        UnknownModelError: neither a bundled name nor a folder.
        DamagedModelError: a file is missing or its sha256 is not the card's.
        ModelError: the folder has no card.
    """
    folder = BUNDLED / str(name)
    if str(name) not in bundled_names():
        folder = Path(name)
        if not folder.is_dir():
            near = difflib.get_close_matches(str(name), bundled_names(), 1)
            raise UnknownModelError(
                f"got the model {str(name)!r}; expected a bundled model "
                f"({', '.join(bundled_names()) or 'none here'}) or a model folder",
                hint=f"did you mean {near[0]!r}?" if near else "see `buildext models list`",
            )
    card = read_card(folder)
    if card.weights_of and card.weights_of not in bundled_names():
        raise UnknownModelError(
            f"the card of {folder} takes the weights of {card.weights_of!r}; expected a "
            f"bundled model ({', '.join(bundled_names())})",
            hint="install the buildext that the card was written for",
        )
    model = Model(folder, card)
    verify_files(model.files, card)
    return model


def verify_files(folder: Path, card: Card) -> None:
    """Compare every file that the card names with its sha256.

    Raises:
        DamagedModelError: a file is missing, differs, or the weights are not named at all.
    """
    if WEIGHTS_NAME not in card.files:
        raise DamagedModelError(
            f"the card of {folder} names no {WEIGHTS_NAME}", hint="restore the model folder"
        )
    for name, expected in card.files.items():
        path = folder / name
        if not path.is_file():
            raise DamagedModelError(
                f"{path} is missing, though the card names it", hint="restore the model folder"
            )
        if (got := sha256_of(path)) != expected:
            raise DamagedModelError(
                f"{path} has sha256 {got[:12]}…; the card expects {expected[:12]}…",
                hint="the file is damaged or was replaced: restore the model folder",
            )


def write_model_card(folder: Path, card: Card) -> Card:
    """Write `card.json` with the sha256 of every other file in `folder`; returns the final card."""
    files = {
        path.name: sha256_of(path)
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name != CARD_NAME
    }
    final = card.model_copy(update={"files": files, "weights_of": ""})
    temporary = folder / f".{CARD_NAME}.tmp"
    temporary.write_text(final.dumps(), "utf-8")
    temporary.replace(folder / CARD_NAME)
    return final
