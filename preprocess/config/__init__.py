"""The configuration: schema, presets, and strict reading of YAML."""
