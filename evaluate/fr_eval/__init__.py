"""Verification of face-recognition models as the papers measure it. The command line is `fr-eval`."""
