"""An annotator's desk: the campaign, the qualifying test, the task on the screen, and the form under it.

Every write is checked by the store; a page's own limits are a convenience. What is typed is kept as a draft at once, so a
reload or a lost connection loses nothing. Model text reaches the page as plain characters only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, cast, get_args

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.components import frame, text
from app.components.desk import attempt, campaign, desk, plain, problem
from app.components.text import line
from app.components.words import LANGUAGES, in_language, say
from harness import annotate
from harness.annotate import Campaign, Exam, Presentation
from harness.annotate.answers import FlagReason, SkipReason
from harness.errors import EasyDSError
from harness.rubric import guideline, label_ids
from harness.types import Criterion, Item, Language, Rubric

Kind = Literal["rate", "compare"]
PAIRWISE = "preference"
FORM = 620
"""Height of the long form in pixels"""


def main(kind: Kind) -> None:
    """The whole page of one kind of campaign."""
    store, person = desk()
    me = person.id
    one = campaign(store, kind)
    problem()
    if not qualified(store, me, one):
        return
    task = at_hand(store, me, one)
    told = annotate.progress(store, me, one.id)
    st.progress(
        min(1.0, told.given / max(1, told.wanted)),
        text=say("work.progress", mine=told.mine, given=told.given, wanted=told.wanted),
    )
    if task is None:
        st.success(say("work.done"), icon=":material/task_alt:")
    else:
        left, right = st.columns([3, 2], gap="large")
        with left:
            situation(task.item)
            replies(task)
        with right:
            with pane(f"form {task.token}", kind):
                (rate if kind == "rate" else compare)(store, me, one, task)
            aside(store, me, task)
    past(store, me, one)


def at_hand(store: annotate.Store, me: str, one: Campaign) -> Presentation | None:
    """The task on the screen, or the next one. While the store is busy the last one stays, with what is typed."""
    key = f"at hand {one.id}"
    try:
        st.session_state[key] = annotate.next_task(store, me, one.id)
    except annotate.StoreBusy:
        if st.session_state.get(key) is None:
            raise
        st.caption(say("work.busy"))
    found: Presentation | None = st.session_state[key]
    return found


def qualified(store: annotate.Store, me: str, one: Campaign) -> bool:
    """Whether this person may work: else the test is on the page. Languages that are open are worked on meanwhile."""
    standing = annotate.standings(store, me, one.id)
    state = f"test {one.id}"
    if st.session_state.get(state):
        return test(store, me, one, st.session_state[state])
    for each in standing:
        if each.needed and not each.passed:
            with st.container(border=True):
                name = LANGUAGES[each.language]
                st.text(text.told("work.test_needed", language=name, left=each.attempts_left))
                if each.agreement is not None:
                    st.caption(say("work.test_result", share=100 * each.agreement))
                if each.attempts_left:
                    st.button(
                        say(f"work.begin.{each.language}"),
                        key=f"begin {each.language}",
                        on_click=st.session_state.__setitem__,
                        args=(state, each.language),
                    )
    return any(each.passed or not each.needed for each in standing)


def test(store: annotate.Store, me: str, one: Campaign, tongue: Language) -> bool:
    """The qualifying test, an exercise at a time; False while it is on the page."""
    state: Exam = annotate.exam(store, me, one.id, tongue)
    exercise = state.exercise
    if exercise is None:
        del st.session_state[f"test {one.id}"]
        st.rerun()
        return False
    st.subheader(say("work.test", n=state.done + 1, total=state.total), anchor=False)
    left, right = st.columns([3, 2], gap="large")
    with left:
        situation(exercise.item)
        for number, reply in enumerate(exercise.replies):
            with st.container(border=True):
                side(number, len(exercise.replies))
                text.show(reply, f"exam {number}")
    with right:
        pairwise = [name for name, criterion in one.rubric.criteria.items() if criterion.kind == "pairwise"]
        names = annotate.form(one.rubric) if one.kind == "rate" else pairwise
        with pane(f"exam {exercise.id}", one.kind):
            given = {name: labels_of(name, one.rubric, f"exam {exercise.id}") for name in names}
            st.button(
                say("work.answer"),
                type="primary",
                disabled=not all(given.values()),
                shortcut="Ctrl+Enter",
                on_click=lambda: attempt(
                    lambda: annotate.answer(store, me, one.id, state.attempt, exercise.id, cast(dict[str, str], given))
                ),
            )
        guide(tongue)
    return False


def pane(key: str, kind: str) -> DeltaGenerator:
    """Where the form stands. A new key makes it anew: it begins at its top, and the next Tab goes to its first field.

    The long form scrolls by itself, so that the text that is judged stays in sight; on a phone it follows the text.
    """
    phone = "Mobi" in st.context.headers.get("User-Agent", "")
    return st.container(height="content" if phone or kind == "compare" else FORM, key=key)


def situation(item: Item) -> None:
    """The dialogue, and folded what good guidance rests on."""
    st.caption(say("work.situation"))
    st.text(f"{LANGUAGES[item.language]} · {line(item.knowledge_point)} · {say('work.hint_level', n=item.hint_level)}")
    for number, message in enumerate(item.messages):
        with st.chat_message("user" if message.role == "user" else "assistant"):
            text.show(message.content, f"turn {item.id} {number}")
    with st.expander(say("samples.key_points"), icon=":material/key:"):
        points = {
            "diagnosis": item.key_points.diagnosis,
            "location": item.key_points.location,
            "next_steps": "\n".join(item.key_points.next_steps),
            "answer": item.answer,
        }
        for name, content in points.items():
            st.caption(say(f"samples.{name}"))
            text.show(content, f"{name} {item.id}")


def replies(task: Presentation) -> None:
    """The text, or both: sides as they were drawn for this person."""
    texts = [task.left] if task.right is None else [task.left, task.right]
    for number, (place, reply) in enumerate(zip(st.columns(len(texts)), texts)):
        with place, st.container(border=True):
            side(number, len(texts))
            text.show(reply, f"reply {task.token[:12]} {number}")


def side(number: int, count: int) -> None:
    """Left or right, where there are two."""
    if count == 1:
        st.caption(say("work.reply"))
    else:
        st.caption(say(f"work.reply.{number}"))


def asked(criterion: Criterion) -> None:
    """A criterion's name (with its code, as the guideline calls it) and its question."""
    st.text(f"{text.criterion_name(criterion)}\n{line(in_language(criterion.definition))}")


