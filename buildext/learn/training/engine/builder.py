"""From a config's section to a network that is ready to learn."""

from __future__ import annotations

from pathlib import Path

import torch

from buildext.errors import ModelError
from buildext.learn.networks.build import build_network
from buildext.learn.networks.loading import load_encoder, load_strictly, state_dict_from_onnx
from buildext.learn.training.config import NetworkSection, resolve_path
from buildext.learn.training.engine.sight import Sight
from buildext.models.store import load_model


def settle(section: NetworkSection, base: Path) -> NetworkSection:
    """The section with the path of its weights resolved and their normalisation filled in.

    Raises:
        UsageError, ModelError: the weights cannot be used so.
    """
    if not section.weights:
        return section
    path = resolve_path(section.weights, base, "weights of the encoder")
    return section.settled(path).model_copy(update={"weights": str(path)})


def continue_model(section: NetworkSection, name: str) -> NetworkSection:
    """The section of a network that goes on where the model `name` stands.

    Raises:
        ModelError: the section describes another network, or there is no such model.
    """
    card = load_model(name).card
    told = {key for key in section.model_fields_set if key in type(card.network).model_fields}
    for key in told:
        if getattr(section, key) != getattr(card.network, key):
            raise ModelError(
                f"got network.{key} = {getattr(section, key)!r}; the model {name} has "
                f"{getattr(card.network, key)!r}",
                hint="leave [network] out: with `start` the model's own network is used",
            )
    values = {key: getattr(card.network, key) for key in type(card.network).model_fields}
    return section.model_copy(
        update={**values, "channels": card.channels, "mean": card.mean, "std": card.std}
    )


def build_sight(
    section: NetworkSection, seed: int, precision: torch.dtype, start: str = ""
) -> Sight:
    """A network with its weights.

    Args:
        section: settled.
        seed: of what is initialised at random.
        precision: of the arithmetic.
        start: a model whose weights are taken over whole; else the encoder's own, if any.

    Raises:
        ModelError: the weights do not fit.
    """
    torch.manual_seed(seed)
    network = build_network(section.spec(), section.channels)
    if start:
        model = load_model(start)
        load_strictly(network, state_dict_from_onnx(model.weights), str(model.weights))
    elif section.weights:
        load_encoder(network.encoder, Path(section.weights))
    return Sight(network, section.normalisation(), precision)
