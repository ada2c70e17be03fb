"""A lead's pages in this process: each by role and language, and what each of them writes."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from app_support import HOSTILE, words_of
from lead_support import ISSUER, OPEN, Page, Team, at_work, click
from streamlit.testing.v1 import AppTest

from app.components import data
from app.components import desk as desks
from app.components.words import catalogue
from harness import annotate

PAGES = ("campaigns", "team", "agreement", "adjudicate", "judged", "export")


def shown_as(at: AppTest, title: str, lang: str = "en") -> None:
    assert not at.exception
    assert not at.error, [one.value for one in at.code]
    assert at.title[0].value == catalogue(lang)[title]


@pytest.mark.parametrize("lang", ["zh", "en"])
@pytest.mark.parametrize("name", PAGES)
def test_each_page_as_a_lead(page: Page, settled: Team, name: str, lang: str) -> None:
    for campaign in ("duel", "form"):
        at = page(settled, name, lang, campaign=campaign)
        shown_as(at, f"page.{name}", lang)
        assert catalogue(lang)["lead.only"] not in words_of(at)


@pytest.mark.parametrize("lang", ["zh", "en"])
@pytest.mark.parametrize("name", PAGES)
def test_each_page_as_an_annotator_or_someone_unknown(page: Page, settled: Team, name: str, lang: str) -> None:
    for who, message in (("ann", "lead.only"), ("nobody", "sign_in.unknown")):
        at = page(settled, name, lang, who=who)
        assert not at.exception
        assert [one.value for one in at.info] == [catalogue(lang)[message]]
        assert not at.dataframe
        assert not at.selectbox or {one.key for one in at.selectbox} == {f"lang {lang}"}


@pytest.mark.parametrize("name", PAGES)
def test_the_store_refuses_even_if_a_page_does_not(
    page: Page, settled: Team, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the page's own guard an annotator gets one line, from the function itself."""
    monkeypatch.setattr(desks, "leads_desk", lambda: (*(found := desks.desk())[:1], found[1].id))
    at = page(settled, name, who="ann")
    if name == "export":  # which reads nothing before it is asked to
        click(at, "export.make")
    assert not at.exception
    assert [one.value for one in at.code] == ["you are not a lead of this store."]
    assert not at.dataframe


def test_progress_checks_and_flags_are_told(page: Page, settled: Team) -> None:
    at = page(settled, "campaigns", campaign="duel")
    store = settled.open()
    status = annotate.status(store, settled.people["lead"], "duel")
    store.close()
    assert at.progress[0].text == f"{status.given} of {status.wanted} votes"
    assert f"Skipped 2: {catalogue('en')['reason.skip.subject']}" in words_of(at)
    annotators, flags = (one.value for one in at.dataframe)
    assert len(annotators) == 3
    left = dict(zip(annotators["Person"].str[:3], annotators["Left"]))
    assert set(left) == {"ann", "ben", "cem"}
    assert left["ann"].endswith("/12)")
    assert list(flags["Comment"]) == ["The step is wrong."] * 2


def test_a_campaign_is_closed_and_opened_again(page: Page, team: Team) -> None:
    at = page(team, "campaigns", campaign="duel")
    for key, is_open in (("campaigns.close", False), ("campaigns.open", True)):
        click(at, key)
        store = team.open()
        assert annotate.get(store, "duel").open is is_open
        store.close()


def test_leaving_votes_out_needs_a_reason_and_is_undone(page: Page, team: Team) -> None:
    at = page(team, "campaigns", campaign="form")
    at.selectbox(key="exclude who").set_value(team.people["cem"])
    at.run()
    click(at, "campaigns.exclude.do")
    assert at.code[0].value == "say why."
    at.text_input(key="exclude why").set_value("clicks through")
    click(at, "campaigns.exclude.do")
    excluded = dict(zip(at.dataframe[0].value["Person"].str[:3], at.dataframe[0].value["Left out because"]))
    assert excluded == {"ann": "", "ben": "", "cem": "clicks through"}
    click(at, "campaigns.exclude.undo")
    assert set(at.dataframe[0].value["Left out because"]) == {""}


