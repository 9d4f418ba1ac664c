"""book/_ext/replication.py on a small ledger: what it shows of a run that the library itself wrote."""

import dataclasses
import datetime
from pathlib import Path

import chapters
import claim_blocks
import mdtext
import pytest
import replication
import verdict_matrix

from robustxai.claims import Run, ledger

LEDGER = """
diffgradcam:
  - id: diffgradcam.accuracy
    whose: paper
    paper: A. Author (2025)
    where: abstract
    statement: Fooling costs no accuracy | not *much*.
    paper_value: not stated
    measured: accuracy after minus before
    unit: images
    rule: {kind: at_least, value: -0.02}
    profiles: [quick]
  - id: diffgradcam.order
    whose: paper
    paper: A. Author (2025)
    where: Table 1
    statement: a beats b.
    paper_value: 0.9
    measured: Pearson r
    unit: exact
    rule: {kind: ordering, order: [a, b]}
    profiles: [quick]
    note: Holds for `lse` and $\\lambda > 1$ only.
  - id: diffgradcam.cost
    whose: paper
    paper: A. Author (2025)
    where: abstract
    statement: It costs the same.
    paper_value: not stated
    measured: ratio of times
    unit: exact
    rule: {kind: ratio_at_least, of: [slow, fast], value: 2}
    profiles: [quick, gpu]
  - id: diffgradcam.people
    whose: paper
    paper: A. Author (2025)
    where: abstract
    statement: People prefer it.
    paper_value: not stated
    measured: nothing
    unit: people
    premise: people can tell
    rule: {kind: sign, sign: positive}
    profiles: [quick]
  - id: diffgradcam.agree
    whose: ours
    paper: A. Author (2025)
    where: abstract
    statement: Both agree.
    paper_value: not stated
    measured: Pearson r
    unit: images
    settings: [mean, lse]
    unknown: which contrast it means
    history: ["Until version 1 only lse was measured; the paper does not say which."]
    rule: {kind: at_least, value: 0.9}
    profiles: [quick]
"""
TODAY = datetime.date(2026, 6, 1)


@pytest.fixture
def book(tmp_path: Path) -> Path:
    (tmp_path / "claims.yml").write_text(LEDGER, encoding="utf-8")
    run = Run(
        "diffgradcam",
        path=tmp_path / "results" / "quick" / "diffgradcam.json",
        ledger=tmp_path / "claims.yml",
    )
    run.check("diffgradcam.accuracy", -0.01, interval=(-0.03, 0.01), n=500, seeds=3, ceiling=0.931)
    run.check("diffgradcam.order", {"a": 0.2, "b": 0.8}, n=500)
    run.check("diffgradcam.cost", {"slow": 3.0, "fast": 1.0})
    run.skip("diffgradcam.people", "needs people")
    run.check(
        "diffgradcam.agree",
        {"mean": 0.95, "lse": 0.8},
        interval={"mean": (0.92, 0.98), "lse": (0.7, 0.85)},
        n=9,
    )
    run.table(
        "by_class_count",
        [
            {
                "C=10": 0.5,
                "method": "a_b",
                "C=2": -0.25,
                "range": [0.1, 0.2],
                "none": None,
                "pair": "0.5 / -0.1",
                "r": [0.5, 0.4, 0.6],
            }
        ],
    )
    run.finish()
    return tmp_path


def report(book: Path) -> str:
    """The page of the chapter's claims."""
    return replication.chapter_page(
        ledger(book / "claims.yml"), claim_blocks.read_results(book / "results"), "diffgradcam"
    )


def overview(book: Path, today: datetime.date = TODAY) -> str:
    """The first page."""
    return replication.overview(
        ledger(book / "claims.yml"), claim_blocks.read_results(book / "results"), today=today
    )


def block(text: str, name: str) -> str:
    """The part of the report about one claim."""
    start = text.index(f"(claim-diffgradcam-{name})=")
    return text[start : text.index("\n:::\n", start)]


def test_a_claim_shows_statement_paper_rule_value_interval_counts_and_verdict(book: Path):
    text = block(report(book), "accuracy")
    assert "**Fooling costs no accuracy \\| not \\*much\\*.**" in text
    assert "Paper’s value: not stated" in text
    assert "Rule: at least −0.0200" in text
    assert (
        "| quick | −0.0100 \\[−0.0300, 0.0100\\] | 500 images, 3 seeds; about 5 seeds would decide |" in text
    )
    assert "Whose claim: the paper’s" in text
    assert chapters.badge("undecided") in text
    assert "ceiling 0.931" in text


def test_an_ordering_shows_every_name_and_a_ratio_both_parts(book: Path):
    text = report(book)
    assert "a 0.200<br>b 0.800" in block(text, "order")
    assert chapters.badge("contradicted") in block(text, "order")
    assert "Holds for `lse` and $\\lambda > 1$ only." in block(text, "order")
    assert "3.00 (3.00 / 1.00)" in block(text, "cost")


def test_what_was_not_attempted_says_why(book: Path):
    text = block(report(book), "people")
    assert "needs people" in text
    assert chapters.badge("not attempted") in text


def test_a_claim_that_depends_on_an_unknown_shows_every_choice(book: Path):
    text = block(report(book), "agree")
    assert "Choices, as the paper does not say which contrast it means: mean, lse" in text
    assert "mean 0.950 \\[0.920, 0.980\\]<br>lse 0.800 \\[0.700, 0.850\\]" in text
    assert chapters.badge("depends on an unknown") in text and "Whose claim: ours" in text
    assert "Until version 1 only lse was measured; the paper does not say which." in text
    assert "Premise, checked first: people can tell" in block(report(book), "people")


