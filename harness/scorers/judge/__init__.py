"""The LLM judge: what it is asked (`prompt`), how (`desk`), what its answer says (`verdict`), as a scorer (`scorer`),
between two replies (`duel`), and under attack (`attack`)."""

from harness.scorers.judge.scorer import Judge

__all__ = ["Judge"]
