"""Annotation formats: each is a frozen dataclass of options with ``read(source) -> Listing``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from preprocess.annotations.charades import Charades
from preprocess.annotations.dataset import Listing
from preprocess.annotations.diving48 import Diving48
from preprocess.annotations.folder import Folder
from preprocess.annotations.hmdb51 import Hmdb51
from preprocess.annotations.kinetics import Kinetics
from preprocess.annotations.moments import Moments
from preprocess.annotations.named_csv import NamedCsv
from preprocess.annotations.plain_list import PlainList
from preprocess.annotations.twentybn import Jester, SomethingSomethingV1, SomethingSomethingV2
from preprocess.annotations.ucf101 import Ucf101

_READERS = (
    Kinetics,
    SomethingSomethingV2,
    SomethingSomethingV1,
    Jester,
    Moments,
    Diving48,
    Ucf101,
    Hmdb51,
    Charades,
    PlainList,
    NamedCsv,
    Folder,
)
FORMATS = {reader.format_name: reader for reader in _READERS}
# The user names the splits of these formats, so they read only the splits of the configuration.
_OWN_SPLITS = (PlainList, NamedCsv, Folder)


def read_listing(annotations: Any, source: Path, splits: Sequence[str]) -> Listing:
    """The listing of the files below ``source`` for the configured ``splits``. Raises the ValueErrors of the reader."""
    return annotations.read(source, splits) if isinstance(annotations, _OWN_SPLITS) else annotations.read(source)
