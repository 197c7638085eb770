"""A SARM for `AutoModelForSequenceClassification`; needs torch and Transformers 5, nothing else.

    import modeling_sarm                      # this file, from the folder; registers the model type "sarm"
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    batch = tokenizer([text], return_tensors="pt", padding=True, truncation=True)
    reward = model(**batch).logits            # float32 [B, 1]; only differences mean anything

Without the import, `from_pretrained(folder, trust_remote_code=True)` runs this file. It may be copied freely. The
folder's template writes a BOS where there is one, its tokenizer adds none.

    h  residual stream after block `layer`, at the scored token (the final norm is NOT applied)
    x  (h - mean(h)) / (std(h) + 1e-6), unbiased std; another of `INPUTS`, times `factor`, where the config says so
    a  W_enc (x - b_pre) + b_latent; without b_pre where the config says that it is not `centred`
    z  the k largest signed values of a, all of them without k; another of `ACTIVE` where the config says so
    r  sum_i w_i z_i

Rewards tie in half precision. So the dictionary and the head are float32 and compute in it whatever the backbone's
dtype is, under autocast and after `model.to(torch.bfloat16)` too. The dictionary is not trained (the paper's mode 1);
`model.sae.requires_grad_(True)` lets a trainer move its encoder.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import torch
import transformers
from torch import Tensor, nn

if int(transformers.__version__.split(".")[0]) < 5:  # before the names below, which it has not
    raise ImportError(
        f"modeling_sarm needs Transformers 5, this is {transformers.__version__}, which would pass over the backbone's "
        "rope_parameters: pip install 'transformers>=5', or export the layout \"reference\""
    )

from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, PreTrainedConfig
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.modeling_utils import PreTrainedModel

__all__ = ["ACTIVE", "INPUTS", "SARMConfig", "SARMForSequenceClassification"]


class SARMConfig(PreTrainedConfig):
    """`backbone` is the whole decoder's config as a dict, of which the first `layer` blocks are kept (all without it);
    `k` is None for a dictionary without TopK.

    How the dictionary reads h, where it is not the paper's: `kind`, one of `ACTIVE` (None is TopK with `k`, every
    feature without); `relu`, whether a negative value of TopK is silent; `input`, one of `INPUTS`, what is made of h;
    `factor`, what that is multiplied by; `centred`, whether b_pre is subtracted before the encoder.

    The last attended token whose id is in `scored_token_ids` is scored; with an empty list the last one.
    """

    model_type = "sarm"

    def __init__(
        self,
        backbone: dict[str, Any] | None = None,
        layer: int | None = None,
        n_features: int = 0,
        k: int | None = None,
        scored_token_ids: list[int] | None = None,
        kind: str | None = None,
        relu: bool = False,
        input: str = "standardised",
        factor: float = 1.0,
        centred: bool = True,
        **rest: Any,
    ):
        self.backbone = backbone or {}
        self.layer = layer
        self.n_features = n_features
        self.k = k
        self.scored_token_ids = scored_token_ids or []
        self.kind = kind
        self.relu = relu
        self.input = input
        self.factor = factor
        self.centred = centred
        super().__init__(**{"num_labels": 1, **rest})


def _normed(h: Tensor, eps: float) -> Tensor:
    return (h - h.mean(-1, keepdim=True)) / (h.std(-1, keepdim=True) + eps)


INPUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "standardised": lambda h: _normed(h, 1e-6),
    "as is": lambda h: h,
    "layer norm": lambda h: _normed(h, 1e-5),
    "constant norm": lambda h: h * (h.shape[-1] ** 0.5 / h.norm(dim=-1, keepdim=True)),
}
"""x of h, float32 [B, d], by the config's `input`."""


def _topk(a: Tensor, config: Any, _sae: nn.Module) -> Tensor:
    values, indices = a.topk(config.k, dim=-1)
    return torch.zeros_like(a).scatter(-1, indices, values.relu() if config.relu else values)


