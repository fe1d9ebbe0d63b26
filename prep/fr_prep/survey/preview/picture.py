"""A contact sheet as a PNG."""

import io
import textwrap
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from fr_prep.errors import OutputError
from fr_prep.survey.pixels import to_eight_bits
from fr_prep.survey.preview.sheet import Group, Sheet, Tile

__all__ = ["render_picture"]

MAX_PIXELS = 100_000_000
# In pixels:
TILE, GAP, MARGIN = 112, 8, 20
CAPTION = 15  # height of the line below an image
LABEL = 180  # what is said of a class, beside its images
LINE = 20  # height of a line of text
SMALLEST_WIDTH = 600

TILES_A_LINE, PAIRS_A_LINE = 12, 5
PAPER, PANEL, INK, SOFT, RULE = "#ffffff", "#eef1f4", "#1c2127", "#5a6572", "#d6dbe1"
ALIKE, APART = "#2f86d6", "#e0792b"


def render_picture(sheet: Sheet) -> bytes:
    """Draws a sheet.

    Returns:
        A PNG. Same input gives the same bytes from the same Pillow.

    Raises:
        OutputError: if it would be too large.
    """
    lines = [*sheet.details]
    if sheet.num_undecodable:
        lines.append(f"{sheet.num_undecodable:,} of {sheet.num_images:,} images cannot be decoded")
    top = MARGIN + 30 + LINE * len(lines) + 2 * GAP
    width, height, places = _place_pairs(sheet, top) if sheet.is_pairs else _place_classes(sheet, top)
    if width * height > MAX_PIXELS:
        raise OutputError(
            f"A picture of {width:,} x {height:,} pixels is larger than most programs open. Show fewer images, or write HTML."
        )
    canvas = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(canvas)
    _write(draw, (MARGIN, MARGIN), sheet.title, size=18, width=width - 2 * MARGIN)
    for number, line in enumerate(lines):
        place = (MARGIN, MARGIN + 30 + LINE * number)
        _write(draw, place, line, size=13, colour=SOFT, width=width - 2 * MARGIN)
    for group, place in zip(sheet.groups, places, strict=True):
        (_draw_pair if sheet.is_pairs else _draw_class)(draw, canvas, group, place)
    picture = io.BytesIO()
    canvas.save(picture, "PNG")
    return picture.getvalue()


def _place_pairs(sheet: Sheet, top: int) -> tuple[int, int, list[tuple[int, int]]]:
    """Gives width and height of the sheet, and where each pair goes."""
    step = (2 * TILE + 3 * GAP, TILE + LINE * (1 + len(sheet.groups[0].details)) + 3 * GAP)
    columns = min(PAIRS_A_LINE, len(sheet.groups))
    numbers = range(len(sheet.groups))
    places = [(MARGIN + step[0] * (n % columns), top + step[1] * (n // columns)) for n in numbers]
    width = 2 * MARGIN + step[0] * columns - 2 * GAP
    return max(width, SMALLEST_WIDTH), places[-1][1] + step[1] + MARGIN - GAP, places


def _place_classes(sheet: Sheet, top: int) -> tuple[int, int, list[tuple[int, int]]]:
    """Gives width and height of the sheet, and where each class goes."""
    places, bottom = [], top
    for group in sheet.groups:
        places.append((MARGIN, bottom))
        bottom += -(-len(group.tiles) // TILES_A_LINE) * (TILE + CAPTION + GAP) + 2 * GAP
    columns = min(TILES_A_LINE, max(len(group.tiles) for group in sheet.groups))
    width = 2 * MARGIN + LABEL + columns * (TILE + GAP) - GAP
    return max(width, SMALLEST_WIDTH), bottom + MARGIN - 2 * GAP, places


def _draw_pair(draw: ImageDraw.ImageDraw, canvas: Image.Image, group: Group, place: tuple[int, int]) -> None:
    left, top = place
    for number, tile in enumerate(group.tiles):
        _draw_tile(draw, canvas, tile, (left + number * (TILE + 2), top))
    bottom, right = top + TILE + 4, left + 2 * TILE + 2
    dash = right - left if group.alike else 12  # to be told apart in grey as well
    for start in range(left, right, dash + dash // 2):
        box = (start, bottom, min(start + dash, right) - 1, bottom + 3)
        draw.rectangle(box, fill=ALIKE if group.alike else APART)
    _write(draw, (left, bottom + 6), group.mark, size=13, width=TILE)
    _write(draw, (left + TILE + 2, bottom + 6), group.title, size=13, colour=SOFT, width=TILE)
    for number, line in enumerate(group.details, start=1):
        _write(draw, (left, bottom + 6 + number * LINE), line, size=12, colour=SOFT, width=right - left)


def _draw_class(draw: ImageDraw.ImageDraw, canvas: Image.Image, group: Group, place: tuple[int, int]) -> None:
    left, top = place
    draw.line((left, top - GAP, canvas.width - MARGIN, top - GAP), fill=RULE)
    for number, (line, colour) in enumerate([(group.title, INK), *((line, SOFT) for line in group.details)]):
        _write(draw, (left, top + number * LINE), line, size=13, colour=colour, width=LABEL - GAP)
    for number, tile in enumerate(group.tiles):
        column, row = number % TILES_A_LINE, number // TILES_A_LINE
        _draw_tile(draw, canvas, tile, (left + LABEL + column * (TILE + GAP), top + row * (TILE + CAPTION + GAP)))


def _draw_tile(draw: ImageDraw.ImageDraw, canvas: Image.Image, tile: Tile, place: tuple[int, int]) -> None:
    left, top = place
    box = (left, top, left + TILE - 1, top + TILE - 1)
    if tile.picture:
        image = ImageOps.contain(to_eight_bits(tile.picture.image, "RGB"), (TILE, TILE))
        if image.size != (TILE, TILE):
            draw.rectangle(box, fill=PANEL)
        canvas.paste(image, (left + (TILE - image.width) // 2, top + (TILE - image.height) // 2))
    else:
        draw.rectangle(box, fill=PANEL, outline=APART, width=2)
        text = "\n".join(textwrap.wrap(f"not decodable: {tile.problem}", 17, max_lines=8, placeholder=" ..."))
        draw.multiline_text((left + 6, top + 5), text, fill=INK, font=_font(10), spacing=2)
    _write(draw, (left, top + TILE + 1), tile.caption, size=11, colour=SOFT, width=TILE)


def _write(
    draw: ImageDraw.ImageDraw, place: tuple[int, int], text: str, *, size: int, width: int, colour: str = INK
) -> None:
    """Writes a line, shortened to a width."""
    font = _font(size)
    if draw.textlength(text, font) > width:
        while text and draw.textlength(f"{text}...", font) > width:
            text = text[:-1]
        text += "..."
    draw.text(place, text, fill=colour, font=font)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """Gives the font that Matplotlib brings: Pillow's own has no accents, and names do."""
    import matplotlib  # noqa: PLC0415

    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), size)
