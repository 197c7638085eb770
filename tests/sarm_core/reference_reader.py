"""A reader of the reference layout that shares no code with this project: method.md's formulas and plain Transformers.

The scored token is found as the reference code finds it, by the first pad id, and text is read as the card of the
official checkpoint reads it, with `apply_chat_template`.
"""

import json
import re

import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModel, AutoTokenizer


def shape_in_name(name):
    """(M, L, k) as scripts of the reference repository take them from a folder's name."""
    return tuple(int(re.search(rf"_{key}(\d+)_", name)[1]) for key in ("Latent", "Layer", "K"))


class ReferenceReader:
    def __init__(self, folder):
        self.tensors = {
            name: tensor.float() for name, tensor in load_file(folder / "model.safetensors").items()
        }
        stated = json.loads((folder / "config.json").read_text())
        self.param, self.pad = stated["sarm_param"], stated["pad_token_id"]
        config = AutoConfig.from_pretrained(folder)
        config.num_hidden_layers = self.param["sae_source_layer"]
        if getattr(config, "layer_types", None):
            config.layer_types = config.layer_types[: config.num_hidden_layers]
        backbone = AutoModel.from_config(config).float().eval()
        prefix = backbone.base_model_prefix + "."
        missing, _ = backbone.load_state_dict(
            {n.removeprefix(prefix): t for n, t in self.tensors.items() if n.startswith(prefix)}, strict=False
        )
        assert not [name for name in missing if "norm" not in name], missing
        blocks = backbone.layers if hasattr(backbone, "layers") else backbone.h
        self.backbone, self.last = backbone, blocks[-1]
        self.tokenizer = None
        if (folder / "tokenizer.json").exists():
            self.tokenizer = AutoTokenizer.from_pretrained(folder)

    def reward(self, row):
        if "input_ids" in row:
            ids = torch.tensor([row["input_ids"]])
        else:
            turns = [
                {"role": "user", "content": row["prompt"]},
                {"role": "assistant", "content": row["response"]},
            ]
            read = self.tokenizer.apply_chat_template(
                turns, return_tensors="pt", return_dict=True, truncation=True
            )
            ids = read["input_ids"]
        kept = []
        hook = self.last.register_forward_hook(
            lambda _m, _i, out: kept.append(out[0] if isinstance(out, tuple) else out)
        )
        with torch.inference_mode():
            self.backbone(input_ids=ids)
        hook.remove()
        h = kept[0].reshape(ids.shape[1], -1)
        x = (h - h.mean(-1, keepdim=True)) / (h.std(-1, keepdim=True) + 1e-6)
        t = self.tensors
        a = (x - t["sae.pre_bias"]) @ t["sae.encoder.weight"].T + t["sae.latent_bias"]
        if self.param["sarm_use_activation"]:
            values, places = a.topk(self.param["sae_k"], dim=-1)
            a = torch.zeros_like(a).scatter(-1, places, values)
        r = a @ t["score.weight"][0]
        if self.pad is None:
            return r[-1].item()
        return r[((ids[0] == self.pad).int().argmax(-1) - 1) % len(r)].item()
