"""Run by `head_path.py` in an environment with scikit-learn: head_path_peer.py FOLDER ridge|L1 STRENGTH."""

import json
import sys
import time
from pathlib import Path

import numpy as np
from scipy import sparse
from sklearn.linear_model import LogisticRegression

folder, kind, strength = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
d = sparse.load_npz(folder / "d.npz").astype(np.float64)
n = d.shape[0]
# It wants two classes: every other pair is turned round, which changes no loss.
signs = np.where(np.arange(n) % 2 == 0, 1.0, -1.0)
d.data *= np.repeat(signs, np.diff(d.indptr))
model = LogisticRegression(
    l1_ratio=0.0 if kind == "ridge" else 1.0,
    C=1 / (n * strength),
    solver="liblinear",
    fit_intercept=False,
    tol=1e-4,
    max_iter=200,
)
started = time.process_time()
model.fit(d, signs)
print(json.dumps({"seconds": time.process_time() - started, "iterations": int(model.n_iter_[0])}))
np.save(folder / "w.npy", model.coef_[0])
