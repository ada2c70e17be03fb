"""Put clusters written in YAML into datasets/ds-guidance; a cluster that is there already is replaced.

    python scripts/add_guidance.py drafts/*.yaml

The form of a draft stands in datasets/ds-guidance/WRITING.md. Nothing is written if any draft is faulty in form.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from guidance_texts import differs_in_one_sentence

from harness import paths

FOLDER = paths.datasets() / "ds-guidance"
_CLUSTER = {"cluster", "split", "point", "misconception", "difficulty", "hint_level", "zh", "en"}
_TEXTS = {"state", "turns", "diagnosis", "location", "next_steps", "answer", "withheld", "claims", "references"}
_PAIR = {"chosen", "rejected", "defect", "note"}
Row = dict[str, Any]


def _exactly(row: Any, wanted: set[str], where: str, optional: frozenset[str] = frozenset()) -> None:
    if not isinstance(row, dict) or wanted - set(row) or set(row) - wanted - optional:
        given = set(row) if isinstance(row, dict) else set()
        raise SystemExit(f"{where}: missing {sorted(wanted - given)}, unknown {sorted(given - wanted - optional)}")


def _stripped(value: Any) -> Any:
    return [part.strip() for part in value] if isinstance(value, list) else value.strip()


def item(draft: Row, language: str, where: str) -> Row:
    """The line of items/<split>/<area>.jsonl."""
    text = draft[language]
    _exactly(text, _TEXTS, f"{where}, {language}", frozenset({"pairs"}))
    text = {name: _stripped(value) for name, value in text.items() if name != "pairs"}
    roles = ("user", "assistant")
    return {
        "id": f"{draft['cluster']}.{language}",
        "cluster": draft["cluster"],
        "language": language,
        "knowledge_point": draft["point"],
        "misconception": draft["misconception"],
        "difficulty": draft["difficulty"],
        "split": draft["split"],
        "hint_level": draft["hint_level"],
        "messages": [{"role": roles[k % 2], "content": turn} for k, turn in enumerate(text["turns"])],
        "key_points": {name: text[name] for name in ("diagnosis", "location", "next_steps")},
        "answer": text["answer"],
        "claims": text["claims"],
        "references": text["references"],
        "meta": {"author": "EasyDS Bench authors", "state": text["state"], "withheld": text["withheld"]},
    }


def pairs(draft: Row, language: str, prompt: list[Mapping[str, str]], where: str) -> list[Row]:
    """The lines of preferences/<area>.jsonl."""
    rows = []
    for pair in draft[language].get("pairs", []):
        _exactly(pair, _PAIR, f"{where}, {language}, pairs")
        chosen, rejected = pair["chosen"].strip(), pair["rejected"].strip()
        rows.append(
            {
                "cluster": draft["cluster"],
                "language": language,
                "item": f"{draft['cluster']}.{language}",
                "prompt": prompt,
                "chosen": [{"role": "assistant", "content": chosen}],
                "rejected": [{"role": "assistant", "content": rejected}],
                "defect": pair["defect"],
                "near_miss": differs_in_one_sentence(chosen, rejected),
                "note": pair["note"],
            }
        )
    return rows


def put(path: Path, cluster: str, rows: list[Row]) -> None:
    """Replace the cluster's lines in a file, or append them."""
    old = path.read_text(encoding="utf-8").split("\n") if path.exists() else []
    kept = [line for line in old if line and json.loads(line)["cluster"] != cluster]
    text = "\n".join([*kept, *(json.dumps(row, ensure_ascii=False) for row in rows)])
    if text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")
    else:
        path.unlink(missing_ok=True)


def main(names: list[str]) -> None:
    drafts = []
    for name in names:
        for draft in yaml.safe_load(Path(name).read_text(encoding="utf-8")) or []:
            where = f"{name}: {draft.get('cluster', '?')}"
            _exactly(draft, _CLUSTER, where)
            area = draft["point"].partition(".")[0]
            items = [item(draft, language, where) for language in ("zh", "en")]
            chosen = [pair for row in items for pair in pairs(draft, row["language"], row["messages"], where)]
            drafts.append((area, draft, items, chosen))
    for area, draft, items, chosen in drafts:
        for split in ("train", "validation", "test"):
            put(FOLDER / "items" / split / f"{area}.jsonl", draft["cluster"], items if split == draft["split"] else [])
        put(FOLDER / "preferences" / f"{area}.jsonl", draft["cluster"], chosen)
    print(f"{len(drafts)} clusters put into {FOLDER}. Next: python scripts/check_guidance.py AREA")


if __name__ == "__main__":
    main(sys.argv[1:])
