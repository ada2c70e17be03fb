"""ROUGE-L of EasyDS Bench as a metric of Hugging Face evaluate: evaluate.load("<this folder>")."""

import datasets
import evaluate

from harness.scorers.reference import rouge_l

FEATURES = {
    "predictions": datasets.Value("string"),
    "references": datasets.Sequence(datasets.Value("string")),
}


class RougeL(evaluate.Metric):
    """Mean over predictions of the best ROUGE-L over their references, from 0 to 1; `language` is zh or en."""

    def _info(self):
        return evaluate.MetricInfo(
            description=__doc__, citation="", inputs_description=self.__doc__, features=datasets.Features(FEATURES)
        )

    def _compute(self, predictions, references, language):
        values = [rouge_l(text, known, language) for text, known in zip(predictions, references)]
        return {"rouge_l": sum(values) / len(values)}
