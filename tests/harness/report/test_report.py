"""Reports of experiments: right numbers, the same in both languages, and nothing in a model's words comes alive."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import item_row, make_task, record

from harness import report
from harness import task as loader
from harness.errors import UsageError
from harness.experiment.ledger import Ledger
from harness.experiment.plan import Plan
from harness.report.write import fence, markdown
from harness.stats.bootstrap import hierarchical_bootstrap_difference
from harness.stats.compare import paired_difference

CLUSTERS = 12
Done = tuple["World", dict[str, Any], dict[str, str]]
HOSTILE = "```\n</pre><script>alert(1)</script> ![x](http://evil.example/x.png) [y](http://evil.example) <img src=x onerror=a()>"


class World:
    """An experiment's folder made by hand: arms whose score on each item is known."""

    def __init__(self, folder: Path, gaps: Mapping[str, Any] | None = None) -> None:
        self.folder = folder / "out"
        rows = [item_row(number) for number in range(2 * CLUSTERS)]
        self.task = loader.load(str(make_task(folder / "task", rows)))
        self.made: dict[str, Any] = {
            "name": "small",
            "plan": "d1",
            "task": str(folder / "task" / "task.yaml"),
            "validation": "held",
            "select": "gold_score",
            "budget": "data",
            "shared": {},
            "arms": {},
        }
        self.plan = {"name": "small", "seeds": [0, 1], "gaps": dict(gaps or {})}

    def arm(self, name: str, seeds: Mapping[int, Any], role: str = "ranked", trained: bool = True, **cost: Any) -> None:
        """`seeds`: by seed, the graded labels (0, 1, 2) of the items."""
        found = {}
        for seed, labels in seeds.items():
            system = f"{name}-{seed}"
            machine = {"hardware": {"processor": "abacus", "cores": 2}}
            oracle = role == "oracle"
            record(
                self.folder / "runs", self.task, system, scored(labels), name=system, oracle=oracle, environment=machine
            )
            stages = {"train": f"stages/{system}"} if trained else {}
            if trained:
                self.stage(self.folder / stages["train"], **cost)
            found[str(seed)] = {"system": system, "run": f"runs/{system}", "stages": stages, "drift": None}
        self.made["arms"][name] = {"role": role, "trial": {}, "model": "hf/$last", "seeds": found}

    def stage(self, folder: Path, cpu: float = 10.0) -> None:
        folder.mkdir(parents=True)
        (folder / "given.json").write_text(json.dumps({"base": "somewhere", "reward": "gold", "ppo": {"epochs": 1}}))
        result = {
            "stage": "ppo",
            "cpu_seconds": cpu,
            "seconds": 5.0,
            "peak_memory_bytes": {"host": 10**9},
            "versions": {},
        }
        (folder / "result.json").write_text(json.dumps(result))
        steps = [{"step": n, "phase": "ppo", "update_kl": 0.1 * n, "grad_norm": 0.5, "reward": n} for n in (1, 2)]
        points = [{"step": n, "phase": "validation", "reference_kl": n, "gold": 0.3, "reward": 0.1 * n} for n in (0, 2)]
        (folder / "events.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*steps, *points]))

    def write(self) -> Path:
        (self.folder / "experiment.json").write_text(json.dumps(self.made))
        ledger = Ledger(self.folder)
        plan = Plan(name="small", task="t", validation="v", seeds=(0, 1), arms=(), digest="d1")
        ledger.plan(plan, self.plan)
        for arm in self.made["arms"].values():
            for one in arm["seeds"].values():
                ledger.test(one["system"])
        ledger.close()
        return self.folder


def scored(labels: Any) -> Any:
    def values(number: int, sample: int) -> dict[str, float]:
        gates = dict.fromkeys(("G1", "G2", "G3"), 1.0)
        return {**gates, **{f"D{k}": float(labels[number]) for k in range(1, 8)}}

    return values


def draws(seed: int, shift: float) -> list[int]:
    return np.clip(np.random.default_rng(seed).integers(0, 3, 2 * CLUSTERS) + shift, 0, 2).tolist()


def four_arms(folder: Path) -> World:
    found = World(folder, {"verdict": ["ppo", "dpo"]})
    found.arm("start", {0: draws(1, 0)}, trained=False)
    found.arm("dpo", {0: draws(2, 0), 1: draws(3, 0)}, cpu=10.0)
    found.arm("ppo", {0: draws(2, 1), 1: draws(3, 1)}, cpu=30.0)
    found.arm("gold", {0: draws(4, 1)}, role="oracle")
    return found


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """A world, its facts, and what is written of them."""
    world = four_arms(tmp_path_factory.mktemp("report"))
    found = report.facts(world.write())
    return world, found, report.render(found)


def gap(found: Mapping[str, Any], a: str, b: str, metric: str = "gold_score") -> dict[str, Any]:
    (row,) = (row for row in found["differences"] if (row["a"], row["b"], row["metric"]) == (a, b, metric))
    return row


def test_differences_are_those_of_seeds_and_items(done: Done) -> None:
    world, found, _ = done
    first, second = (np.array([draws(2, shift), draws(3, shift)]) / 2 for shift in (1, 0))
    clusters = [item.cluster for item in world.task.items]
    expected = hierarchical_bootstrap_difference(first, second, clusters)
    row = gap(found, "ppo", "dpo")
    assert (row["value"], row["low"], row["high"]) == pytest.approx((expected.value, expected.low, expected.high))
    assert (row["gap"], row["verdict"], row["seeds"]) == ("verdict", "better", [2, 2])
    assert (row["n"], row["clusters"]) == (2 * CLUSTERS, CLUSTERS)
    assert gap(found, "ppo", "dpo", "diagnosis")["value"] == pytest.approx(expected.value)
    levels = {arm["name"]: arm["metrics"]["gold_score"]["value"] for arm in found["arms"]}
    assert levels["ppo"] == pytest.approx(first.mean())
    assert levels["start"] == pytest.approx(np.mean(draws(1, 0)) / 2)


def test_one_seed_each_is_a_paired_difference_of_checkpoints(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.plan["seeds"] = [0]
    world.arm("dpo", {0: draws(2, 0)})
    world.arm("ppo", {0: draws(5, 0)})
    found = report.facts(world.write())
    clusters = [item.cluster for item in world.task.items]
    expected = paired_difference(np.array(draws(5, 0)) / 2, np.array(draws(2, 0)) / 2, clusters)
    row = gap(found, "ppo", "dpo")
    assert (row["value"], row["low"], row["high"]) == pytest.approx((expected.value, expected.low, expected.high))
    assert row["verdict"] == "tie"
    text = markdown(found, "en", set())
    assert "**Verdict: tie.**" in text
    assert "One training seed each" in text
    assert "**结论：平手。**" in markdown(found, "zh", set())


def test_the_verdict_turns_with_the_scores(tmp_path: Path) -> None:
    world = World(tmp_path, {"verdict": ["ppo", "dpo"]})
    world.arm("dpo", {0: draws(2, 1), 1: draws(3, 1)})
    world.arm("ppo", {0: draws(2, -1), 1: draws(3, -1)})
    found = report.facts(world.write())
    assert gap(found, "ppo", "dpo")["verdict"] == "worse"
    assert "**Verdict: `dpo` is better.**" in markdown(found, "en", set())
    assert "**结论：`dpo` 更好。**" in markdown(found, "zh", set())


def test_only_the_plans_question_is_judged_without_correction(tmp_path: Path) -> None:
    """A difference whose 95 % interval leaves out 0, and whose corrected one does not."""
    better = [2 if number < 8 else 1 for number in range(2 * CLUSTERS)]  # 4 of 12 clusters: t is 2.35 at 11 df
    for gaps, verdict in (({"verdict": ["ppo", "dpo"]}, "better"), ({}, "tie")):
        world = World(tmp_path / verdict, gaps)
        world.arm("start", {0: [1] * 2 * CLUSTERS}, trained=False)
        world.arm("dpo", {0: [1] * 2 * CLUSTERS})
        world.arm("ppo", {0: better})
        row = gap(report.facts(world.write()), "ppo", "dpo")
        assert row["low"] > 0
        assert row["verdict"] == verdict


def test_both_languages_say_the_same_numbers(done: Done) -> None:
    _, _, texts = done
    zh, en = (sorted(re.findall(r"[+−]?\d+\.\d+", texts[f"report.{name}.md"])) for name in ("zh", "en"))
    assert zh == en
    assert len(zh) > 50
    for name in ("zh", "en"):
        headings = re.findall(r"^## ", texts[f"report.{name}.md"], re.MULTILINE)
        assert len(headings) == 9
        drawn = re.findall(r"\(figures/(\w+)\.\w+\.svg\)", texts[f"report.{name}.md"])
        assert drawn == ["scores", "frontier", "proxy", "pareto", "curves", "control"]
        assert {f"figures/{one}.{name}.svg" for one in drawn} <= set(texts)


def test_every_system_is_named_and_the_oracle_is_told_apart(done: Done) -> None:
    text = done[2]["report.en.md"]
    for system in ("start-0", "dpo-0", "dpo-1", "ppo-0", "ppo-1", "gold-0"):
        assert f"`{system}`" in text
    assert "| `gold` | oracle |" in text
    assert "3.0 times the processor seconds" in text
    assert "(abacus, 2 cores)" in text


def test_the_same_facts_give_the_same_bytes(done: Done) -> None:
    _, found, texts = done
    assert report.render(json.loads(json.dumps(found))) == texts


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "srcset")]
        assert not any(name.startswith("on") for name, _ in attrs)


