"""The parts of ``train_image.py`` and ``eval_video.py``: models, training, evaluation."""
