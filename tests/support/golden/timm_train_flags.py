"""Make timm_train_flags.json: names, types and defaults of the flags of timm's train.py.

    python tests/support/golden/timm_train_flags.py train.py > tests/support/golden/timm_train_flags.json

train.py is the training script of https://github.com/huggingface/pytorch-image-models; it is not in timm's wheel. It is
parsed, not run. The copy in this repository lists commit 2aabaef0 and, under "later", flags that newer releases have.
"""

import ast
import json
import sys
from pathlib import Path


def flags_of(source: str) -> dict[str, dict]:
    """``add_argument("--workers", type=int, default=4)`` -> ``{"--workers": {"type": "int", "default": 4, ...}}``."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    found = [describe(call) for call in calls if getattr(call.func, "attr", "") == "add_argument"]
    return dict(sorted((name, facts) for name, facts in found if name.startswith("--")))


def describe(call: ast.Call) -> tuple[str, dict]:
    names = [argument.value for argument in call.args]
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    action = ast.unparse(given["action"]).strip("'\"") if "action" in given else ""
    kind = "bool" if action == "store_true" else given["type"].id if "type" in given else "str"
    default = False if kind == "bool" else None
    if "default" in given:
        default = eval(compile(ast.Expression(given["default"]), "default", "eval"), {})
    nargs = ast.literal_eval(given["nargs"]) if "nargs" in given else None
    return next((name for name in names if name.startswith("--")), names[0]), {
        "type": kind,
        "default": default,
        "nargs": nargs,
        "names": sorted(names),
    }


if __name__ == "__main__":
    print(json.dumps(flags_of(Path(sys.argv[1]).read_text(encoding="utf-8")), indent=1))
