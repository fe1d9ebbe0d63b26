"""The sub-commands of `fr-eval`, one a file. Module level imports click alone, so that `--help` answers in a blink."""
