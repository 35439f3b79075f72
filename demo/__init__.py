"""The whole way on a small data set that is made here: videos, conversion, training, evaluation.

``python -m demo`` runs it. ``motions`` draws, ``make_videos`` writes the files, ``__main__`` runs the three commands.
"""
