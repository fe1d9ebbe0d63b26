"""The commands of `fr-train`. At module level they import click only, so that `--help` answers in a blink."""
