"""The work of a worker: one batch, one video, and the decoder in a child process. Does not import Ray."""
