"""Architectures that timm lacks. Importing this package registers them with timm.

python train.py --device-modules superimage.models --model sifar_swin_base_w14_3x3_224 ...      timm's own train.py
"""

from superimage.models import sifar_resnet, sifar_swin, uniformer
from superimage.models.build import build_model
from superimage.models.sifar_swin import check_grid

__all__ = ["build_model", "check_grid", "sifar_resnet", "sifar_swin", "uniformer"]
