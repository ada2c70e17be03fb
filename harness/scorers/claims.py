"""Statements about contents ("after step 3 the queue holds 4, 7", "下标 5 里是 30") held against the right run.

Screen: only wordings with one reading are taken, questions, conditions and what is said of the student's own run are left
out, and a statement is false only if it fits none of the moments it may speak of.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from harness.scorers import places, vocabulary
from harness.scorers.numerals import holds_run, numbers, value_of
from harness.scorers.right_run import SORTS, RightRun, State

ARRAYS = SORTS | {"binary-search", "circular-queue", "hash-probing", "dynamic-array", "heap", "union-find"}
ROWS = SORTS | {"bfs", "stack", "queue", "circular-queue", "linked-list", "dynamic-array", "heap"}
_SETS = {"sorts": SORTS, "arrays": ARRAYS, "rows": ROWS, "all": None}
Check = Callable[[RightRun, State, re.Match[str]], bool]
"""Whether a statement holds in a state of the right run."""


def _cell(run: RightRun, state: State, match: re.Match[str]) -> bool:
    held = run.cell(state, int(match["i"]))
    return not held or int(match["v"]) in held


def _empty(run: RightRun, state: State, match: re.Match[str]) -> bool:
    held = run.cell(state, int(match["i"]))
    return not held or None in held


def _end(run: RightRun, state: State, match: re.Match[str]) -> bool:
    held = state[0 if match["what"] == "front" else 1]
    return held == int(match["v"])


def _first(run: RightRun, state: State, match: re.Match[str]) -> bool:
    held = run.contents(state)
    return bool(held) and held[0] == int(match["v"])


def _last(run: RightRun, state: State, match: re.Match[str]) -> bool:
    held = run.contents(state)
    return bool(held) and held[-1] == int(match["v"])


def _row(run: RightRun, state: State, match: re.Match[str]) -> bool:
    held, said = run.contents(state), numbers(match["list"])
    if match["only"] or (re.search(r"holds?|contains?|有|剩", match.group()) and sorted(held) == sorted(said)):
        return sorted(held) == sorted(said)
    return len(said) < 2 or holds_run(held, said) or holds_run(held[::-1], said)


def _next(run: RightRun, state: State, match: re.Match[str]) -> bool:
    return holds_run(run.contents(state), [int(match["a"]), int(match["b"])])


def _nth(run: RightRun, state: State, match: re.Match[str]) -> bool:
    nth, held = value_of(match["n"]), run.contents(state)
    return not nth or nth > len(held) or held[nth - 1] == int(match["v"])


def _parent(run: RightRun, state: State, match: re.Match[str]) -> bool:
    child, parent = int(match["a"]), int(match["b"])
    if run.family == "union-find":
        return child >= len(state) or state[child] == parent
    row = list(state)
    return child not in row or row.index(child) == 0 or row[(row.index(child) - 1) // 2] == parent


def _child(run: RightRun, state: State, match: re.Match[str]) -> bool:
    row, left = list(state), match["side"] in ("left", "左")
    if int(match["a"]) not in row:
        return False
    at = 2 * row.index(int(match["a"])) + (1 if left else 2)
    return at < len(row) and row[at] == int(match["b"])


def _distance(run: RightRun, state: State, match: re.Match[str]) -> bool:
    vertex = int(match["a"])
    return not 1 <= vertex <= len(state) or state[vertex - 1] == int(match["v"])


def _capacity(run: RightRun, state: State, match: re.Match[str]) -> bool:
    return len(state) == int(match["v"])


def _neighbours(run: RightRun, state: State, match: re.Match[str]) -> bool:
    vertex = int(match["a"])
    either = run.family in ("bfs", "dfs")
    return all((vertex, one) in run.edges or (either and (one, vertex) in run.edges) for one in numbers(match["list"]))


def _predecessors(run: RightRun, state: State, match: re.Match[str]) -> bool:
    return all((one, int(match["a"])) in run.edges for one in numbers(match["list"]))


def _edge(run: RightRun, state: State, match: re.Match[str]) -> bool:
    return (int(match["a"]), int(match["b"])) in run.edges


def _compares(run: RightRun, state: State, match: re.Match[str]) -> bool:
    a, b, more = int(match["a"]), int(match["b"]), match["how"] in ("larger", "bigger", "greater", "more", "大")
    return (a > b) if more else (a < b)


def _remainder(run: RightRun, state: State, match: re.Match[str]) -> bool:
    return int(match["m"]) == 0 or int(match["a"]) % int(match["m"]) == int(match["v"])


def _count(run: RightRun, state: State, match: re.Match[str]) -> bool:
    return len(run.contents(state)) == value_of(match["n"])


def _root(run: RightRun, state: State, match: re.Match[str]) -> bool:
    node = int(match["a"])
    while node < len(state) and state[node] not in (node, None):
        node = int(state[node] or 0)
    return node == int(match["b"])


def _minimum(run: RightRun, state: State, match: re.Match[str]) -> bool:
    done = [k for k, one in enumerate(run.states) if one == state]
    return any(state[k:] and min(v for v in state[k:] if v is not None) == int(match["v"]) for k in done)


def _hashes(run: RightRun, state: State, match: re.Match[str]) -> bool:
    modulus = re.search(r"mod (\d+)", run.prompt)
    return not modulus or int(match["a"]) % int(modulus[1]) == int(match["v"])


def _mid(run: RightRun, state: State, match: re.Match[str]) -> bool:
    return int(match["v"]) in run.facts["right"]


def _head(run: RightRun, state: State, match: re.Match[str]) -> bool:
    side = {"左": "left", "右": "right"}.get(match["side"], match["side"])
    return run.heads(len(state))[side] == int(match["v"])


def _bound(run: RightRun, state: State, match: re.Match[str]) -> bool:
    which = 0 if match["which"] == "low" else 1
    return not run.ranges or any(bounds[which] == int(match["v"]) for bounds in run.ranges)


def _rear(run: RightRun, state: State, match: re.Match[str]) -> bool:
    held = run.contents(state)
    return bool(held) and held[-1] == int(match["v"] or match["w"])


def _follows(run: RightRun, state: State, match: re.Match[str]) -> bool:
    return holds_run(run.contents(state), [int(match["a"] or match["c"]), int(match["b"] or match["d"])])


_CHECKS: dict[str, Check] = {
    "bound": _bound,
    "capacity": _capacity,
    "cell": _cell,
    "child": _child,
    "compares": _compares,
    "count": _count,
    "distance": _distance,
    "edge": _edge,
    "empty": _empty,
    "end": _end,
    "first": _first,
    "follows": _follows,
    "hashes": _hashes,
    "head": _head,
    "last": _last,
    "mid": _mid,
    "minimum": _minimum,
    "neighbours": _neighbours,
    "next": _next,
    "nth": _nth,
    "parent": _parent,
    "predecessors": _predecessors,
    "rear": _rear,
    "remainder": _remainder,
    "root": _root,
    "row": _row,
    "top": _rear,
}
_SKIP = re.compile(
    r"\?|n't\b|\b(?:if|would|could|might|which|what|who|where|how|not|cannot|until|suppose|instead of|than you|want|when you|so that|as if|as though|unless|whether|claims?|wrote|written as)\b"
    r"|\byou(?:r|'ve|'d)?\b|你|如果|要是|假如|是不是|吗|谁|哪|什么(?!都|也)|几|多少|会|让|不是|不在|没(?!放|有东西|东西)|当成|以为|等到|直到|若"
)
_WRITTEN = re.compile(
    r"\b(?:after|once) (\d+) (?:has been |is |was |gets )(?:output|written|dealt with|visited|out|settled)\b|(\d+) ?(?:写完|写掉|写出|输出|访问)了?(?:之后|以后|后)|(?:写完|写掉|写出|输出) ?(\d+) ?(?:之后|以后|后)"
)
_BEFORE = re.compile(r"\bbefore\b|之前|以前|步前|前(?=,|$)")
_AFTER = re.compile(r"\b(?:after|once|end of|following|done|complete|finished)\b|之后|以后|后|做完|完成|结束|为止")

_SAME_MOMENT = re.compile(
    r"\b(?:at that|then|there|now|still|just before)\b|\b(?:this|that) (?:pass|step|operation)\b|这一[步趟]|这时|此时|那时|此刻"
)


@cache
def _patterns(family: str) -> tuple[tuple[re.Pattern[str], Check], ...]:
    """The wordings of lexicon/claims.yaml that concern a family, each with its check."""
    data = vocabulary.read("claims")
    found = []
    for entry in data["claims"]:
        families = _SETS.get(entry["families"]) if isinstance(entry["families"], str) else entry["families"]
        if families is None or family in families:
            pattern = entry["pattern"]
            for name, fragment in data["fragments"].items():
                pattern = pattern.replace(f"<{name}>", fragment)
            found.append((re.compile(pattern), _CHECKS[entry["check"]]))
    return tuple(found)


def false_claim(text: str, facts: Mapping[str, Any], prompt: str) -> str:
    """The first statement of a normalised text that the right run contradicts; "" if there is none."""
    run, moment = RightRun(facts, prompt), None
    for sentence in re.split(r"(?<=[.!?。])(?!\d)", text):
        carried = None
        for clause in re.split(r"(?<=[;?:,])(?! ?\d)|(?<=[;:?])", sentence):
            carried = _moment(run, clause, moment) or carried
            moment = carried or moment
            if _SKIP.search(clause):
                continue
            for pattern, check in _patterns(run.family):
                for match in pattern.finditer(clause):
                    if not _holds(run, check, match, carried):
                        return f"says {match.group().strip()!r}, which is not so"
    return ""


def _holds(run: RightRun, check: Check, match: re.Match[str], moment: frozenset[int] | None) -> bool:
    """Whether a statement fits some moment that it may speak of."""
    moments = range(len(run.states)) if moment is None else moment
    states = [run.states[k] for k in moments if 0 <= k < len(run.states)]
    known = [state for state in states if state is not None]
    if not known or (moment is not None and len(known) < len(states)):
        return True
    return any(check(run, state, match) for state in known)


def _moment(run: RightRun, clause: str, before: frozenset[int] | None) -> frozenset[int] | None:
    """The numbers of steps done when a clause speaks; None if it does not say."""
    if written := _WRITTEN.search(clause):
        value, right = int(next(filter(None, written.groups()))), run.facts["right"]
        if value in right and len(run.facts["states"]) == len(right):
            return frozenset([right.index(value) + 1])
    found = {step for one in places.mentions(clause, places=not run.facts["ops"]) for step in one.steps}
    real = {step for step in found if step <= len(run.facts["states"])}
    if real:
        if _BEFORE.search(clause):
            return frozenset(step - 1 for step in real)
        return frozenset(real) if _AFTER.search(clause) else frozenset(step - one for step in real for one in (0, 1))
    return before if _SAME_MOMENT.search(clause) else None
