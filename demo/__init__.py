"""A demonstration of all steps on a small generated dataset: videos, conversion, training, evaluation.

``python -m demo`` runs it. ``motions`` draws frames, ``make_videos`` writes the videos, ``__main__`` runs the commands.
"""
