"""Items with their dialogue, what one or two systems said, how it was scored and on what evidence."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from app.components import data, download, frame, text
from app.components.choice import ANY, FILTERS, choose, set_choice
from app.components.data import Answers, Key
from app.components.frame import Subject
from app.components.text import line, part
from app.components.words import LANGUAGES, in_language, known, say
from harness.board import Row
from harness.board.compare import level
from harness.types import Item, Rubric, Score, Task

NONE = "none"
ALWAYS = ("language", "knowledge_point", "difficulty")
"""Filters that are there even where all items are alike."""
SHOWS_ONE = ("any", "failed", "unscored")
SHOWS_TWO = (*SHOWS_ONE, "disagree", "worse", "better")


def systems(about: Subject) -> tuple[Row, Row | None]:
    """The system looked at and the one beside it, chosen by run: a name may stand for several."""
    rows = {row.run: row for row in about.board.rows if row.metrics}
    if not rows:
        st.info(say("samples.nothing"), icon=":material/info:")
        st.stop()
    left, right = st.columns(2)
    with left:
        first = choose(say("samples.first"), list(rows), "a", text=lambda name: frame.label(rows[name]))
    with right:
        others = [NONE, *(name for name in rows if name != first)]
        second = choose(
            say("samples.second"),
            others,
            "b",
            text=lambda name: say("none") if name == NONE else frame.label(rows[name]),
        )
    return rows[first], None if second == NONE else rows[second]


def filtered(task: Task, first: Answers, second: Answers | None) -> list[Item]:
    """The items that pass the filters, of those that the first system answered."""
    items = [item for item in task.items if (item.id, 0) in first.responses]
    levels = {kind: sorted({level(item, kind) for item in items}) for kind in FILTERS}
    shown = [kind for kind in FILTERS if kind in ALWAYS or len(levels[kind]) > 1]
    wanted: dict[str, str] = {}
    *places, last = st.columns(len(shown) + 1)
    for kind, place in zip(shown, places, strict=True):
        with place:
            wanted[kind] = choose(
                known("slice", kind),
                [ANY, *levels[kind]],
                FILTERS[kind],
                text=partial(level_name, kind),
            )
    with last:
        shows = SHOWS_ONE if second is None else SHOWS_TWO
        show = choose(say("samples.show"), shows, "show", text=lambda one: say(f"samples.show.{one}"))
    return [
        item
        for item in items
        if all(value in (ANY, level(item, kind)) for kind, value in wanted.items())
        and keeps(show, item, task.rubric, first, second)
    ]


def level_name(kind: str, value: str) -> str:
    return say("any") if value == ANY else part(kind, value, bare=True)


def keeps(show: str, item: Item, rubric: Rubric, first: Answers, second: Answers | None) -> bool:
    key = (item.id, 0)
    scores = first.scores.get(key, [])
    if show == "failed":
        return any(one.value == 0 for one in scores if one.criterion in rubric.gold["gates"])
    if show == "unscored":
        return any(one.value is None and one.reason != "not applicable" for one in scores)
    if show == "any" or second is None:
        return True
    ours, theirs = first.headline.get(key), second.headline.get(key)
    if ours is None or theirs is None:
        return False
    return {"disagree": ours != theirs, "worse": ours < theirs, "better": ours > theirs}[show]


def choose_item(items: list[Item]) -> Item:
    """One of the items that passed, by name or by stepping through them."""
    names = [item.id for item in items]
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    with left:
        name = choose(say("samples.item", n=len(items)), names, "item")
    place = names.index(name)
    with right, st.container(horizontal=True):
        step(":material/chevron_left:", say("samples.previous"), names, place - 1, "ArrowLeft")
        step(":material/chevron_right:", say("samples.next"), names, place + 1, "ArrowRight")
    return items[place]


def step(icon: str, words: str, names: list[str], place: int, shortcut: str) -> None:
    there = 0 <= place < len(names)
    st.button(
        words,
        icon=icon,
        key=f"step {icon}",
        disabled=not there,
        on_click=set_choice,
        args=("item", names[place] if there else ""),
        shortcut=shortcut,
    )


def situation(item: Item) -> None:
    """The dialogue, and folded what good guidance must rest on."""
    st.text(
        f"{LANGUAGES[item.language]} · {line(item.knowledge_point)} · {say('difficulty')} {item.difficulty} · "
        f"{say('samples.cluster')} {line(item.cluster)}"
    )
    for number, message in enumerate(item.messages):
        with st.chat_message("user" if message.role == "user" else "assistant"):
            text.show(message.content, f"message {number}")
    with st.expander(say("samples.key_points"), icon=":material/key:"):
        points = {
            "diagnosis": item.key_points.diagnosis,
            "location": item.key_points.location,
            "next_steps": "\n".join(item.key_points.next_steps),
            "answer": item.answer,
            "misconception": item.misconception or say("samples.student_is_right"),
            "reference": item.references[0] if item.references else "",
        }
        for name, content in points.items():
            st.caption(say(f"samples.{name}"))
            text.show(content, f"point {name}")


def response(row: Row, answers: Answers, key: Key, side: str) -> None:
    """What one system said."""
    st.subheader(say(f"side.{side}"), anchor=False)
    st.text(frame.label(row))
    found = answers.responses.get(key)
    if found is None:
        st.caption(say("samples.no_response"))
        return
    with st.container(border=True):
        text.show(found.text, f"response {side}")
    facts = [say(f"finish.{found.finish_reason}")]
    if found.completion_tokens is not None:
        facts.append(say("samples.tokens", n=found.completion_tokens))
    if found.latency_s is not None:
        facts.append(f"{found.latency_s:.2f} s")
    st.text(" · ".join(facts))


def scores(chosen: list[Answers], key: Key, rubric: Rubric) -> None:
    """A row for each criterion: the verdict on each response and what it rests on."""
    st.subheader(say("samples.scores"), anchor=False)
    found = [{one.criterion: one for one in answers.scores.get(key, ())} for answers in chosen]
    criteria = list(dict.fromkeys(name for one in found for name in one))
    if not criteria:
        st.caption(say("samples.no_scores"))
        return
    sides = "AB" if len(chosen) > 1 else " "
    cells = []
    for name in criteria:
        cell = {say("samples.criterion"): criterion_title(name, rubric)}
        cell |= {
            f"{say('samples.value')} {side}".strip(): verdict(one.get(name), rubric) for one, side in zip(found, sides)
        }
        cell |= {
            f"{say('samples.evidence')} {side}".strip(): evidence(one.get(name)) for one, side in zip(found, sides)
        }
        cell[say("samples.source")] = line(next(one[name].source for one in found if name in one))
        cells.append(cell)
    st.dataframe(pd.DataFrame(cells), hide_index=True, height="content", alt=say("samples.scores"))


def criterion_title(name: str, rubric: Rubric) -> str:
    criterion = rubric.criteria.get(name)
    return line(f"{name} {in_language(criterion.name)}" if criterion else known("metric", name))


def verdict(score: Score | None, rubric: Rubric) -> str:
    """A score's value with its label; what is absent or could not be judged is said in words, never as 0."""
    if score is None:
        return "–"
    if score.value is None:
        return say("samples.not_applicable" if score.reason == "not applicable" else "samples.unscored")
    criterion = rubric.criteria.get(score.criterion)
    if criterion is None:
        return f"{score.value:.3f}"
    labels = [in_language(one["name"]) for one in criterion.labels if one.get("value") == score.value]
    return " ".join([f"{score.value:g}", *labels])


