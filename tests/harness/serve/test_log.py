"""The log: redacted, tied by id, one writer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from endpoint import Endpoint, serving
from gateway_support import GOOD, PACKAGE, Gateway, gateway, says, until, write_package
from support import easyds, read_jsonl
from test_streams import CHAT, EVENTS, chunked

from harness.serve.log import Log

PRIVATE = "My name is Ada Lovelace, call 138 1234 5678 or mail ada@example.com."


def rows_of(log: Path, name: str) -> list[dict[str, Any]]:
    """The rows of one answer, once they are written."""
    until(lambda: name in log.read_text(encoding="utf-8"))
    return [row for row in read_jsonl(log) if row["id"] == name]


def test_a_turn_and_what_was_said_of_it(front: Gateway, engine: Endpoint, log: Path) -> None:
    engine.behave = says("", f"{GOOD['en']} {PRIVATE}")
    before = [{"role": "user", "content": PRIVATE}, {"role": "assistant", "content": "Well."}]
    name = front.guidance(PRIVATE, dialogue=before, knowledge_point="queue", hint_level=0, withheld=["9 8 7"]).json[
        "id"
    ]
    assert front.ask("/v1/feedback", {"id": name, "rating": 4, "comment": PRIVATE}).json == {"id": name}
    until(lambda: len(rows_of(log, name)) == 2)
    turn, feedback = rows_of(log, name)
    clean = "My name is [NAME], call [PHONE] or mail [EMAIL]."
    seconds = (turn.pop("seconds"), turn.pop("engine_seconds"))
    assert seconds[0] >= seconds[1] > 0
    assert turn.pop("at") < feedback.pop("at")
    assert turn == {
        "kind": "guidance",
        "id": name,
        "model": "tutor",
        "digest": PACKAGE["digest"],
        "language": "en",
        "hint_level": 0,
        "knowledge_point": "queue",
        "turns": 3,
        "message_chars": len(PRIVATE),
        "guidance_chars": len(f"{GOOD['en']} {PRIVATE}"),
        "withheld": 1,
        "gates": [{"G2": True, "G3": False}, {"G2": True, "G3": True}],
        "regenerated": True,
        "fallback": False,
        "usage": {"prompt_tokens": 22, "completion_tokens": 6, "total_tokens": 28},
        "messages": [
            {"role": "user", "content": clean},
            before[1],
            {"role": "user", "content": f"[hint level 0]\n{clean}"},
        ],
        "guidance": f"{GOOD['en']} {clean}",
        "redacted": 9,
    }
    assert feedback == {
        "kind": "feedback",
        "id": name,
        "rating": 4,
        "thumbs": None,
        "comment": clean,
        "redacted": 3,
    }


def test_a_streamed_chat(front: Gateway, engine: Endpoint, log: Path) -> None:
    engine.behave = lambda handler, *_: chunked(handler, EVENTS)
    answer = front.ask("/v1/chat/completions", {**CHAT, "stream": True})
    (row,) = rows_of(log, answer.headers["x-request-id"])
    assert (row["kind"], row["answer"], row["messages"]) == ("chat", "想 一想", CHAT["messages"])
    assert row["usage"] == {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6}


def test_refused_requests_are_not_logged(front: Gateway, log: Path) -> None:
    name = front.guidance("").headers["x-request-id"]
    after = front.guidance().json["id"]
    rows_of(log, after)
    assert name not in log.read_text(encoding="utf-8")


def test_close_waits_for_every_row(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.jsonl")
    for number in range(50):
        log.append({"id": number}, {"comment": PRIVATE})
    log.close()
    assert [row["id"] for row in read_jsonl(tmp_path / "log.jsonl")] == list(range(50))


def test_one_writer(front: Gateway, log: Path, tmp_path: Path) -> None:
    done = easyds("serve", write_package(tmp_path), "--engine-url", front.url, "--log", log, "--port", "0")
    assert done.returncode == 3
    assert "another process" in done.stderr


def test_feedback_without_a_log(tmp_path: Path) -> None:
    with (
        serving(says(GOOD["en"])) as engine,
        gateway(write_package(tmp_path / "p"), "--engine-url", engine.url) as front,
    ):
        name = front.guidance().json["id"]
        answer = front.ask("/v1/feedback", {"id": name, "thumbs": "up"})
        assert (answer.status, answer.code) == (404, "no_log")


def test_a_full_disk_is_told_and_stops_no_answer(tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk."""
    limit = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))"
    with (
        serving(says(GOOD["en"])) as engine,
        gateway(
            write_package(tmp_path / "p"), "--engine-url", engine.url, "--log", tmp_path / "log.jsonl", before=limit
        ) as front,
    ):
        assert all(front.guidance().status == 200 for _ in range(8))
        until(lambda: front.ask("/healthz").json["log_rows_lost"] > 0)
        assert front.guidance().status == 200
        assert front.stop() == 3
    assert "no space left" in front.said[-1]
    assert 0 < len(read_jsonl(tmp_path / "log.jsonl")) < 8
