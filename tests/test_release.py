"""A release without publishing: what must agree, the steps in their order, and (slow) a dry run of all of them."""

import json
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import release
import yaml

from robustxai import __version__

ROOT = Path(__file__).resolve().parents[1]
WORKFLOW = ROOT / ".github" / "workflows" / "release.yml"


def test_version_citation_archive_and_changes_agree() -> None:
    assert release.disagreements(f"v{__version__}", dated=False) == []
    assert "dynamic" in (ROOT / "pyproject.toml").read_text(), "the version stands in the package alone"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what a release compares, whose version has a date."""
    for name in ("CITATION.cff", ".zenodo.json", "CHANGELOG.md"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    changes = (tmp_path / "CHANGELOG.md").read_text()
    (tmp_path / "CHANGELOG.md").write_text(changes.replace("— not released", "— 2026-01-31"))
    monkeypatch.setattr(release, "ROOT", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        ("CITATION.cff", f"version: {__version__}", "version: 9.9", "CITATION.cff has the version 9.9"),
        (
            ".zenodo.json",
            f'"{__version__}"',
            '"9.9"',
            "version of CITATION.cff is not version of .zenodo.json",
        ),
        (".zenodo.json", "saliency", "pictures", "keywords of CITATION.cff is not keywords of .zenodo.json"),
        (".zenodo.json", "robustxai authors", "others", "authors of CITATION.cff are not the creators"),
        (
            "CHANGELOG.md",
            "2026-01-31",
            "not released",
            "CHANGELOG.md has 'not released' in place of the date",
        ),
        ("CHANGELOG.md", f"## {__version__}", "## 9.9", "CHANGELOG.md has no section"),
    ],
)
def test_what_does_not_fit_is_named(project: Path, file: str, old: str, new: str, told: str) -> None:
    assert release.disagreements(f"v{__version__}") == []
    text = (project / file).read_text()
    assert old in text
    (project / file).write_text(text.replace(old, new))
    assert [s for s in release.disagreements(f"v{__version__}") if s.startswith(told)]


def test_another_tag_is_named() -> None:
    assert release.disagreements("v9.9", dated=False) == [f"the tag is v9.9, the version v{__version__}"]


def test_the_archive_has_what_a_doi_needs() -> None:
    archive = json.loads((ROOT / ".zenodo.json").read_text())
    assert {"title", "description", "upload_type", "license", "creators"} <= archive.keys()
    assert archive["upload_type"] == "software" and archive["access_right"] == "open"


def test_nothing_is_published_before_the_address_is_set(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["release.py", "publishable"])
    monkeypatch.setattr(release, "repository", lambda: None)
    assert release.main() == 1
    assert "release: the public address is not settled: pyproject.toml has " in capsys.readouterr().err
    monkeypatch.setattr(release, "repository", lambda: "https://example.org/somebody/book")
    assert release.main() == 0 and not capsys.readouterr().err


def test_the_workflow_publishes_last_and_without_a_password() -> None:
    text = WORKFLOW.read_text()
    workflow = yaml.safe_load(text)
    assert workflow[True]["push"] == {"tags": ["v*"]}  # YAML takes `on` for true
    steps = [step.get("run", step.get("uses")) for step in workflow["jobs"]["build"]["steps"]]
    order = re.findall(r"release\.py (\w+)", "\n".join(steps))
    assert order == ["check", "build", "smoke", "assets", "notes", "publishable"]
    assert steps[-1].endswith("publishable"), "it stops there while the address is open"
    publish = workflow["jobs"]["publish"]
    assert publish["needs"] == "build" and "push" in publish["if"]
    assert publish["permissions"]["id-token"] == "write" and "secrets." not in text
    used = [s["uses"] for job in workflow["jobs"].values() for s in job["steps"] if "uses" in s]
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+|pypa/gh-action-pypi-publish@release/v1", u) for u in used)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_dry_run_of_all_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the workflow does it, offline: wheel and sdist, the wheel elsewhere with a notebook, notebooks and site."""
    monkeypatch.setenv("ROBUSTXAI_OFFLINE", "1")
    wheel, sdist = sorted(release.build(tmp_path / "dist"), key=lambda path: path.suffix != ".whl")
    assert wheel.name == f"robustxai-{__version__}-py3-none-any.whl"
    assert "robustxai/claims.yml" in zipfile.ZipFile(wheel).namelist()
    with tarfile.open(sdist) as archive:
        assert f"robustxai-{__version__}/src/robustxai/__init__.py" in archive.getnames()
    release.smoke(tmp_path / "dist", ROOT / "book" / "scenes.ipynb", tmp_path / "smoke")
    assert (tmp_path / "smoke" / "elsewhere" / "executed.ipynb").is_file()
    notebooks, site = release.assets(tmp_path / "assets")
    for archive, wanted in ((notebooks, "ranking.ipynb"), (site, "index.html")):
        with tarfile.open(archive) as packed:
            assert [name for name in packed.getnames() if name.endswith(f"/{wanted}")]
    assert release.notes(__version__)[1].startswith("The first version")


def test_the_smoke_test_fails_where_the_wheel_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wheel that is cut short is no release."""
    monkeypatch.setenv("ROBUSTXAI_OFFLINE", "1")
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / f"robustxai-{__version__}-py3-none-any.whl").write_bytes(b"PK")
    with pytest.raises(subprocess.CalledProcessError):
        release.smoke(tmp_path / "dist", ROOT / "book" / "scenes.ipynb", tmp_path / "smoke")
