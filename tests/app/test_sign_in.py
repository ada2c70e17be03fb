"""Who may sit at the desk. No identity provider runs in this process: `AppTest.user` stands for the claims of a checked
token, as Streamlit hands them over; everything behind it is the real store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from app_support import opened, words_of
from lead_support import ISSUER, Page, Team, click, sign_in
from streamlit import config
from streamlit.testing.v1 import AppTest

from app.components import desk
from app.components.words import catalogue
from harness import annotate

DESKS = ("rate", "duel", "campaigns")
EN = catalogue("en")


def names(team: Team) -> set[tuple[str, str]]:
    """(name, role) of everyone whom the store knows."""
    store = team.open()
    found = {(one.name, one.role) for one in annotate.everyone(store, team.people["lead"])}
    store.close()
    return found


@pytest.mark.parametrize("lang", ["zh", "en"])
@pytest.mark.parametrize("name", DESKS)
def test_whoever_is_not_signed_in_gets_a_button_and_nothing_else(
    page: Page, settled: Team, name: str, lang: str
) -> None:
    at = page(settled, name, lang, who="")
    assert not at.exception
    assert [one.value for one in at.info] == [catalogue(lang)["sign_in.needed"]]
    assert [one.label for one in at.button] == [catalogue(lang)["sign_in"]]
    assert not at.radio
    assert not at.dataframe


def test_pages_of_results_need_no_sign_in(page: Page, settled: Team) -> None:
    at = page(settled, "runs", who="")
    assert not at.exception
    assert not at.info
    assert len(at.dataframe) > 0


def test_without_authlib_the_button_says_what_to_install(
    page: Page, settled: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk, "find_spec", lambda name: None)
    at = click(page(settled, "rate", who=""), "sign_in")
    assert not at.exception
    assert "easyds-bench[app]" in at.code[0].value


@pytest.mark.parametrize(
    "claims",
    [
        {"iat": desk.time.time() - desk.SIGNED_IN_S - 1},
        {"iat": None},
        {"is_logged_in": False},
        {"sub": ""},
        {"iss": ""},
        {"iss": "local"},
    ],
    ids=lambda claims: " ".join(claims),
)
def test_claims_that_do_not_hold_are_no_sign_in(page: Page, settled: Team, claims: dict[str, Any]) -> None:
    """Too old, without its time, signed out, nobody's, or from a provider that calls itself the local machine."""
    at = page(settled, "campaigns", who="ann")
    who = annotate.operator(settled.open()).subject if claims.get("iss") == "local" else "ann"
    sign_in(at, who, **claims)
    at.run()
    assert [one.value for one in at.info] == [EN["sign_in.needed"]]
    assert not at.dataframe


def test_an_invitation_lets_in_once_and_only_a_right_one(page: Page, team: Team) -> None:
    store = team.open()
    token = annotate.invite(store, team.people["lead"], "annotator")
    store.close()
    at = page(team, "rate", who="dan", campaign="form")
    at.text_input[0].set_value("guess")
    at = click(at, "sign_in.redeem")
    assert "unknown, used or expired" in at.code[0].value
    assert ("dan", "annotator") not in names(team)
    at.text_input[0].set_value(f" {token} ")
    at = click(at, "sign_in.redeem")
    assert not at.exception
    assert not at.error
    assert ("dan", "annotator") in names(team)
    again = page(team, "rate", who="eve")
    again.text_input[0].set_value(token)
    assert "unknown, used or expired" in click(again, "sign_in.redeem").code[0].value


def test_a_person_is_issuer_and_subject_not_a_name_or_an_address(page: Page, settled: Team) -> None:
    at = page(settled, "rate", who="ann")
    assert "Signed in: ann" in words_of(at)
    assert not at.info
    for claims in ({"iss": "https://evil.example"}, {"sub": "ANN", "email": "ann", "preferred_username": "ann"}):
        sign_in(at, "ann", **claims)
        at.run()
        assert [one.value for one in at.info] == [EN["sign_in.unknown"]], claims


def test_roles_come_from_the_store_alone(page: Page, settled: Team) -> None:
    at = page(settled, "team", who="ann")
    sign_in(at, "ann", role="lead", roles=["lead"], groups=["lead"])
    at.run()
    assert [one.value for one in at.info] == [EN["lead.only"]]


def test_a_role_that_is_taken_stops_the_next_click(page: Page, team: Team) -> None:
    """A5, at the page: signed in and at work, then revoked."""
    store = team.open()
    token = annotate.invite(store, team.people["lead"], "lead")
    dan = annotate.redeem(store, token, ISSUER, "dan", "dan").id
    at = page(team, "adjudicate", who="dan", campaign="duel")
    annotate.set_role(store, team.people["lead"], dan, "revoked")
    at = click(at, "work.verdict.left")
    assert [one.value for one in at.info] == [EN["lead.only"]]
    assert len(annotate.cases(store, team.people["lead"], "duel", settled=True)) == len(
        annotate.cases(store, team.people["lead"], "duel")
    ), "nothing was settled"
    at = page(team, "rate", who="dan", campaign="form")
    assert "not active any more" in at.code[0].value
    store.close()


def test_signing_in_makes_no_local_lead(page: Page, settled: Team) -> None:
    before = names(settled)
    page(settled, "campaigns", who="")
    page(settled, "campaigns", who="nobody")
    assert names(settled) == before


def test_several_providers_are_a_choice(page: Page, settled: Team) -> None:
    at = page(settled, "rate", who="")
    at.secrets["auth"] = {"cookie_secret": "z", "one": {"client_id": "1"}, "two": {"client_id": "2"}}
    at.run()
    assert at.selectbox(key="provider en").options == ["one", "two"]


@pytest.fixture(params=[("server.address", "0.0.0.0"), ("server.allowedHosts", ["127.0.0.1", "bench.example"])])
def exposed(request: pytest.FixtureRequest) -> Iterator[None]:
    """A server that answers other machines."""
    name, value = request.param
    before = config.get_option(name)
    config.set_option(name, value)
    yield
    config.set_option(name, before)


@pytest.mark.usefixtures("exposed")
@pytest.mark.parametrize("name", DESKS)
def test_a_server_for_others_without_sign_in_has_no_desk(page: Page, settled: Team, name: str) -> None:
    """S10: else whoever opened it would be the local lead."""
    at: AppTest = page(settled, name)
    assert "nobody signs in" in at.code[0].value
    assert not at.dataframe
    assert not at.radio


@pytest.mark.usefixtures("exposed")
def test_a_server_for_others_without_sign_in_lets_nobody_make_a_store(
    working_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S10"""
    monkeypatch.delenv("EASYDS_DB_URL", raising=False)
    at = opened("rate")
    assert "easyds annotate create" in at.code[0].value
    assert not at.button
