"""The team: who may do what, invitations, and who may begin without the test."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from app.components import desk
from app.components.text import line
from app.components.words import LANGUAGES, say
from harness import annotate
from harness.annotate import Person

ROLES = ("annotator", "lead")


def main() -> None:
    store, me = desk.leads_desk()
    desk.problem()
    people = annotate.everyone(store, me)
    rows = [
        {
            say("lead.person"): _named(one),
            say("team.role"): say(f"team.role.{one.role}"),
            say("team.issuer"): line(one.issuer),
        }
        for one in people
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True, alt=say("page.team"))
    left, right = st.columns(2, gap="large")
    with left:
        invite(store, me)
    with right:
        role(store, me, people)
    grant(store, me, people)


def _named(one: Person) -> str:
    """Two people may have one name."""
    return f"{line(one.name)} ({one.id[:6]})"


def roles() -> dict[str, str]:
    """Each role in the reader's words."""
    return {one: say(f"team.role.{one}") for one in (*ROLES, "revoked")}


def who(people: list[Person], key: str) -> Person:
    named, names = {one.id: one for one in people}, {one.id: _named(one) for one in people}
    return named[st.selectbox(say("lead.person"), list(named), format_func=names.__getitem__, key=key)]


def invite(store: annotate.Store, me: str) -> None:
    """A token, shown once: the store keeps its digest only."""
    st.subheader(say("team.invite"), anchor=False)
    names = roles()
    wanted = st.radio(say("team.role"), ROLES, format_func=names.__getitem__, horizontal=True)
    if st.button(say("team.invite.do"), icon=":material/key:", type="primary"):
        if token := desk.attempt(lambda: annotate.invite(store, me, wanted)):
            st.code(token, language=None)
            st.caption(say("team.invite.note"))
        else:
            desk.problem()


def role(store: annotate.Store, me: str, people: list[Person]) -> None:
    """Another role for someone; their next write sees it."""
    st.subheader(say("team.change"), anchor=False)
    person = who(people, "role of")
    names = roles()
    options = [one for one in names if one != person.role]
    key = f"to {person.id}"
    st.selectbox(say("team.to"), options, format_func=names.__getitem__, key=key)
    st.button(
        say("team.change.do"),
        on_click=lambda: desk.act(lambda: annotate.set_role(store, me, person.id, desk.typed(key))),
    )


def grant(store: annotate.Store, me: str, people: list[Person]) -> None:
    """Let someone begin without the qualifying test, with the reason."""
    st.subheader(say("team.grant"), anchor=False)
    one = desk.campaign(store)
    who(people, "grant to")
    st.radio(
        say("lead.language"), list(LANGUAGES), format_func=LANGUAGES.__getitem__, horizontal=True, key="grant language"
    )
    st.text_input(say("lead.reason"), key="grant why")

    def give() -> None:
        person, tongue, why = (desk.typed(f"grant {name}") for name in ("to", "language", "why"))
        annotate.grant(store, me, one.id, person, tongue, why or "")

    st.button(say("team.grant.do"), on_click=lambda: desk.act(give))


main()
