"""`robustxai audit` as a user runs it: exit codes, one sentence a mistake, resumed after a kill, one place of files."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from robustxai.arena import audit
from robustxai.arena.auditing.subject import AuditData
from robustxai.arena.evaluate import evaluate

QUICK = ("--explainers", "Saliency", "--on", "own", "--device", "cpu")


@pytest.fixture(autouse=True)
def _as_shipped():
    import jaxtyping

    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("models.py:linear", "images.npz", *QUICK), 0, "passed (at least 0.5): Saliency passed"),
        (
            ("models.py:conv", "images.npz", *QUICK, "--eps", "16/255"),
            1,
            "failed (at least 0.5): Saliency failed",
        ),
        (("models.py:conv", "few.npz", *QUICK), 3, "undecided (at least 0.5): Saliency undecided"),
        (("models.py:conv", "few.npz", *QUICK, "--undecided-ok"), 0, "undecided"),
        (
            ("models.py:conv", "images.npz", *QUICK, "--minutes", "0.00001"),
            3,
            "The time was over before Saliency ended",
        ),
    ],
)
def test_exit_codes(command, audited: Path, tmp_path: Path, arguments, code: int, words: str):
    before = sorted(p.name for p in audited.iterdir())
    out = tmp_path / "out"
    found, said, told = command("audit", *arguments, "--out", str(out), cwd=audited)
    assert (found, words in said) == (code, True), said + told
    assert {"report.html", "audit.json", "audit.csv"} <= {p.name for p in out.iterdir()}
    assert sorted(p.name for p in audited.iterdir()) == before and sorted(
        p.name for p in tmp_path.iterdir()
    ) == ["out"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("models.py:conv", "nowhere"), "IMAGES must be a folder"),
        (("models.py:conv", "."), "IMAGES must hold image files"),
        (("models.py:maps", "images.npz"), "must return logits (n, classes)"),
        (("models.py:nan", "images.npz"), "finite logits, got NaN or infinity on image 0"),
        (("models.py:training", "images.npz"), "must be in eval mode, got training mode"),
        (
            ("models.py:conv", "images.npz", "--layer", "lat"),
            "layer must be a module of the model, got 'lat'; near names",
        ),
        (("models.py:conv", "images.npz", "--eps", "0"), "eps must be a finite number > 0, got 0"),
        (("models.py:conv", "images.npz", "--explainers", "GradCAN"), "must be one of"),
        (("models.py:none", "images.npz"), "no factory 'none'"),
        (
            ("models.py:conv", "images.npz", "--masks", "."),
            "masks and boxes in files must come with images in a folder",
        ),
        (("models.py:conv", "images.npz", "--mean", "0.5"), "mean and std must be given together"),
        (("models.py:conv", "images.npz", "--reshape", "vit"), "reshape must come with a layer"),
        (
            ("models.py:conv", "images.npz", "--rows", "IG", "--explainers", "Saliency"),
            "rows must be explainers of this audit",
        ),
        (("w.pth", "images.npz"), "a pickled network is refused"),
        (("models.py:conv", "images.npz", "--device", "tpu"), "device must be one of"),
    ],
)
def test_a_mistake_is_one_sentence_and_nothing_is_written(
    command, audited: Path, tmp_path: Path, arguments, words: str
):
    code, _, told = command("audit", *arguments, "--out", str(tmp_path / "out"), cwd=audited)
    assert code == 2 and words in told, told
    assert (
        len(told.strip().splitlines()) == 1
        and told.startswith("robustxai: ")
        and not list(tmp_path.iterdir())
    )


def test_a_dry_run_prints_minutes_and_memory_and_writes_nothing(command, audited: Path, tmp_path: Path):
    code, said, _ = command(
        "audit", "models.py:linear", "images.npz", "--dry-run", "--explainers", "all", cwd=audited
    )
    lines = {line.split("  ")[0]: line for line in said.splitlines()}
    assert (
        code == 0 and "not possible, needs layer" in lines["GradCAM"] and "needs autoencoder" in lines["EIG"]
    )
    assert lines["Saliency"].endswith("MB") and "together" in said and not (audited / "audit").exists()


def started(folder: Path, out: Path) -> subprocess.Popen[bytes]:
    """A slow audit in a process of its own, once a search of its first row is finished."""
    arguments = [
        "models.py:slow",
        "images.npz",
        "--explainers",
        "edge,Saliency",
        "--device",
        "cpu",
        "--out",
        str(out),
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "robustxai.cli", "audit", *arguments],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    until = time.monotonic() + 240
    while not list(out.glob(".attacks/*/*.safetensors")):
        assert process.poll() is None and time.monotonic() < until, process.communicate()
        time.sleep(0.02)
    return process


def test_a_killed_audit_goes_on_and_says_the_same(command, audited: Path, tmp_path: Path):
    process = started(audited, tmp_path / "out")
    process.kill()
    process.communicate()
    stored = {p.name: p.read_bytes() for p in tmp_path.glob("out/.attacks/*/*.safetensors")}
    assert stored and not (tmp_path / "out" / "audit.json").exists()
    arguments = (
        "audit",
        "models.py:slow",
        "images.npz",
        "--explainers",
        "edge,Saliency",
        "--device",
        "cpu",
        "--out",
    )
    codes = [command(*arguments, str(tmp_path / name), cwd=audited)[0] for name in ("out", "whole")]
    assert codes[0] == codes[1]
    once, whole = ((tmp_path / name / "audit.json").read_text() for name in ("out", "whole"))
    assert once == whole and not (tmp_path / "out" / ".attacks").exists()


def test_an_interrupted_audit_keeps_what_is_finished(audited: Path, tmp_path: Path):
    process = started(audited, tmp_path / "out")
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=240)
    assert process.returncode == 130, told
    assert b"goes on from what is finished" in told and b"Traceback" not in told
    assert list(tmp_path.glob("out/.attacks/*/*.safetensors"))


def test_memory_spares_the_searches_of_an_audit_that_ran_out_of_time(
    audited: Path, tmp_path: Path, monkeypatch
):
    from robustxai.arena.auditing import run

    x = torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    how: dict[str, Any] = dict(explainers=("edge", "GradCAM", "Saliency"), device="cpu", out=tmp_path)

    def ends(*args, on_cell, **more):
        """The time is over after the first row, in the middle of the second."""

        def counting(cell):
            on_cell(cell)
            if len(more["rows"]) == 3 and cell.row == "edge":
                args[0].clock.start(minutes=0)

        return evaluate(*args, on_cell=counting, **more)

    monkeypatch.setattr(run, "evaluate", ends)
    model = f"{audited}/models.py:conv"
    first = audit(model, x, **how)
    assert [line.state for line in first.lines] == [
        "attacked",
        "out of time",
        "out of time",
    ] and not first.complete
    assert "The time was over before GradCAM, Saliency ended" in first.summary()[-1]
    assert first.grid == 8 and any("may be too high" in w for w in first.warnings) == (not first.adversarials)
    monkeypatch.setattr(run, "evaluate", evaluate)
    again = audit(model, x, **how)
    assert again.complete and again.json() == audit(model, x, **how | {"out": None}).json()


@pytest.mark.parametrize("found", [8, 3])
def test_what_the_self_test_found_stands_in_the_report(
    command, audited: Path, tmp_path: Path, monkeypatch, found: int
):
    from robustxai.arena import planted

    monkeypatch.setattr(planted, "selftest", lambda search, **how: planted.SelfTest(8, found, 0, 0))
    out = ("--out", str(tmp_path), "--selftest")
    _, said, _ = command("audit", "models.py:linear", "images.npz", *QUICK, *out, cwd=audited)
    words = "passed" if found == 8 else "failed, so it may miss what a better attack finds"
    assert f"Self-test of the quick suite {words}" in said and f"{found} of 8 found" in said
    assert words in (tmp_path / "report.html").read_text()


def test_frozen_parameters_and_a_head_of_convolutions(audited: Path):
    x = torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    found = audit(
        f"{audited}/models.py:frozen",
        x,
        explainers=("GradCAM", "LayerCAM", "Saliency"),
        eps=16 / 255,
        device="cpu",
    )
    assert {line.row: line.state for line in found.lines} == dict.fromkeys(
        ("GradCAM", "LayerCAM", "Saliency"), "attacked"
    )
    assert all(line.kept.value < line.noise for line in found.lines)


def test_one_logit_and_masks(audited: Path):
    x = torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    masks = torch.zeros(8, 1, 16, 16)
    masks[..., 4:12, 4:12] = 1
    found = audit(
        f"{audited}/models.py:one_logit", x, data=AuditData(masks=masks), explainers="fast", device="cpu"
    )
    assert all(0 <= line.mass <= 1 for line in found.lines) and len(found.table()) == 3
    assert found.target.max() <= 1 and found.lines[0].family == "trivial"


def test_tokens_have_maps_where_a_layer_is_said_and_the_callers_network_stays_as_it_is():
    from robustxai.nets import CompactViT

    how: dict[str, Any] = dict(size=16, patch=4, depth=1, width=16, heads=2)
    net = CompactViT(4, generator=torch.Generator().manual_seed(0), **how).eval()
    before, names = {k: v.clone() for k, v in net.state_dict().items()}, [n for n, _ in net.named_modules()]
    x = torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    bare = audit(net.vit, x, explainers=("GradCAM",), device="cpu")
    assert bare.lines[0].state == "n/a" and "tokens" in bare.layer and bare.exit_code() == 3
    layer = net.cam_layer.removeprefix("vit.")
    shaped = audit(net.vit, x, explainers=("GradCAM",), layer=layer, reshape="vit", device="cpu", on="own")
    said = audit(net, x, explainers=("GradCAM",), device="cpu", on="own")
    assert shaped.lines[0].state != "n/a" and said.lines[0].state != "n/a"
    assert [n for n, _ in net.named_modules()] == names
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items()) and not net.training


def test_json_has_no_times_and_no_place(command, audited: Path, tmp_path: Path):
    command("audit", "models.py:linear", "images.npz", *QUICK, "--out", str(tmp_path), cwd=audited)
    said = json.loads((tmp_path / "audit.json").read_text())
    assert str(tmp_path) not in json.dumps(said) and str(audited) not in json.dumps(said)
    assert not {"seconds", "date", "time"} & said.keys()
