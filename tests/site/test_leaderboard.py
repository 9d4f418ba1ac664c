"""book/_ext/leaderboard.py and its script on a small made-up board: what is shown, sorted and filtered."""

import re
from pathlib import Path
from typing import Any

import leaderboard
import pytest

from robustxai.arena.board import new_entry, save

SCRIPT = Path(__file__).resolve().parents[2] / "book" / "_static" / "leaderboard.js"
N = 16


def entry(
    row: str, p: float, *, state: str = "attacked", dependence: float = 0.7, family: str = "cam"
) -> dict:
    made = new_entry(
        row,
        family,
        "",
        {"suite": "quick", "version": "1", "steps": 10},
        {"commit": "abc", "device_name": "x"},
    )
    cells = [
        {
            "key": "", "network": "animals4-s0", "defence": "none", "eps": level / 255, "norm": "linf",
            "readout": readout, "state": state, "reason": "Why & wherefore." if state != "attacked" else "", "n": N,
            "worst": [round(p / level + 0.01 * i, 4) for i in range(N)], "noise": [0.9] * N, "transfer": [None] * N,
            "grid": [0.5] * N, "worst_attack": {"topk": N}, "followed": N, "dropped": 0, "dead": 0, "flags": [],
            "forwards": 100, "backwards": 0, "met": [],
        }
        for level in (1, 2, 4, 8)
        for readout in ("own", "grid")
    ]  # fmt: skip
    network = {"animals4-s0": {"data": {"set": "menagerie animals4"}}}
    clean = {"animals4-s0": {"dependence": dependence, "faith": 0.5, "mass": 0.2, "chance": 0.05}}
    return made | {
        "cells": cells,
        "networks": network,
        "clean": clean,
        "flags": ["<b>"] if row == "low" else [],
    }


BOARD = [
    entry("low", 0.2), entry("high", 0.8, family="pixel"), entry("edge", 0.84, dependence=0.0, family="trivial"),
    entry("weak one", 0.5, state="weak"), entry("still", 0.8, state="not attacked"),
]  # fmt: skip


def test_a_board_that_was_not_run_yet_says_so() -> None:
    for boards in ({}, {"quick": [], "real": []}):
        text = leaderboard.render(boards)
        assert "Not run yet: `robustxai arena run --profile quick`" in text and "<table" not in text


def test_stored_rows_become_tables_by_profile(tmp_path: Path) -> None:
    for one in BOARD:
        save(one, tmp_path / "real" / "arena")
    boards = leaderboard.read_boards(tmp_path)
    assert {k: len(v) for k, v in boards.items()} == {"quick": 0, "real": 5, "gpu": 0}
    text = leaderboard.render(boards)
    assert "## Profile real" in text and "## Profile quick" not in text
    assert "5 rows on animals4-s0; suite quick version 1, 10 steps; commit `abc` on x." in text
    (tmp_path / "real" / "arena" / "low.json").write_text("{}")
    with pytest.raises(ValueError, match=r"^low.json must be a row of schema 1, got None$"):
        leaderboard.read_boards(tmp_path)


def rows(html: str) -> list[str]:
    return re.findall(r"<th scope=\"row\"[^>]*><strong>([^<]*)", html)


def test_what_ignores_the_network_stands_below_and_states_are_words() -> None:
    html = leaderboard.table("quick", BOARD)
    assert rows(html) == ["high", "low", "weak one", "still", "edge"] * 2
    assert html.index("hardly depend on the network") < html.index("<strong>edge")
    assert "&lt;b&gt;" in html and "<b>" not in html and 'title="Why &amp; wherefore."' in html
    line = html[html.index("<strong>still") : html.index("</tr>", html.index("<strong>still"))]
    assert line.count('<span class="ea-quiet">not attacked</span>') == 4 and not re.search(r"0\.8", line)
    weak = html[html.index("<strong>weak one") : html.index("</tr>", html.index("<strong>weak one"))]
    assert weak.count("≤ ") == 4 and 'data-key=""' in weak


@pytest.fixture(scope="module")
def page(browser) -> Any:
    tab = browser.new_page()
    tab.set_content(f"<!doctype html>{leaderboard.table('quick', BOARD)}")
    tab.add_script_tag(content=SCRIPT.read_text(encoding="utf-8"))
    yield tab
    tab.close()


def names(page: Any) -> list[str]:
    shown = "tbody:not([hidden]) tr[data-family]:not([hidden]) strong"
    return page.eval_on_selector_all(shown, "all => all.map((one) => one.textContent)")


def column(page: Any, name: str) -> None:
    page.click(f"thead button:text-is('{name}')")


def test_a_click_sorts_each_block_and_a_second_one_turns_it_round(page: Any) -> None:
    column(page, "P 2")
    assert names(page) == ["high", "weak one", "low", "still", "edge"]
    column(page, "P 2")
    assert names(page) == ["low", "weak one", "high", "still", "edge"], "what has no value is last either way"
    assert page.get_attribute("thead th[aria-sort]", "aria-sort") == "ascending"
    column(page, "Rank")
    assert names(page)[:2] == ["high", "low"] and names(page)[-1] == "edge"


def test_filters_leave_what_fits_and_say_how_many(page: Any) -> None:
    page.fill("input[name=find]", "PIXEL")
    assert names(page) == ["high"] and page.inner_text("output") == "1 row"
    page.fill("input[name=find]", "")
    page.select_option("select[name=family]", "cam")
    assert set(names(page)) == {"low", "weak one", "still"} and not page.is_visible(".ea-divide")
    page.check("input[name=ranked]")
    assert names(page) == ["low"]
    page.uncheck("input[name=ranked]")
    page.select_option("select[name=family]", "")
    page.select_option("select[name=readout]", "grid")
    assert page.inner_text("output") == "5 rows" and page.is_visible("tbody[data-readout=grid]:not([hidden])")
    assert page.get_attribute("tbody[data-readout=own]", "hidden") is not None
