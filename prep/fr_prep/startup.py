"""Where the command `fr-prep` begins."""

import os

__all__ = ["main"]


def main() -> None:
    """Runs the command line, without the threads that NumPy's linear algebra would start and keep waiting for work.

    Nothing here has any for them, and while they wait they take processor time from the workers.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from fr_prep.cli import main as run  # noqa: PLC0415  NumPy reads the setting when it is imported

    run()
