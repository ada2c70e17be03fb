"""The scorer `judge`: a language model behind an endpoint, asked about each reply by the rubric's criteria.

    easyds run ... --scorer judge:model=qwen2.5-72b-instruct,base_url=http://127.0.0.1:8000/v1,concurrency=32
    easyds run ... --scorer judge:serve=./judge/checkpoint,alias=local,form=short

Judging begins while answers still come. What it said lies in the run folder (`judgements.jsonl`); what could not be
judged is unscored, with its reason. Several judges may stand beside each other, and beside other scorers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import rubric as rubrics
from harness.digest import digest
from harness.errors import UsageError
from harness.paths import safe_name, slug
from harness.record import JUDGEMENTS
from harness.rubric import NOT_APPLICABLE
from harness.scorers.judge import prompt
from harness.scorers.judge.desk import Answer, Desk, Endpoint, public_name
from harness.scorers.judge.prompt import Question
from harness.scorers.judge.verdict import UNSURE
from harness.types import Item, Response, Score

if TYPE_CHECKING:
    from harness.models.server import Server


class Judge:
    """Scores by verdicts of a language model. `source` names all that its verdicts depend on: the model, the prompts,
    the rubric, the criteria.

    `model` is a name at an endpoint (`base_url`), `serve` a checkpoint that is served here while the judge is open.
    """

    def __init__(
        self,
        model: str | None = None,
        base_url: str | None = None,
        serve: str | None = None,
        alias: str | None = None,
        form: str = "full",
        criteria: str | None = None,
        rubric: str = "guidance",
        concurrency: int | str = 16,
        max_tokens: int | str = 2000,
    ) -> None:
        if (model is None) == (serve is None) or (serve and base_url):
            raise UsageError("a judge is model=NAME (with base_url=URL), or serve=CHECKPOINT without either.")
        name = public_name(model or serve or "")
        the_rubric = rubrics.load(rubric)
        self.rubric = the_rubric
        self.form = form
        self.asked = prompt.criteria_of(the_rubric, criteria.split(";") if criteria else None)
        self.criteria = tuple(one.id for one in self.asked)
        self.endpoint = Endpoint(
            model or "", base_url, _count(concurrency, "concurrency"), _count(max_tokens, "max_tokens")
        )
        self.alias = safe_name(alias, "judge alias") if alias else slug(name.rsplit("/", 1)[-1])
        which = _weights_digest(serve) if serve else name
        known = [which, form, prompt.prompts_digest(form), the_rubric.digest, self.criteria]
        self.source = f"judge/{self.alias}@{digest([*known, self.endpoint.max_tokens])[:8]}"
        self._serve = serve
        self._server: Server | None = None
        self._desk: Desk | None = None

    def open(self, folder: Path | None) -> None:
        """Be ready to ask; what was paid for is kept in `folder`. Raises EnvironmentProblem without a key."""
        endpoint = self.endpoint
        if self._serve:
            from harness.models.server import Server

            self._server = Server(self._serve)
            endpoint = replace(endpoint, model=self._server.model, base_url=self._server.url)
        self._desk = Desk(endpoint, self.source, folder and folder / JUDGEMENTS)

    def close(self) -> None:
        if self._desk is not None:
            self._desk.close()
        if self._server is not None:
            self._server.close()

    @property
    def desk(self) -> Desk:
        if self._desk is None:
            raise UsageError(f"the judge {self.source} was not opened.")
        return self._desk

    def question(self, item: Item, reply: str) -> Question:
        return prompt.pointwise(item, reply, self.asked, self.form)

    def offer(self, item: Item, response: Response) -> None:
        """Begin to judge a response; `score` takes up what was begun."""
        self.desk.ask([self.question(item, response.text)])

    def score(self, items: Mapping[str, Item], responses: Sequence[Response]) -> Iterator[Score]:
        """One score for each criterion of each response. Raises EnvironmentProblem once the endpoint refuses for good."""
        answers = self.desk.ask([self.question(items[one.item], one.text) for one in responses])
        for response, answer in zip(responses, answers, strict=True):
            yield from self._scores(response, answer.result())

    def account(self) -> dict[str, Any]:
        """What was asked, what failed and why, and what it cost."""
        return self.desk.account.as_json()

    def _scores(self, response: Response, answer: Answer) -> Iterator[Score]:
        for criterion in self.asked:
            value, reason, evidence = None, answer.reason, None
            if answer.verdicts is not None:
                verdict = answer.verdicts[criterion.id]
                evidence = {"label": verdict.label, "quote": verdict.quote, "reason": verdict.reason}
                reason = {UNSURE: "abstained", NOT_APPLICABLE: "not applicable"}.get(verdict.label, "")
                if not reason:
                    value = next(float(one["value"]) for one in criterion.labels if one["id"] == verdict.label)
            yield Score(response.item, response.sample, criterion.id, self.source, value, reason, evidence)


def _weights_digest(checkpoint: str) -> str:
    from harness.models.server import weights_digest

    return weights_digest(checkpoint)


def _count(value: int | str, name: str) -> int:
    if not str(value).isdecimal() or int(value) < 1:
        raise UsageError(f"a judge's {name} is a whole number of at least 1, not '{value}'.")
    return int(value)
