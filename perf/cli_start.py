"""What `easyds --help` costs against the least that Typer can do.

Both are started as a user starts them, in turn and in the same session: the installed command, and a command of the
same kind whose Typer app has as many commands, each empty. Judged is the ratio of the median CPU times of the two
processes (start of Python, imports and the printed help included); wall times are reported beside it. A third
start tells which modules `easyds --help` has imported: none of the heavy ones may be among them.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from common import Cost, Report, cost, easyds, environment, options

HEAVY = ("torch", "pandas", "pydantic", "transformers", "numpy", "scipy", "sacrebleu", "openai")
RATIO = 1.3

EMPTY_APP = """\
import typer

app = typer.Typer(name="empty", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def callback() -> None:
    pass


"""
COMMAND = '@app.command("{name}")\ndef {name}() -> None:\n    pass\n\n\n'
LAUNCHER = "#!{python}\nimport sys\nfrom empty import app\nif __name__ == '__main__':\n    sys.exit(app())\n"
MODULES = """\
import json, sys
from harness.cli import main
sys.stdout, out = sys.stderr, sys.stdout
try:
    main(["--help"])
except SystemExit:
    pass
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})), file=out)
"""


def empty_command(folder: Path) -> Path:
    """An executable in `folder` that is `easyds` with nothing in it; its module is cached as bytecode when first run."""
    from harness.cli.app import app

    names = [f"command_{i}" for i in range(len(app.registered_commands))]
    (folder / "empty.py").write_text(EMPTY_APP + "".join(COMMAND.format(name=name) for name in names))
    launcher = folder / "empty"
    launcher.write_text(LAUNCHER.format(python=sys.executable))
    launcher.chmod(0o755)
    return launcher


def imported() -> set[str]:
    """Top-level modules in memory after `easyds --help`."""
    done = subprocess.run(
        [sys.executable, "-c", MODULES], env=environment(), capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout))


def main() -> int:
    chosen = options(__doc__)
    report = Report("cli_start", chosen.quick, chosen.json)
    repetitions = 15 if chosen.quick else 41
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        commands = {"easyds": easyds(), "empty": empty_command(folder)}
        runs: dict[str, list[Cost]] = {arm: [] for arm in commands}
        for repetition in range(repetitions + 1):
            arms = list(commands) if repetition % 2 else list(reversed(commands))
            for arm in arms:
                taken = cost([commands[arm], "--help"], folder)
                if repetition:  # the first start of each writes bytecode and fills the disk cache
                    runs[arm].append(taken)
    for arm, costs in runs.items():
        cpu, wall = (statistics.median(getattr(one, what) for one in costs) for what in ("cpu", "wall"))
        report.figures[arm] = {"cpu_s": round(cpu, 4), "wall_s": round(wall, 4), "starts": len(costs)}
        report.say(f"{arm} --help: {cpu * 1000:.0f} ms CPU, {wall * 1000:.0f} ms wall (median of {len(costs)})")
    loaded = sorted(imported() & set(HEAVY))
    report.figures["heavy_imports"] = loaded
    report.bar(
        "cpu_ratio", round(report.figures["easyds"]["cpu_s"] / report.figures["empty"]["cpu_s"], 3), "at_most", RATIO
    )
    report.bar("heavy_imports", len(loaded), "at_most", 0)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
