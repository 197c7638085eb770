"""Settings that are exactly other tensors: folded when a dictionary is read, so that no kind needs to know them."""

from __future__ import annotations

from torch import Tensor

__all__ = ["at_least_0", "decoder_norms_folded", "gate_as_threshold", "mean_taken_out"]


def decoder_norms_folded(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """For a that is multiplied by the norms |W_dec|: encoder and bias times the norms, decoder columns of length 1."""
    norms = tensors["decoder.weight"].norm(dim=0)
    return {
        **tensors,
        "encoder.weight": tensors["encoder.weight"] * norms[:, None],
        "latent_bias": tensors["latent_bias"] * norms,
        "decoder.weight": tensors["decoder.weight"] / norms.clamp_min(1e-8),
    }


def at_least_0(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """For max(a, 0) where a > threshold: below 0 a threshold takes nothing away that the ReLU does not."""
    return {**tensors, "threshold": tensors["threshold"].clamp_min(0)}


def gate_as_threshold(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """A gated SAE as the JumpReLU that it is (arXiv 2404.16014, appendix on tied weights).

    With p = W_enc x, z = max(e^r p + b_mag, 0) where p + b_gate > 0. The magnitude rises with p, so the gate opens
    where the magnitude passes b_mag - e^r b_gate.
    """
    scale = tensors.pop("r_mag").exp()
    b_mag, b_gate = tensors.pop("b_mag"), tensors.pop("b_gate")
    return {
        **tensors,
        "encoder.weight": tensors["encoder.weight"] * scale[:, None],
        "latent_bias": b_mag,
        "threshold": (b_mag - scale * b_gate).clamp_min(0),
    }


def mean_taken_out(tensors: dict[str, Tensor], *, centred: bool) -> dict[str, Tensor]:
    """For an SAE that reads h - mean(h), the mean over its d numbers: rows of W that sum to 0 do the same to h.

    `centred` says whether `pre_bias` b is subtracted: W (h - mean(h) - b) is W' (h - b) + (W' - W) b, where the rows'
    means are taken out of W'.
    """
    encoder = tensors["encoder.weight"]
    projected = encoder - encoder.mean(dim=1, keepdim=True)
    out = {**tensors, "encoder.weight": projected}
    if centred:
        moved = (projected - encoder).double() @ tensors["pre_bias"].double()
        out["latent_bias"] = (tensors["latent_bias"].double() + moved).float()
    return out
