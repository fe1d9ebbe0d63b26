"""Words that the commands share."""

__all__ = ["count", "noun"]


def noun(number: int, one: str, many: str = "") -> str:
    """Gives a noun in the form that goes with a number."""
    return one if number == 1 else many or f"{one}s"


def count(number: int, one: str, many: str = "") -> str:
    """Gives a number with its noun."""
    return f"{number:,} {noun(number, one, many)}"
