"""A small OpenID provider on 127.0.0.1: discovery, consent page, codes with PKCE, RS256 tokens, sign-out.

It checks what a provider checks (client, redirect address, code, verifier), so that a client that skips a step
fails here too.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

CLIENT, SECRET = "sarm-explorer", "a secret of the client"


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value: int) -> str:
    return b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))


@dataclass
class Provider:
    """People who can sign in, by their subject, with their claims; and what was asked of the provider."""

    people: dict[str, dict[str, Any]]
    callback: str = ""
    """The one address that codes are sent to."""
    forged: bool = False
    """Sign tokens with a key that is not published."""
    issuer: str = ""
    asked: list[str] = field(default_factory=list)
    given: list[str] = field(default_factory=list)
    """Codes and tokens that were handed out"""
    _codes: dict[str, dict[str, str]] = field(default_factory=dict)
    _key: Any = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))
    _other: Any = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))

    def discovery(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "end_session_endpoint": f"{self.issuer}/end",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "code_challenge_methods_supported": ["S256"],
        }

    def keys(self) -> dict[str, Any]:
        public = self._key.public_key().public_numbers()
        key = {
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": "k1",
            "n": number(public.n),
            "e": number(public.e),
        }
        return {"keys": [key]}

    def consent(self, asked: dict[str, str]) -> str:
        """A page with a button for each person."""
        if asked.get("client_id") != CLIENT or asked.get("redirect_uri") != self.callback:
            raise PermissionError("unknown client or address")
        if asked.get("response_type") != "code" or "openid" not in asked.get("scope", "").split():
            raise PermissionError("not an OpenID request")
        if asked.get("code_challenge_method") != "S256":
            raise PermissionError("no PKCE")
        hidden = "".join(
            f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
            for name, value in asked.items()
        )
        buttons = "".join(
            f'<button name="person" value="{who}">{who}</button>' for who in [*self.people, "nobody"]
        )
        return f"<!doctype html><title>Provider</title><form action=/approve>{hidden}{buttons}</form>"

    def approve(self, asked: dict[str, str]) -> str:
        """Where the browser goes after a button was pressed."""
        self.consent(asked)
        if asked["person"] == "nobody":
            back = {"error": "access_denied", "state": asked["state"]}
        else:
            code = secrets.token_urlsafe(16)
            self._codes[code] = asked
            self.given.append(code)
            back = {"code": code, "state": asked["state"]}
        return f"{self.callback}?{urlencode(back)}"

    def token(self, client: tuple[str, str], asked: dict[str, str]) -> dict[str, Any]:
        given = self._codes.pop(asked.get("code", ""), None)  # a code works once
        if given is None or client != (CLIENT, SECRET) or asked.get("redirect_uri") != self.callback:
            raise PermissionError("invalid_grant")
        verifier = hashlib.sha256(asked.get("code_verifier", "").encode()).digest()
        if b64(verifier) != given["code_challenge"]:
            raise PermissionError("invalid_grant")
        now = int(time.time())
        claims = {
            "iss": self.issuer, "aud": CLIENT, "sub": given["person"], "iat": now, "exp": now + 300,
            "nonce": given["nonce"], **self.people[given["person"]],
        }  # fmt: skip
        access, identity = secrets.token_urlsafe(16), self._signed(claims)
        self.given += [access, identity]
        return {"access_token": access, "token_type": "Bearer", "expires_in": 300, "id_token": identity}

    def _signed(self, claims: dict[str, Any]) -> str:
        head = {"alg": "RS256", "kid": "k1", "typ": "JWT"}
        body = ".".join(b64(json.dumps(part).encode()) for part in (head, claims))
        key = self._other if self.forged else self._key
        return f"{body}.{b64(key.sign(body.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


class _Handler(BaseHTTPRequestHandler):
    provider: Provider

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        path, query = urlsplit(self.path).path, self._flat(urlsplit(self.path).query)
        self.provider.asked.append(path)
        pages = {
            "/.well-known/openid-configuration": lambda: self._json(self.provider.discovery()),
            "/keys": lambda: self._json(self.provider.keys()),
            "/authorize": lambda: self._send(200, "text/html", self.provider.consent(query)),
            "/approve": lambda: self._go(self.provider.approve(query)),
            "/end": lambda: self._go(self._after(query)),
        }
        self._answer(pages.get(path))

    def do_POST(self) -> None:
        self.provider.asked.append(self.path)
        asked = self._flat(self.rfile.read(int(self.headers["Content-Length"])).decode())
        kind, _, given = self.headers.get("Authorization", "").partition(" ")
        if kind == "Basic":
            name, _, secret = base64.b64decode(given).decode().partition(":")
            client = (unquote(name), unquote(secret.replace("+", " ")))
        else:
            client = (asked.get("client_id", ""), asked.get("client_secret", ""))
        self._answer(
            (lambda: self._json(self.provider.token(client, asked))) if self.path == "/token" else None
        )

    def _after(self, query: dict[str, str]) -> str:
        back = query.get("post_logout_redirect_uri", "")
        if urlsplit(back)[:2] != urlsplit(self.provider.callback)[:2]:
            raise PermissionError("unknown address")
        return back

    def _answer(self, page: Any) -> None:
        try:
            if page is None:
                self._send(404, "text/plain", "no such page")
            else:
                page()
        except PermissionError as error:
            self._send(400, "application/json", json.dumps({"error": str(error)}))

    def _json(self, data: dict[str, Any]) -> None:
        self._send(200, "application/json", json.dumps(data))

    def _go(self, address: str) -> None:
        self.send_response(302)
        self.send_header("Location", address)
        self.end_headers()

    def _send(self, status: int, kind: str, body: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(body.encode())

    @staticmethod
    def _flat(query: str) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(query).items()}


@contextmanager
def running_provider(people: dict[str, dict[str, Any]]) -> Iterator[Provider]:
    """A provider for these people while the block runs."""
    provider = Provider(people)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"provider": provider}))
    provider.issuer = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
