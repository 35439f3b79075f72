"""The parts of `eval_video.py`: predict the views of videos, average them, compute metrics, write the results."""
