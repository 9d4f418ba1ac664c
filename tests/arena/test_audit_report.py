"""The words, the verdict and the files of an audit, made of lines with known numbers; the report opens offline."""

import csv
import io
import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from robustxai.arena.auditing import words
from robustxai.arena.auditing.clean_maps import shown_lines, tied
from robustxai.arena.auditing.findings import Shown
from robustxai.arena.auditing.page import MOST_BYTES, page
from robustxai.arena.auditing.report import REPORT_FILES, Report
from robustxai.arena.auditing.rows import Line, judged, verdict_of
from robustxai.arena.auditing.settings import AuditSettings, in_255ths
from robustxai.metrics import bootstrap_interval

N = 16
G = torch.Generator().manual_seed(0)
SPREAD = torch.rand(N, generator=G) * 0.1
SPREAD -= SPREAD.mean()


def line(row: str, kept: float, *, state: str = "attacked", n: int = N, family: str = "cam", **more) -> Line:
    values = (kept + SPREAD).clamp(0, 1)
    values[n:] = math.nan
    found = Line(
        row=row, family=family, eps=2 / 255, readout="grid", state=state, reason="A reason.",
        kept=bootstrap_interval(values), noise=0.97, transfer=0.9, by_image=values, worst_attack="topk", dropped=N - n,
        dead=0, flags=(), dependence=0.7, deletion=0.3,
    )  # fmt: skip
    return replace(found, **more)


NONE = line("IG", 0.9, state="not attacked", n=0)


@pytest.mark.parametrize(
    ("one", "verdict"),
    [
        (line("a", 0.8), "passed"),
        (line("a", 0.2), "failed"),
        (line("a", 0.5), "undecided"),
        (line("a", 0.8, n=7), "undecided"),
        (line("a", 0.2, n=7), "undecided"),
        (line("a", 0.8, state="weak"), "undecided"),
        (line("a", 0.2, state="weak"), "failed"),
        (line("a", 0.9, state="proof"), "passed"),
        (NONE, "undecided"),
        (line("a", 0.9, state="n/a", n=0), "undecided"),
        (Line.unfinished("a", "cam", 0.01, "grid", N), "undecided"),
    ],
)
def test_the_rule(one: Line, verdict: str):
    assert verdict_of(one, 0.5) == verdict


def test_who_decides():
    lines = [
        line("edge", 0.1, family="trivial"),
        line("CAM", 0.8),
        line("Saliency", 0.2),
        line("EIG", 0, state="n/a", n=0),
    ]
    assert judged(lines, 0.5) == ("failed", {"CAM": "passed", "Saliency": "failed"})
    assert judged(lines, 0.5, ("CAM",)) == ("passed", {"CAM": "passed"})
    assert (
        judged(lines, 0.5, ("CAM", "EIG"))[0] == "undecided" and judged([*lines[:1]], 0.5)[0] == "undecided"
    )
    assert judged([*lines, NONE], 0.1)[0] == "undecided"
    with pytest.raises(ValueError, match="rows must be explainers of this audit"):
        judged(lines, 0.5, ("cam",))


def report(*lines: Line, **more) -> Report:
    settings = more.pop("settings", AuditSettings(n=N))
    x = torch.rand(N, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    names = [f"{i:02}.png" for i in range(N)]
    return Report(
        settings=settings, network="mine", layer="At layer 4.", lines=[*lines], images=names, x=x,
        target=torch.zeros(N, dtype=torch.long), classes=("cat", "dog"), grid=7, **more,
    )  # fmt: skip


CAM, LAYER, EDGE = (
    line("GradCAM", 0.6),
    line("LayerCAM", 0.61),
    line("edge", 0.9, family="trivial", dependence=0.0),
)


def test_the_first_screen_in_words():
    first, second = report(EDGE, CAM, LAYER, ties=("LayerCAM", "GradCAM")).summary()
    worst = int(CAM.by_image.argmin())
    kept, least = (f"{100 * float(v):.0f} %" for v in (CAM.kept.value, CAM.by_image.min()))
    assert first == (
        f"On your 16 images a change of at most 2/255 a pixel that kept the prediction left {kept} of GradCAM's "
        f"top fifth on a grid of 7 x 7 areas in place; random change of that size leaves 97 %. "
        f"Worst image: {least} ({worst:02}.png)."
    )
    assert second.startswith(
        "Show LayerCAM: of the maps that depend on your network it keeps most under attack (61 %"
    )
    assert "tied with GradCAM" in second and "edge keeps more, but only since it does not depend" in second


def test_what_is_no_number_is_never_one_in_words():
    for one in (
        NONE,
        Line.unfinished("IG", "path", 2 / 255, "grid", N),
        line("IG", 0.9, n=5),
        line("IG", 0, state="n/a", n=0),
    ):
        said = " ".join(report(one).summary())
        assert "%" not in said and "No map can be recommended" in said
    weak = report(line("IG", 0.9, state="weak")).summary()[0]
    assert "left at most 9" in weak and "upper limit only" in weak
    assert "robust" not in " ".join(report(CAM, NONE, EDGE).summary()).lower()


def test_what_keeps_little_is_not_recommended():
    said = report(line("GradCAM", 0.2), line("Saliency", 0.1)).summary()[1]
    assert said.startswith("Show none of these maps") and "GradCAM keeps most" in said


def test_a_map_that_ignores_the_network_is_not_recommended():
    blind = line("Blind", 0.95, dependence=0.02)
    assert "Show GradCAM" in report(blind, CAM).summary()[1]
    assert "No map can be recommended" in report(blind).summary()[1]
    assert any("cannot say anything about your network" in s for s in words.marks(blind))


def test_ties_come_from_paired_tests():
    assert tied([CAM, LAYER, EDGE]) == ("LayerCAM",)  # .01 more on every image
    close = replace(
        LAYER, by_image=CAM.by_image + 0.01 * SPREAD.flip(0), kept=bootstrap_interval(CAM.by_image + 0.001)
    )
    assert set(tied([CAM, close, line("Saliency", 0.2)])) == {"GradCAM", "LayerCAM"}
    assert tied([line("Saliency", 0.2), CAM]) == ("GradCAM",) and tied([NONE]) == ()


def gallery(report: Report, side: int = 32) -> Report:
    n = 3
    x = torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(1))
    maps = torch.rand(n, 1, 7, 7, generator=torch.Generator().manual_seed(2))
    one = Shown(
        "GradCAM", (0, 1, 2), ("Median image", "The image that lost most", "<b>least</b>"), maps, maps, x
    )
    return replace(report, gallery=(one,))


