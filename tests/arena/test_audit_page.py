"""The page on `robustxai audit` is true: its code runs, its options exist, and its codes are those of the command."""

import re
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from robustxai.arena.auditing.report import REPORT_FILES
from robustxai.arena.auditing.rows import CODES, OUT_OF_TIME
from robustxai.arena.cells import CELL_STATES
from robustxai.cli import app

PAGE = (Path(__file__).resolve().parents[2] / "book" / "audit.md").read_text(encoding="utf-8")


def test_its_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {}
    exec(compile(block, "audit.md", "exec"), names)
    assert "GradCAM's top fifth" in capsys.readouterr().out
    assert sorted(p.name for p in (tmp_path / "audit").iterdir()) == sorted(REPORT_FILES)


def test_its_options_exist_and_all_files_states_and_codes_are_on_it():
    command = get_command(app).commands["audit"]  # pyright: ignore[reportAttributeAccessIssue]
    known = {option for p in command.params for option in p.opts}
    used = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", PAGE))
    assert used and not used - known
    assert all(f"`{name}`" in PAGE for name in REPORT_FILES)
    assert set(re.findall(r"^\| (\w[\w /]*?) +\|", PAGE, flags=re.MULTILINE)) >= {*CELL_STATES, OUT_OF_TIME}
    assert {int(code) for code in re.findall(r"\*\*(\d+)\*\*", PAGE)} == {*CODES.values(), 2, 130}
