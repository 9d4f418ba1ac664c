"""The README's code is true: one block for each of the five jobs, run as a reader would, and what it shows holds."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.image
import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
PART = re.compile(r"^#+ ([^\n]+)$|^```python\n(.*?)^```", flags=re.DOTALL | re.MULTILINE)


def jobs(name: str = "README.md") -> dict[str, list[str]]:
    """The Python blocks of a page by the title above them."""
    found: dict[str, list[str]] = {}
    title = ""
    text = (ROOT / name).read_text(encoding="utf-8")
    for part in PART.finditer(text):
        if part[1]:
            title = part[1]
        else:
            found.setdefault(title, []).append(part[2])
    assert text.count("```python") == sum(map(len, found.values()))
    return found


def pictured(name: str) -> None:
    image = matplotlib.image.imread(name)
    assert image.shape[0] > 100 and image.std() > 0.05


def explained(names: dict[str, Any], said: str) -> None:
    maps = names["maps"]
    assert all(m.shape == (4, 1, 64, 64) and m.flatten(1).amax(1).min() > 0 for m in maps.values())
    assert not torch.equal(maps["GradCAM"], maps["DiffGradCAM"])
    pictured("maps.png")


def attacked(names: dict[str, Any], said: str) -> None:
    found = names["found"]
    assert found.kept.all() and found.followed.all() and found.linf.max() <= 4 / 255 + 1e-6
    assert names["attacked"].n == names["random"].n == 8
    assert names["attacked"].mean < 0.5 < 0.9 < names["random"].mean
    assert "under attack" in said and "by chance" in said


def trained(names: dict[str, Any], said: str) -> None:
    lines = re.findall(
        r"^(.*): accuracy ([\d.]+), share of the top 8 kept under attack ([\d.]+)$", said, re.MULTILINE
    )
    assert [method for method, _, _ in lines] == ["Vanilla", "R2ET", "SP + R2ET"]
    assert min(float(accuracy) for _, accuracy, _ in lines) > 0.9
    plain, robust, smooth = (float(kept) for _, _, kept in lines)
    assert plain + 0.02 < robust < smooth - 0.02


def changed(names: dict[str, Any], said: str) -> None:
    found = names["found"]
    assert found.flipped.all() and "4 of 4 counterfactuals" in said
    outside = (found.image - found.x) * ~found.mask
    assert not outside.any() and 0 < found.mask.float().mean() < 0.5
    pictured("counterfactuals.png")


def doubted(names: dict[str, Any], said: str) -> None:
    assert re.search(r"^striped at b3: (0\.9|1).*, important$", said, re.MULTILINE)
    assert re.search(
        r"^striped, attacked at b3: 0\.[0-7].*, (not significant|anti-important)$", said, re.MULTILINE
    )
    assert re.search(r"^sign noise 1 at b3: (0\.9|1).*, important$", said, re.MULTILINE)


SHOWN: dict[str, Callable[[dict[str, Any], str], None]] = {
    "Explain a prediction and plot it": explained,
    "Attack an explanation of my model": attacked,
    "Train a robust ranking on my table": trained,
    "A counterfactual of my image": changed,
    "Test a concept against an attack": doubted,
}


def test_the_readme_has_one_block_for_each_of_the_five_jobs() -> None:
    assert {title: len(blocks) for title, blocks in jobs().items()} == dict.fromkeys(SHOWN, 1)


@pytest.mark.parametrize("title", SHOWN)
def test_a_block_runs_alone_and_shows_what_it_says(
    title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROBUSTXAI_DATA", str(tmp_path / "nothing"))
    (block,) = jobs()[title]
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(block, f"README.md: {title}", "exec"), names)
    SHOWN[title](names, capsys.readouterr().out)


def test_the_page_on_running_shows_code_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (block,) = jobs("book/running.md")["Only the library"]
    names: dict[str, Any] = {}
    exec(compile(block, "running.md", "exec"), names)
    assert names["maps"].shape[:2] == (4, 1)
