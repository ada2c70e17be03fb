"""`python -m app`: serve the app on this machine. What to show comes from the environment (app.components.data).

Settings stand in `.streamlit/config.toml` beside this file: loopback only, no usage statistics, no error details.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import streamlit as st
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HERE = Path(__file__).resolve().parent


def content_policy() -> str:
    """What a page may load: only what this server sends. Streamlit's one inline script is allowed by its hash."""
    index = (Path(st.__file__).parent / "static" / "index.html").read_text(encoding="utf-8")
    inline = re.findall(r"<script>(.*?)</script>", index, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in inline]
    scripts = " ".join(["'self'", "'wasm-unsafe-eval'", *(f"'sha256-{one}'" for one in hashes)])
    return "; ".join(
        [
            "default-src 'self'",
            f"script-src {scripts}",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )


class SecurityHeaders:
    """Puts the content policy and its companions on every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.headers = [
            (b"content-security-policy", content_policy().encode()),
            (b"referrer-policy", b"no-referrer"),
            (b"x-content-type-options", b"nosniff"),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *self.headers]
            await send(message)

        await self.app(scope, receive, send_with_headers)


app = st.App(HERE / "streamlit_app.py", middleware=[Middleware(SecurityHeaders)])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m app", description=__doc__)
    parser.add_argument("--port", type=int, default=8501)
    parser.add_argument("--browser", action="store_true", help="open the page in a browser")
    parser.add_argument("--host", action="append", default=[], help="a further name that a proxy answers to")
    given = parser.parse_args()
    settings: dict[str, Any] = {"server.port": given.port, "server.headless": not given.browser}
    if given.host:
        settings["server.allowedHosts"] = ["127.0.0.1", "localhost", *given.host]
    with suppress(KeyboardInterrupt):
        app.run(config=settings)


if __name__ == "__main__":
    main()
