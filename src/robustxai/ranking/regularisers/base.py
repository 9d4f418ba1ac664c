"""What all terms of a loss share: one forward pass, one input gradient, and how terms add up to a loss.

A `CachedBatch` belongs to one batch of one step. Input gradients are of sums over samples, so a sample's gradient does
not depend on its batch, and batch norm must have frozen statistics (`fit` sees to it). Knows no term by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from robustxai.checks import as_target, check_batch, check_name, check_positive
from robustxai.models import logits_of
from robustxai.ranking.regularisers.weighting import LOSS_WEIGHTINGS, Scalar, weigh
from robustxai.scores.explained import check_score, scored, two_columns
from robustxai.shapes import Inputs, PerSample

TARGETS = ("label", "predicted")
Labels = Int[Tensor, " n"]


class CachedBatch:
    """A batch with what has been computed for it: logits, cross-entropy and input gradients, each at most once.

    `x` (n, ...) is a leaf of its own that requires a gradient; `y` (n,) are the labels.

    >>> cache = CachedBatch(nn.Linear(3, 2), torch.zeros(4, 3), torch.zeros(4, dtype=torch.int64))
    >>> cache.gradient().shape, cache.logits.shape
    (torch.Size([4, 3]), torch.Size([4, 2]))
    """

    def __init__(self, model: nn.Module, x: Inputs, y: Labels):
        self.model, self.x, self.y = model, x.detach().requires_grad_(), y
        self._gradients: dict[tuple[str, str], Tensor] = {}

    @cached_property
    def logits(self) -> Float[Tensor, "n classes"]:
        """The one forward pass."""
        return logits_of(self.model, self.x)

    @cached_property
    def log_probabilities(self) -> Float[Tensor, "n _"]:
        """Of all classes; a single logit counts as two classes."""
        return two_columns(self.logits).log_softmax(1)

    @cached_property
    def losses(self) -> PerSample:
        """Cross-entropy of every sample against its label."""
        return nn.functional.nll_loss(self.log_probabilities, self.y, reduction="none")

    @property
    def ce(self) -> Scalar:
        """Their mean."""
        return self.losses.mean()

    def classes(self, target: str) -> Labels:
        """Whose explanation is meant: the labels, as in the released code, or the predicted classes."""
        return self.y if target == "label" else as_target(None, self.logits.detach())

    def gradient(self, score: str = "prob", target: str = "label") -> Inputs:
        """The signed input gradient of the explained score at `x`, in the graph of the weights."""
        key = (score, target)
        if key not in self._gradients:
            classes = self.classes(target)
            self._gradients[key] = input_gradient(
                self.x, self.logits, classes, score=score, log_probabilities=self.log_probabilities
            )
        return self._gradients[key]

    def gradient_at(self, x: Inputs, score: str = "prob", target: str = "label") -> Inputs:
        """The same gradient, of the same classes, at other points `x`, from a forward pass of its own."""
        x = x.detach().requires_grad_()
        return input_gradient(x, logits_of(self.model, x), self.classes(target), score=score)


def input_gradient(
    x: Inputs,
    logits: Float[Tensor, "n classes"],
    classes: Labels,
    *,
    score: str,
    log_probabilities: Tensor | None = None,
) -> Inputs:
    """Gradient of the sum of the explained scores with its graph; equal to `gradient` of the chapter.

    Written through log p, grad p = p grad log p, which leaves a third less to differentiate a second time.
    """
    if score == "logit":
        return torch.autograd.grad(scored(logits, classes, score).sum(), x, create_graph=True)[0]
    if log_probabilities is None:
        log_probabilities = two_columns(logits).log_softmax(1)
    log_p = log_probabilities.gather(1, classes[:, None])
    factor = log_p.exp() if score == "prob" else torch.full_like(log_p, -1)
    return torch.autograd.grad(log_p, x, factor, create_graph=True)[0]


def checked(model: nn.Module, x: Inputs, y: Labels) -> CachedBatch:
    """The cache of a batch that is in order: finite inputs (n, ...), and n classes that the model has."""
    cache = CachedBatch(model, check_batch("x", x), y)
    if y is None:
        raise ValueError("y must be class numbers (n,), got None")
    as_target(y, cache.logits.detach(), name="y")
    return cache


class Regulariser:
    """A number added to the loss: the mean of `terms(cache)`, weighted. Called as `regulariser(model, x, y, cache)`.

    Args:
        weight: 0 switches it off; for weighting 'adaptive' see `weigh`.
        score: explained score, 'prob', 'logit' or 'ce'.
        target: explained class, the 'label' or the 'predicted' one.

    `keep` is the factor that it leaves on the plain cross-entropy, 1 for most.

    >>> class Length(Regulariser):
    ...     def terms(self, cache):
    ...         return cache.gradient(self.score, self.target).flatten(1).norm(dim=1)
    >>> bool(Length(0.1)(nn.Linear(3, 2), torch.ones(4, 3), torch.tensor([0, 1, 0, 1])) > 0)
    True
    """

    keep = 1.0

    def __init__(
        self,
        weight: float | int = 1.0,
        *,
        weighting: str = "fixed",
        score: str = "prob",
        target: str = "label",
    ):
        if weight != 0:
            check_positive("weight", weight)
        check_name("weighting", weighting, LOSS_WEIGHTINGS)
        check_score("score", score)
        check_name("target", target, TARGETS)
        self.weight, self.weighting, self.score, self.target = float(weight), weighting, score, target

    @property
    def active(self) -> bool:
        """Whether it changes the loss at all."""
        return self.weight != 0

    @property
    def parts(self) -> list[Regulariser]:
        """The terms that it consists of, each with a weight of its own; most are one."""
        return [self]

    def terms(self, cache: CachedBatch) -> PerSample:
        """The unweighted term of every sample of a batch, smaller is better; each regulariser writes its own."""
        raise NotImplementedError

    def term(self, cache: CachedBatch) -> Scalar:
        """The unweighted term of a batch: the mean over its samples."""
        return self.terms(cache).mean()

    def check(self, model: nn.Module, x: Inputs, y: Labels) -> None:
        """Raise ValueError if the term has no meaning for this model and these samples; called once by `fit`."""

    def __call__(self, model: nn.Module, x: Inputs, y: Labels, cache: CachedBatch | None = None) -> Scalar:
        """The weighted term of a batch; `cache` is of this batch, None makes one and checks x and y."""
        cache = checked(model, x, y) if cache is None else cache
        term = self.term(cache)
        return weigh(term, cache.ce if self.weighting == "adaptive" else term, self.weight, self.weighting)


class RegularisedLoss:
    """Cross-entropy plus regularisers as one loss(model, x, y), for the training loop.

    Without an active regulariser it is the plain cross-entropy, bit for bit.

    >>> loss = RegularisedLoss()(nn.Linear(3, 2), torch.zeros(4, 3), torch.tensor([0, 1, 0, 1]))
    >>> loss.shape
    torch.Size([])
    """

    def __init__(self, regularisers: Sequence[Regulariser] = ()):
        if not isinstance(regularisers, Sequence) or not all(
            isinstance(r, Regulariser) for r in regularisers
        ):
            raise ValueError(f"regularisers must be Regularisers, some or none, got {regularisers!r:.60}")
        self.regularisers = [r for r in regularisers if r.active]
        self.keep = 1.0
        for r in self.regularisers:
            self.keep *= r.keep

    def __call__(self, model: nn.Module, x: Inputs, y: Labels) -> Scalar:
        """The loss of a batch."""
        if not self.regularisers:
            logits = logits_of(model, x)
            if y is None:
                raise ValueError("y must be class numbers (n,), got None")
            return nn.functional.cross_entropy(two_columns(logits), as_target(y, logits.detach(), name="y"))
        cache = checked(model, x, y)
        terms = [r(model, x, y, cache) for r in self.regularisers]
        if self.keep:
            terms.append(cache.ce if self.keep == 1 else self.keep * cache.ce)
        return torch.stack(terms).sum() if len(terms) > 2 else sum(terms[1:], terms[0])

    def check(self, model: nn.Module, x: Inputs, y: Labels) -> None:
        """Every regulariser's own check."""
        for r in self.regularisers:
            r.check(model, x, y)
