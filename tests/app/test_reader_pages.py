"""Head to head and Slices say what the harness says, in words where a number is not defined."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote_plus

import pytest
from app_support import HOSTILE_NAME, Open, words_of
from streamlit.testing.v1 import AppTest
from support import item_row, make_task

from app.components.choice import FILTERS
from app.components.words import catalogue
from harness import annotate, board, task
from harness.board.compare import SLICES
from harness.record import find_runs

sys.path.append(str(Path(__file__).resolve().parents[1] / "harness" / "annotate"))
from annotate_support import OPEN, record_texts, speaker

Place = tuple[Path, Path]
Voted = Callable[..., AppTest]


def run_of(place: Place, system: str) -> str:
    return next(run.id for run in find_runs(place[0]) if run.manifest["system"] == system)


@pytest.fixture
def voted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: Open) -> Voted:
    """`voted(judge)`: the page after a comparison of systems "good" and "fair" that `judge` decided on every item."""
    monkeypatch.setenv("EASYDS_DB_URL", f"sqlite:///{tmp_path / 'annotations.db'}")

    def made(
        judge: Callable[[annotate.Presentation], str],
        lang: str = "en",
        good: str = "good",
        items: int = 8,
        **row: object,
    ) -> AppTest:
        file = make_task(tmp_path / "task", [item_row(number, split="train", **row) for number in range(items)])
        lesson = task.load(str(file))

        def said(system: str, item: str) -> str:
            return f"{item}: {'good' if system == good else system} asks which end is read."

        runs = [record_texts(tmp_path / "runs", lesson, name, said) for name in (good, "fair")]
        store = annotate.open_store()
        me = annotate.operator(store).id
        annotate.create(store, me, "duel", "compare", lesson, runs, annotate.Settings(**OPEN, overlap=1))
        while (shown := annotate.next_task(store, me, "duel")) is not None:
            annotate.submit(store, me, shown.token, annotate.Preference(judge(shown)))  # type: ignore[arg-type]
        store.close()
        return opened("head_to_head", lang, (tmp_path / "runs", file))

    return made


def prefer(system: str) -> Callable[[annotate.Presentation], str]:
    return lambda shown: "left" if speaker(shown.left) == system else "right"


def mixed(shown: annotate.Presentation) -> str:
    """A tie and a both bad among what the good one wins."""
    if shown.left.startswith(("item-1:", "item-5:")):
        return "tie" if shown.left.startswith("item-1:") else "both_bad"
    return prefer("good")(shown)


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_votes_of_people_with_ties_both_bad_strengths_and_sides(voted: Voted, lang: str) -> None:
    at = voted(mixed, lang)
    words = catalogue(lang)
    assert not at.exception
    duel = annotate.by_people(annotate.open_store(), "duel").duels[0].turned
    row = at.dataframe[0].value.iloc[0]
    assert (row["A"], row["B"], row["n"]) == ("good", "fair", 8), "the stronger first"
    assert [row[words[f"heads.{name}"]] for name in ("wins", "losses", "ties", "both_bad")] == [6, 0, 1, 1]
    assert duel.rate is not None
    assert duel.controlled is not None
    for key, rate in (("rate", duel.rate), ("controlled", duel.controlled)):
        written = f"{100 * rate.value:.1f} [{100 * rate.low:.1f}, {100 * rate.high:.1f}]"
        assert row[words[f"heads.{key}"]] == written
    said = words_of(at)
    assert words["heads.beats"].format(a="good", others="fair") in said
    left = annotate.by_people(annotate.open_store(), "duel").left
    assert left is not None
    assert f"{100 * left.value:.1f} % [{100 * left.low:.1f}, {100 * left.high:.1f}]" in said


def test_what_is_not_defined_is_said(voted: Voted) -> None:
    """Ties alone say nothing of sides; votes on one problem give neither a rate nor strengths."""
    at = voted(lambda _: "tie", cluster="only")
    words = catalogue("en")
    assert not at.exception
    row = at.dataframe[0].value.iloc[0]
    assert row[words["heads.rate"]] == row[words["heads.controlled"]] == words["heads.few"]
    captions = [one.value for one in at.caption]
    assert words["heads.few"] in captions
    assert words["heads.sides.none"] in captions


def test_a_side_that_wins_always_is_a_bias(voted: Voted) -> None:
    assert "The interval does not hold 50 %" in words_of(voted(lambda _: "left", items=40))


def test_a_hostile_name_stays_text(voted: Voted) -> None:
    at = voted(prefer("good"), good=HOSTILE_NAME)
    assert not at.exception
    for kind in (at.markdown, at.caption, at.info, at.subheader):
        assert "evil.example" not in " ".join(str(one.value) for one in kind)
    assert "evil.example" in words_of(at)


def test_scores_are_compared_where_nobody_voted(opened: Open, shown: Place) -> None:
    at = opened("head_to_head", "en", shown)
    assert not at.exception
    the_task = task.load(str(shown[1]))
    ranked = [row.run for row in board.from_folder(the_task, shown[0]).rows if row.rank]
    found = annotate.by_scores(the_task, [run for run in find_runs(shown[0]) if run.id in ranked], "gold_score")
    table = at.dataframe[0].value
    assert len(table) == len(found.duels) == 6
    wins = {(one.a, one.b): one.wins for duel in found.duels for one in (duel, duel.turned)}
    assert list(table["A won"]) == [wins[a, b] for a, b in zip(table["A"], table["B"], strict=True)]
    assert list(dict.fromkeys(table["A"])) == [one.system for one in found.strengths][:-1]
    assert "Both bad" not in table
    assert "Left or right" not in [one.value for one in at.subheader]
    assert at.toggle(key="equal en").value is False
    at.toggle(key="equal en").set_value(True).run()
    assert not at.exception
    assert at.query_params["equal"] == "yes"
    assert opened("head_to_head", "en", shown, equal="yes").toggle(key="equal en").value is True


def test_people_without_a_campaign_say_how_to_make_one(
    opened: Open, shown: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EASYDS_DB_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    at = opened("head_to_head", "en", shown, by_whom="people")
    assert not at.exception
    assert "easyds annotate create" in at.code[0].value
    assert list(tmp_path.iterdir()) == [], "looking makes no store"


@pytest.mark.parametrize("lang", ["zh", "en"])
@pytest.mark.parametrize("by", [*([one] for one in SLICES), ["knowledge_point", "language", "difficulty"]])
def test_slices_say_what_the_board_says(opened: Open, shown: Place, lang: str, by: list[str]) -> None:
    prior = run_of(shown, "control/prior")
    at = opened("slices", lang, shown, run_of=prior, slice_by=by)
    assert not at.exception
    the_task = task.load(str(shown[1]))
    (run,) = [run for run in find_runs(shown[0]) if run.id == prior]
    found = board.slices(the_task, [run], "guidance_accuracy", by)
    table = at.dataframe[0].value
    words = catalogue(lang)
    assert list(table["n"]) == [one.metric.n if one.metric else 0 for one in found]
    assert list(table[words["slices.note"]]) == [
        words["slices.alone"] if one.metric and one.metric.low is None else words["slices.few"] if one.few else ""
        for one in found
    ]
    first = found[0].metric
    assert first is not None
    written = f"{100 * first.value:.1f} [{100 * first.low:.1f}, {100 * first.high:.1f}]"  # type: ignore[operator]
    assert table.iloc[0, len(by)] == written
    few = sum(one.few for one in found)
    assert words["slices.count"].format(n=len(found), few=few, least=board.FEW) in words_of(at)


def test_a_slice_of_one_problem_says_that_it_has_no_interval(opened: Open, shown: Place) -> None:
    at = opened("slices", "en", shown, run_of=run_of(shown, "control/prior"), slice_by=SLICES)
    notes = list(at.dataframe[0].value[catalogue("en")["slices.note"]])
    assert catalogue("en")["slices.alone"] in notes
    assert "nan" not in at.dataframe[0].value.to_csv()


@pytest.mark.parametrize("by", SLICES)
def test_the_link_of_a_slice_shows_its_items(opened: Open, shown: Place, by: str) -> None:
    """Each property that slices know is a filter of Samples, with the same items."""
    prior = run_of(shown, "control/prior")
    the_task = task.load(str(shown[1]))
    (run,) = [run for run in find_runs(shown[0]) if run.id == prior]
    last = board.slices(the_task, [run], "guidance_accuracy", [by])[-1]
    at = opened("slices", "en", shown, run_of=prior, slice_by=by, slice=last.values[0])
    (link,) = at.get("page_link")
    query = dict(pair.split("=") for pair in link.proto.query_string.split("&"))
    assert query["a"] == prior
    assert query["show"] == "any"
    query = {name: unquote_plus(value) for name, value in query.items()}
    assert query[FILTERS[by]] == last.values[0]
    samples = opened("samples", "en", shown, **query)
    assert len(samples.selectbox(key="item en").options) == last.items


def test_what_nobody_rated_is_not_offered(opened: Open, shown: Place) -> None:
    at = opened("slices", "en", shown, run_of=run_of(shown, "control/prior"), of="satisfaction")
    assert at.selectbox(key="of en").value == "guidance_accuracy"


def test_slices_need_a_property(opened: Open, shown: Place) -> None:
    at = opened("slices", "en", shown, slice_by="colour")
    assert not at.exception
    assert at.info[0].value == catalogue("en")["slices.none"]
