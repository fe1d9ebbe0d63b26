"""`fr-train models`."""

import click

__all__ = ["models"]


@click.command(epilog="Example: fr-train models")
@click.option("--json", "as_json", is_flag=True, help="Write the result as JSON to stdout.")
def models(as_json: bool) -> None:
    """List the networks that --backbone takes."""
    import json

    from fr_eval.startup import import_tensorflow
    from fr_train.backbones.registry import backbone_names, find_backbone

    import_tensorflow()
    found = [find_backbone(name) for name in backbone_names()]
    if as_json:
        rows = [{"name": b.name, "output": b.output, "description": b.description} for b in found]
        click.echo(json.dumps(rows, indent=1))
        return
    for backbone in found:
        click.echo(f"{backbone.name:<16}output {backbone.output:<5}{backbone.description}")