def test_what_a_model_says_stays_text_and_the_page_asks_for_nothing(done: Done) -> None:
    found = copy.deepcopy(done[1])
    for example in found["examples"]:
        example["said"] = dict.fromkeys(example["said"], HOSTILE)
    page = report.render(found)["report.html"]
    read = Tags()
    read.feed(page)
    assert not {"script", "img", "iframe", "a", "link"} & set(read.tags)
    assert all(link.startswith("#") for link in read.links)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "evil.example" in page


@pytest.mark.parametrize("text", ["plain", "```", "a ```` b", "`one`"])
def test_a_fence_is_longer_than_any_inside(text: str) -> None:
    from markdown_it import MarkdownIt

    (token,) = MarkdownIt().parse(fence(text))
    assert (token.type, token.content) == ("fence", f"{text}\n")


def test_an_experiment_that_is_not_done_is_refused(tmp_path: Path) -> None:
    folder = four_arms(tmp_path).write()
    manifest = folder / "runs" / "ppo-1" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"complete"', '"partial"'))
    with pytest.raises(UsageError, match="easyds experiment run"):
        report.facts(folder)
    with pytest.raises(UsageError, match="is no experiment"):
        report.facts(folder / "runs")


def test_the_command_writes_everything_and_refuses_another_plans_folder(done: Done, cli: Any) -> None:
    folder = done[0].folder
    written = cli("report", folder)
    assert written.code == 0, written.err
    texts = {path.relative_to(folder / "report").as_posix(): path for path in map(Path, written.out.split())}
    assert set(texts) == {"report.json", *done[2]}
    assert texts["report.html"].read_text() == done[2]["report.html"]
    path = folder / "report" / "report.json"
    path.write_text(path.read_text().replace('"plan_digest": "d1"', '"plan_digest": "d2"'))
    refused = cli("report", folder)
    assert refused.code == 2
    assert "another plan" in refused.err
