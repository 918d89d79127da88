"""`buildext doctor`: everything that a bug report needs, in a form to paste."""

from __future__ import annotations

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(as_json: bool) -> None:
    """Report versions, engines, processor, drivers and disk."""
    import json

    from buildext.diagnosis import environment

    facts = environment()
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    for section, entries in facts.items():
        click.echo(f"{section}:")
        for name, value in entries.items():
            click.echo(f"  {name}: {value}")