def test_a_campaign_is_made_from_runs(page: Page, team: Team) -> None:
    at = page(team, "campaigns")
    at.text_input[1].set_value("second")
    at.radio[0].set_value("compare")
    click(at, "campaigns.make")
    assert "the runs give nothing to compare" in at.code[0].value, "no run was chosen"
    at.multiselect[0].set_value([run.id for run in team.runs()])
    at.number_input[1].set_value(5)
    at.number_input[2].set_value(0)
    click(at, "campaigns.make")
    assert not at.exception
    assert at.success[0].value == "Made: 5 units."
    store = team.open()
    made = annotate.get(store, "second")
    store.close()
    assert (made.kind, made.settings.items, made.settings.qualify, made.settings.overlap) == ("compare", 5, None, 2)


def test_where_there_is_no_store_a_lead_starts_one(
    working_folder: Path, page: Page, team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "DATABASE", str(working_folder / "annotations.db"))
    at = page(team, "campaigns")
    monkeypatch.delenv("EASYDS_DB_URL")
    at.run()
    assert list(working_folder.iterdir()) == [], "looking makes none"
    click(at, "work.new_store")
    assert (working_folder / "annotations.db").exists()
    assert at.info[0].value == catalogue("en")["lead.no_campaign"]


def test_an_invitation_is_shown_once_and_makes_a_person(page: Page, team: Team) -> None:
    at = page(team, "team")
    at.radio[0].set_value("lead")
    click(at, "team.invite.do")
    token = at.code[0].value
    at.run()
    assert not at.code, "shown once"
    store = team.open()
    assert annotate.redeem(store, token, ISSUER, "dan", "dan").role == "lead"
    store.close()


def test_roles_are_changed_but_the_last_lead_stays(page: Page, team: Team) -> None:
    at = page(team, "team")
    click(at, "team.change.do")
    assert at.code[0].value.startswith("this is the only lead")
    at.selectbox(key="role of").set_value(team.people["ann"])
    at.run()
    at.selectbox(key=f"to {team.people['ann']}").set_value("revoked")
    click(at, "team.change.do")
    assert not at.error
    store = team.open()
    assert annotate.signed_in(store, ISSUER, "ann").role == "revoked"  # type: ignore[union-attr]
    store.close()


def test_the_test_is_waived_with_a_reason(page: Page, team: Team) -> None:
    store = team.open()
    lead, ann = team.people["lead"], team.people["ann"]
    lesson, runs = team.lesson(), team.runs()
    annotate.create(store, lead, "strict", "rate", lesson, runs, annotate.Settings(**{**OPEN, "qualify": 0.75}))
    at = page(team, "team", campaign="strict")
    at.selectbox(key="grant to").set_value(ann)
    click(at, "team.grant.do")
    assert "say why" in at.code[0].value
    at.text_input(key="grant why").set_value("wrote the guideline")
    click(at, "team.grant.do")
    passed = {one.language: one.passed for one in annotate.standings(store, ann, "strict")}
    store.close()
    assert passed == {"zh": True, "en": False}


def test_agreement_shows_what_the_harness_says(page: Page, settled: Team) -> None:
    store = settled.open()
    found = {(row.criterion, row.language): row for row in annotate.agreement(store, settled.people["lead"], "form")}
    store.close()
    for language in ("", "zh", "en"):
        at = page(settled, "agreement", campaign="form", language=language)
        table = at.dataframe[0].value.set_index("Criterion")
        alpha = found["D3", language].alpha
        limits = "" if alpha.low is None else f" [{alpha.low:.2f}, {alpha.high:.2f}]"
        wanted = "not defined: no variation" if alpha.value is None else f"{alpha.value:.2f}{limits}"
        assert table.loc["D3 guidance", "Krippendorff's α"] == wanted
        assert table.loc["G1 correctness", "Krippendorff's α"] == "not defined: no variation"


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_agreement_that_is_not_defined_is_explained(page: Page, tmp_path: Path, lang: str) -> None:
    """No votes, then one annotator, then two that agree on everything: words each time, never a number."""
    team = at_work(tmp_path, votes=False)
    store = team.open()
    office = team.office(store, "duel")
    for state, work in (
        ("no_votes", lambda: None),
        ("one_annotator", lambda: office.work(team.people["ann"], lambda _: {"verdict": "tie"})),
        ("no_variation", lambda: office.work(team.people["ben"], lambda _: {"verdict": "tie"})),
    ):
        work()
        at = page(team, "agreement", lang, campaign="duel")
        shown_as(at, "page.agreement", lang)
        assert catalogue(lang)[f"agreement.state.{state}"] in at.dataframe[0].value.to_csv()
        assert catalogue(lang)[f"agreement.why.{state}"] in [one.value for one in at.caption]
        assert "nan" not in words_of(at).lower()
    store.close()


