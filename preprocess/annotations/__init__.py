"""Annotation formats: each is a frozen dataclass of options with ``read(source) -> Dataset``."""

from preprocess.annotations.folder import Folder
from preprocess.annotations.ucf101 import Ucf101

FORMATS = {reader.format_name: reader for reader in (Folder, Ucf101)}
