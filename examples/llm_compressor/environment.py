"""An environment of its own for llm-compressor: `python examples/llm_compressor/environment.py [FOLDER]`.

llm-compressor 0.14 wants an older transformers than the project. The environment sees everything installed beside the
calling Python (torch, datasets, ...) and puts its own packages in front, 170 MB. Prints its Python; one that is there is used
as it is.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

PACKAGES = [
    "llmcompressor==0.14.0.1",
    "compressed-tensors==0.19.0",
    "transformers==5.17.0",
    "huggingface-hub<2.0",
    "auto-round==0.15.1",
    "loguru",
    "nvidia-ml-py",
]
FOLDER = Path(__file__).resolve().parent / ".venv"


def make(folder: Path = FOLDER) -> Path:
    """Make the environment if it is not there; its Python. Raises CalledProcessError if pip fails."""
    mark = folder / PACKAGES[0]
    if not mark.exists():
        venv.EnvBuilder(clear=True, symlinks=True).create(folder)
        own = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder), "platbase": str(folder)}))
        (own / "outer.pth").write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
        pip = [sys.executable, "-m", "pip", "--quiet", "install", "--no-deps", "--target", str(own), *PACKAGES]
        subprocess.run(pip, check=True, stdout=sys.stderr)
        mark.touch()
    return folder / "bin" / "python"


if __name__ == "__main__":
    print(make(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else FOLDER))