def labels_of(name: str, rubric: Rubric, key: str, chosen: str | None = None) -> str | None:
    """The labels of a criterion to choose one from; the criterion's question above."""
    criterion = rubric.criteria[name]
    names = {str(one["id"]): plain(in_language(one["name"])) for one in criterion.labels}
    names |= {one: names.get(one) or say("samples.not_applicable") for one in label_ids(criterion)}
    asked(criterion)
    options = list(label_ids(criterion))
    place = options.index(chosen) if chosen in options else None
    return st.radio(
        plain(text.criterion_name(criterion)),
        options,
        index=place,
        key=f"{key} {name}",
        format_func=names.__getitem__,
        horizontal=True,
        label_visibility="collapsed",
    )


def rate(store: annotate.Store, me: str, one: Campaign, task: Presentation) -> None:
    """The rubric's form for one text."""
    key, draft = f"rate {task.token}", dict(task.draft or {})
    names = annotate.form(one.rubric)
    earlier: Mapping[str, str] = draft.get("labels", {})

    def given() -> dict[str, Any]:
        labels = {name: st.session_state.get(f"{key} {name}") for name in names}
        return {
            "labels": {name: label for name, label in labels.items() if label},
            "satisfaction": st.session_state.get(f"{key} satisfaction"),
            "note": st.session_state.get(f"{key} note", ""),
        }

    def save() -> None:
        found = given()
        if len(found["labels"]) < len(names) or found["satisfaction"] is None:
            st.session_state["work problem"] = text.told(
                "work.missing", n=len(names) - len(found["labels"]) + (found["satisfaction"] is None)
            )
            return
        rating = annotate.Rating(found["labels"], int(found["satisfaction"]), found["note"])
        if attempt(lambda: annotate.submit(store, me, task.token, rating)):
            st.toast(say("work.saved"))

    for name in names:
        labels_of(name, one.rubric, key, earlier.get(name))
    st.text(say("work.satisfaction"))
    satisfied = draft.get("satisfaction")
    st.radio(
        say("work.satisfaction"),
        list(range(1, 6)),
        index=satisfied - 1 if isinstance(satisfied, int) else None,
        key=f"{key} satisfaction",
        horizontal=True,
        label_visibility="collapsed",
    )
    typed(say("work.note"), draft.get("note", ""), f"{key} note")
    st.button(say("work.submit"), type="primary", shortcut="Ctrl+Enter", on_click=save, key=f"submit {task.token}")
    keep(store, me, task, given(), {"labels": {}, "satisfaction": None, "note": ""})


