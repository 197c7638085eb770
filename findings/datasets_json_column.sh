#!/usr/bin/env bash
# datasets 5.2 turns chat turns into JSON strings on their way to Parquet, as soon as the turns of a file differ in shape.
#
# A JSONL file of preference rows is loaded with datasets and written to Parquet. While all turns have the same keys,
# pyarrow and pandas read turns back. One turn with one more key ("name"), or one content in parts, and the column (or
# the content inside it) has the Arrow type `arrow.json`. datasets decodes it again; pyarrow 26 and pandas 3 hand out
# the JSON text without a warning. A plain content then comes with its quotation marks: a reward model that is given
# what pandas read scores "Paris" with the marks, and every line break as a backslash and an n.
#
# Seen with: datasets 5.2.0, pyarrow 26.0.1, pandas 3.1.1, Python 3.11 (2026-11-27). Documented for writing
# (datasets' `Json` feature), not what other readers of the file get.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check datasets==5.2.0 pyarrow==26.0.1 pandas==3.1.1
cd "$folder"
cat > see.py <<'PYTHON'
import importlib.metadata
import json
import sys

import datasets
import pandas
import pyarrow.parquet

for name in ("datasets", "pyarrow", "pandas"):
    print(name, importlib.metadata.version(name))


def through(name, answers):
    """Rows of one answer each, JSONL -> datasets -> Parquet; the file's type, and what three readers make of it."""
    turns = [[{"role": "user", "content": "Where?"}, answer] for answer in answers]
    with open(f"{name}.jsonl", "w") as file:
        file.writelines(json.dumps({"chosen": chosen}) + "\n" for chosen in turns)
    made = datasets.load_dataset("json", data_files=f"{name}.jsonl", split="train", cache_dir="cache")
    made.to_parquet(f"{name}.parquet")
    table = pyarrow.parquet.read_table(f"{name}.parquet")
    back = datasets.load_dataset("parquet", data_files=f"{name}.parquet", split="train", cache_dir="cache")
    seen = {
        "type": str(table.schema.field("chosen").type),
        "pyarrow": table.to_pylist()[0]["chosen"][1],
        "pandas": pandas.read_parquet(f"{name}.parquet")["chosen"][0][1],
        "datasets": back[0]["chosen"][1],
    }
    print(f"\n{name}")
    for reader, value in seen.items():
        print(f"  {reader:9}{value!r}")
    return seen


plain = {"role": "assistant", "content": "In Paris.\nYes."}
same = through("same keys", [plain, {"role": "assistant", "content": "In Rome."}])
extra = through("one name", [plain, {"role": "assistant", "content": "In Rome.", "name": "b"}])
parts = through("one in parts", [plain, {"role": "assistant", "content": [{"type": "text", "text": "In Rome."}]}])

text = json.dumps(plain, separators=(",", ":"))
quoted = {"role": "assistant", "content": '"In Paris.\\nYes."'}
expected = [
    (same["pyarrow"], plain),
    (same["pandas"], plain),
    (extra["pyarrow"], text),
    (extra["pandas"], text),
    (extra["datasets"], plain),
    ("arrow.json" in extra["type"], True),
    (parts["pyarrow"], quoted),
    (parts["pandas"], quoted),
    (parts["datasets"], plain),
]
changed = [(seen, wanted) for seen, wanted in expected if seen != wanted]
for seen, wanted in changed:
    print(f"\nCHANGED: {seen!r}, it was {wanted!r}", file=sys.stderr)
sys.exit(bool(changed))
PYTHON
"$folder/venv/bin/python" see.py 2> >(grep -v -E 'it/s|examples/s|ba/s|^$' >&2)