def test_the_first_page_counts_the_papers_claims_and_says_what_was_not_run(book: Path):
    text = overview(book)
    counted = text[text.index('<ul class="ea-legend">') : text.index("</ul>")]
    for verdict, count in {"reproduced": 1, "undecided": 1, "contradicted": 1, "not attempted": 1}.items():
        assert f"{chapters.badge(verdict)}&nbsp;{count}" in counted
    assert "depends on an unknown" not in counted, "that one is ours"
    assert "<li><b>gpu</b> not run</li>" in counted
    assert "1 planned, not run" in text


def test_every_claim_is_a_square_that_leads_to_it_and_says_its_verdict(book: Path):
    text = overview(book)
    assert text.count('class="ea-square') == 5
    words = "Fooling costs no accuracy | not *much*. undecided"
    place = "replication/diffgradcam.html#claim-diffgradcam-accuracy"
    assert f'<a class="ea-square ea-open" href="{place}" title="{words}" aria-label="{words}">?</a>' in text
    assert "(claim-diffgradcam-accuracy)=" in report(book)
    assert text.index("Fooling costs") < text.index("Both agree."), "the paper's claims come first"


def test_the_forest_has_a_row_a_value_and_says_where_the_interval_lies(book: Path):
    claims, (run,) = ledger(book / "claims.yml"), claim_blocks.read_results(book / "results")
    text = "\n".join(verdict_matrix.forest_table(claims, run))
    assert text.count("<svg") == 5  # one is not attempted, one has two values
    rows = {
        name: text[text.index(f"#claim-diffgradcam-{name}") :].split("</tr>")[0]
        for name in ("accuracy", "order")
    }
    assert 'aria-label="the interval contains the bound"' in rows["accuracy"]
    assert "no interval, or one of no width; the value violates the rule" in rows["order"]
    agree = [part for part in text.split("<tr>") if "#claim-diffgradcam-agree" in part]
    assert ["satisfies" in part for part in agree] == [True, False]
    assert [name in part for name, part in zip(("mean", "lse"), agree, strict=True)] == [True, True]


def test_a_table_puts_words_first_and_counts_numbers_naturally(book: Path):
    text = report(book)
    assert "| method | C=2 | C=10 | none | pair | r | range |" in text
    assert (
        "| a\\_b | −0.250 | 0.500 | – | 0.5 / −0.1 | 0.500 \\[0.400, 0.600\\] | \\[0.100, 0.200\\] |" in text
    )


def test_an_old_run_is_marked(book: Path):
    (result,) = claim_blocks.read_results(book / "results")
    date = datetime.date.fromisoformat(result.timing["date"])
    assert "ea-stale" not in overview(book, today=date + datetime.timedelta(days=90))
    late = overview(book, today=date + datetime.timedelta(days=91))
    assert f'<time class="ea-age ea-stale" datetime="{date}">91 days</time>' in late


def test_a_record_without_a_ledger_entry_stops_the_build(book: Path):
    short = LEDGER[: LEDGER.index("  - id: diffgradcam.people")]
    (book / "claims.yml").write_text(short, encoding="utf-8")
    with pytest.raises(
        Exception,
        match=r"results/quick/diffgradcam.json judges diffgradcam.agree, diffgradcam.people, not in claims.yml",
    ):
        report(book)


def test_a_verdict_under_an_older_rule_is_told(book: Path):
    changed = LEDGER.replace("value: -0.02}", "value: -0.5}")
    (book / "claims.yml").write_text(changed, encoding="utf-8")
    assert "The quick run was judged by an older rule: at least −0.0200." in block(report(book), "accuracy")


def test_without_results_the_claims_stand_there_all_the_same(book: Path):
    claims = ledger(book / "claims.yml")
    assert "No run is recorded yet." in replication.overview(claims, [], today=TODAY)
    text = replication.chapter_page(claims, [], "diffgradcam")
    assert "No run is recorded yet." in text
    assert "It costs the same." in text
    with pytest.raises(Exception, match=r"claims\.yml has no claims of ranking"):
        replication.chapter_page(claims, [], "ranking")


def test_every_chapter_has_a_page_of_claims_in_the_contents():
    root = Path(__file__).resolve().parents[2]
    contents = (root / "_toc.yml").read_text(encoding="utf-8")
    for chapter in chapters.CHAPTERS:
        page = (root / "book" / "replication" / f"{chapter}.md").read_text(encoding="utf-8")
        assert replication.MARK.search(page)[1] == chapter
        assert f"book/replication/{chapter}\n" in contents


def test_every_verdict_of_the_library_has_a_badge():
    from robustxai.claims import VERDICTS

    assert tuple(chapters.VERDICTS) == VERDICTS
    with pytest.raises(Exception, match="verdict 'true' is not known"):
        chapters.badge("true")


def test_every_field_that_a_run_writes_is_shown_or_extra(book: Path):
    (result,) = claim_blocks.read_results(book / "results")
    known = {name for record in result.records.values() for name in record} - {"ceiling"}
    assert known <= claim_blocks.RECORD_FIELDS
    assert {f.name for f in dataclasses.fields(result)} >= {"run", "timing", "tables"}


def test_plain_text_stays_plain_and_code_and_math_stay_themselves():
    assert mdtext.plain("a_b <c> [d] -1 x-1") == "a\\_b \\<c\\> \\[d\\] −1 x-1"
    assert mdtext.plain("`a_b` and $a_b$, 5 $ each") == "`a_b` and $a_b$, 5 \\$ each"
