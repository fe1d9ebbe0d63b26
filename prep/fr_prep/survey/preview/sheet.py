"""A contact sheet as data: groups of images with their captions, before it is drawn."""

from dataclasses import dataclass

from fr_data.images.pictures import Picture, load_picture

__all__ = ["Group", "Sheet", "Tile", "make_tile"]


@dataclass(frozen=True, slots=True)
class Tile:
    """An image of a sheet.

    Attributes:
        image: the encoded image.
        caption: what stands below it; may be empty.
        picture: its pixels; None where it cannot be decoded.
        problem: why it cannot be.
    """

    image: bytes
    caption: str
    picture: Picture | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Images that belong together: some of a class, or the two of a pair.

    Attributes:
        title: what it is.
        details: lines that say more of it.
        tiles: its images.
        mark: what a pair is: `same`, `different`; empty for a class.
        alike: whether the mark says that two images belong together.
    """

    title: str
    details: tuple[str, ...]
    tiles: tuple[Tile, ...]
    mark: str = ""
    alike: bool = True


@dataclass(frozen=True, slots=True)
class Sheet:
    """A contact sheet.

    Attributes:
        title: what is shown.
        details: lines that say more of it.
        groups: in the order in which they are shown.
    """

    title: str
    details: tuple[str, ...]
    groups: tuple[Group, ...]

    @property
    def is_pairs(self) -> bool:
        """Whether the groups are pairs, which stand side by side."""
        return bool(self.groups[0].mark)

    @property
    def num_images(self) -> int:
        """Images that are shown."""
        return sum(len(group.tiles) for group in self.groups)

    @property
    def num_undecodable(self) -> int:
        """Those of them that cannot be decoded."""
        return sum(tile.picture is None for group in self.groups for tile in group.tiles)


def make_tile(image: bytes, caption: str = "") -> Tile:
    """Decodes an image, or says why it cannot be decoded."""
    try:
        return Tile(image, caption, load_picture(image))
    except ValueError as error:
        return Tile(image, caption, None, str(error))
