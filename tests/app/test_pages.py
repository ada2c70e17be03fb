"""Every page in both languages, run in this process on runs of the real runner."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from app_support import EXPERIMENT, HOSTILE, HOSTILE_NAME, PAGES, Open, words_of
from streamlit.testing.v1 import AppTest

from app.components.text import visible
from app.components.words import catalogue
from harness import board, task
from harness.digest import text_digest
from harness.record import find_runs

Place = tuple[Path, Path]


def run_of(place: Place, system: str) -> str:
    return next(run.id for run in find_runs(place[0]) if run.manifest["system"] == system)


def chosen(at: AppTest, key: str, lang: str = "en") -> str:
    return str(at.selectbox(key=f"{key} {lang}").value)


@pytest.mark.parametrize("lang", ["zh", "en"])
@pytest.mark.parametrize("page", PAGES)
def test_page_in_language(opened: Open, shown: Place, page: str, lang: str) -> None:
    at = opened(page, lang, shown)
    assert not at.exception
    assert not at.error
    assert at.title[0].value == catalogue(lang)[f"page.{page}"]
    assert chosen(at, "task", lang) == "small"
    if page in ("overview", "compare", "samples"):
        assert ("引导" in words_of(at)) == (lang == "zh")


@pytest.mark.parametrize("lang", ["zh", "en"])
@pytest.mark.parametrize("page", EXPERIMENT)
def test_page_of_an_experiment(opened: Open, shown: Place, page: str, lang: str) -> None:
    at = opened(page, lang, shown)
    assert not at.exception
    assert not at.error
    assert at.title[0].value == catalogue(lang)[f"page.{page}"]
    if page == "versus":
        assert catalogue(lang)["versus.better"].split("{")[1].split("}")[1].strip() in at.text[0].value
        assert "ppo" in at.text[0].value
        assert "+0.200 [+0.100, +0.300]" in at.text[0].value
    if page == "pareto":
        assert list(at.dataframe[0].value.iloc[:, 0]) == ["ppo", "dpo", "gold"]
        assert "0.60 [0.55, 0.65]" in at.dataframe[0].value.to_csv()


def test_without_a_report_a_page_says_how_to_get_one(opened: Open, shown: Place, tmp_path: Path) -> None:
    for page in EXPERIMENT:
        at = opened(page, "en", (tmp_path / "runs", shown[1]))
        assert not at.exception
        assert "easyds report" in at.code[0].value


def test_a_broken_report_is_an_error_line(opened: Open, shown: Place, tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "report.json").write_text("{", encoding="utf-8")
    at = opened("versus", "en", (tmp_path / "runs", shown[1]))
    assert not at.exception
    assert "no report of an experiment" in at.code[0].value


@pytest.mark.parametrize("page", [*PAGES, *EXPERIMENT])
def test_page_of_hostile_text(opened: Open, hostile: Place, page: str) -> None:
    """What is hostile is there, as characters, and in no element that reads Markdown."""
    at = opened(page, "en", hostile)
    assert not at.exception
    for kind in (at.title, at.subheader, at.caption, at.info, at.warning, at.error, at.markdown, at.expander):
        for one in kind:
            assert "evil.example" not in str(getattr(one, "value", "")) + str(getattr(one, "label", ""))
    if page != "training":  # which names the candidates in charts and choices only
        assert "evil.example" in words_of(at)


def test_samples_show_the_hostile_answer_whole(opened: Open, hostile: Place) -> None:
    at = opened("samples", "en", hostile, a=run_of(hostile, HOSTILE_NAME))
    assert visible(HOSTILE) in [one.value for one in at.text]


def test_overview_says_what_the_board_says(opened: Open, shown: Place) -> None:
    at = opened("overview", "en", shown)
    row = next(
        one for one in board.from_folder(task.load(str(shown[1])), shown[0]).rows if one.system == "control/prior"
    )
    metric = row.metrics["guidance_accuracy"]
    written = f"{metric.value * 100:.1f} [{metric.low * 100:.1f}, {metric.high * 100:.1f}]"  # type: ignore[operator]
    quality = at.dataframe[1].value.set_index("System")
    assert quality.loc["control/prior", "Accuracy, lenient (%)"] == written
    assert quality.loc["control/prior", "n"] == metric.n
    assert "control/reference" in at.text[1].value


def test_unranked_run_stands_apart_with_its_reason(opened: Open, shown: Place) -> None:
    at = opened("overview", "en", shown)
    tables = [one.value for one in at.dataframe]
    assert not any((table["System"] == "control/parrot").any() for table in tables[:2])
    apart = next(table for table in tables if "Why" in table)
    assert apart.set_index("System").loc["control/parrot", "Why"] == "limited to 4 items"


def test_what_was_not_measured_is_said(opened: Open, shown: Place) -> None:
    """Controls have no latency: no column of zeros, but the words."""
    at = opened("overview", "en", shown)
    assert "not measured" in at.dataframe[0].value.to_csv()
    assert "Cost" in [one.value for one in at.subheader]
    assert "not measured" in [one.value for one in at.caption]


def test_permalink_restores_a_view(opened: Open, shown: Place) -> None:
    reference, null = run_of(shown, "control/reference"), run_of(shown, "control/null")
    at = opened("samples", "en", shown, a=reference, b=null, language="zh", difficulty="2", show="disagree")
    assert (chosen(at, "a"), chosen(at, "b")) == (reference, null)
    assert (chosen(at, "language"), chosen(at, "difficulty"), chosen(at, "show")) == ("zh", "2", "disagree")
    assert all(option.endswith(".zh") for option in at.selectbox(key="item en").options)


def test_permalink_of_what_does_not_exist_gives_the_default(opened: Open, shown: Place) -> None:
    at = opened("samples", "en", shown, a="no-such-run", language="fr", item="../../etc/passwd")
    assert not at.exception
    assert chosen(at, "language") == "any"
    assert at.query_params.get("language") is None


def test_choice_is_written_to_the_address_and_kept_over_languages(opened: Open, shown: Place) -> None:
    at = opened("samples", "en", shown, a=run_of(shown, "control/null"))
    at.selectbox(key="show en").select("failed").run()
    assert at.query_params["show"] == "failed"
    failed = at.selectbox(key="item en").options
    at.selectbox(key="lang en").select("zh").run()
    assert chosen(at, "show", "zh") == "failed"
    assert at.selectbox(key="item zh").options == failed
    at.selectbox(key="show zh").select("any").run()
    assert at.query_params.get("show") is None


def test_filters_agree_with_the_scores(opened: Open, shown: Place) -> None:
    null = run_of(shown, "control/null")
    everything = opened("samples", "en", shown, a=null).selectbox(key="item en").options
    failed = opened("samples", "en", shown, a=null, show="failed").selectbox(key="item en").options
    assert set(failed) == set(everything)  # an empty answer fails a gate on every item
    reference = run_of(shown, "control/reference")
    none = opened("samples", "en", shown, a=reference, show="failed")
    assert none.info[0].value == catalogue("en")["samples.no_items"]


def test_stepping_through_items(opened: Open, shown: Place) -> None:
    at = opened("samples", "en", shown)
    items = at.selectbox(key="item en").options
    previous, following = at.button(key="step :material/chevron_left:"), at.button(key="step :material/chevron_right:")
    assert previous.disabled
    following.click().run()
    assert chosen(at, "item") == items[1]
    assert at.query_params["item"] == items[1]


def test_samples_show_scores_evidence_and_difference(opened: Open, shown: Place) -> None:
    at = opened("samples", "en", shown, a=run_of(shown, "control/reference"), b=run_of(shown, "control/null"))
    scores = at.dataframe[0].value
    assert list(scores["Criterion"])[:2] == ["G1 correctness", "G2 answer withheld"]
    by_name = scores.set_index("Criterion")
    assert by_name.loc["D3 guidance", "Value A"] == "2 yes"
    assert by_name.loc["D3 guidance", "Value B"] == "0 no"
    assert by_name.loc["D3 guidance", "Evidence A"]
    assert "(empty)" in [one.value for one in at.caption]
    assert at.code[0].value.startswith("- ")


def test_compare_says_what_the_harness_says(opened: Open, shown: Place) -> None:
    reference, prior = run_of(shown, "control/reference"), run_of(shown, "control/prior")
    at = opened("compare", "en", shown, systems=[reference, prior])
    the_task = task.load(str(shown[1]))
    found = board.compare(the_task, board.contestants(the_task, find_runs(shown[0]), [reference, prior]))
    one = next(one for one in found if one.metric == "guidance_accuracy")
    said = next(text.value for text in at.text if text.value.startswith("Guidance accuracy (lenient): "))
    assert "control/reference is higher than control/prior" in said
    assert f"{100 * one.difference:.1f} points [{100 * one.low:.1f}, {100 * one.high:.1f}]" in said
    assert f"n = {one.n} items of {one.clusters} problems" in said


def test_compare_by_slice_names_every_slice(opened: Open, shown: Place) -> None:
    at = opened("compare", "zh", shown, by="language")
    said = "\n".join(text.value for text in at.text)
    assert "中文：" in said
    assert "English：" in said


def test_compare_needs_two(opened: Open, shown: Place) -> None:
    at = opened("compare", "en", shown, systems=[run_of(shown, "control/prior")])
    assert at.info[0].value == catalogue("en")["compare.two"]


def test_published_board_is_shown_where_there_are_no_runs(
    opened: Open, shown: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    the_task = task.load(str(shown[1]))
    board.publish_runs(the_task, find_runs(shown[0]), tmp_path / "leaderboards" / "small")
    monkeypatch.setenv("EASYDS_APP_LEADERBOARDS", str(tmp_path / "leaderboards"))
    for page in PAGES:
        at = opened(page, "en", (tmp_path / "no-runs", shown[1]))
        assert not at.exception
        assert catalogue("en")["published"] in [one.value for one in at.caption]
    assert "control/prior" in words_of(at)


def test_nothing_to_show_says_what_to_do(
    opened: Open, shown: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EASYDS_APP_LEADERBOARDS", str(tmp_path / "none"))
    for page in PAGES:
        at = opened(page, "zh", (tmp_path / "none", shown[1]))
        assert not at.exception
        assert "easyds run" in at.code[0].value


def test_runs_show_differences_only(opened: Open, shown: Place) -> None:
    prior, null = run_of(shown, "control/prior"), run_of(shown, "control/null")
    at = opened("runs", "en", shown, run=prior, against=null)
    entries = set(at.dataframe[1].value["Entry"])
    assert {"system", "model", "identity.control"} <= entries
    assert "task.name" not in entries
    at.toggle(key="only differences").set_value(False).run()
    assert "task.name" in set(at.dataframe[1].value["Entry"])


def test_every_attempt_is_listed(opened: Open, shown: Place) -> None:
    at = opened("runs", "en", shown)
    attempts = at.dataframe[0].value
    assert set(attempts["Run"]) == {run.id for run in find_runs(shown[0])}
    assert "limited to 4 items" in set(attempts["Why"])


def test_new_run_is_seen_without_restart(opened: Open, shown: Place, tmp_path: Path) -> None:
    from app_support import execute

    runs = tmp_path / "runs"
    execute(runs, shown[1], "null")
    at = opened("runs", "en", (runs, shown[1]))
    assert len(at.dataframe[0].value) == 1
    execute(runs, shown[1], "parrot")
    at.run()
    assert len(at.dataframe[0].value) == 2


def test_broken_run_folder_is_named_and_blocks_nothing(opened: Open, shown: Place, tmp_path: Path) -> None:
    from app_support import execute

    runs = tmp_path / "runs"
    execute(runs, shown[1], "null")
    (runs / "torn").mkdir()
    (runs / "torn" / "manifest.json").write_text("{", encoding="utf-8")
    bent = runs / "bent"
    shutil.copytree(next(runs.glob("*null*")), bent)
    manifest = json.loads((bent / "manifest.json").read_text(encoding="utf-8"))
    (bent / "manifest.json").write_text(json.dumps({**manifest, "identity": None}), encoding="utf-8")
    at = opened("overview", "en", (runs, shown[1]))
    assert not at.exception
    assert "torn" in at.dataframe[-1].value.to_csv()
    assert "bent" in at.dataframe[-1].value.to_csv()
    for page in PAGES:
        assert not opened(page, "en", (runs, shown[1])).exception


def test_task_that_is_not_given_is_an_error_line(opened: Open, shown: Place, tmp_path: Path) -> None:
    at = opened("overview", "en", (shown[0], tmp_path / "missing.yaml"))
    assert not at.exception
    assert "missing.yaml does not exist" in at.code[0].value


@pytest.mark.parametrize(
    ("lang", "people", "corrected"),
    [
        ("zh", "仅人工评分", "经人工评分校正"),
        ("en", "people's labels alone", "corrected by people's labels"),
    ],
)
def test_overview_names_what_people_say(
    opened: Open, shown: Place, tmp_path: Path, lang: str, people: str, corrected: str
) -> None:
    runs = Path(shutil.copytree(shown[0], tmp_path / "runs"))
    run = find_runs(runs)[0]
    labels = {"G1": 1.0, "G2": 1.0, "G3": 1.0, "D3": 2.0, "satisfaction": 4.0}
    rows = [
        {
            "item": one.item,
            "sample": one.sample,
            "criterion": name,
            "source": "human/test",
            "value": value,
            "reason": "",
        }
        | {"evidence": {"text": text_digest(one.text), "votes": 1}}
        for one in [one for one in run.responses() if one.sample == 0][:4]
        for name, value in labels.items()
    ]
    (run.folder / "people.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    at = opened("overview", lang, (runs, shown[1]))
    assert not at.exception
    heads = {str(head) for frame in at.dataframe for head in frame.value.columns}
    assert any(people in head for head in heads), heads
    assert any(catalogue(lang)["metric.satisfaction"] in head for head in heads)
    assert any(people in str(option) for box in at.selectbox for option in box.options)
    assert corrected in catalogue(lang)["origin.corrected"]


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_the_monitor_watches_a_log(
    opened: Open, shown: Place, lang: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {
        "at": "2026-01-05T08:00:00.000+00:00",
        "kind": "guidance",
        "digest": "d",
        "language": "en",
        "knowledge_point": HOSTILE,
        "hint_level": 1,
        "messages": [{"role": "user", "content": HOSTILE}],
        "guidance": HOSTILE,
        "seconds": 3.0,
        "gates": [{"G2": None, "G3": True}],
        "regenerated": False,
        "fallback": False,
    }
    log = tmp_path / "served.jsonl"
    log.write_text("".join(json.dumps({**row, "id": f"g-{n}"}) + "\n" for n in range(40)))
    assert opened("monitor", lang, shown).info[0].value == catalogue(lang)["monitor.nothing"]
    monkeypatch.setenv("EASYDS_APP_LOG", str(log))
    at = opened("monitor", lang, shown)
    assert not at.exception
    assert not at.error
    assert "latency_p95_s: 3 [3, 3] (n = 40) lies above 1" in [one.value for one in at.text]
    assert len(at.dataframe) == 1
    at.selectbox(key=f"against {lang}").select(find_runs(shown[0])[0].id).run()
    assert not at.exception
    assert not at.error
    assert len(at.dataframe) == 2
