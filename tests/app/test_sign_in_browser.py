"""Sign-in from end to end: the app, Chromium, and an identity provider on this machine."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlparse

import pytest
from lead_support import Team
from playwright.sync_api import Browser, expect
from test_browser import PATIENCE, chromium, served, watched

from app.components.words import catalogue
from harness import annotate

__all__ = ["chromium"]
pytestmark = pytest.mark.slow
EN = catalogue("en")


def _words(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


class Provider(ThreadingHTTPServer):
    """An OpenID provider that signs in `subject` without asking."""

    def __init__(self) -> None:
        from cryptography.hazmat.primitives.asymmetric import rsa

        super().__init__(("127.0.0.1", 0), Pages)
        self.issuer = f"http://127.0.0.1:{self.server_port}"
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.subject = "dan"
        self.nonces: dict[str, str] = {}

    def token(self, code: str, client: str) -> str:
        """A signed identity token."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding

        now = int(time.time())
        claims = {"iss": self.issuer, "sub": self.subject, "aud": client, "iat": now, "exp": now + 600}
        claims |= {"nonce": self.nonces[code], "name": self.subject.title()}
        head = {"alg": "RS256", "kid": "one", "typ": "JWT"}
        signed = ".".join(_words(json.dumps(part).encode()) for part in (head, claims))
        return f"{signed}.{_words(self.key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"

    def keys(self) -> dict[str, Any]:
        public = self.key.public_key().public_numbers()
        numbers = {"n": _words(public.n.to_bytes(256, "big")), "e": _words(public.e.to_bytes(3, "big"))}
        return {"keys": [{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "one", **numbers}]}


class Pages(BaseHTTPRequestHandler):
    """What the provider answers."""

    server: Provider

    def do_GET(self) -> None:
        at = urlparse(self.path)
        asked = {name: value[0] for name, value in parse_qs(at.query).items()}
        issuer = self.server.issuer
        if at.path == "/authorize":
            code = f"code-{len(self.server.nonces)}"
            self.server.nonces[code] = asked["nonce"]
            self.send_response(302)
            self.send_header(
                "Location", f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"
            )
            self.end_headers()
        elif at.path == "/keys":
            self.tell(self.server.keys())
        else:
            ends = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
            about = {"issuer": issuer, **{name: f"{issuer}/{path}" for name, path in ends.items()}}
            self.tell({**about, "id_token_signing_alg_values_supported": ["RS256"]})

    def do_POST(self) -> None:
        asked = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        token = self.server.token(asked["code"][0], "bench")
        self.tell({"access_token": "x", "token_type": "Bearer", "expires_in": 600, "id_token": token})

    def tell(self, answer: dict[str, Any]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield found
        found.shutdown()


@pytest.fixture
def address(provider: Provider, team: Team, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The app as a team runs it: with an [auth] section in its secrets."""
    secrets = tmp_path / ".streamlit" / "secrets.toml"
    secrets.parent.mkdir()
    lines = {
        "redirect_uri": "http://127.0.0.1:{port}/oauth2callback",
        "cookie_secret": "not a secret, but long enough for a test",
        "client_id": "bench",
        "client_secret": "x",
        "server_metadata_url": f"{provider.issuer}/.well-known/openid-configuration",
    }
    secrets.write_text("[auth]\n" + "".join(f'{name} = "{value}"\n' for name, value in lines.items()), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EASYDS_DB_URL", f"sqlite:///{team.database}")
    with served(team.place) as (found, _):
        yield found


def test_from_invitation_to_work_and_out_again(chromium: Browser, address: str, provider: Provider, team: Team) -> None:
    store = team.open()
    token = annotate.invite(store, team.people["lead"], "annotator")
    with watched(chromium, address, locale="en-GB") as seen:
        page = seen.open("rate?campaign+rate=form")
        expect(page.get_by_text(EN["sign_in.needed"])).to_be_visible(timeout=PATIENCE)
        page.get_by_role("button", name=EN["sign_in"]).click()
        page.wait_for_url(f"{address}/", timeout=PATIENCE)
        seen.settle()
        page = seen.open("rate")
        expect(page.get_by_text(EN["sign_in.unknown"])).to_be_visible(timeout=PATIENCE)
        page.get_by_label(EN["sign_in.token"]).fill(token)
        page.get_by_role("button", name=EN["sign_in.redeem"]).click()
        expect(page.get_by_text("Signed in: Dan")).to_be_visible(timeout=PATIENCE)
        expect(page.get_by_text(EN["sign_in.unknown"])).to_have_count(0, timeout=PATIENCE)
        dan = annotate.signed_in(store, provider.issuer, "dan")
        assert dan is not None
        assert dan.role == "annotator"
        page = seen.open("campaigns")
        expect(page.get_by_text(EN["lead.only"])).to_be_visible(timeout=PATIENCE)
        annotate.set_role(store, team.people["lead"], dan.id, "lead")
        page = seen.open("campaigns")
        expect(page.get_by_text(EN["campaigns.annotators"], exact=True)).to_be_visible(timeout=PATIENCE)
        page.get_by_role("button", name=EN["sign_in.out"]).click()
        page.wait_for_url(f"{address}/", timeout=PATIENCE)
        page = seen.open("campaigns")
        expect(page.get_by_text(EN["sign_in.needed"])).to_be_visible(timeout=PATIENCE)
        assert seen.problems == []
    store.close()
