"""What tests of the pages about labels do over and over."""

from __future__ import annotations

from pathlib import Path

from streamlit.testing.v1 import AppTest

from feature_db import Store
from tests.app.conftest import MAIN
from tests.app.store_builder import LABELLED

ANN, BO, CHIEF = "ann", "bo", "chief"


QUEUED = [LABELLED, 7, 8, 9]


def sign(test: AppTest, name: str) -> AppTest:
    test.text_input(key="person").set_value(name).run()
    assert not test.exception, test.exception[0].value
    return test


def feature(test: AppTest) -> int:
    return int(test.header[0].value.split()[1])


def field(test: AppTest, name: str) -> object:
    kinds = (test.text_area, test.text_input, test.button_group)
    return next(w for kind in kinds for w in kind if w.key and w.key.endswith(f"_{name}"))


def choose(test: AppTest, name: str, value: object) -> AppTest:
    field(test, name).set_value(value).run()
    assert not test.exception, test.exception[0].value
    return test


def press(test: AppTest, key: str) -> AppTest:
    test.button(key=key).click().run()
    assert not test.exception, test.exception[0].value
    return test


def shown(test: AppTest) -> str:
    kinds = ("markdown", "caption", "warning", "error", "info", "success")
    body = "\n".join(str(element.value) for kind in kinds for element in test.get(kind))
    return body + "".join(element.proto.body for element in test.get("html"))


def run_again(test: AppTest, **query: str) -> AppTest:
    test.query_params.clear()
    for name, value in query.items():
        test.query_params[name] = value
    test.run()
    assert not test.exception, test.exception[0].value
    return test


def signed_in(page: str, **user: object) -> AppTest:
    test = AppTest.from_file(str(MAIN), default_timeout=60)
    test.switch_page(f"app_pages/{page}")
    test.user = dict(user)
    test.run()
    assert not test.exception, test.exception[0].value
    return test


def signing(test: AppTest) -> list[str]:
    """The buttons to sign in or out."""
    return [str(b.key) for b in test.sidebar.button if str(b.key).startswith("sign_")]


def add_check_texts(path: Path, of: int) -> None:
    """Six more silent texts of the checking part, so that a test of a label is possible."""
    with Store.open(path) as store, store.write() as conn:
        used = {row[0] for row in store.rows("SELECT text FROM examples WHERE feature = ?", (of,))}
        free = [row[0] for row in store.rows("SELECT id FROM texts ORDER BY id") if row[0] not in used][:6]
        conn.executemany(
            "INSERT INTO examples (feature, text, kind, rank, purpose, activation) "
            "VALUES (?, ?, 'silent', ?, 'check', 0.0)",
            [(of, text, 100 + place) for place, text in enumerate(free)],
        )
