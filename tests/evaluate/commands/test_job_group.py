import click
import pytest
from click.testing import CliRunner

from fr_eval.commands.job_group import JobGroup


@click.command("measure", cls=JobGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--model", required=True, help="The model.")
@click.argument("bins", nargs=-1)
def measure(model, bins):
    """Measure a model."""
    click.echo(f"job {model} {' '.join(bins)}")


@click.command()
@click.argument("model")
def export(model):
    """Export a model."""
    click.echo(f"export {model}")


measure.add_command(export)


def run(*arguments):
    return CliRunner().invoke(measure, list(arguments))


def test_options_and_file_names_go_to_the_job():
    assert run("--model", "m", "a.bin", "b.bin").output == "job m a.bin b.bin\n"
    assert run("a.bin", "--model", "m").output == "job m a.bin\n"
    assert run("./export", "--model", "m").output == "job m ./export\n"


def test_the_name_of_a_command_goes_to_the_command():
    assert run("export", "m").output == "export m\n"
    assert "Usage: measure export [OPTIONS] MODEL" in run("export", "--help").output


def test_a_command_takes_the_settings_of_the_job():
    assert run("export", "-h").output == run("export", "--help").output


def test_help_shows_both():
    output = run("--help").output
    assert output.startswith("Usage: measure [OPTIONS] [BINS]...\n       measure COMMAND [ARGS]...\n")
    assert "--model" in output
    assert "Commands:\n  export  Export a model." in output


@pytest.mark.parametrize(("arguments", "usage"), [(["x"], "measure"), (["export"], "measure export")])
def test_what_is_wrong_is_said_with_the_usage_of_what_was_meant(arguments, usage):
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.output.startswith(f"Usage: {usage} [OPTIONS]")


def test_a_job_without_arguments_knows_a_mistyped_command():
    plain = JobGroup("train", params=[])
    plain.add_command(export)
    result = CliRunner().invoke(plain, ["exprt"])
    assert result.exit_code == 2
    assert "No such command 'exprt'. Did you mean 'export'?" in result.output
