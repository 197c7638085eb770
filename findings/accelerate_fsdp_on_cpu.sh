#!/usr/bin/env bash
# accelerate 1.15 launched with FSDP 2 where there is no GPU trains something else, without a word.
#
# Two processes are launched with `--use_fsdp --fsdp_version 2` on a machine without an accelerator. Nothing is refused,
# the launch ends with 0, and every process holds all weights:
#   - with Accelerator() as it is, distributed_type is NO: each process believes it is alone and the main one, so two
#     trainings run side by side, no gradient is shared, and both write;
#   - with Accelerator(cpu=True), as Trainer's `use_cpu` makes it, it is MULTI_CPU: DistributedDataParallel.
# `--fsdp_version 1` ends in a RuntimeError that names devices, and `--cpu` beside `--use_fsdp` is refused at once. torch
# itself shards a model over gloo on the same machine (fully_shard, shown last). Whoever rehearses a sharded training
# on a CPU before it goes to GPUs rehearses another one.
#
# Seen with: accelerate 1.15.0, torch 2.13.0, Python 3.11 (2026-11-28).
set -euo pipefail
export CUDA_VISIBLE_DEVICES="" OMP_NUM_THREADS=1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check accelerate==1.15.0 torch==2.13.0 numpy==2.4.6
cd "$folder"
cat > see.py <<'PYTHON'
import importlib.metadata
import sys

import torch
from accelerate import Accelerator

accelerator = Accelerator(cpu=True) if sys.argv[1:] == ["cpu"] else Accelerator()
model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Linear(8, 8))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
model, optimizer = accelerator.prepare(model, optimizer)
held = sum(p.to_local().numel() if hasattr(p, "to_local") else p.numel() for p in model.parameters())
kind = str(accelerator.distributed_type).split(".")[-1]
if accelerator.is_main_process:
    versions = [f"{name} {importlib.metadata.version(name)}" for name in ("accelerate", "torch")]
    print(f"{', '.join(versions)}: {kind}, {type(model).__name__}, {held} of 144 weights held", flush=True)
accelerator.end_training()
PYTHON
cat > shard.py <<'PYTHON'
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

dist.init_process_group("gloo")
model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Linear(8, 8))
fully_shard(model, mesh=init_device_mesh("cpu", (2,)))
if dist.get_rank() == 0:
    print("torch alone:", sum(p.to_local().numel() for p in model.parameters()), "of 144 weights held")
dist.destroy_process_group()
PYTHON
launch() { # VERSION [cpu]
  venv/bin/accelerate launch --num_processes 2 --num_machines 1 --mixed_precision no --dynamo_backend no \
    --main_process_port 29611 --use_fsdp --fsdp_version "$1" see.py "${@:2}"
}
echo "== version 2, Accelerator()"
launch 2 2>alone.err | tee alone.out
echo "== version 2, Accelerator(cpu=True)"
launch 2 cpu 2>ddp.err | tee ddp.out
echo "== version 1"
status=0
launch 1 >one.out 2>one.err || status=$?
grep -m 1 "^RuntimeError" one.err
echo "== torch alone"
venv/bin/torchrun --nproc_per_node 2 --master_port 29613 shard.py 2>shard.err | tee shard.out
[ "$(grep -c ": NO, Sequential, 144 of 144" alone.out)" -eq 2 ]
[ "$(grep -c ": MULTI_CPU, DistributedDataParallel, 144 of 144" ddp.out)" -eq 1 ]
if grep -qi "fsdp" alone.err ddp.err; then exit 1; fi
[ "$status" -ne 0 ]
grep -q ": 72 of 144" shard.out
echo "as seen"
