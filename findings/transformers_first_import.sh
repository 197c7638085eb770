#!/usr/bin/env bash
# While one thread imports Transformers for the first time, `from transformers import NAME` in another thread fails.
#
# The package puts a lazy module in its own place in sys.modules before that module is whole. Python makes a second
# thread wait for a module that is still being imported, but goes by the module's own spec for that, and the lazy one
# is not marked. So a name that exists "cannot be imported" for as long as the first import takes. A server that loads
# a model in one thread while another answers its first request meets this once in a while, and only right after its
# start. An import of a module of one's own that imports Transformers does wait: that is the way around.
#
# Seen with: transformers 5.23.0, Python 3.11 (2026-11-28).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check transformers==5.23.0
cd "$folder"
cat > door.py <<'PYTHON'
from transformers import PreTrainedConfig
PYTHON
cat > see.py <<'PYTHON'
import sys
import threading
import time


def first_import(way):
    """What a second thread gets that asks for a name `delay` seconds after a first thread began to."""
    seen = []

    def late(delay):
        time.sleep(delay)
        try:
            exec(way, {})
            seen.append("imported")
        except ImportError as error:
            seen.append(f"ImportError: {str(error).partition(' (')[0]}")

    threads = [threading.Thread(target=exec, args=(way, {}))]
    threads += [threading.Thread(target=late, args=(delay / 100,)) for delay in range(1, 40, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seen


print(*sorted(set(first_import(sys.argv[1]))), sep="\n")
PYTHON
"$folder/venv/bin/python" -c 'import transformers; print("transformers", transformers.__version__)'
"$folder/venv/bin/python" see.py "from transformers import PreTrainedConfig" | tee asked_directly
"$folder/venv/bin/python" see.py "from door import PreTrainedConfig" | tee by_a_door
grep -q "^ImportError: cannot import name 'PreTrainedConfig' from 'transformers'$" asked_directly
test "$(cat by_a_door)" = imported
echo "as seen"
