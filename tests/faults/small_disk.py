"""Run a command with a small disk of its own at OUTPUT, then enlarge the disk and run it again.

    unshare --map-root-user --mount python small_disk.py OUTPUT KILOBYTES COMMAND ...

Prints a JSON object: of each run the exit status, standard error, and the files and their sizes on the disk after it.
"""

import json
import subprocess
import sys
from pathlib import Path


def run(command, output):
    done = subprocess.run(command, capture_output=True, text=True)
    files = {str(path.relative_to(output)): path.stat().st_size for path in output.rglob("*") if path.is_file()}
    return {"status": done.returncode, "stderr": done.stderr, "files": files}


def main():
    output, kilobytes, *command = sys.argv[1:]
    output = Path(output)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", output], check=True)
    first = run(command, output)
    subprocess.run(["mount", "-o", "remount,size=64m", output], check=True)
    second = run(command, output)
    records = {
        str(path.relative_to(output)): json.loads(path.read_text(encoding="utf-8"))
        for path in output.glob("*/_records/*-[0-9]*.json")
    }
    print(json.dumps({"runs": [first, second], "records": records}))


if __name__ == "__main__":
    main()
