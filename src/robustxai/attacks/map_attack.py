"""Attacks on maps: one entry point for all, and the gradient attack of which a new one writes its objective only.

Take any explainer that is differentiable in its input, or a guide to derivatives for those that are not, and never a
method by name.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import SupportsFloat, SupportsIndex

import torch
from torch import Tensor

from robustxai.attacks.budget import NORMS, Budget
from robustxai.attacks.descent import Descent, DescentTask, Objective
from robustxai.attacks.following import surrogate, warn_unfollowed
from robustxai.attacks.keep_prediction import KEEP
from robustxai.attacks.result import Attacked, joined
from robustxai.attacks.steps import Steepest
from robustxai.attacks.validation import Also, check_perturb
from robustxai.checks import as_target, check_count, check_name, check_positive, shown
from robustxai.explainers.gradient import Saliency
from robustxai.explainers.reduce import read
from robustxai.models import Network, logits_of
from robustxai.shapes import Explain, Guide, Inputs, Target


class MapAttack(Descent):
    """A descent with an entry point: `perturb`. The hooks below it are what attacks differ in; options of `Descent`.

    batch_size: inputs attacked at once; changes memory, not results.
    """

    batch_size: int = 1024

    def perturb(
        self,
        model: Network,
        x: Inputs,
        target: Target = None,
        *,
        explain: Explain | None = None,
        guide: Guide | None = None,
        also: Also = (),
        generator: torch.Generator | None = None,
        first: Inputs | None = None,
    ) -> Attacked:
        """Attack the explanations of inputs `x` (n, ...); returns the best iterates and how it went.

        Args:
            model: whose prediction is kept.
            x: inputs (n, ...).
            target: explained class, None for the predicted one; explainers are always given classes (n,).
            explain: any callable explain(x, target) -> attributions (n, ...), differentiable in x unless there is a
                guide; the default is that of the attack, see `explainer`.
            guide: from the current inputs to an explainer whose derivatives are followed in place of those of
                `explain`, such as `explain.guide`; what counts is `explain`.
            also: a second network, or more, whose prediction is kept, such as x -> classifier(decode(encode(x))) where
                the explained image is a reconstruction: else an attack on it may simply change the class there.
            generator: for attacks with a random start; the others do not use it.
            first: where the search begins, such as what another attack found, like `x`; None leaves that to the attack.
                Where it is outside the budget it is projected, and where it flips the prediction `x` is taken. Where
                nothing can be followed from it, the result is `x`, whatever the loss of `first`.

        An input for which no gradient was ever non-zero and finite is returned as it came, with `followed` False; one
        UserWarning where nothing that was followed has a graph to x. Raises ValueError for inputs that are not finite,
        a model in training mode where that couples samples, or inputs outside `clip`.
        """
        networks = check_perturb(model, x, self.budget.clip, guide=guide, also=also, generator=generator)
        explain = self.explainer(model) if explain is None else explain
        guide, refresh = self.following(explain, guide)
        ahead = None if guide is None else lambda v: self.reader(guide(v))
        scores = self.reader(explain)
        with torch.inference_mode(False):
            x = x.detach().clone()
            with torch.no_grad():
                some = x if target is None else x[: self.batch_size]  # one batch shows the classes
                known = self.logits(model, some)
                t = as_target(target, known if target is None else known[:1].expand(len(x), -1))
                first = self.start(x, generator) if first is None else _like("first", first, x)
                objectives = self.objectives(scores, networks, x, t)
            found: list[tuple[Attacked, bool]] = []
            for i in range(0, len(x), self.batch_size):
                rows = slice(i, i + self.batch_size)
                part = x[rows], first[rows], t[rows], networks, scores, partial(objectives, rows)
                found.append(self.descend(DescentTask(*part, ahead, refresh)))
        if not any(linked for _, linked in found):
            warn_unfollowed()
        return joined([one for one, _ in found])

    def explainer(self, model: Network) -> Explain:
        """The explainer that is attacked if none is given: the saliency of the model."""
        return Saliency(model)  # pyright: ignore[reportArgumentType]

    def following(self, explain: Explain, guide: Guide | None) -> tuple[Guide | None, int]:
        """The guide whose derivatives are followed, None for `explain` itself, and after how many steps it is asked."""
        return guide, self.refresh

    def reader(self, explain: Explain) -> Explain:
        """What of an explainer the objective reads; the reduced map."""
        return read(explain)

    def start(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        """Where the descent begins: at the clean input. A shared draw for all samples keeps batches harmless."""
        return x

    def objectives(
        self, scores: Explain, networks: Sequence[Network], x: Tensor, t: Tensor
    ) -> Callable[[slice, Tensor], Objective]:
        """From some rows of the inputs and their clean scores to the objective; here of clean scores alone."""
        return lambda rows, clean: self.objective(clean)

    def objective(self, clean: Tensor) -> Objective:
        """From the clean explanation, the function scores -> loss (n,) to minimise; each attack writes its own."""
        raise NotImplementedError

    def logits(self, model: Network, x: Tensor) -> Tensor:
        """Logits of all inputs, in parts."""
        return torch.cat([logits_of(model, part) for part in x.split(self.batch_size)])


class GradientAttack(MapAttack):
    """Move each input within its budget so that `objective` falls and the prediction stays. White box: the
    attacker changes the input only and knows the network and the explainer.

    9 parameters, as papers make each of these choices differently.

    Args:
        eps: budget, above 0, in units of the input: l2 length, or half the side of the box.
        norm: 'l2', 'linf-box' (released form) or 'linf'; see `NORMS`.
        steps: gradient steps.
        step: length of one, in the norm of the steps; default 2.5 eps / steps, for 'linf-box' eps / steps.
        keep: how the prediction is kept, see `KEEP`.
        surrogate_beta: take the attack's derivatives from a softplus copy of the explained network (for ReLU
            networks, P1 and P2); the loss that decides is always the real one. Needs an explainer with `.on`, or with
            `.guide`; a guide given to `perturb` takes its place.
        refresh: a guide given to `perturb` is called for derivatives every so many steps.
        clip: the range of valid inputs, such as (0, 1) for images; None does not clip.
        batch_size: inputs attacked at once; changes memory, not results.

    Explanations are read as `robustxai.explainers.reduce.reduced` reads them: |A|, summed over the channels of images.

    >>> class Shrink(GradientAttack):
    ...     def objective(self, clean):
    ...         return lambda scores: scores.flatten(1).sum(1)
    >>> model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))
    >>> Shrink(0.5, steps=5).perturb(model, torch.zeros(3, 6)).followed
    tensor([True, True, True])
    """

    def __init__(
        self,
        eps: SupportsFloat,
        *,
        norm: str = "l2",
        steps: SupportsIndex = 40,
        step: SupportsFloat | None = None,
        keep: str = "reject",
        surrogate_beta: SupportsFloat | None = None,
        refresh: SupportsIndex = 25,
        clip: tuple[float | int, float | int] | None = None,
        batch_size: SupportsIndex = 1024,
    ):
        check_name("norm", norm, NORMS)
        check_name("keep", keep, KEEP)
        radius, steps = check_positive("eps", eps), check_count("steps", steps)
        default = (1.0 if norm == "linf-box" else 2.5) * radius / steps
        length = default if step is None else check_positive("step", step)
        budget = Budget(radius, norm, clip)
        rule = partial(Steepest, budget=budget, length=length)
        super().__init__(budget, rule, steps=steps, keep=keep, refresh=check_count("refresh", refresh))
        self.step, self.batch_size = length, check_count("batch_size", batch_size)
        self.beta = None if surrogate_beta is None else check_positive("surrogate_beta", surrogate_beta)

    def following(self, explain: Explain, guide: Guide | None) -> tuple[Guide | None, int]:
        if guide is None and self.beta is not None:
            guide = surrogate(explain, self.beta)
        return guide, self.refresh


def _like(name: str, value: Tensor, x: Tensor) -> Tensor:
    if not isinstance(value, Tensor) or value.shape != x.shape:
        raise ValueError(f"{name} must have the shape of x, {tuple(x.shape)}, got {shown(value)}")
    return value.detach().to(x)
