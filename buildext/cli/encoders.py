"""`buildext encoders`: what can stand in front of a decoder, and what it costs."""

from __future__ import annotations

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--all", "everything", is_flag=True, help="Only the names, but all that the registry takes."
)
def encoders(as_json: bool, everything: bool) -> None:
    """List the encoders that networks are built from.

    Parameters and multiply-accumulates (MACs, for 256 x 256 pixels) are the encoder's alone.
    Weights come from a file that the user has (`weights` in the [network] section); the column
    names the files that are known to fit.
    """
    import json

    if everything:
        names = _all_names()
        click.echo(json.dumps(names, indent=2) if as_json else "\n".join(names))
        return
    from buildext.learn.networks.catalogue import read_catalogue

    listed = read_catalogue()
    if as_json:
        rows = [
            {
                "name": one.name,
                "family": one.family,
                "reference": one.reference,
                "parameters": one.figures.parameters,
                "macs_256": one.figures.macs,
                "strides": list(one.figures.strides),
                "widths": list(one.figures.widths),
                "weights": one.weights or None,
            }
            for one in listed
        ]
        click.echo(json.dumps(rows, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("encoder", "family", "parameters", "MACs at 256", "strides", "weights")
    for one in listed:
        strides = one.figures.strides
        table.add_row(
            one.name,
            one.family,
            f"{one.figures.parameters / 1e6:.2f} M",
            f"{one.figures.macs / 1e9:.2f} G",
            f"{strides[0]}–{strides[-1]}",
            one.weights,
        )
    Console().print(table)


def _all_names() -> list[str]:
    """Every name that the registry takes; timm's networks are not tried one by one."""
    from importlib.util import find_spec

    from buildext.errors import UsageError

    if find_spec("torch") is None:
        raise UsageError(
            "the names of all encoders come from torch's libraries, which are not installed",
            hint='pip install "buildext[train]", or leave out --all',
        )
    from buildext.learn.networks.registry import own_names, smp_names, timm_names

    return [*own_names(), *smp_names(), *timm_names()]
