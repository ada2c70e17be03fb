"""BLEU of EasyDS Bench as a metric of Hugging Face evaluate: evaluate.load("<this folder>")."""

import datasets
import evaluate

from harness.scorers.reference import bleu

FEATURES = {
    "predictions": datasets.Value("string"),
    "references": datasets.Sequence(datasets.Value("string")),
}


class Bleu(evaluate.Metric):
    """Mean over predictions of the best BLEU over their references, from 0 to 1; `language` is zh or en."""

    def _info(self):
        return evaluate.MetricInfo(
            description=__doc__, citation="", inputs_description=self.__doc__, features=datasets.Features(FEATURES)
        )

    def _compute(self, predictions, references, language):
        values = [bleu(text, known, language) for text, known in zip(predictions, references)]
        return {"bleu": sum(values) / len(values)}
