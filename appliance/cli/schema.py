"""`appliance schema`"""

from __future__ import annotations

import json

import click

from appliance.desk.config.file import json_schema


@click.command("schema")
def command() -> None:
    """Print the JSON Schema of appliance.yaml."""
    click.echo(json.dumps(json_schema(), indent=2))
