"""Where the repository and the real clips are."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"
FAULTS = ROOT / "tests" / "faults"
