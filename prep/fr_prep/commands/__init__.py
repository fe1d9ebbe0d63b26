"""The commands of `fr-prep`, one a file. At module level they import click only, so that `--help` answers in a blink."""
