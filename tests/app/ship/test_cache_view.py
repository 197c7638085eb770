"""The Model page on encoded answers: what it says is what is on disk, and its buttons leave the rest alone."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from app.session.engine import Engine
from sarm_core.demo.corpus import answers as corpus_answers
from sarm_core.score.cache import cache_size, encoded_folder
from sarm_core.score.encoded import encode_once
from tests.app.demo_pages import MAIN, checked


def model_page() -> AppTest:
    test = AppTest.from_file(str(MAIN), default_timeout=60)
    test.switch_page("app_pages/model.py")
    return checked(test.run())


@pytest.mark.slow
def test_size_and_place_are_shown_and_the_buttons_remove_what_they_say(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SARM_CACHE", str(tmp_path / "cache"))
    conversations = [answer.conversation for answer in corpus_answers()[:9]]
    for part in (conversations[:3], conversations[3:6], conversations[6:]):
        encode_once(engine.scorer, part)
    n = cache_size().files
    assert n == 3
    test = model_page()
    assert f"{cache_size()} in {encoded_folder()}" in [text.value for text in test.text]
    long_ago = time.time() - 31 * 86_400
    old = sorted(Path(encoded_folder()).rglob("*.safetensors"))[0]
    os.utime(old, (long_ago, long_ago))
    test = checked(test.button("encoded_old").click().run())
    assert not old.exists() and cache_size().files == n - 1
    assert "Removed: 1 file" in test.success[0].value
    test = checked(test.button("encoded_clear").click().run())
    assert cache_size().files == 0
    assert test.button("encoded_clear").disabled
    again = encode_once(engine.scorer, conversations[:3])
    assert again.reused == 0 and len(again.matrix) == 3
