"""How fast ds-trace items are made: training items with their facts, texts and references, on one core.

Times `harness.simulator.items.build` in this process (words loaded before), in CPU seconds, over items of the training
and the test split. The bar is the design's: 100,000 items in at most 60 s; --quick makes 10,000 and scales up.
"""

from __future__ import annotations

import sys
import time

from common import Report, options

from harness.simulator.items import Plan, build

ITEMS = 100_000


def cpu_seconds(split: str, items: int, seed: int) -> float:
    started = time.process_time()
    made = sum(1 for _ in build(Plan(split, items // 2, seed=seed)))
    assert made == items
    return time.process_time() - started


def main() -> int:
    args = options(__doc__)
    report = Report("simulate_speed", args.quick, args.json)
    cpu_seconds("train", 200, 1)
    items = ITEMS // 10 if args.quick else ITEMS
    seconds = cpu_seconds("train", items, 2) * ITEMS / items
    test = cpu_seconds("test", 2_000, 3) * ITEMS / 2_000
    report.figures = {"items": items, "train_s_per_100k": round(seconds, 1), "test_s_per_100k": round(test, 1)}
    report.say(f"training items: {seconds:.1f} CPU s per 100,000 ({ITEMS / seconds:.0f}/s); test items: {test:.1f}")
    report.bar("cpu_s_per_100k_training_items", round(seconds, 1), "at_most", 60.0)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
