"""HTML reports: Jinja templates and SVG charts. It lies in ``shards`` because both other packages may import it."""
