"""Checks of what a loss is made with."""

__all__ = ["require"]


def require(holds: bool, expected: str, received: object) -> None:
    """Refuses an argument.

    Raises:
        ValueError: unless `holds`.
    """
    if not holds:
        raise ValueError(f"expected {expected}, received {received}")
