"""What a worker does: one video, one shard, and the decoder in a process of its own. Knows no Ray."""
