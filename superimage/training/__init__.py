"""What `train_image.py` is made of besides its loop: flags, and the rules for grids of tiles. Knows no video."""
