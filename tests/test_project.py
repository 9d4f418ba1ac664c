"""The files of the project agree: dependencies, address, names, commands, sizes; and nothing private."""

import ast
import re
import subprocess
import sys
import tomllib
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
import yaml
from fingerprint import notebook_cells, notebook_code
from lowest import constraints, lowest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from robustxai import __version__
from robustxai.arena.board import board_slug, load_entry

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ADDRESS = PROJECT["urls"]["Repository"]
EXTRAS = PROJECT["optional-dependencies"]
WEIGHTS = {"real"}
"""Extras that are weight files and no code: only the profile real asks for them, and nothing installs them unasked."""
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MIB = 2**20


def read(name: str) -> str:
    """A text file of the project."""
    return (ROOT / name).read_text(encoding="utf-8")


@cache
def tracked() -> list[Path]:
    """The files that git tracks and that are there."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


@cache
def tracked_texts() -> dict[str, str]:
    """The text of every tracked file that is text, by its path."""
    texts = {}
    for path in tracked():
        data = path.read_bytes()
        if b"\0" not in data[:4096]:
            texts[path.relative_to(ROOT).as_posix()] = data.decode("utf-8")
    return texts


# One list of dependencies


def requirements(*extras: str) -> list[Requirement]:
    """The requirements in pyproject.toml: the library's and those of some extras."""
    lines = PROJECT["dependencies"] + [line for extra in extras for line in EXTRAS[extra]]
    return [Requirement(line) for line in lines]


def locked() -> dict[str, str]:
    """Versions in the lock, by canonical name."""
    lines = [line for line in read("requirements.lock").splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9-]+==[A-Za-z0-9.!]+", line) for line in lines), (
        "names and exact versions only"
    )
    return dict(line.split("==") for line in lines)


@pytest.mark.parametrize("requirement", requirements(*sorted(EXTRAS.keys() - WEIGHTS)), ids=str)
def test_the_lock_has_every_requirement_at_a_version_that_fits(requirement: Requirement) -> None:
    assert requirement.specifier.contains(locked()[canonicalize_name(requirement.name)])


def test_conda_installs_what_pyproject_says_and_nothing_else() -> None:
    environment = yaml.safe_load(read("environment.yml"))
    assert environment["name"] == PROJECT["name"]
    python, pip, section = environment["dependencies"]
    assert pip == "pip"
    assert python.startswith(f"python{PROJECT['requires-python']}")
    lock, package = section["pip"]
    assert lock == "-c requirements.lock"
    match = re.fullmatch(r"-e \.\[([a-z,]+)\]", package)
    assert match and set(match[1].split(",")) == EXTRAS.keys() - WEIGHTS


def test_the_makefile_installs_extras_that_exist() -> None:
    named = re.findall(r"EXTRAS := (\S+)", read("Makefile"))
    assert {extra for names in named for extra in names.split(",")} == EXTRAS.keys() - WEIGHTS


def test_weights_come_at_one_version() -> None:
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9.]+", line) for extra in WEIGHTS for line in EXTRAS[extra])


@cache
def brought_by(*extras: str) -> frozenset[str]:
    """Distributions that come with the library and some extras, directly or through others."""
    seen: set[str] = set()
    todo = requirements(*extras)
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        if name in seen:
            continue
        seen.add(name)
        try:
            further = [Requirement(line) for line in requires(name) or []]
        except PackageNotFoundError:  # of another platform
            continue
        chosen = [{"extra": extra} for extra in requirement.extras] or [{"extra": ""}]
        todo += [r for r in further if not r.marker or any(r.marker.evaluate(extra) for extra in chosen)]
    return frozenset(seen)


def foreign_imports(code: str, *, late: bool) -> set[str]:
    """Top-level names of other packages that a text imports; with `late`, also those inside functions."""
    tree = ast.parse(code)
    nodes = ast.walk(tree) if late else (node for top in tree.body for node in early(top))
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names - set(sys.stdlib_module_names) - {"robustxai"}


