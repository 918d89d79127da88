"""The network of a run and where its encoder starts from."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import model_validator

from buildext.errors import UsageError
from buildext.learn.networks.loading import normalisation_of_weights
from buildext.learn.networks.normalisation import Normalisation
from buildext.models.card import NetworkSpec

Rgb = tuple[float, float, float]
Channel = Literal["building", "contact", "offset_x", "offset_y"]


class NetworkSection(NetworkSpec):
    """The architecture, what it predicts, and where its encoder starts from.

    `weights` is a safetensors file of this very encoder; `weights_origin` is written into the
    model card: whose weights they were, and the licence. `mean` and `std` are only needed where
    the weights do not say their own.
    """

    encoder: str = "tu-tf_efficientnetv2_b0"
    head: Literal["conv", "subpixel"] = "subpixel"
    channels: tuple[Channel, ...] = ("building", "contact")
    weights: str = ""
    weights_origin: str = ""
    mean: Rgb | None = None
    std: Rgb | None = None

    @model_validator(mode="after")
    def _paired(self) -> NetworkSection:
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std belong together: give both or neither")
        if ("offset_x" in self.channels) != ("offset_y" in self.channels):
            raise ValueError("offset_x and offset_y belong together: name both or neither")
        return self

    def spec(self) -> NetworkSpec:
        """The part of the section that a model card keeps."""
        return NetworkSpec(**{key: getattr(self, key) for key in NetworkSpec.model_fields})

    def normalisation(self) -> Normalisation:
        """The constants given, or ImageNet's; see `settled` for those of the weights."""
        if self.mean is None or self.std is None:
            return Normalisation()
        return Normalisation(self.mean, self.std)

    def settled(self, weights: Path) -> NetworkSection:
        """This section with the constants that belong to the file `weights` filled in.

        Raises:
            ModelError: the file cannot be read.
            UsageError: the section contradicts the file, or neither of them says anything.
        """
        own = normalisation_of_weights(weights)
        if own is None and self.mean is None:
            raise UsageError(
                f"nothing says which mean and std belong to the weights in {weights}",
                hint="give `mean` and `std` in [network], or save them in the file's metadata",
            )
        if own is not None and self.mean is not None and self.normalisation() != own:
            raise UsageError(
                f"got mean {self.mean} and std {self.std}; the weights in {weights} were made "
                f"with mean {own.mean} and std {own.std}",
                hint="leave `mean` and `std` out of [network]",
            )
        own = own or self.normalisation()
        return self.model_copy(update={"mean": own.mean, "std": own.std})
