"""Makes `docs/cli.md` from the commands' own `--help`; `--check` only says whether it is up to date."""

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from fr_eval.cli import main as fr_eval
from fr_prep.cli import main as fr_prep
from fr_train.cli import main as fr_train

TARGET = Path(__file__).parent / "cli.md"
WIDTH = 110
HEAD = """# Command line

Made from `--help` by `make docs`; do not edit.

Exit codes: 0, 1 (failed; the reason stands on stderr), 2 (the command line is wrong). Results go to stdout, progress and
warnings to stderr.
"""


def walk(name: str, command: click.Command) -> Iterator[str]:
    """Yields a section for a command and for each of its sub-commands."""
    ctx = click.Context(command, info_name=name, terminal_width=WIDTH, max_content_width=WIDTH)
    lines = [line.rstrip() for line in command.get_help(ctx).splitlines()]
    yield f"## {name}\n\n```text\n" + "\n".join(lines) + "\n```\n"
    for sub_name, sub_command in sorted(getattr(command, "commands", {}).items()):
        yield from walk(f"{name} {sub_name}", sub_command)


def main() -> None:
    """Writes the page, or compares it."""
    sections = [section for name, command in COMMANDS.items() for section in walk(name, command)]
    text = "\n".join([HEAD, *sections])
    if "--check" not in sys.argv[1:]:
        TARGET.write_text(text, encoding="utf-8")
    elif not TARGET.exists() or TARGET.read_text(encoding="utf-8") != text:
        sys.exit(f"{TARGET.name} is not what --help says: run `make docs`.")


COMMANDS = {"fr-prep": fr_prep, "fr-train": fr_train, "fr-eval": fr_eval}

if __name__ == "__main__":
    main()