def early(node: ast.AST) -> list[ast.AST]:
    """A statement and what it runs at once: no bodies of functions and of `if TYPE_CHECKING`."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        return []
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        return []
    return [node, *(found for child in ast.iter_child_nodes(node) for found in early(child))]


def missing(names: set[str], have: frozenset[str]) -> set[str]:
    """Imported names that none of the distributions provides."""
    providers = packages_distributions()
    return {n for n in names if not {canonicalize_name(d) for d in providers.get(n, [])} & have}


def test_the_library_imports_only_what_it_asks_for() -> None:
    plugin = ROOT / "src/robustxai/nbval.py"  # loaded by pytest only, where the extra `test` is installed
    files = sorted(set((ROOT / "src").rglob("*.py")) - {plugin})
    names = {name for file in files for name in foreign_imports(file.read_text(), late=False)}
    assert "torch" in names
    assert not missing(names, brought_by())


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_imports_only_what_the_library_brings(notebook: Path) -> None:
    names = foreign_imports(notebook_code(notebook), late=True) - {"google", "IPython"}
    assert not missing(names, brought_by())


# One address


def test_the_address_stands_in_pyproject_and_everything_agrees() -> None:
    assert yaml.safe_load(read("_config.yml"))["repository"]["url"] == ADDRESS
    assert yaml.safe_load(read("CITATION.cff"))["repository-code"] == ADDRESS
    name = ADDRESS.rpartition("/")[2]
    owner = ADDRESS.split("/")[-2]
    texts = tracked_texts()
    found = {(file, who) for file, text in texts.items() for who in re.findall(rf"([\w-]+)/{name}\b", text)}
    strangers = {(file, who) for file, who in found if who not in (owner, "-")}
    assert found and not strangers


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_readme_has_a_working_badge_for_each_chapter(notebook: Path) -> None:
    colab = ADDRESS.replace("https://github.com", "https://colab.research.google.com/github")
    assert f"({colab}/blob/main/notebooks/{notebook.name})" in read("README.md")


def test_the_citation_is_for_this_version() -> None:
    citation = yaml.safe_load(read("CITATION.cff"))
    assert (citation["version"], citation["license"]) == (__version__, PROJECT["license"])


# Nothing private


PRIVATE = {
    "a path of some machine": r"(?<![\w.~-])/(?:work|root|home|Users|private|tmp/h)/\w",
    "the address of a package registry": r"py"
    + r"pi\.org|pythonho"
    + r"sted|deb\.deb"
    + r"ian|npm"
    + r"js\.(?:com|org)",
    "a temporary folder": r"/tmp/(?!\W)\w*pytest|/var/folders",
}


@pytest.mark.parametrize("what", PRIVATE)
def test_no_tracked_file_holds(what: str) -> None:
    itself = Path(__file__).relative_to(ROOT).as_posix()
    found = {
        file: match[0] for file, text in tracked_texts().items() if (match := re.search(PRIVATE[what], text))
    }
    assert set(found) <= {itself}, found


# Sizes


def test_the_checkout_travels() -> None:
    assert sum(path.stat().st_size for path in tracked()) < 48 * MIB


def test_the_weights_are_small() -> None:
    sizes = {path.name: path.stat().st_size for path in tracked() if path.suffix == ".safetensors"}
    assert sum(sizes.values()) < 30 * MIB  # five chapters' networks; the whole checkout stays below 48
    assert not {name: size for name, size in sizes.items() if size >= 14 * MIB}


def test_nothing_is_pickled() -> None:
    suffixes = {".pt", ".pth", ".pkl", ".pickle", ".joblib", ".ckpt"}
    assert not [path for path in tracked() if path.suffix in suffixes]


# One name per chapter


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_chapter_has_all_its_parts_under_one_name(notebook: Path) -> None:
    chapter = notebook.stem
    assert (ROOT / "src" / "robustxai" / chapter / "__init__.py").is_file()
    assert list((ROOT / "tests" / chapter).glob("test_*.py"))
    assert yaml.safe_load(read("claims.yml"))[chapter]
    assert (ROOT / "results" / "quick" / f"{chapter}.json").is_file()
    assert f"notebooks/{chapter}" in read("_toc.yml")


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_executed(notebook: Path) -> None:
    code = [cell for cell in notebook_cells(notebook) if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))


def test_results_belong_to_chapters_and_profiles() -> None:
    known = {path.stem for path in NOTEBOOKS}
    profiles = {path.stem for path in (ROOT / "workflow" / "profiles").glob("*.yaml")} | {
        "bench"
    }  # ratios of `make bench`
    for file in (ROOT / "results").rglob("*.json"):
        if file.parent.name == "arena":  # the board has a file a row
            assert file.parent.parent.name in profiles and file.stem == board_slug(load_entry(file)["row"]), (
                file
            )
            continue
        assert file.stem in known and file.parent.name in profiles, file


# Commands


def test_the_documents_name_make_targets_that_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), flags=re.MULTILINE))
    texts = [read(name) for name in ("README.md", "CONTRIBUTING.md", ".ci/run", "book/running.md")]
    texts += [path.read_text() for path in (ROOT / ".github" / "workflows").glob("*.yml")]
    named = {
        name for text in texts for name in re.findall(r"(?:^|`|run: | {4})make ([a-z-]+)", text, flags=re.M)
    }
    assert {"book", "test"} <= named <= targets


def test_ci_runs_the_two_commands_of_the_readme() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    lines = script.read_text().splitlines()
    assert "set -euo pipefail" in lines
    told = re.findall(r"^    (make [a-z]+)", read("README.md"), flags=re.MULTILINE)
    assert told == ["make book", "make test"]
    assert [line for line in lines if line.startswith("make ")] == told


WEEKLY = {
    "slow": "make slow",
    "lowest": "make lowest",
    "newest": "make newest",
    "notebooks-on-the-wheel": "make alone",
}


def test_what_takes_long_is_run_weekly() -> None:
    workflow = yaml.safe_load(read(".github/workflows/ci.yml"))
    assert workflow[True]["schedule"][0]["cron"].endswith(" * * 1")  # YAML takes `on` for true
    for name, command in WEEKLY.items():
        job = workflow["jobs"][name]
        assert "github.event_name == 'schedule'" in job["if"]
        assert job["steps"][-1]["run"] == command
    recipe = re.search(r"^slow: .*\n\t(.*)", read("Makefile"), flags=re.MULTILINE)
    assert recipe and "-m slow tests" in recipe[1]


@pytest.mark.parametrize("name", ["ci", "book", "release"])
def test_caches_are_keyed_by_the_versions_that_are_installed(name: str) -> None:
    jobs = yaml.safe_load(read(f".github/workflows/{name}.yml"))["jobs"]
    keyed = [s["with"] for j in jobs.values() for s in j["steps"] if "setup-python" in s.get("uses", "")]
    for setup in keyed:
        assert setup["cache"] == "pip"
        assert setup["cache-dependency-path"] in ("requirements.lock", "pyproject.toml")
    assert "requirements.lock" in {setup["cache-dependency-path"] for setup in keyed}


def test_the_lowest_versions_are_those_of_pyproject() -> None:
    pins = dict(line.split("==") for line in constraints(ROOT / "pyproject.toml"))
    assert {requirement.name for requirement in requirements("book")} == set(pins)
    for requirement in requirements("book"):
        assert requirement.specifier.contains(pins[requirement.name])
        assert not requirement.specifier.contains(just_below(pins[requirement.name]), prereleases=True)


def just_below(version: str) -> str:
    """A version just below another one."""
    return f"{version}.dev0"


@pytest.mark.parametrize("line", ["a", "a<2", "a!=1", "a>=1,>=2"])
def test_a_requirement_without_one_lower_bound_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"must have one lower bound, such as a>=1.0$"):
        lowest(line)


@pytest.mark.parametrize("name", ["ci", "book"])
def test_workflows_pin_their_actions(name: str) -> None:
    jobs = yaml.safe_load(read(f".github/workflows/{name}.yml"))["jobs"]
    used = [step["uses"] for job in jobs.values() for step in job["steps"] if "uses" in step]
    assert used and all(re.fullmatch(r"actions/[a-z-]+@v\d+", action) for action in used)
