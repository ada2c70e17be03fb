"""Who sits here, the store that they write to, and what to say when it refuses.

On this machine alone there is one local person, a lead. Where Streamlit's secrets have an `[auth]` section, people sign
in (OpenID Connect); who they are comes from the sign-in, what they may do from the store alone.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

import streamlit as st
from streamlit.errors import StreamlitAuthError

from app.components import data
from app.components.choice import choose
from app.components.text import line, tell
from app.components.words import say
from harness import annotate
from harness.annotate import Campaign, Person
from harness.annotate.people import LOCAL
from harness.errors import EasyDSError, EnvironmentProblem, UsageError

LOOPBACK = {"127.0.0.1", "localhost", "::1"}
SIGNED_IN_S = 12 * 3600.0
"""A sign-in older than this is asked for again; Streamlit's own cookie would hold for 30 days."""
_MARKUP = re.compile(r"([\\`*_{}\[\]()#+\-.!:$<>~|])")


def desk() -> tuple[annotate.Store, Person]:
    """The store and who sits here. Stops the page where there is no store yet (looking makes none), where nobody is
    signed in, and where nobody invited the one who is."""
    store = data.votes()
    if store is None:
        st.info(say("work.no_store"), icon=":material/info:")
        st.code("easyds annotate create first --kind rate --task ds-trace --run ONE --run OTHER", language="bash")
        if _auth() is None and _only_here():
            st.button(say("work.new_store"), on_click=lambda: attempt(data.new_votes))
        st.stop()
    assert store is not None
    if (auth := _auth()) is not None:
        return store, _member(store, auth)
    if not _only_here():
        raise UsageError(
            "this server answers other machines, and nobody signs in to it: an [auth] section is missing in "
            ".streamlit/secrets.toml (docs/app.md)."
        )
    return store, annotate.operator(store)


def leads_desk() -> tuple[annotate.Store, str]:
    """The desk of a lead; anyone else is told in a line. Each function of the store asks for the role again."""
    store, person = desk()
    if person.role != "lead":
        st.info(say("lead.only"), icon=":material/lock:")
        st.stop()
    return store, person.id


def _auth() -> Mapping[str, Any] | None:
    """The `[auth]` section of Streamlit's secrets, if there is one."""
    return st.secrets["auth"] if st.secrets.load_if_toml_exists() and "auth" in st.secrets else None


def _only_here() -> bool:
    """Whether the server answers this machine alone: without sign-in, everyone whom it answers would be its lead."""
    hosts = st.get_option("server.allowedHosts") or []
    return st.get_option("server.address") in LOOPBACK and set(hosts) <= LOOPBACK


def _member(store: annotate.Store, auth: Mapping[str, Any]) -> Person:
    """The person who is signed in, as the store knows them."""
    claims: dict[str, Any] = st.user.to_dict()
    issuer, subject = claims.get("iss"), claims.get("sub")
    fresh = time.time() - float(claims.get("iat") or 0) < SIGNED_IN_S
    if not (claims.get("is_logged_in") and issuer and subject and fresh) or issuer == LOCAL:
        _sign_in(auth)
    name = str(claims.get("name") or claims.get("email") or subject)
    with st.sidebar:
        tell("sign_in.as", name=line(name))
        st.button(say("sign_in.out"), on_click=st.logout, icon=":material/logout:")
    found = annotate.signed_in(store, str(issuer), str(subject))
    if found is None:
        _invite_taken(store, str(issuer), str(subject), name)
    assert found is not None
    return found


def _sign_in(auth: Mapping[str, Any]) -> None:
    """A button that leads to the identity provider; a choice where there are several. Stops the page."""
    problem()
    st.info(say("sign_in.needed"), icon=":material/login:")
    named = [name for name, section in auth.items() if isinstance(section, Mapping) and "client_id" in section]
    provider = choose(say("sign_in.with"), named, "provider") if len(named) > 1 else next(iter(named), None)
    st.button(say("sign_in"), type="primary", on_click=lambda: attempt(lambda: _to_provider(provider)))
    st.stop()


def _to_provider(provider: str | None) -> None:
    if find_spec("authlib") is None:
        raise EnvironmentProblem("signing in needs Authlib: pip install 'easyds-bench[app]'.")
    try:
        st.login(provider)
    except StreamlitAuthError as error:
        raise UsageError(f".streamlit/secrets.toml: {error}") from error


def _invite_taken(store: annotate.Store, issuer: str, subject: str, name: str) -> None:
    """A field for the invitation of someone whom the store does not know yet. Stops the page until it is taken."""
    problem()
    st.info(say("sign_in.unknown"), icon=":material/mail:")
    with st.form("invitation", border=False):
        token = st.text_input(say("sign_in.token"), type="password", autocomplete="off")
        given = st.form_submit_button(say("sign_in.redeem"), type="primary")
    if given and attempt(lambda: annotate.redeem(store, token.strip(), issuer, subject, name)):
        st.rerun()
    if given:
        problem()
    st.stop()


def campaign(store: annotate.Store, kind: str | None = None) -> Campaign:
    """The campaign that was chosen: an open one of a kind (annotators), or any (leads). Stops the page without one."""
    found = {one.id: one for one in annotate.listed(store) if kind is None or (one.kind == kind and one.open)}
    if not found:
        st.info(say("work.no_campaign" if kind else "lead.no_campaign"), icon=":material/info:")
        st.stop()
    names = {name: line(one.title or name) for name, one in found.items()}
    return found[choose(say("work.campaign"), list(found), f"campaign {kind or ''}".strip(), text=names.__getitem__)]


def plain(words: str) -> str:
    """A text that a widget's label or options show as it is, though they read Markdown."""
    return _MARKUP.sub(r"\\\1", line(words))


def attempt(what: Callable[[], Any]) -> Any:
    """Call the store from a widget's callback; an error that a person can act on is shown above the form."""
    try:
        found = what()
    except EasyDSError as error:
        st.session_state["work problem"] = str(error)
        return None
    st.session_state.pop("work problem", None)
    return found


def act(what: Callable[[], object]) -> None:
    """The same for what gives nothing back: it is done, or the reason why not is shown."""
    attempt(what)
    if "work problem" not in st.session_state:
        st.toast(say("work.saved"))


def typed(key: str) -> Any:
    """What stands in a widget now. A callback's own variables are as old as the last drawing of the page."""
    return st.session_state.get(key)


def problem() -> None:
    """What went wrong with the last click on this page, until the next one."""
    if st.session_state.get("arrived"):
        st.session_state.pop("work problem", None)
    if told := st.session_state.get("work problem"):
        st.error(say("problem"), icon=":material/error:")
        st.code(line(told), language=None, wrap_lines=True)