def evidence(score: Score | None) -> str:
    if score is None:
        return ""
    if score.evidence is None:
        return line(score.reason)
    return line(score.evidence if isinstance(score.evidence, str) else json.dumps(score.evidence, ensure_ascii=False))


def rows_of(items: list[Item], chosen: list[tuple[Row, Answers]]) -> list[dict[str, Any]]:
    """For download: a row for each response, a column for each criterion."""
    criteria = sorted({one.criterion for _, answers in chosen for found in answers.scores.values() for one in found})
    kept = {item.id: item for item in items}
    return [
        {
            "item": name,
            "language": kept[name].language,
            "topic": kept[name].knowledge_point,
            "difficulty": kept[name].difficulty,
            "system": row.system,
            "run": row.run,
            "sample": sample,
            "text": response.text,
            **dict.fromkeys(criteria),
            **{one.criterion: one.value for one in answers.scores.get((name, sample), [])},
        }
        for row, answers in chosen
        for (name, sample), response in answers.responses.items()
        if name in kept
    ]


def main() -> None:
    about = frame.subject()
    first, second = systems(about)
    chosen = [(row, data.answers(about.root, about.task, row.run)) for row in (first, second) if row]
    items = filtered(about.task, chosen[0][1], chosen[1][1] if second else None)
    if not items:
        st.info(say("samples.no_items"), icon=":material/filter_alt_off:")
        return
    item = choose_item(items)
    situation(item)
    samples = sorted({key[1] for _, answers in chosen for key in answers.responses if key[0] == item.id})
    sample = int(choose(say("samples.sample"), [str(one) for one in samples], "sample")) if len(samples) > 1 else 0
    key = item.id, sample
    for (row, answers), place, side in zip(chosen, st.columns(len(chosen), gap="large"), "AB"):
        with place:
            response(row, answers, key, side)
    if second:
        difference(key, [answers for _, answers in chosen])
    scores([answers for _, answers in chosen], key, about.task.rubric)
    download.offer(
        f"{about.task.name}-samples", lambda: rows_of(items, chosen), lambda: rows_of(items, chosen), "samples"
    )


def difference(key: Key, answers: list[Answers]) -> None:
    """What only one of the two texts says."""
    first, second = (one.responses[key].text if key in one.responses else "" for one in answers)
    st.subheader(say("samples.difference"), anchor=False)
    lines = text.differences(first, second)
    if lines:
        st.code(lines, language="diff", wrap_lines=True)
        st.caption(say("samples.difference.note"))
    else:
        st.caption(say("samples.same"))


main()