def test_the_page_is_whole_and_fetches_nothing():
    found = gallery(
        report(CAM, LAYER, EDGE, NONE, skipped=(("a.txt", "is no image file"),), warnings=("Mind this.",))
    )
    text = page(found)
    assert "{{" not in text and len(text.encode()) <= MOST_BYTES
    assert (
        not re.search(r"(src|href)\s*=\s*[\"'](?!data:)", text)
        and "<script" not in text
        and "url(" not in text
    )
    assert "http" not in re.sub(r'xmlns="[^"]*"', "", text)
    assert (
        text.count("data:image/jpeg;base64,") == 15
        and "Mind this." in text
        and "a.txt is no image file" in text
    )
    for sentence in found.summary():
        assert sentence.replace("'", "&#x27;") in text
    assert "<b>least</b>" not in text


def test_names_cannot_write_into_the_page():
    evil = replace(report(CAM), network="<script>alert(1)</script>{{command}}", command="x")
    text = page(evil)
    assert "<script" not in text and "{{command}}" in text


def test_the_files_are_written_and_say_the_same(tmp_path):
    found = gallery(report(CAM, EDGE, NONE))
    found = replace(found, adversarials={"GradCAM": found.x + 0.001})
    assert [p.name for p in found.save(tmp_path / "out")] == list(REPORT_FILES)
    assert sorted(p.name for p in tmp_path.rglob("*")) == sorted([*REPORT_FILES, "out"])
    said = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert said["verdict"] == found.verdict() and said["rows"][0]["by_image"] == pytest.approx(
        CAM.by_image.tolist()
    )
    assert said["rows"][2]["kept"]["value"] is None and said["schema"] == 1
    lines = list(csv.DictReader(io.StringIO((tmp_path / "out" / "audit.csv").read_text())))
    assert [one["row"] for one in lines] == ["GradCAM", "edge", "IG"] and lines[2]["kept"] == ""
    arrays = np.load(tmp_path / "out" / "adversarials.npz")
    assert np.array_equal(arrays["GradCAM"], (found.x + 0.001).numpy()) and "clean" in arrays


def test_exit_codes():
    assert report(line("a", 0.8)).exit_code() == 0 and report(line("a", 0.8)).passed()
    assert report(line("a", 0.2)).exit_code() == 1 and not report(line("a", 0.2)).passed()
    open_ = report(line("a", 0.5))
    assert (open_.exit_code(), open_.exit_code(undecided_ok=True), open_.passed()) == (3, 0, False)
    assert report(line("a", 0.2)).exit_code(undecided_ok=True) == 1 and report(line("a", 0.8)).passed(0.6)


def test_the_gallery_shows_what_the_words_speak_of():
    assert [one.row for one in shown_lines([EDGE, CAM, line("LayerCAM", 0.9)])] == ["GradCAM", "LayerCAM"]
    assert shown_lines([NONE]) == []


@pytest.mark.parametrize(
    ("options", "words_"),
    [
        ({"eps": 0}, "eps must be a finite number > 0, got 0"), ({"eps": "-1/255"}, "eps must be a number above 0"),
        ({"eps": "2/0"}, "eps must be a number above 0"), ({"eps": "x"}, "eps must be"), ({"norm": "l1"}, "norm must"),
        ({"suite": "slow"}, "suite must be one of"), ({"n": 0}, "n must be an integer >= 1"), ({"on": "x"}, "on must"),
        ({"minutes": 0}, "minutes must be"), ({"fail_under": 2}, "fail_under must be"), ({"seed": -1}, "seed must be"),
        ({"explainers": ""}, "explainers must be"),
    ],
)  # fmt: skip
def test_settings_that_are_refused(options, words_: str):
    with pytest.raises(ValueError, match=words_) as error:
        AuditSettings(**options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("eps", "written"), [(8 / 255, "8/255"), (0.5 / 255, "0.5/255"), (0.3, "0.3"), (0.031, "0.031")]
)
def test_budgets_are_written_as_people_write_them(eps: float, written: str):
    assert in_255ths(eps) == written
