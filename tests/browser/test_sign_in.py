"""Sign-in for real: an OpenID provider, Streamlit with secrets, a browser. A name comes from the provider only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from feature_db import FeatureFilter, Store
from feature_db.label.labels import Labels
from feature_db.label.queues import Queues
from feature_db.roles import People
from tests.app.store_builder import store_for
from tests.browser.conftest import ROOT, AppPage, running_app
from tests.sarm_core.tiny_models import chatml, reference_checkpoint

pytest.importorskip("authlib", reason="sign-in needs streamlit[auth]: pip install -r requirements-dev.txt")
from tests.browser.openid_provider import CLIENT, SECRET, Provider, running_provider

pytestmark = pytest.mark.browser

CY = "cy@example.org"
COOKIE_SECRET = "thirty-two random bytes would be here"


@dataclass
class SignInApp:
    address: str
    store: Path
    queue: int
    provider: Provider


@pytest.fixture(scope="module")
def sign_in_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SignInApp]:
    """The app with a provider in its secrets, which are in the home of the server's user."""
    folder = tmp_path_factory.mktemp("sign-in")
    checkpoint = reference_checkpoint(folder / "tiny", n_features=64, k=6, tokenizer=chatml())
    path = store_for(checkpoint, folder / "data")
    with Store.open(path) as store:
        People(store).set_role(None, "chief@example.org", "admin")
        People(store).set_role("chief@example.org", CY, "adjudicator")
        queue = Queues(store, CY).make("all", FeatureFilter(labelled=False, min_firing_count=5), limit=20)
    people = {
        "cy": {"email": CY, "email_verified": True, "name": "Cy"},
        # Says to be the admin; the provider has not checked the address.
        "mallory": {
            "email": "chief@example.org",
            "email_verified": False,
            "preferred_username": "chief@example.org",
            "name": "chief@example.org",
        },
    }
    with running_provider(people) as provider:
        secrets = folder / "home" / ".streamlit" / "secrets.toml"
        secrets.parent.mkdir(parents=True)
        secrets.write_text(
            "[auth]\n"
            'redirect_uri = "http://127.0.0.1:{port}/oauth2callback"\n'
            f'cookie_secret = "{COOKIE_SECRET}"\n'
            f'client_id = "{CLIENT}"\nclient_secret = "{SECRET}"\n'
            f'server_metadata_url = "{provider.issuer}/.well-known/openid-configuration"\n'
        )
        env = {
            "SARM_MODEL": str(checkpoint),
            "SARM_DATA": str(folder / "data"),
            "HOME": str(folder / "home"),
        }
        with running_app(ROOT / "app" / "main.py", folder, env) as address:
            provider.callback = f"{address}/oauth2callback"
            yield SignInApp(address, path, queue, provider)


def sign_in(app: AppPage, at: SignInApp, who: str) -> None:
    """From the Label page to the provider and back to it."""
    app.open(f"{at.address}/label")
    app.page.get_by_role("button", name="Sign in").first.click()
    app.page.wait_for_url(f"{at.provider.issuer}/authorize**")
    app.page.get_by_role("button", name=who).click()
    app.page.wait_for_url(f"{at.address}/**")
    app.settled()
    app.open(f"{at.address}/label")


def sidebar(app: AppPage) -> str:
    return app.page.locator("[data-testid=stSidebar]").inner_text()


def test_who_signs_in_has_their_name_and_role_labels_under_it_and_signs_out(
    sign_in_app: SignInApp, new_page: Callable[..., AppPage]
) -> None:
    app = new_page(width=1291)
    sign_in(app, sign_in_app, "cy")
    assert f"Signed in as {CY}" in sidebar(app) and "Role: adjudicator" in sidebar(app)
    assert app.page.locator(".st-key-person").count() == 0
    app.page.locator(".st-key-label_text_box textarea").fill("signed by cy")
    app.settled()
    app.page.locator(".st-key-label_submit button").click()
    app.page.get_by_text("yours is in.").wait_for()
    with Store.open(sign_in_app.store) as store:
        (label,) = [e for i in range(64) for e in Labels(store, CY).current(i) if e.text == "signed by cy"]
    assert label.annotator == CY
    # The name is all of it that is kept: no secret, no code, no token, in the store or beside it.
    kept = b"".join(file.read_bytes() for file in sign_in_app.store.parent.iterdir() if file.is_file())
    assert CY.encode() in kept and len(sign_in_app.provider.given) == 3
    for secret in (SECRET, COOKIE_SECRET, *sign_in_app.provider.given):
        assert secret.encode() not in kept
    # The same on the other pages, without signing in again.
    app.open(f"{sign_in_app.address}/feature?feature={label.feature}")
    assert f"Signed in as {CY}" in sidebar(app)
    app.page.get_by_role("button", name="Sign out").click()
    app.page.wait_for_function("() => location.pathname === '/'")
    app.settled()
    assert "/end" in sign_in_app.provider.asked, "the provider was told"
    app.open(f"{sign_in_app.address}/label")
    assert "Signed in" not in sidebar(app)
    assert app.page.locator(".st-key-label_text_box").count() == 0
    assert app.page.get_by_role("button", name="Sign in").count() >= 1


def test_an_address_the_provider_did_not_check_is_nobodys(
    sign_in_app: SignInApp, new_page: Callable[..., AppPage]
) -> None:
    app = new_page(width=1292)
    sign_in(app, sign_in_app, "mallory")
    host = sign_in_app.provider.issuer.removeprefix("http://")
    assert f"Signed in as mallory ({host})" in sidebar(app) and "Role: annotator" in sidebar(app)


def test_who_is_refused_by_the_provider_or_brings_a_forged_token_is_not_signed_in(
    sign_in_app: SignInApp, new_page: Callable[..., AppPage]
) -> None:
    app = new_page(width=1293)
    sign_in(app, sign_in_app, "nobody")
    assert "Signed in" not in sidebar(app)
    sign_in_app.provider.forged = True
    try:
        sign_in(app, sign_in_app, "cy")
    finally:
        sign_in_app.provider.forged = False
    assert "Signed in" not in sidebar(app)
    assert app.page.locator(".st-key-label_text_box").count() == 0
