"""`buildext models`: what models there are, what their cards say, whether their files are whole."""

from __future__ import annotations

from pathlib import Path

import click


@click.group()
def models() -> None:
    """List, show and verify models."""


@models.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_models(as_json: bool) -> None:
    """List the bundled models."""
    import json

    from buildext.models.card import read_card
    from buildext.models.store import BUNDLED, Model, bundled_names

    cards = {name: read_card(BUNDLED / name) for name in bundled_names()}
    megabytes = {
        name: round(Model(BUNDLED / name, card).weights.stat().st_size / 1e6, 1)
        for name, card in cards.items()
    }
    if as_json:
        rows = [
            {
                "name": name,
                "version": card.version,
                "encoder": card.network.encoder,
                "decoder": card.network.decoder,
                "channels": list(card.channels),
                "gsd_m": [card.gsd.min_m, card.gsd.max_m],
                "second_scale": card.second_scale,
                "weights_of": card.weights_of or name,
                "megabytes": megabytes[name],
            }
            for name, card in cards.items()
        ]
        click.echo(json.dumps(rows, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("model", "version", "network", "predicts", "GSD", "size")
    for name, card in cards.items():
        table.add_row(
            name,
            card.version,
            f"{card.network.decoder} + {card.network.encoder}"
            + (f", at two scales (1 : {card.second_scale:g})" if card.second_scale else ""),
            ", ".join(card.channels),
            f"{card.gsd.min_m:g}–{card.gsd.max_m:g} m",
            f"as {card.weights_of}" if card.weights_of else f"{megabytes[name]} MB",
        )
    Console().print(table)


@models.command("show")
@click.argument("model")
def show_model(model: str) -> None:
    """Print the card of MODEL (a bundled name or a folder)."""
    from buildext.models.store import load_model

    click.echo(load_model(model).card.dumps(), nl=False)


@models.command("verify")
@click.argument("names", metavar="[MODEL]...", nargs=-1)
def verify_models(names: tuple[str, ...]) -> None:
    """Compare the files of models with the checksums of their cards (default: all bundled)."""
    from buildext.models.store import bundled_names, load_model

    for name in names or bundled_names():
        model = load_model(name)
        files = ", ".join(model.card.files)
        click.echo(f"{Path(name).name}: {files} verified")
