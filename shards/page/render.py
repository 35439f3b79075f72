"""Templates to one HTML page that needs nothing but itself. All values are escaped, since file names may be hostile."""

import base64
from pathlib import Path
from typing import Any

import jinja2

from shards.page.formats import byte_count, clock, short_number

_OWN_TEMPLATES = Path(__file__).parent / "templates"


def render_page(template: Path, **values: Any) -> bytes:
    """The page as UTF-8. A template may extend ``page.html`` and import ``macros.html`` of this folder.

    A name that the template uses and ``values`` lacks is an error.
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
    """A JPEG file as the ``src`` of an image."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode('ascii')}"
