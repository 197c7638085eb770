"""Tiny dictionaries as their own packages write them, each with its features of the same h; run by hand, not in CI.

    python -m tests.sarm_core.model.sae_fixtures.make [--envs FOLDER] [--out FOLDER]

Each package is installed in an environment of its own from the package index that pip knows. `write.py` runs there,
without this project. The tests hold what is read here against what stands in each `expected.npz`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
from pathlib import Path

from benchmarks.loaders import environment

HERE = Path(__file__).parent
ENVIRONMENTS = {
    "saelens": ["sae-lens==6.54.0"],
    "sparsify": ["eai-sparsify==1.3.3"],
    "dictionary-learning": ["dictionary-learning==0.1.0"],
}


def main() -> None:
    """Make the environments that are not there yet and let each write its fixtures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--envs", type=Path, default=Path(tempfile.gettempdir()) / "sae-fixtures")
    parser.add_argument("--out", type=Path, default=HERE / "files")
    parser.add_argument("--only", choices=ENVIRONMENTS, nargs="+", default=list(ENVIRONMENTS))
    options = parser.parse_args()
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    for name in options.only:
        python = environment(options.envs / name, ENVIRONMENTS[name])
        # nnsight brings one that belongs to another build of torch than the one that is linked in
        subprocess.run([str(python), "-m", "pip", "uninstall", "--quiet", "-y", "torchvision"], check=True)
        command = [str(python), "-W", "ignore", str(HERE / "write.py"), name, str(options.out.resolve())]
        subprocess.run(
            command, check=True, cwd=options.envs, env={**kept, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        )


if __name__ == "__main__":
    main()