def keep(
    store: annotate.Store, me: str, task: Presentation, given: Mapping[str, Any], untouched: Mapping[str, Any]
) -> None:
    """Save what is on the form, if the store does not have it yet.

    The page does it and not a callback: the next letter breaks a callback off, which is then not called again.
    """
    draft = task.draft or {}
    if given != {name: draft.get(name, usual) for name, usual in untouched.items()}:
        try:
            annotate.save_draft(store, me, task.token, given)
        except EasyDSError as error:
            frame.problem(error)


def typed(words: str, kept: str, key: str) -> None:
    """A line of text that reaches the server with each letter: a key that votes, or a reload, finds what was typed.

    A text area would keep it until it is left, and a verdict's key does not leave it.
    """
    st.text_input(words, kept, key=key, live="0ms")


def compare(store: annotate.Store, me: str, one: Campaign, task: Presentation) -> None:
    """Which text is better, how clearly, and why: one key each."""
    key, draft = f"compare {task.token}", dict(task.draft or {})
    criterion = one.rubric.criteria.get(PAIRWISE)
    if criterion:
        asked(criterion)

    def given() -> dict[str, Any]:
        return {
            "strength": st.session_state.get(f"{key} strength"),
            "rationale": st.session_state.get(f"{key} why", ""),
        }

    def save(verdict: str) -> None:
        found = given()
        preference = annotate.Preference(cast(Any, verdict), found["strength"], found["rationale"])
        if attempt(lambda: annotate.submit(store, me, task.token, preference)):
            st.toast(say("work.saved"))

    strength, degrees = draft.get("strength"), {n: say(f"work.strength.{n}") for n in (1, 2, 3)}
    st.radio(
        say("work.strength"),
        list(degrees),
        index=strength - 1 if isinstance(strength, int) else None,
        key=f"{key} strength",
        format_func=degrees.__getitem__,
        horizontal=True,
    )
    typed(say("work.why"), draft.get("rationale", ""), f"{key} why")
    for number, verdict in enumerate(("left", "right", "tie", "both_bad"), start=1):
        st.button(
            say(f"work.verdict.{verdict}"),
            key=f"{verdict} {task.token}",
            shortcut=f"Alt+{number}",
            on_click=save,
            args=(verdict,),
            width="stretch",
        )
    keep(store, me, task, given(), {"strength": None, "rationale": ""})


def aside(store: annotate.Store, me: str, task: Presentation) -> None:
    """The guideline at hand; leaving this one to others; telling the leads that the item is at fault."""
    guide(task.item.language)
    with st.expander(say("work.skip")):
        _reason(
            "skip",
            get_args(SkipReason),
            lambda reason, told: annotate.skip(store, me, task.token, reason, told),
            task.token,
        )
    with st.expander(say("work.flag")):
        _reason(
            "flag",
            get_args(FlagReason),
            lambda reason, told: annotate.flag(store, me, task.token, reason, told),
            task.token,
        )


def _reason(what: str, reasons: tuple[str, ...], call: Callable[[Any, str], None], token: str) -> None:
    names = {one: say(f"reason.{what}.{one}") for one in reasons}
    reason, told = f"{what} reason {token}", f"{what} told {token}"
    st.selectbox(say("work.reason"), reasons, key=reason, format_func=names.__getitem__)
    typed(say("work.comment"), "", told)
    st.button(
        say(f"work.{what}.do"),
        key=f"{what} {token}",
        on_click=lambda: attempt(lambda: call(st.session_state[reason], st.session_state[told])),
    )


def guide(tongue: Language) -> None:
    with st.expander(say("work.guideline"), icon=":material/menu_book:"):
        found = guideline(tongue)
        st.caption(say("work.guideline.version"))
        st.text(f"{found.version} · {found.digest[:12]}")
        st.text(found.text)


def past(store: annotate.Store, me: str, one: Campaign) -> None:
    """A person's own last votes, each of which can be taken back for a while."""
    found = annotate.history(store, me, one.id, 10)
    if not found:
        return
    st.button(
        say("work.undo"),
        icon=":material/undo:",
        shortcut="Alt+Z",
        key="undo last",
        on_click=lambda: attempt(lambda: annotate.undo(store, me, one.id)),
    )
    with st.expander(say("work.history", n=len(found))):
        for each in found:
            st.text(
                f"{line(each.item.messages[-1].content)[:80]} … {say('work.skipped') if each.answers is None else _told(each.answers)}"
            )
            if each.may_undo:
                st.button(
                    say("work.change"),
                    key=f"undo {each.token}",
                    on_click=lambda token=each.token: attempt(lambda: annotate.undo(store, me, one.id, token)),
                )


def _told(answers: annotate.Answers) -> str:
    if isinstance(answers, annotate.Preference):
        return say(f"work.verdict.{answers.verdict}")
    return say("work.satisfied", n=answers.satisfaction)
