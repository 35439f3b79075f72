"""Videos to super-image shards. The only package that knows video and Ray; importing it costs neither Ray nor torch."""
