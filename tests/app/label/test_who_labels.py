"""Who is at the keyboard, typed or signed in."""

from __future__ import annotations

from pathlib import Path

import pytest

from feature_db import Store
from feature_db.label.labels import Labels
from feature_db.roles import People
from tests.app.conftest import Run
from tests.app.label.label_pages import (
    CHIEF,
    feature,
    field,
    press,
    sign,
    signed_in,
    signing,
)

PAGES_WITH_A_PERSON = ("label.py", "disagreements.py", "feature.py", "features.py")


@pytest.mark.parametrize("page", PAGES_WITH_A_PERSON)
def test_who_signs_in_is_the_same_on_every_page_and_no_name_can_be_typed(
    app_env: None, queue: int, page: str
) -> None:
    test = signed_in(page, is_logged_in=True, email="cy@example.org", email_verified=True, name=CHIEF)
    assert not [w for w in test.text_input if w.key == "person"]
    assert "Signed in as **cy" in "".join(c.value for c in test.sidebar.caption)
    assert signing(test) == ["sign_out"]
    test = signed_in(page, is_logged_in=False)
    assert not [w for w in test.text_input if w.key == "person"]
    assert signing(test) == ["sign_in"]


HERE, THERE = "https://login.example.org/realm", "https://other.example.net"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("user", "name"),
    [
        ({"email": "cy@example.org", "email_verified": True, "name": CHIEF}, "cy@example.org"),
        ({"email": "cy@example.org", "iss": HERE, "sub": "77"}, "77 (login.example.org)"),
        (
            {"email": "cy@example.org", "email_verified": False, "iss": THERE, "sub": "77"},
            "77 (other.example.net)",
        ),
        # Neither a word for true nor an address with somebody's subject in it will do.
        (
            {"email": "cy@example.org", "email_verified": "true", "iss": HERE, "sub": "77"},
            "77 (login.example.org)",
        ),
        (
            {"email": "77 (login.example.org)", "email_verified": True, "iss": THERE, "sub": "5"},
            "5 (other.example.net)",
        ),
        ({"email": "a\nb@c", "email_verified": True, "preferred_username": "cy"}, ""),
        ({"preferred_username": CHIEF, "name": CHIEF}, ""),
        ({"sub": "77"}, ""),
        ({"sub": "x" * 100, "iss": HERE}, ""),
        ({"sub": "77", "iss": "https://[not/an/address"}, ""),
    ],
)
def test_a_name_is_what_the_provider_vouches_for(
    app_env: None, queue: int, user: dict[str, object], name: str
) -> None:
    test = signed_in("label.py", is_logged_in=True, **user)
    assert bool(test.text_area) == bool(name)
    if name:
        assert f"Signed in as **{name}**" == test.sidebar.caption[0].value.replace("\\", "")
    else:
        assert "without a usable name" in test.sidebar.error[0].value


@pytest.mark.parametrize("verified", [False, None, "false", "true", 1])
def test_nobody_becomes_the_admin_by_what_they_call_themselves(
    app_env: None, queue: int, store_path: Path, verified: object
) -> None:
    with Store.open(store_path) as store:
        People(store).set_role(CHIEF, "chief@example.org", "admin")
    claims = {
        "email": "chief@example.org",
        "email_verified": verified,
        "preferred_username": CHIEF,
        "name": CHIEF,
    }
    test = signed_in("disagreements.py", is_logged_in=True, iss=HERE, sub=CHIEF, **claims)
    assert "Role: annotator" in "".join(c.value for c in test.sidebar.caption)
    # The friendly name is shown for what it is, and what to do about a role under it is said.
    said = " ".join(c.value for c in test.sidebar.caption)
    assert "Your provider calls you chief" in said and "An admin gives it to this" in said
    assert not test.get("file_uploader")


@pytest.mark.slow
def test_what_a_signed_in_person_labels_is_theirs(app_env: None, queue: int, store_path: Path) -> None:
    test = signed_in("label.py", is_logged_in=True, email="cy@example.org", email_verified=True, name=CHIEF)
    at = feature(test)
    field(test, "text").set_value("signed").run()
    press(test, "label_submit")
    with Store.open(store_path) as store:
        found = [e.annotator for e in Labels(store, CHIEF).current(at) if e.text == "signed"]
    assert found == ["cy@example.org"]


def test_sign_in_without_its_packages_says_so_in_one_line(
    app_env: None, queue: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.session.person.find_spec", lambda name: None)
    test = signed_in("label.py", is_logged_in=False)
    (line,) = [error.value for error in test.sidebar.error]
    assert "authlib and httpx cannot be imported" in line and "streamlit[auth]" in line and "\n" not in line
    assert not signing(test)


def test_secrets_that_cannot_work_say_so_in_one_line(
    app_env: None, queue: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.session.person.find_spec", lambda name: object())
    test = signed_in("label.py", is_logged_in=False)
    press(test, "sign_in")
    (line,) = [error.value for error in test.sidebar.error]
    assert "not configured rightly" in line and "\n" not in line


def test_nobody_can_be_everyone(run_page: Run, queue: int) -> None:
    test = sign(run_page("label.py"), "*")
    assert "stands for everyone" in test.sidebar.error[0].value and not test.text_area