def test_cases_come_lowest_agreement_first_and_blind(page: Page, settled: Team) -> None:
    store = settled.open()
    cases = annotate.cases(store, settled.people["lead"], "form")
    store.close()
    at = page(settled, "adjudicate", campaign="form")
    assert cases[0].left in [one.value for one in at.text]
    opinions = at.dataframe[0].value
    assert set(opinions["Person"]) == {one.who for one in cases[0].opinions}
    assert not any(name in opinions.to_csv() for name in ("ann", "ben", "cem", "judge", "run"))
    click(at, "adjudicate.next")
    assert cases[1].left in [one.value for one in at.text]


def test_a_rating_is_settled_by_labels_and_the_votes_stay(page: Page, team: Team) -> None:
    at = page(team, "adjudicate", campaign="form")
    store = team.open()
    (first, *rest) = annotate.cases(store, team.people["lead"], "form")
    click(at, "adjudicate.settle")
    assert "settled by labels" in at.code[0].value
    for name in first.disputed:
        at.radio(key=f"ruling {first.unit} {name}").set_value("partial")
    at.text_area(key=f"ruling {first.unit} why").set_value("see page 4")
    click(at, "adjudicate.settle")
    assert not at.error
    assert [one.unit for one in annotate.cases(store, team.people["lead"], "form")] == [one.unit for one in rest]
    ruled = next(one for one in annotate.cases(store, team.people["lead"], "form", settled=True) if one.ruling)
    store.close()
    assert ruled.ruling == annotate.Ruling(dict.fromkeys(first.disputed, "partial"), None, "see page 4")
    assert len(ruled.opinions) == 3
    at.toggle[0].set_value(True)
    at.run()
    at.selectbox(key="case en").set_value(str(first.unit))
    at.run()
    assert at.text_area(key=f"ruling {first.unit} why").value == "see page 4"
    assert at.radio(key=f"ruling {first.unit} {first.disputed[0]}").value == "partial"


@pytest.mark.parametrize("verdict", ["left", "right", "tie", "both_bad"])
def test_a_pair_is_settled_by_a_verdict_for_whom_stood_there(page: Page, team: Team, verdict: str) -> None:
    at = page(team, "adjudicate", campaign="duel")
    store = team.open()
    case = annotate.cases(store, team.people["lead"], "duel")[0]
    click(at, f"work.verdict.{verdict}")
    rows = annotate.export(store, team.people["lead"], "duel", "dpo").rows
    store.close()
    chosen = [row["chosen"][0]["content"] for row in rows if row["item"]["id"] == case.item.id]
    assert chosen == {"left": [case.left], "right": [case.right]}.get(verdict, [])


