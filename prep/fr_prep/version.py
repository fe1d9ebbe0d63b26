"""The version of the installed toolkit."""

from importlib.metadata import PackageNotFoundError, version

__all__ = ["tool_version"]


def tool_version() -> str:
    """Gives the version of the distribution, or "unknown" where the source runs without an installation."""
    try:
        return version("fr-toolkit")
    except PackageNotFoundError:
        return "unknown"
