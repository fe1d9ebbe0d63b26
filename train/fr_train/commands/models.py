"""`fr-train models`."""

import click

__all__ = ["models"]


@click.command(epilog="Example: fr-train models")
@click.option("--json", "as_json", is_flag=True, help="Write the result as JSON to stdout.")
def models(as_json: bool) -> None:
    """List the networks that --backbone takes: output layer, what can be chosen, and what it is."""
    import json
    from dataclasses import asdict

    from fr_eval.models.frameworks import import_keras
    from fr_train.model.backbones.registry import backbone_names, find_backbone

    import_keras()
    found = [find_backbone(name) for name in backbone_names()]
    if as_json:
        rows = [{key: value for key, value in asdict(backbone).items() if key != "builder"} for backbone in found]
        click.echo(json.dumps(rows, indent=1))
        return
    for backbone in found:
        options = [option for option in ("width", "imagenet") if getattr(backbone, f"has_{option}")]
        click.echo(f"{backbone.name:<18}output {backbone.output:<5}{' '.join(options):<16}{backbone.description}")
