"""Checks against deceiving oneself: what must hold of a row before its number is believed; a failure marks the row.

Each check gives a value, the rule and whether it holds. `protocol` runs those that need a network; curves and cells
are read by `curve_rises` and `excess_small`. Knows no explainer by name.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from robustxai.arena.measures import SHARE, overlap, top_count
from robustxai.attacks.budget import Budget
from robustxai.attacks.ghorbani import TopKAttack
from robustxai.attacks.result import Attacked
from robustxai.checks import check_count, check_length, check_sequence
from robustxai.explainers.base import Explainer
from robustxai.explainers.input_gradient import same_class
from robustxai.explainers.reduce import read
from robustxai.models import logits_of
from robustxai.shapes import Guide, Images, PerSample

RISES, MORE_STEPS, FREE, LEAST_EXCESS, BYTES = 0.02, 0.03, 0.05, 0.02, 0.03
FREE_EPS = 64 / 255
GREYS = 255


@dataclass(frozen=True)
class Check:
    """One check of a row: what was measured, the rule in words, and whether it holds; nan holds nowhere.

    >>> str(Check("two calls agree", 0.0, "the largest difference is 0", True))
    'two calls agree: 0, holds (the largest difference is 0)'
    """

    name: str
    value: float | int
    rule: str
    holds: bool

    def __str__(self) -> str:
        return f"{self.name}: {self.value:.3g}, {'holds' if self.holds else 'FAILS'} ({self.rule})"


def _at_most(name: str, value: float | int, most: float | int, said: str) -> Check:
    return Check(name, value, f"{said} is at most {most:g}", value <= most)


def curve_rises(eps: Sequence[float | int], means: Sequence[float | int]) -> Check:
    """A larger budget must not leave more in place: the largest rise between neighbours is at most .02.

    >>> curve_rises([1, 2, 4], [0.9, 0.5, 0.6]).holds, curve_rises([1, 2, 4], [0.9, 0.5, 0.51]).holds
    (False, True)
    """
    check_sequence("eps", eps, "budgets", least=2)
    check_length("means", means, "eps", len(eps))
    ordered = [m for _, m in sorted(zip(eps, means, strict=True))]
    steps = [b - a for a, b in pairwise(ordered)]
    rise = math.nan if any(map(math.isnan, steps)) else max(0.0, *steps)
    return _at_most("more budget is not safer", rise, RISES, "the largest rise of P with eps")


def excess_small(noise: PerSample, attacked: PerSample) -> Check:
    """An attack must do better than noise of its size: mean P under noise minus mean P attacked is at least .02."""
    gap = float((noise - attacked).nanmean())
    said = f"P under noise of equal size - P is at least {LEAST_EXCESS:g}"
    return Check("the attack beats noise", gap, said, gap >= LEAST_EXCESS)


def as_bytes(x: Images, clean: Images, eps: float | int, norm: str = "linf") -> Images:
    """`x` as a file of 8-bit values holds it. Values that rounding pushes out of the l_inf box step back inside it, so
    clean images that are no 8-bit values themselves cost the attacker, not the budget.

    >>> as_bytes(torch.tensor([[[[0.5]]]]), torch.tensor([[[[0.5]]]]), 0.01).mul(255)
    tensor([[[[128.]]]])
    """
    levels = (x * GREYS).round()
    if norm != "l2":
        low, high = ((clean - eps) * GREYS - 1e-3).ceil(), ((clean + eps) * GREYS + 1e-3).floor()
        levels = torch.where(low <= high, torch.minimum(torch.maximum(levels, low), high), levels)
    return levels.clamp(0, GREYS) / GREYS


@dataclass(frozen=True, kw_only=True)
class CheckSetting:
    """What one row is checked on: explainer, network, clean images (n, C, H, W), classes (n,), budget, T, derivatives.

    guide: as of `MapAttack.perturb`, such as that of a softplus twin; None follows the explainer itself.
    """

    explain: Explainer
    model: nn.Module
    x: Images
    target: Tensor
    eps: float | int
    norm: str = "linf"
    steps: int = 10
    guide: Guide | None = None

    def attack(
        self, *, eps: float | int | None = None, steps: int | None = None, keep: bool = True
    ) -> Attacked:
        """`topk` in this setting; without `keep` the class may change."""
        maps = self.clean()
        k = top_count(maps[0].numel())
        judge = self.model if keep else self._indifferent
        search = TopKAttack(
            k, eps or self.eps, norm=self.norm, steps=check_count("steps", steps or self.steps), clip=(0, 1)
        )
        return search.perturb(judge, self.x, self.target, explain=self.explain, guide=self.guide)

    def _indifferent(self, x: Tensor) -> Tensor:
        """The same logits for everything: what "keep nothing" keeps."""
        return torch.zeros_like(logits_of(self.model, x))

    def clean(self) -> Tensor:
        """The maps of the clean images."""
        return self.maps(self.x)

    def maps(self, x: Tensor) -> Tensor:
        """Maps (n, 1, H, W), without a graph."""
        with torch.no_grad():
            return read(self.explain)(x, self.target).detach()

    def kept(self, x: Tensor) -> float:
        """Mean P of images x."""
        return float(overlap(self.clean(), self.maps(x), SHARE).nanmean())


def two_calls(setting: CheckSetting) -> Check:
    """Two calls give bit for bit the same maps; else the row is `random`."""
    difference = float((setting.clean() - setting.clean()).abs().max())
    return _at_most("two calls agree", difference, 0.0, "the largest difference")


def batch_is_singles(setting: CheckSetting, tolerance: float | int = 1e-5) -> Check:
    """A map does not depend on its batch: largest difference, relative to the largest value of each map."""
    whole, explain = setting.clean(), read(setting.explain)
    with torch.no_grad():
        pairs = zip(setting.x.split(1), setting.target.split(1), strict=True)
        alone = torch.cat([explain(x, t).detach() for x, t in pairs])
    top = whole.abs().amax((1, 2, 3), keepdim=True).clamp_min(torch.finfo(whole.dtype).tiny)
    return _at_most(
        "a batch gives what its images give alone", float(((whole - alone) / top).abs().max()), tolerance,
        "the largest relative difference",
    )  # fmt: skip


def more_steps(setting: CheckSetting) -> Check:
    """Twice the steps must not find much more: P(T) - P(2 T) is at most .03."""
    gained = setting.kept(setting.attack().x) - setting.kept(setting.attack(steps=2 * setting.steps).x)
    return _at_most(
        "twice the steps", gained, MORE_STEPS, f"P after {setting.steps} steps - P after twice as many"
    )


def free_attack(setting: CheckSetting) -> Check:
    """Whoever may change the class, and each value by a quarter, must be able to destroy a map that reads the image."""
    eps = FREE_EPS if setting.norm != "l2" else FREE_EPS * math.sqrt(setting.x[0].numel())
    found = setting.attack(eps=eps, steps=2 * setting.steps, keep=False)
    return _at_most(
        "a huge budget breaks it", setting.kept(found.x), FREE, f"P at {eps:.3g} without keeping the class"
    )


def survives_bytes(setting: CheckSetting) -> list[Check]:
    """Saved as 8-bit values and read again, the attacked images keep budget and class, and P within .03."""
    found = setting.attack()
    stored = as_bytes(found.x, setting.x, setting.eps, setting.norm)
    slack = math.sqrt(setting.x[0].numel()) / (2 * GREYS) if setting.norm == "l2" else 0.0
    inside = Budget(setting.eps + slack, setting.norm).contains(stored, setting.x)
    with torch.no_grad():
        same = same_class(logits_of(setting.model, stored), logits_of(setting.model, setting.x).argmax(1))
    moved = abs(setting.kept(stored) - setting.kept(found.x))
    lost = float((found.kept & ~same).sum())
    return [
        _at_most("8 bits: budget", float((~inside).sum()), 0, "the number of images outside of it"),
        _at_most("8 bits: class", lost, 0, "the number of images whose class changes"),
        _at_most("8 bits: map", moved, BYTES, "the change of P"),
    ]


@contextmanager
def untouched(model: nn.Module) -> Iterator[Callable[[], Check]]:
    """Inside the block, `model` must stay as it is: weights, gradients, mode, hooks. Gives the check to call after it.

    >>> net = nn.Linear(2, 2)
    >>> with untouched(net) as check:
    ...     _ = net.weight.data.add_(1)
    >>> check().holds
    False
    """
    before = _state(model)
    yield lambda: _at_most(
        "the network stays as it is", float(len(_different(before, _state(model)))), 0, "the number of things changed"
    )  # fmt: skip


def _state(model: nn.Module) -> dict[str, object]:
    found: dict[str, object] = {f"tensor {n}": t.detach().clone() for n, t in model.state_dict().items()}
    found |= {f"grad {n}": (p.requires_grad, None if p.grad is None else p.grad.clone())
              for n, p in model.named_parameters()}  # fmt: skip
    found |= {f"mode {n}": (m.training, len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks))
              for n, m in model.named_modules()}  # fmt: skip
    return found


def _different(before: dict[str, object], after: dict[str, object]) -> list[str]:
    return [name for name in before.keys() | after.keys() if not _same(before.get(name), after.get(name))]


def _same(a: object, b: object) -> bool:
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return torch.equal(a, b)
    return a is b or a == b


def protocol(setting: CheckSetting, *, reads_image: bool = True) -> list[Check]:
    """All checks of one row that need its network; `reads_image` False leaves out the huge budget, which moves nothing.

    A row that draws anew at every call fails `two calls agree` and is judged by nothing else.
    """
    with untouched(setting.model) as check:
        found = [two_calls(setting)]
        if found[0].holds:
            found += [batch_is_singles(setting), more_steps(setting), *survives_bytes(setting)]
            found += [free_attack(setting)] if reads_image else []
    return [*found, check()]
