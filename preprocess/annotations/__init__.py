"""Annotation formats: each is a frozen dataclass of options with ``read(source) -> Listing``."""

from preprocess.annotations.charades import Charades
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
