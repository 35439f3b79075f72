"""Renders templates to one self-contained HTML page. All values are escaped, since file names may be hostile."""

import base64
from pathlib import Path
from typing import Any

import jinja2

from shards.page.formats import byte_count, clock, short_number

_OWN_TEMPLATES = Path(__file__).parent / "templates"


def render_page(template: Path, **values: Any) -> bytes:
    """Render a page as UTF-8. A template may extend ``page.html`` and import ``macros.html`` of this folder.

    Raises jinja2.UndefinedError if the template uses a name that is not in ``values``.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([template.parent, _OWN_TEMPLATES]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"byte_count": byte_count, "clock": clock, "data_url": data_url, "number": short_number}
    return environment.get_template(template.name).render(values).encode("utf-8", "replace")


def data_url(jpeg: bytes) -> str:
    """A JPEG file as a data URL, for the ``src`` of an image."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode('ascii')}"
