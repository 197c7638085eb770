"""What `benchmarks/backbones.py` asks of every decoder type, asked here of one type for each mechanism."""

import json
import re
from pathlib import Path

import pytest
import transformers

from benchmarks.backbones import CHECKS, check_exports, kinds, sarm_folder, tried, uncut_model
from sarm_core import load_sarm
from sarm_core.__main__ import main
from sarm_core.model.backbone import _NOT_READ

ROOT = Path(__file__).parents[3]

MECHANISMS = {
    "minicpm3": "residuals scaled by depth",
    "nanochat": "one norm before and behind the blocks",
    "opt": "blocks inside a decoder, learned positions",
    "bloom": "a norm behind the embeddings, positions from the mask",
    "gpt_neox": "another prefix, attention and MLP side by side",
    "gemma3": "a part of a model that reads images, two kinds of attention",
    "gemma4_text": "numbers of each layer from the token ids, keys shared among the last layers",
    "llama4_text": "attention in chunks",
    "deepseek_v3": "latent attention, experts",
    "qwen3_5_text": "linear attention among full attention",
    "mamba": "states and no keys",
    "jamba": "states and keys",
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", MECHANISMS)
def test_a_decoder_is_exact_however_it_is_read(kind, tmp_path):
    found = tried(kind, tmp_path, layers=(2, 3), layouts=("reference", "auto"))
    assert found["verdict"] == "exact", found
    assert {name: found[name] for name in CHECKS} == dict.fromkeys(CHECKS, "")
    assert found["shares"] == (kind not in ("qwen3_5_text", "mamba", "jamba"))


def test_the_page_names_every_type_and_the_readme_says_its_counts():
    page, readme = ((ROOT / name).read_text(encoding="utf-8") for name in ("docs/backbones.md", "README.md"))
    rows = {
        section.split("\n")[0]: re.findall(r"^\| ([\w-]+) \| (?!why)(?!class \|)", section, re.MULTILINE)
        for section in page.split("\n## ")[1:]
    }
    assert "Wrong" not in rows
    counted = re.search(r"^(\d+) types: (\d+) exact, (\d+) refused, (\d+) not tried\.$", page, re.MULTILINE)
    assert [sum(map(len, rows.values())), *map(len, rows.values())] == [int(n) for n in counted.groups()]
    assert f"{counted[2]} of the {counted[1]} types of decoder" in readme
    assert not [kind for kind in rows["Exact"] if kind in _NOT_READ]
    assert set(MECHANISMS) - {"gemma3"} <= set(rows["Exact"])
    if f"Transformers\n{transformers.__version__} makes" in page:
        assert sorted(kind for kinds_there in rows.values() for kind in kinds_there) == kinds()


@pytest.mark.slow
def test_a_buffer_that_no_file_holds_is_filled_inside_the_class_of_the_auto_layout_too(tmp_path):
    """Falcon-H1's multipliers, which its model sets for all blocks: rewards were of what lay in memory."""
    scorer = load_sarm(sarm_folder(tmp_path / "sarm", uncut_model("falcon_h1"), 2), dtype="float32")
    assert check_exports(scorer, tmp_path, ("auto",)) == ""


@pytest.mark.parametrize(("kind", "said"), [("mamba", True), ("llama", False)])
def test_a_command_says_that_prompts_are_read_anew(kind, said, tmp_path, capsys):
    folder = sarm_folder(tmp_path / "sarm", uncut_model(kind), 2)
    (tmp_path / "in.jsonl").write_text(json.dumps({"input_ids": [3, 5, 8]}) + "\n")
    rows, out = str(tmp_path / "in.jsonl"), str(tmp_path / "out.jsonl")
    assert main(["score", rows, "--model", str(folder), "--out", out, "--no-cache"]) == 0
    line = "every answer reads its prompt anew: this backbone's layers keep more of a prompt than keys and values"
    assert (line in capsys.readouterr().err.splitlines()) == said
