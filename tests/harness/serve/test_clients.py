"""Clients that people have: curl, the openai library, LangChain's ChatOpenAI."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from endpoint import Endpoint
from gateway_support import GOOD, QUESTION, Gateway, endless, gateway, write_package
from openai import APIError, BadRequestError, NotFoundError, OpenAI
from pydantic import SecretStr
from test_streams import EVENTS, chunked


def openai(front: Gateway) -> OpenAI:
    return OpenAI(base_url=f"{front.url}/v1", api_key="none", max_retries=0)


def test_openai(front: Gateway, engine: Endpoint) -> None:
    with openai(front) as client:
        assert [one.id for one in client.models.list()] == ["tutor"]
        messages = [{"role": "user", "content": "Why?"}]
        whole = client.chat.completions.create(model="tutor", messages=messages)  # type: ignore[arg-type]
        assert whole.choices[0].message.content == GOOD["en"]
        engine.behave = lambda handler, *_: chunked(handler, EVENTS)
        stream = client.chat.completions.create(model="tutor", messages=messages, stream=True)  # type: ignore[arg-type]
        assert "".join(one.choices[0].delta.content or "" for one in stream if one.choices) == "想 一想"
        with pytest.raises(NotFoundError, match="this one is called tutor"):
            client.chat.completions.create(model="gpt", messages=messages)  # type: ignore[arg-type]
        engine.behave = lambda handler, *_: handler.refuse(400, "prompt too long")
        with pytest.raises(BadRequestError, match="prompt too long"):
            client.chat.completions.create(model="tutor", messages=messages)  # type: ignore[arg-type]


def test_openai_sees_that_the_engine_was_killed(tmp_path: Path) -> None:
    with (
        endless() as (process, url),
        gateway(write_package(tmp_path / "p"), "--engine-url", url) as front,
        openai(front) as client,
    ):
        stream = client.chat.completions.create(
            model="tutor", messages=[{"role": "user", "content": "Why?"}], stream=True
        )
        assert next(stream).choices[0].delta.content == "on "
        process.kill()
        with pytest.raises(APIError, match="the engine broke off"):
            list(stream)


def test_curl(front: Gateway) -> None:
    """The examples of docs/serving.md."""

    def curl(*args: str) -> str:
        return subprocess.run(["curl", "-sS", *args], capture_output=True, text=True, check=True, timeout=60).stdout

    asked = json.dumps({"message": QUESTION, "hint_level": 1})
    answer = json.loads(curl(f"{front.url}/v1/guidance", "-d", asked))
    assert answer["guidance"] == GOOD["en"]
    said = json.dumps({"id": answer["id"], "thumbs": "up"})
    assert json.loads(curl(f"{front.url}/v1/feedback", "-d", said)) == {"id": answer["id"]}
    assert json.loads(curl(f"{front.url}/healthz"))["status"] == "ok"
    assert "easyds_requests_total" in curl(f"{front.url}/metrics")
    big = curl(f"{front.url}/v1/guidance", "-d", json.dumps({"message": "x" * 100_000}), "-w", "%{http_code}")
    assert big.endswith("413")


def test_langchain(front: Gateway, engine: Endpoint) -> None:
    from langchain_openai import ChatOpenAI

    chat = ChatOpenAI(model="tutor", base_url=f"{front.url}/v1", api_key=SecretStr("none"), max_retries=0)
    assert chat.invoke("Why?").content == GOOD["en"]
    engine.behave = lambda handler, *_: chunked(handler, EVENTS)
    assert "".join(str(one.content) for one in chat.stream("Why?")) == "想 一想"
