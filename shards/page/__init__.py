"""HTML reports: Jinja templates and SVG charts. In ``shards``, since both other packages may import it."""
