"""Long work with the bar that pages draw over it: what it did is written to ?log=FILE as it goes."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import streamlit as st

sys.path.insert(0, str(Path(__file__).parents[2]))

from app.draw.progress import encoding_bar

STEPS = 600

working = st.empty()
if st.button("Work"):
    with encoding_bar(working) as progress:
        for done in range(1, STEPS + 1):
            Path(st.query_params["log"]).write_text(str(done), encoding="utf-8")
            progress(done, STEPS)
            time.sleep(0.1)
    st.text("finished")
