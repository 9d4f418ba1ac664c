"""A release, step by step: what must agree, wheel and sdist, smoke tests on the wheel, what readers download, and
whether it may be published. `.github/workflows/release.yml` calls the steps; a dry run is all of them but the last.

    python workflow/release.py check v0.1.0
    python workflow/release.py build OUT
    python workflow/release.py smoke OUT NOTEBOOK
    python workflow/release.py assets OUT
    python workflow/release.py publishable

With ROBUSTXAI_OFFLINE=1 nothing is fetched: the wheel is built by the tools that are installed, and its environment
sees the packages of this one. It knows nothing about what the notebooks compute.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
from pathlib import Path

import yaml

from robustxai import __version__
from robustxai.notebook.bootstrap import repository

ROOT = Path(__file__).resolve().parents[1]
SHARED = {"title": "title", "version": "version", "license": "license", "keywords": "keywords"}
"""Fields of CITATION.cff and of .zenodo.json that must agree."""
UNDATED = "not released"


def offline() -> bool:
    """Whether nothing may be fetched."""
    return os.environ.get("ROBUSTXAI_OFFLINE") == "1"


def notes(version: str, text: str | None = None) -> tuple[str, str]:
    """The date and the text of a version in CHANGELOG.md. Raises ValueError where it has none."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8") if text is None else text
    found = re.search(rf"^## {re.escape(version)} — ([^\n]+)\n\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    if found is None:
        raise ValueError(f"CHANGELOG.md has no section '## {version} — date'")
    return found[1].strip(), found[2].strip()


def disagreements(tag: str, *, dated: bool = True) -> list[str]:
    """Sentences about what does not fit the tag: the version, the citation, the archive's metadata, the changes."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    archive = json.loads((ROOT / ".zenodo.json").read_text(encoding="utf-8"))
    said = [] if tag == f"v{__version__}" else [f"the tag is {tag}, the version v{__version__}"]
    if citation["version"] != __version__:
        said.append(f"CITATION.cff has the version {citation['version']}, the library {__version__}")
    for ours, theirs in SHARED.items():
        if citation[ours] != archive[theirs]:
            said.append(f"{ours} of CITATION.cff is not {theirs} of .zenodo.json")
    if [a["name"] for a in citation["authors"]] != [c["name"] for c in archive["creators"]]:
        said.append("authors of CITATION.cff are not the creators of .zenodo.json")
    try:
        date, _ = notes(__version__)
    except ValueError as error:
        return [*said, str(error)]
    if dated and not re.fullmatch(r"\d{4}-\d\d-\d\d", date):
        said.append(f"CHANGELOG.md has '{date}' in place of the date of {__version__}")
    return said


def run(*command: str | Path, cwd: Path = ROOT) -> None:
    """Run a command without the checkout on its path; raises CalledProcessError where it fails."""
    hidden = ("PYTHONPATH", "ROBUSTXAI_DATA", "ROBUSTXAI_RESULTS", "VIRTUAL_ENV")
    env = {name: value for name, value in os.environ.items() if name not in hidden}
    subprocess.run(list(map(str, command)), cwd=cwd, env=env, check=True)


def build(out: Path) -> list[Path]:
    """Wheel and sdist of the checkout in `out`, alone there."""
    shutil.rmtree(out, ignore_errors=True)
    run(sys.executable, "-m", "build", "--outdir", out, *(["--no-isolation"] if offline() else []), ROOT)
    return sorted(out.iterdir())


def fresh_environment(folder: Path, wheel: Path) -> Path:
    """The interpreter of a new environment with the wheel and what running a notebook needs."""
    venv.create(folder, with_pip=not offline(), clear=True, symlinks=os.name != "nt")
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not offline():
        run(python, "-m", "pip", "install", "--quiet", f"{wheel}[book]", cwd=folder)
        return python
    run(
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        wheel,
    )
    ours = folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    (ours / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def smoke(out: Path, notebook: Path, folder: Path) -> None:
    """The wheel of `out` alone, elsewhere: its version, an explanation, the ledger, and one whole notebook."""
    (wheel,) = out.resolve().glob("*.whl")
    shutil.rmtree(folder, ignore_errors=True)
    python = fresh_environment(folder.resolve() / "venv", wheel)
    elsewhere = folder.resolve() / "elsewhere"
    elsewhere.mkdir()
    code = f"""
import torch, robustxai
from robustxai import claims
from robustxai.diffgradcam import DiffGradCAM
from robustxai.nets import pretrained
assert robustxai.__version__ == {__version__!r} and {str(folder.resolve())!r} in robustxai.__file__
maps = DiffGradCAM(pretrained("diffgradcam-animals4-s0-clean"))(torch.rand(2, 3, 64, 64))
assert maps.shape == (2, 1, 64, 64) and maps.isfinite().all() and claims.ledger()
"""
    run(python, "-c", code, cwd=elsewhere)
    run(python, "-m", "robustxai.cli", "--version", cwd=elsewhere)
    shutil.copy(notebook, elsewhere)
    run(python, "-m", "papermill", notebook.name, "executed.ipynb", "-k", "python3", cwd=elsewhere)


def assets(out: Path) -> list[Path]:
    """Archives of the executed notebooks and of the site, as they are stored in this commit."""
    out.mkdir(parents=True, exist_ok=True)
    run(
        sys.executable,
        ROOT / "workflow" / "build_site.py",
        "--committed",
        "--log",
        ROOT / "build" / "site.log",
    )
    made = []
    for name, folder in (("notebooks", ROOT / "notebooks"), ("site", ROOT / "build" / "site")):
        made.append(out / f"robustxai-{__version__}-{name}.tar.gz")
        with tarfile.open(made[-1], "w:gz") as archive:
            archive.add(folder, arcname=f"robustxai-{__version__}-{name}")
    return made


def publishable() -> str | None:
    """Why nothing may be published yet, or None."""
    if repository() is not None:
        return None
    address = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"][
        "Repository"
    ]
    return f"the public address is not settled: pyproject.toml has {address}; nothing is published"


def main() -> int:
    """0, or 1 with sentences on stderr."""
    step, *rest = sys.argv[1:] or [""]
    said: list[str] = []
    match step, rest:
        case "check", [tag]:
            said = disagreements(tag)
        case "build", [out]:
            print(*build(Path(out)), sep="\n")
        case "smoke", [out, notebook]:
            smoke(Path(out), Path(notebook), ROOT / "build" / "smoke")
        case "assets", [out]:
            print(*assets(Path(out)), sep="\n")
        case "notes", []:
            print(notes(__version__)[1])
        case "publishable", []:
            said = [reason] if (reason := publishable()) else []
        case _:
            said = ["usage: check TAG | build OUT | smoke OUT NOTEBOOK | assets OUT | notes | publishable"]
    for sentence in said:
        print(f"release: {sentence}", file=sys.stderr)
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
