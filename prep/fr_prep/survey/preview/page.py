"""A contact sheet as one HTML page that loads nothing."""

import base64

from fr_data.images.pictures import save_png
from fr_prep.survey.preview.sheet import Sheet, Tile

__all__ = ["render_page"]

_MEDIA_TYPES = {name: f"image/{name.lower()}" for name in ("AVIF", "BMP", "GIF", "JPEG", "PNG", "WEBP")}
_MEDIA_TYPES["MPO"] = "image/jpeg"  # a camera's JPEG with a second picture behind it


def render_page(sheet: Sheet) -> str:
    """Gives the page. Images are in it byte for byte, but for formats that browsers do not show, which become PNG."""
    import jinja2  # noqa: PLC0415

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("fr_prep.survey.preview"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["address"] = _data_address
    return environment.get_template("sheet.html.j2").render(sheet=sheet)


def _data_address(tile: Tile) -> str:
    """Gives an image that can be decoded as a `data:` address."""
    image, media_type = tile.image, _MEDIA_TYPES.get(tile.picture.format) if tile.picture else None
    if tile.picture and media_type is None:
        image, media_type = save_png(tile.picture.image), "image/png"
    return f"data:{media_type};base64,{base64.b64encode(image).decode('ascii')}"
