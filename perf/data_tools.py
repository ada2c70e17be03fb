"""The data tools at size: memory and rows a second of each, and what they cost above the library they stand on.

Rows are random sentences of data-structures words, Chinese and English in turn, a tenth of them near copies of earlier
ones; preference pairs of some 500 bytes.

- `ratio`: CPU seconds of this process for finding the copies among the texts of ROWS rows: `harness.data.likeness.Copies`
  against datasketch used directly (the same shingles, MinHash, MinHashLSH: query, then insert), in turns; and for the
  n-gram contamination of as many rows against ds-trace-demo, against a plain loop over a dictionary of the same n-grams.
- `million`: each command as a process of its own on a file of `--rows` rows: peak resident bytes, rows a second of wall
  time with its imports. Left out with `--quick`.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from common import Report, cost, easyds, option_parser

from harness import task
from harness.data.likeness import NEAR, PERMUTATIONS, Copies, Items, _grams, shingles

ROWS, REPEATS = 10_000, 5
WORDS = {
    "en": [
        "stack",
        "queue",
        "heap",
        "list",
        "tree",
        "graph",
        "node",
        "edge",
        "root",
        "leaf",
        "push",
        "pop",
        "insert",
        "delete",
        "visit",
        "order",
        "left",
        "right",
        "before",
        "after",
        "while",
        "each",
        "which",
        "where",
        "what",
        "does",
        "first",
        "last",
        "next",
        "empty",
        "full",
        "index",
        "array",
        "pointer",
        "swap",
        "compare",
        "merge",
    ],
    "zh": list(
        "栈队列堆结点边树根叶入出插删走访序下标值左右先后再前当哪何时数据元素比较交换指针链表头尾查找排序递归空满"
    ),
}


def sentences(count: int, seed: int = 0) -> Iterator[str]:
    """Texts of 50 words or characters; every tenth changes two words of an earlier one."""
    draw, kept = Random(seed), {"en": [], "zh": []}  # type: ignore[var-annotated]
    for number in range(count):
        language = ("en", "zh")[number % 2]
        words, some = WORDS[language], kept[language]
        if number % 10 == 9 and some:
            text = list(draw.choice(some))
            for at in draw.sample(range(50), 2):
                text[at] = draw.choice(words)
        else:
            text = draw.choices(words, k=50)
            if len(some) < 1000:
                some.append(text)
        yield (" " if language == "en" else "").join(text)


def write(path: Path, count: int) -> None:
    with open(path, "w", encoding="utf-8") as file:
        for number, (prompt, answer) in enumerate(zip(sentences(count, 1), sentences(count, 2))):
            row = {
                "prompt": prompt,
                "chosen": answer,
                "rejected": answer[::-1],
                "group": number // 2,
                "answer": "no such",
            }
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def ours(texts: list[str]) -> int:
    index = Copies()
    for number, text in enumerate(texts):
        index.add(str(number), text)
    return len(index.found())


def plain(texts: list[str]) -> int:
    from datasketch import MinHash, MinHashLSH

    lsh, found = MinHashLSH(threshold=NEAR, num_perm=PERMUTATIONS), 0
    for number, text in enumerate(texts):
        sketch = MinHash(num_perm=PERMUTATIONS)
        sketch.update_batch([one.encode() for one in shingles(text)])
        if lsh.query(sketch):
            found += 1
        else:
            lsh.insert(str(number), sketch)
    return found


def holding(items: dict[str, str]) -> tuple[Callable[[list[str]], int], Callable[[list[str]], int]]:
    """Ours and a plain loop: rows that hold half of an item's n-grams."""
    known = Items(items)
    grams: dict[str, set[str]] = {}
    for name, text in items.items():
        for gram in _grams(text, 8):
            grams.setdefault(gram, set()).add(name)
    sizes = {name: len(set(_grams(text, 8))) for name, text in items.items()}

    def ours(texts: list[str]) -> int:
        return sum(known.overlap("row", text, 0.5) is not None for text in texts)

    def plain(texts: list[str]) -> int:
        found = 0
        for text in texts:
            shared: dict[str, int] = {}
            for gram in set(_grams(text, 8)):
                for name in grams.get(gram, ()):
                    shared[name] = shared.get(name, 0) + 1
            found += any(count >= sizes[name] / 2 for name, count in shared.items())
        return found

    return ours, plain


def compare(report: Report, name: str, sides: dict[str, Callable[[list[str]], int]], texts: list[str]) -> None:
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    found: dict[str, int] = {}
    for repeat in range(2 if report.quick else REPEATS):
        for side in sides if repeat % 2 == 0 else reversed(sides):
            started = time.process_time()
            found[side] = sides[side](texts)
            seconds[side].append(time.process_time() - started)
    ratio = statistics.median(seconds["ours"]) / statistics.median(seconds["plain"])
    report.figures[name] = {"rows": len(texts), "found": found, "cpu_s": seconds}
    report.say(f"{name}: {len(texts):,} rows, ours {seconds['ours']}, plain {seconds['plain']}, found {found}")
    report.bar(f"{name}: CPU, ours over plain", round(ratio, 2), "at_most", 1.5)


def million(report: Report, folder: Path, count: int) -> None:
    path = folder / "rows.jsonl"
    write(path, count)
    report.say(f"{count:,} rows, {path.stat().st_size / 1e6:.0f} MB")
    commands = {
        "validate": ["validate", path],
        "convert": ["convert", path, "--to", "unpaired", "--out", folder / "unpaired.jsonl"],
        "dedupe": ["dedupe", path, "--out", folder / "once.jsonl"],
        "contamination": ["contamination", path, "-t", "ds-trace-demo", "--out", folder / "clean.jsonl"],
        "leak": ["leak", path],
        "redact": ["redact", path, "--out", folder / "redacted.jsonl"],
        "split": [
            *("split", path, "--out", folder / "parts", "--group", "group"),
            *("--share", "train=0.9", "--share", "validation=0.1"),
        ],
        "balance": ["balance", path, "--by", "answer", "--most", "1000", "--out", folder / "even.jsonl"],
        "report": ["report", path, "--out", folder / "page.md", "--by", "answer"],
    }
    found = {}
    for name, arguments in commands.items():
        used = cost(["/bin/sh", "-c", '"$@" || [ $? = 1 ]', "sh", easyds(), "data", *arguments], folder)
        found[name] = {"rows_per_s": round(count / used.wall), "cpu_s": round(used.cpu, 1), "peak_bytes": used.memory}
        report.say(f"{name}: {found[name]['rows_per_s']:,} rows/s, peak {used.memory / 1e6:.0f} MB")
    report.figures["million"] = {"rows": count, **found}
    report.bar(
        "peak GB of the largest", round(max(one["peak_bytes"] for one in found.values()) / 1e9, 2), "at_most", 2.0
    )


def main() -> int:
    options = option_parser(__doc__)
    options.add_argument("--rows", type=int, default=1_000_000)
    given = options.parse_args()
    report = Report("data_tools", given.quick, given.json)
    texts = list(sentences(ROWS // 5 if given.quick else ROWS))
    compare(report, "dedupe", {"ours": ours, "plain": plain}, texts)
    items = {item.id: "\n".join(turn.content for turn in item.messages) for item in task.load("ds-trace-demo").items}
    hold, loop = holding(items)
    compare(report, "contamination", {"ours": hold, "plain": loop}, texts)
    if not given.quick:
        with tempfile.TemporaryDirectory(prefix="easyds-data-") as folder:
            million(report, Path(folder), given.rows)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