def test_a_busy_store_keeps_the_ruling_that_was_typed(page: Page, team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    """A9: locked: one line, nothing lost; free again: saved."""
    monkeypatch.setattr(annotate.open_store, "__defaults__", (None, desks.time.time, 0.2))
    at = page(team, "adjudicate", campaign="duel")
    key = at.text_area[0].key
    at.text_area(key=key).set_value("half a thought")
    lock = sqlite3.connect(team.database, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    click(at, "work.verdict.left")
    assert not at.exception
    assert "busy" in at.code[0].value
    assert at.text_area(key=key).value == "half a thought"
    lock.execute("ROLLBACK")
    lock.close()
    click(at, "work.verdict.left")
    assert not at.error
    store = team.open()
    (ruled,) = [one for one in annotate.cases(store, team.people["lead"], "duel", settled=True) if one.ruling]
    store.close()
    assert ruled.ruling is not None
    assert ruled.ruling.rationale == "half a thought"


def test_the_judge_is_shown_against_people(page: Page, settled: Team) -> None:
    store = settled.open()
    found = annotate.against_people(store, settled.people["lead"], "form", settled.runs())
    store.close()
    d3 = next(match for match in found if match.criterion == "D3")
    at = page(settled, "judged", campaign="form")
    matches, confusion, different = (one.value for one in at.dataframe)
    row = matches.set_index("Criterion").loc["D3 guidance"]
    assert row["Same"] == f"{100 * d3.accuracy:.0f} %"  # type: ignore[operator]
    assert row["n"] == sum(d3.confusion.values())
    counts = confusion.set_index("People")
    assert counts.loc["yes", "judge: partial"] == d3.confusion["yes", "partial"]
    assert list(different["Item"]) == [one.item for one in d3.disagreements]
    assert d3.disagreements[0].text in [one.value for one in at.text]
    of_pairs = page(settled, "judged", campaign="duel")
    assert "preference" in of_pairs.dataframe[0].value["Criterion"][0]


@pytest.mark.parametrize(("form", "campaign"), [("dpo", "duel"), ("reward", "duel"), ("unpaired", "form")])
def test_export_offers_what_the_harness_writes(page: Page, settled: Team, form: str, campaign: str) -> None:
    at = page(settled, "export", campaign=campaign)
    at.radio[0].set_value(form)
    click(at, "export.make")
    assert not at.error
    store = settled.open()
    made = annotate.export(store, settled.people["lead"], campaign, form)
    store.close()
    assert f"{campaign}-{form}.jsonl: {len(made.rows)} rows" in words_of(at)
    kept = at.session_state[f"exported {campaign} {form}"]
    assert kept.jsonl() == made.jsonl()
    assert json.loads(json.dumps(kept.provenance)) == json.loads(json.dumps(made.provenance))
    assert len(at.get("download_button")) == 2


def test_the_table_of_votes_quotes_formulas(page: Page, tmp_path: Path) -> None:
    """S4: what an annotator or a model said is no formula in a spreadsheet."""
    team = at_work(tmp_path, said="=HYPERLINK(1)")
    at = page(team, "export", campaign="duel")
    at.radio[0].set_value("csv")
    click(at, "export.make")
    text = at.session_state["exported duel csv"].decode("utf-8-sig")
    assert "'=HYPERLINK" in text
    assert ",=HYPERLINK" not in text


@pytest.mark.parametrize("split", ["test", "test-unseen"])
def test_test_items_are_refused_in_one_line(page: Page, tmp_path: Path, split: str) -> None:
    team = at_work(tmp_path, split=split)
    at = page(team, "export", campaign="duel")
    click(at, "export.make")
    assert not at.exception
    (line,) = [one.value for one in at.code]
    assert "Test items never train" in line
    assert not at.get("download_button")


@pytest.mark.parametrize("name", PAGES)
def test_hostile_names_reasons_and_texts_stay_text(page: Page, tmp_path: Path, name: str) -> None:
    """S1, S2: titles of campaigns, names of people, rationales, comments and replies reach no element that reads markup."""
    team = at_work(tmp_path, said=HOSTILE)
    for campaign in ("duel", "form"):
        at = page(team, name, campaign=campaign)
        assert not at.exception
        for kind in (at.title, at.subheader, at.caption, at.info, at.warning, at.error, at.success, at.markdown):
            assert "evil.example" not in " ".join(str(one.value) for one in kind)
        for widget in (at.button, at.expander, at.radio, at.toggle, at.text_input, at.text_area):
            assert "evil.example" not in " ".join(str(one.label) for one in widget)
        for radio in at.radio:
            assert "evil.example" not in " ".join(radio.options)
        if name in ("adjudicate", "team") or (name, campaign) == ("judged", "form"):
            assert "evil.example" in words_of(at)
