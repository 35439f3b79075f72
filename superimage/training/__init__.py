"""The parts of `train_image.py`. They read super images and know nothing about video."""