def _abstopk(a: Tensor, config: Any, _sae: nn.Module) -> Tensor:
    indices = a.abs().topk(config.k, dim=-1).indices
    return torch.zeros_like(a).scatter(-1, indices, a.gather(-1, indices))


ACTIVE: dict[str, Callable[[Tensor, Any, nn.Module], Tensor]] = {
    "topk": _topk,
    "abstopk": _abstopk,
    "dense": lambda a, _config, _sae: a,
    "jumprelu": lambda a, _config, sae: a.masked_fill(a <= sae.get_parameter("threshold"), 0),
    "relu": lambda a, _config, _sae: a.relu(),
}
"""z of the pre-activations a [B, n_features], by the config's `kind`. None of them hides a NaN."""


class _Float32(nn.Module):
    """A module that stays in float32 when what holds it is cast to half precision; it moves between devices."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "_Float32":
        def kept(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            halved = tensor.dtype == torch.float32 and moved.dtype in (torch.float16, torch.bfloat16)
            return tensor.to(moved.device) if halved else moved

        return super()._apply(kept, recurse)  # type: ignore[no-any-return,no-untyped-call]


class _Matrix(_Float32, nn.Linear):
    """A matrix without bias."""

    def __init__(self, inner: int, outer: int):
        super().__init__(inner, outer, bias=False)


class _Dictionary(_Float32):
    def __init__(self, d: int, n_features: int, kind: str):
        super().__init__()
        self.pre_bias = nn.Parameter(torch.zeros(d))
        if kind == "jumprelu":
            self.threshold = nn.Parameter(torch.zeros(n_features))
        self.latent_bias = nn.Parameter(torch.zeros(n_features))
        self.encoder = _Matrix(d, n_features)
        self.decoder = _Matrix(n_features, d)  # takes no part in a reward, but in what is saved


class _Reached(Exception):
    """The last kept block has run and given `h`."""

    def __init__(self, h: Tensor):
        super().__init__()
        self.h = h


def _end_after(backbone: PreTrainedModel, layer: int) -> None:
    """Keep the first `layer` blocks and let the last of them end the pass; the config stays that of all blocks.

    Its `__call__` does so, around a checkpoint of the block's activations rather than inside.
    """
    total = backbone.config.num_hidden_layers
    path, blocks = next(
        (path, child)
        for path, child in backbone.named_modules()
        if isinstance(child, nn.ModuleList)
        and len(child) == total
        and not any(map(str.isdigit, path.split(".")))
    )
    parent, behind = backbone.get_submodule(path.rpartition(".")[0]), False
    for name, child in parent.named_children():
        if behind and "norm" in (name + type(child).__name__).lower():
            if next(child.parameters(), None) is not None:
                setattr(parent, name, nn.Identity())  # never reached; its weights are not in the file
            break
        behind |= child is blocks
    del blocks[layer:]
    here = set(backbone.state_dict())
    tied = getattr(backbone, "all_tied_weights_keys", None) or {}
    backbone.all_tied_weights_keys = {
        copy: kept for copy, kept in tied.items() if copy in here and kept in here
    }
    kind = type(blocks[-1])

    def call(block: nn.Module, *inputs: Any, **options: Any) -> None:
        output = kind.__call__(block, *inputs, **options)
        raise _Reached(output[0] if isinstance(output, tuple | list) else output)

    blocks[-1].__class__ = type(kind.__name__, (kind,), {"__call__": call, "__module__": kind.__module__})


class SARMForSequenceClassification(PreTrainedModel):
    """Decoder blocks, dictionary and head. Tensor names: `model.*`, `sae.*`, `score.weight`."""

    config_class = SARMConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True  # the backbone's blocks do it; trainers ask this class
    _keep_in_fp32_modules_strict: ClassVar = ["sae", "score"]  # type: ignore[misc]
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_attention_backend = True

    def __init__(self, config: SARMConfig):
        super().__init__(config)
        stated = dict(config.backbone)
        stated.pop("dtype", None)  # it would win over the dtype that from_pretrained was asked for
        inner = AutoConfig.for_model(stated.pop("model_type"), **stated)
        # The first versions of Transformers 5 leave out a soft cap (Gemma 2) in any other attention.
        capped = {"attn_implementation": "eager"} if getattr(inner, "attn_logit_softcapping", None) else {}
        self.model = AutoModel.from_config(inner, **capped)
        _end_after(self.model, config.layer or inner.num_hidden_layers)
        self.kind = config.kind or ("dense" if config.k is None else "topk")
        if self.kind not in ACTIVE or config.input not in INPUTS:
            raise ValueError(
                f"a dictionary of kind {self.kind!r} that reads h {config.input!r} is not known here"
            )
        self.sae = _Dictionary(inner.hidden_size, config.n_features, self.kind)
        self.score = _Matrix(config.n_features, 1)
        self.post_init()

    @classmethod
    def from_pretrained(cls, *arguments: Any, **options: Any) -> Any:
        """As Transformers' own; the dictionary comes frozen."""
        found = super().from_pretrained(*arguments, **options)
        (found[0] if isinstance(found, tuple) else found).sae.requires_grad_(False)
        return found

    def save_pretrained(self, save_directory: Any, *arguments: Any, **options: Any) -> None:
        """As Transformers' own, and this file beside the weights: the config names it."""
        super().save_pretrained(save_directory, *arguments, **options)
        place = Path(save_directory) / "modeling_sarm.py"
        if options.get("is_main_process", True) and not place.exists():
            shutil.copyfile(__file__, place)

    @classmethod
    def is_custom_code(cls) -> bool:
        """False: the blocks are Transformers' own, and are set up as they are there.

        Of custom code it passes over `_init_weights` of a model without weights of its own, where Falcon-H1 fills a
        buffer that no file holds.
        """
        return False

    def get_input_embeddings(self) -> nn.Module:
        """The backbone's."""
        return self.model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """The backbone's."""
        self.model.set_input_embeddings(value)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, **_unused: Any
    ) -> SequenceClassifierOutput:
        """Rewards as `logits` float32 [B, 1] of token ids [B, T], padded on either side.

        `hidden_states` holds z at the scored token, dense float32 [B, n_features].
        """
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask.long()
        positions = (mask.cumsum(-1) - 1).clamp_min(0)
        try:
            self.model(input_ids=input_ids, attention_mask=mask, position_ids=positions, use_cache=False)
        except _Reached as reached:
            h = reached.h
        rows = torch.arange(h.shape[0], device=h.device)
        with torch.autocast(h.device.type, enabled=False):
            return self._rewards(h[rows, self._scored(input_ids, mask)].float())

    def _rewards(self, h: Tensor) -> SequenceClassifierOutput:
        x = INPUTS[self.config.input](h) * self.config.factor
        a = self.sae.encoder(x - self.sae.pre_bias if self.config.centred else x) + self.sae.latent_bias
        z = ACTIVE[self.kind](a, self.config, self.sae)
        return SequenceClassifierOutput(logits=self.score(z), hidden_states=(z,))

    def _scored(self, input_ids: Tensor, mask: Tensor) -> Tensor:
        steps = torch.arange(mask.shape[1], device=mask.device)
        last = (mask * steps).argmax(-1)
        if not self.config.scored_token_ids:
            return last
        wanted = torch.tensor(self.config.scored_token_ids, device=input_ids.device)
        hits = torch.isin(input_ids, wanted) & mask.bool()
        return torch.where(hits.any(-1), (hits * (steps + 1)).argmax(-1), last)


AutoConfig.register(SARMConfig.model_type, SARMConfig, exist_ok=True)
AutoModelForSequenceClassification.register(SARMConfig, SARMForSequenceClassification, exist_ok=True)
