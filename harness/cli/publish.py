"""`easyds board --publish`: packed runs, and the board made from them as JSON and Markdown."""

from __future__ import annotations

import sys
from pathlib import Path

from harness.board import Board, from_folder, publish_runs
from harness.cli import show
from harness.record import scan, write_text
from harness.types import Task

ABOUT = """

To make this board again from the packed runs beside it / 由旁边打包的运行记录重新生成本榜：

```
easyds board --task {task} --runs leaderboards/{task} --format json
```
"""


def publish(task: Task, runs: Path, folder: Path) -> Board:
    """Pack the runs of `task` into `folder`/<task>/ and write the board made from there, `folder`/<task>.json and .md.

    Raises UsageError if another run of the same name is published.
    """
    packed = folder / task.name
    changed = publish_runs(task, scan(runs)[0], packed)
    board = from_folder(task, packed)
    write_text(folder / f"{task.name}.json", show.as_json(board) + "\n")
    write_text(folder / f"{task.name}.md", show.markdown(board) + ABOUT.format(task=task.name))
    print(f"published {folder / task.name}.json and .md ({len(changed)} runs new or changed)", file=sys.stderr)
    return board
