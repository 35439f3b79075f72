"""Every reason for which a video is left out. docs/faults.md has a row for each, which a test compares with this list.

A reason is the same for all videos of its kind, so that they can be counted. The detail beside it is each video's own.
"""

# The file.
MISSING_FILE = "missing file"
EMPTY_FILE = "empty file"
NOT_FETCHED = "not fetched"
NOT_A_VIDEO = "not a video"
NO_VIDEO_STREAM = "no video stream"
ENCRYPTED = "encrypted video"

# Its frames.
DAMAGED_FILE = "truncated or damaged file"
DAMAGED_STREAM = "truncated or damaged stream"
DAMAGED_FRAME = "damaged frame"
NO_FRAMES = "no frames"
EMPTY_SEGMENT = "empty segment"
PICTURE_TOO_LARGE = "picture too large"
UNKNOWN_MATRIX = "colour matrix that libswscale does not know"

# Limits of the configuration.
TIME_LIMIT = "time limit"
MEMORY_LIMIT = "memory limit"
TOO_FEW_FRAMES = "fewer than min_frames"
MOSTLY_DAMAGED = "too few frames decode"

# Errors of a decoder or of this program.
CRASHED = "decoder crashed"
UNEXPECTED = "unexpected error"

ALL = frozenset(value for name, value in dict(globals()).items() if name.isupper() and isinstance(value, str))

# With these reasons no other decoder is tried: it would fail too, or return wrong frames.
FINAL = (TIME_LIMIT, ENCRYPTED, UNKNOWN_MATRIX, TOO_FEW_FRAMES)
