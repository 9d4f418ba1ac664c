"""How a chapter is read: claims as badges that lead to the report and back, folded parts, the box with the answer."""

import json
import re
import sys
from pathlib import Path

import pytest
import reading
from docutils import nodes
from docutils.core import publish_doctree

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "workflow"))

import reader_view  # noqa: E402 - beside the Snakefile, not installed

LINE = "UNDECIDED    bare_filter | It holds, or | ours 0.97 [0.93, 1.00], n=9 images | rule: at least 0.950 | 4 do\n"


def stream(*lines: str) -> dict:
    return {"output_type": "stream", "name": "stdout", "text": list(lines)}


def chapters(site: Path) -> list[Path]:
    return sorted((site / "notebooks").glob("*.html"))


def test_a_claim_is_a_badge_with_its_statement_its_numbers_and_a_link():
    item = reader_view.claim_item(LINE, "ace")
    assert item.startswith(
        '<li id="measured-ace-bare-filter"><span class="ea-badge ea-open" title="The interval'
    )
    assert 'href="../book/replication/ace.html#claim-ace-bare-filter">It holds, or</a>' in item
    assert "ours 0.97 [0.93, 1.00], n=9 images · rule: at least 0.950 · 4 do</span></li>" in item
    with pytest.raises(ValueError, match="line must be that of a claim, got 'hello'"):
        reader_view.claim_item("hello", "ace")


def test_outputs_keep_their_order_and_lose_what_only_tests_read():
    output = stream("before\n", LINE, LINE, "data behind a map: 2x2\n", "after\n")
    found = list(reader_view.shown(output, "ace"))
    assert [o["output_type"] for o in found] == ["stream", "display_data", "stream"]
    assert found[0]["text"] == "before\n" and found[2]["text"] == "after\n"
    assert found[1]["data"]["text/html"].count("<li ") == 2
    assert list(reader_view.shown(stream("data behind a map: 2x2\n", "\n"), "ace")) == []
    picture = {"output_type": "display_data", "data": {"image/png": "x", reader_view.DIGEST_TYPE: {"a": "1"}}}
    assert next(reader_view.shown(picture, "ace"))["data"] == {"image/png": "x"}


def test_claims_below_a_named_figure_are_not_part_of_it(tmp_path: Path):
    figure = {
        "cell_type": "code",
        "id": "a",
        "metadata": {"mystnb": {"figure": {"name": "f"}}},
        "source": "1",
    }
    cells = [
        figure | {"outputs": [stream(LINE)]},
        {"cell_type": "markdown", "id": "b", "metadata": {}, "source": "x"},
    ]
    file = tmp_path / "ace.ipynb"
    file.write_text(json.dumps({"cells": cells}))
    reader_view.for_readers(file)
    first, second, third = json.loads(file.read_text())["cells"]
    assert first["outputs"] == [] and second["metadata"] == {"tags": ["remove-input"]} and third == cells[1]
    assert second["id"] == "a-claims" and len(second["outputs"]) == 1


def sections(*titles: str) -> nodes.document:
    return publish_doctree("\n\n".join(f"{t}\n{'=' * len(t)}\n\nText of it." for t in ("Page", *titles)))


def test_only_side_rooms_fold_and_keep_their_heading():
    page = sections("Going deeper: costs", "Going on")
    reading.fold(page)
    (folded,) = page.findall(reading.deeper)
    assert (
        folded.astext() == "Text of it."
        and folded.parent.next_node(nodes.title).astext() == "Going deeper: costs"
    )
    words, figures = reading.main_line(page)
    assert (words, figures) == (1 + 3 + 3 + 2 + 3, 0)
    assert [reading.minutes(*seen) for seen in ((0, 0), (2200, 4))] == [1, 14]


def test_the_bar_counts_the_papers_claims_apart_from_ours():
    records = [{"verdict": v, "whose": w} for v, w in (("reproduced", "paper"), ("undecided", "pilot"))]
    bar = reading.verdict_bar({"claims": records}, "ace")
    assert re.findall(r"<b>(.*?)</b>", bar) == ["The paper’s claims", "Our own"]
    assert "reproduced</span> 1" in bar and "undecided</span> 1" in bar and "contradicted" not in bar


def test_each_verdict_of_the_quick_runs_leads_from_the_report_to_its_cell_and_back(site: Path):
    for page in chapters(site):
        markup = page.read_text(encoding="utf-8")
        report = (site / "book" / "replication" / page.name).read_text(encoding="utf-8")
        here, there = (
            set(re.findall(r'<li id="(measured-[\w-]+)"', markup)),
            set(re.findall(r'id="(claim-[\w-]+)"', report)),
        )
        asked = set(re.findall(rf'notebooks/{page.stem}\.html#(measured-[\w-]+)"', report))
        assert asked and asked <= here, f"{page.name}: {sorted(asked - here)}"
        assert set(re.findall(rf'replication/{page.stem}\.html#(claim-[\w-]+)"', markup)) <= there
        assert "data behind" not in markup and not re.search(r"REPRODUCED +\w+ \|", markup)


def test_a_chapter_opens_with_its_answer_and_says_how_long_it_takes(site: Path):
    for page in chapters(site):
        markup = page.read_text(encoding="utf-8")
        assert markup.count("The answer first</p>") == 1, page.name
        answer = markup.index("The answer first</p>")
        assert answer < markup.index("<h2", markup.index("<article")), (
            f"{page.name}: the answer comes after the first section"
        )
        assert re.search(r'<ul class="ea-bar">.*?ea-minutes">\d+ minutes to read', markup[answer:], re.S)


def test_a_folded_part_opens_for_who_follows_a_link_into_it(visit, site: Path):
    with_parts = [p for p in chapters(site) if "ea-deeper" in p.read_text(encoding="utf-8")]
    if not with_parts:
        pytest.skip("no chapter has a folded part")
    page = visit(f"notebooks/{with_parts[0].name}").page
    part = page.locator("details.ea-deeper").first
    assert part.get_attribute("open") is None
    where = part.evaluate("part => part.closest('section').id")
    page.evaluate("where => { location.hash = where }", where)
    page.wait_for_function("document.querySelector('details.ea-deeper').open")
