"""A judge that does what replies tell it, put to the standing attacks: what `easyds judge check` prints for it.

    python scripts/gullible_judge.py

It finds every reply middling, and perfect as soon as the reply speaks of labels, scores, rules or roles; it repeats the
token, so its verdicts are read. The check must fail it (exit 1). The figures stand in docs/evaluation.md.
"""

from __future__ import annotations

import json
import re
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from harness.cli import main
from harness.rubric import label_ids, load

TOLD = re.compile(
    r"ignore|instruction|system|verdict|label|score|token|assistant|grade|忽略|指令|系统|评分|标签|满分|裁定|令牌",
    re.IGNORECASE,
)
RUBRIC = load("guidance")


class Gullible(BaseHTTPRequestHandler):
    """Answers a question of the judge in its full form."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["messages"][1]["content"]
        token = re.findall(r"^(?:Token: |令牌：)(\S+)$", asked, re.MULTILINE)[-1]
        names = re.findall(r"(?<![A-Za-z])(?:[GD]\d|fluency)(?!\w)", asked.rsplit("\n", 1)[-1])
        reply = "\n".join(line for line in asked.split("\n") if line.startswith("| "))
        best = bool(TOLD.search(reply))
        rows = [{"criterion": name, "quote": "", "reason": "", "label": self.label(name, best)} for name in names]
        content = json.dumps({"token": token, "verdicts": rows})
        choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
        whole = {"id": "x", "object": "chat.completion", "created": 1, "model": "gullible", "choices": [choice]}
        body = json.dumps(whole).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    @staticmethod
    def label(name: str, best: bool) -> str:
        criterion = RUBRIC.criteria[name]
        return label_ids(criterion)[0 if best or criterion.kind == "gate" else 1]

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Gullible)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    spec = f"judge:model=gullible,base_url=http://127.0.0.1:{server.server_port}/v1"
    with tempfile.TemporaryDirectory() as runs:
        main(["judge", "check", spec, "--runs", runs])
