"""What people said, as training data or as a table. Test items never leave as training data."""

from __future__ import annotations

import json

import streamlit as st

from app.components import desk
from app.components.text import tell
from app.components.words import say
from harness import annotate
from harness.annotate import Exported

TABLE = "csv"


def main() -> None:
    store, me = desk.leads_desk()
    one = desk.campaign(store)
    desk.problem()
    forms = [*(annotate.FORMATS if one.kind == "compare" else ["unpaired"]), TABLE]
    names = {form: say(f"export.form.{form}") for form in forms}
    form = st.radio(
        say("export.form"),
        forms,
        format_func=names.__getitem__,
        captions=[say(f"export.form.{name}.help") for name in forms],
        key=f"form {one.id}",
    )

    def make() -> None:
        form = desk.typed(f"form {one.id}")
        st.session_state[f"exported {one.id} {form}"] = desk.attempt(
            lambda: annotate.votes_csv(store, me, one.id) if form == TABLE else annotate.export(store, me, one.id, form)
        )

    st.button(say("export.make"), type="primary", shortcut="Ctrl+Enter", on_click=make, icon=":material/outbox:")
    st.caption(say("export.note"))
    made: Exported | bytes | None = st.session_state.get(f"exported {one.id} {form}")
    if isinstance(made, bytes):
        file(say("export.votes"), made, f"{one.id}-votes.csv", "text/csv")
    elif made is not None:
        training(made, f"{one.id}-{form}")


def training(made: Exported, name: str) -> None:
    """How many rows there are and why others are not, and the two files."""
    tell("export.rows", n=len(made.rows), name=f"{name}.jsonl")
    for reason, n in made.left_out.items():
        tell("export.left_out", n=n, reason=say(f"export.reason.{reason}"))
    if not made.rows:
        st.info(say("export.nothing"), icon=":material/info:")
        return
    with st.container(horizontal=True):
        file(say("export.data"), made.jsonl().encode(), f"{name}.jsonl", "application/jsonl")
        origins = json.dumps(made.provenance, indent=1).encode()
        file(say("export.provenance"), origins, f"{name}.jsonl.provenance.json", "application/json")


def file(words: str, content: bytes, name: str, kind: str) -> None:
    st.download_button(words, content, name, kind, on_click="ignore", icon=":material/download:")


main()
