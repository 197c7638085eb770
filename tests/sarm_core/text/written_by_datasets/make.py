"""Writes the files beside it with the real `datasets` package: each holds the rows of the JSON lines of its name.

    python -m venv OWN && OWN/bin/pip install datasets==5.2.0
    OWN/bin/python tests/sarm_core/text/written_by_datasets/make.py

`datasets` is no dependency of this project, so it is run by hand, in an environment of its own; nothing imports it.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from datasets import Dataset, DatasetDict, load_dataset

HERE = Path(__file__).parent
ASKED = {"role": "user", "content": "Is it safe to reheat rice?"}
GOOD, BAD = "Yes, if you cool it quickly first.", "I'm sorry, I can't help with that."


def call(**arguments: Any) -> dict[str, Any]:
    """An assistant turn that calls a tool."""
    function = {"name": "look_up", "arguments": arguments}
    return {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": function}]}


ROWS: dict[str, list[dict[str, Any]]] = {
    # One turn with another key, which makes every turn a text of the type arrow.json.
    "extra_key": [
        {"messages": [ASKED, {"role": "assistant", "content": GOOD, "weight": 1}], "id": 1},
        {"messages": [ASKED, {"role": "assistant", "content": BAD}], "id": 2},
    ],
    # A content in parts beside one that is a text, which makes every content quoted JSON.
    "mixed_content": [
        {
            "messages": [
                {**ASKED, "content": [{"type": "text", "text": ASKED["content"]}]},
                {"role": "assistant", "content": GOOD},
            ]
        },
        {"messages": [ASKED, {"role": "assistant", "content": 'He said "no".\n\u00e9\u6f22'}]},
    ],
    # An answer as turns beside one as a text, in columns of a preference.
    "mixed_answers": [
        {"prompt": ASKED["content"], "chosen": [{"role": "assistant", "content": GOOD}], "rejected": BAD},
        {"prompt": [ASKED], "chosen": GOOD, "rejected": [{"role": "assistant", "content": BAD}]},
    ],
    # Calls with different arguments: as structs each has both, null where it has none.
    "calls": [
        {"messages": [ASKED, call(query="rice")]},
        {"messages": [ASKED, call(page=2)]},
    ],
    "pairs": [
        {"prompt": f"{ASKED['content']} ({n})", "chosen": GOOD, "rejected": BAD, "n": n} for n in range(5)
    ],
}


def main() -> None:
    """Write everything again."""
    for name, rows in ROWS.items():
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (HERE / f"{name}.jsonl").write_text(lines, encoding="utf-8")
        with tempfile.TemporaryDirectory() as cache:
            loaded = load_dataset(
                "json", data_files=str(HERE / f"{name}.jsonl"), split="train", cache_dir=cache
            )
            loaded.to_parquet(str(HERE / f"{name}.parquet"))
    Dataset.from_list(ROWS["calls"]).to_parquet(str(HERE / "calls.structs.parquet"))
    pairs = Dataset.from_list(ROWS["pairs"])
    pairs.save_to_disk(str(HERE / "pairs.saved"), num_shards=2)
    DatasetDict(train=pairs).save_to_disk(str(HERE / "pairs.one_split"))
    DatasetDict(train=pairs.select([4, 2]), test=pairs.select([0])).save_to_disk(
        str(HERE / "pairs.two_splits")
    )
    turns = Dataset.from_list(ROWS["extra_key"], on_mixed_types="use_json")
    turns.save_to_disk(str(HERE / "extra_key.saved"))


if __name__ == "__main__":
    main()
