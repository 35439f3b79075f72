"""Converts videos into shards of super images. Only this package uses Ray. Importing it loads neither Ray nor torch."""
