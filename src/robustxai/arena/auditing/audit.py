"""`robustxai.arena.audit`: the arena's loop on a user's own network and images, within a time, and taken up again.

It knows the order of things: prepare, attack, read, report; the work is in the modules it calls.
"""

import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from torch import nn

from robustxai.arena.auditing.report import Report
from robustxai.arena.auditing.run import AuditRun
from robustxai.arena.auditing.settings import AuditSettings
from robustxai.arena.auditing.subject import AuditData, prepare_subject
from robustxai.explainers.reshape import Reshape
from robustxai.options import merged, says_options


class Interrupted(KeyboardInterrupt):
    """Ctrl-C while attacks ran; `report` holds what was finished.

    >>> issubclass(Interrupted, KeyboardInterrupt)
    True
    """

    def __init__(self, report: Report):
        super().__init__()
        self.report = report


@says_options(AuditSettings)
def audit(
    model: str | nn.Module,
    images: Any,
    *,
    data: AuditData | None = None,
    layer: str | None = None,
    reshape: Reshape | str | None = None,
    device: str = "auto",
    out: str | Path | None = None,
    command: str = "",
    say: Callable[[str], object] | None = None,
    started: float | int | None = None,
    how: AuditSettings | None = None,
    **options: Any,
) -> Report:
    """Attack the explanations of a network on its user's images, and say what holds.

    11 parameters, as a network, its images, their layer and the settings are what a user has. Other options are the
    fields of `AuditSettings`.

    Args:
        model: an nn.Module in eval mode from images in [0, 1] to logits, a timm or Hugging Face object, or MODEL as on
            the command line, see `sources.load_source`.
        images: a tensor (n, C, H, W) in [0, 1], a folder, or an .npz or .pt file; at most `n` are used.
        data: masks, boxes, labels, size and normalisation.
        layer: that class activation maps are read at; None traces it.
        reshape: how the layer's tokens become a map, see `robustxai.explainers.reshape`.
        device: "auto", "cpu", "cuda" or "mps".
        out: folder in which finished attacks are kept while it runs; a call with the same arguments goes on from them.
        command: for the report.
        say: is called with a line of progress for each row.
        started: when the minutes began, by time.monotonic(); None is now.

    Returns a Report. Raises ValueError for bad input, `Interrupted` for Ctrl-C.

    >>> from robustxai.nets import pretrained
    >>> model = pretrained("diffgradcam-animals4-s0-clean")
    >>> report = audit(model, torch.rand(8, 3, 56, 56), explainers=["edge"], device="cpu")
    >>> report.verdict()
    'undecided'
    """
    started = time.monotonic() if started is None else started
    settings = merged(AuditSettings, how, options)
    subject = prepare_subject(
        model, images, data or AuditData(), settings, layer=layer, reshape=reshape, device=device
    )
    run = AuditRun(subject, settings, started, out, say or (lambda line: None))
    command = command or _call(settings)
    try:
        run.attack()
    except KeyboardInterrupt:
        raise Interrupted(run.report(command, quick=True)) from None
    report = run.report(command)
    if report.complete:
        run.forget()
    return report


def _call(settings: AuditSettings) -> str:
    """The call that gives this report again, where no command was typed."""
    said = {
        f.name: getattr(settings, f.name) for f in fields(settings) if getattr(settings, f.name) != f.default
    }
    return (
        f"robustxai.arena.audit({', '.join(['model', 'images', *(f'{k}={v!r}' for k, v in said.items())])})"
    )
