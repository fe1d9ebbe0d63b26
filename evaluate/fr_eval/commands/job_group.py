"""A click command that is a job itself and has sub-commands beside it.

`fr-eval --model M lfw.bin` does the job; `fr-eval export M` is a sub-command; `fr-eval --help` shows both.
"""

from difflib import get_close_matches
from typing import Any

import click

__all__ = ["JobGroup"]


class JobGroup(click.Command):
    """A command with sub-commands beside it.

    Where the first argument names a sub-command, that one runs. Anything else, options or file names, goes to the job. A
    file that is called like a sub-command is written with its folder: `./export`.

    Attributes:
        commands: the sub-commands by name.
    """

    def __init__(self, *args: Any, **attrs: Any) -> None:
        super().__init__(*args, **attrs)
        self.commands: dict[str, click.Command] = {}

    def add_command(self, command: click.Command) -> None:
        """Sets a sub-command beside the job, under its own name."""
        if not command.name:
            raise ValueError("a sub-command needs a name")
        self.commands[command.name] = command

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Gives the context of the sub-command that the first argument names, else the job's own."""
        command = self.commands.get(args[0]) if args else None
        if command is None:
            if args and not args[0].startswith("-") and not self._takes_arguments():
                own = self.context_class(self, info_name=info_name, parent=parent, **extra)
                near = get_close_matches(args[0], self.commands, n=1)
                own.fail(f"No such command {args[0]!r}.{f' Did you mean {near[0]!r}?' if near else ''}")
            return super().make_context(info_name, args, parent, **extra)
        # A bare command stands for the group here: click would write the job's arguments into the sub-command's usage.
        settings = {**self.context_settings, **extra}  # such as -h for help, which the sub-command takes over
        own = self.context_class(click.Command(self.name), info_name=info_name, parent=parent, **settings)
        return command.make_context(command.name, args[1:], parent=own)

    def _takes_arguments(self) -> bool:
        return any(isinstance(param, click.Argument) for param in self.params)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs what the context was made for."""
        return super().invoke(ctx) if ctx.command is self else ctx.command.invoke(ctx)

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes two usage lines: the job's and the sub-commands'."""
        super().format_usage(ctx, formatter)
        if self.commands:
            formatter.write_usage(ctx.command_path, "COMMAND [ARGS]...", prefix=" " * len("Usage: "))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the job's options, then the sub-commands."""
        super().format_options(ctx, formatter)
        if self.commands:
            width = formatter.width - 6 - max(map(len, self.commands))
            rows = [(name, command.get_short_help_str(width)) for name, command in sorted(self.commands.items())]
            with formatter.section("Commands"):
                formatter.write_dl(rows)
