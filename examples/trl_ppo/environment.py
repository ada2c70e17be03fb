"""An environment of its own with TRL 1.12.0, the last TRL that has PPO: `python examples/trl_ppo/environment.py [FOLDER]`.

A virtual environment that sees everything installed beside the calling Python (torch, transformers, ...) and puts its own
TRL in front of it, so that 0.7 MB is fetched and nothing is installed twice. Prints its Python. Nothing but the standard
library is needed, and an environment that is there already is used as it is.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

TRL = "1.12.0"
FOLDER = Path(__file__).resolve().parent / ".venv"


def python(folder: Path = FOLDER) -> Path:
    """The environment's Python. Raises FileNotFoundError, with the command that makes it, if it is not there."""
    path = folder / "bin" / "python"
    if not (folder / f"trl-{TRL}").exists():
        raise FileNotFoundError(
            f"{folder} has no TRL {TRL}. 'python {Path(__file__)} {folder}' makes it (network needed)."
        )
    return path


def make(folder: Path = FOLDER) -> Path:
    """Make the environment if it is not there; its Python. Raises CalledProcessError if pip fails."""
    mark = folder / f"trl-{TRL}"
    if not mark.exists():
        venv.EnvBuilder(clear=True, symlinks=True).create(folder)
        outer, own = Path(sysconfig.get_path("purelib")), _packages(folder)
        (own / "outer.pth").write_text(f"{outer}\n", encoding="utf-8")
        pip = [sys.executable, "-m", "pip", "--quiet", "install", "--no-deps", "--target", str(own), f"trl=={TRL}"]
        subprocess.run(pip, check=True, stdout=sys.stderr)
        mark.touch()
    return python(folder)


def _packages(folder: Path) -> Path:
    return Path(sysconfig.get_path("purelib", "venv", {"base": str(folder), "platbase": str(folder)}))


if __name__ == "__main__":
    print(make(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else FOLDER))
