"""R2ET, the paper's method, as one regulariser: gaps of the ranking and a Hessian term, no inner attack (spec 3.4)."""

from torch import nn

from robustxai.ranking.regularisers.base import CachedBatch, Labels, Regulariser, checked
from robustxai.ranking.regularisers.gap import Gap
from robustxai.ranking.regularisers.hessian import FDHessian
from robustxai.ranking.regularisers.weighting import Scalar
from robustxai.shapes import Inputs


class R2ET(Regulariser):
    """CE - lam * mean gap + hessian * |H v|, in all variants of the paper.

    Args:
        k: size of the top set whose ranking shall hold.
        lam: weight of the gap term, lambda_1.
        hessian: weight of the Hessian term, lambda_2; 0 is R2ET_\\H.
        pairs, n_pairs: 'full', 'near' (released) or 'mm' (R2ET-mm) with k' = `n_pairs`; see `pair_weights`.
        along, h: direction and step of the Hessian's finite difference; see `FDHessian`.
        weighting: 'fixed', or 'adaptive' as released: each term becomes a multiple of CE + 1, see `weigh`.
        anchor: None ranks by the model itself, a network (the pretrained one) by its explanation.
        score, target: what is explained, and of which class; see `Regulariser`.

    11 parameters, as the paper's variants and the released code differ in each of them.

    >>> R2ET(8, 1.0, hessian=0.1, pairs="mm", n_pairs=2).parts[0].pairs
    'mm'
    """

    def __init__(
        self,
        k: int,
        lam: float | int = 1.0,
        *,
        hessian: float | int = 0.1,
        pairs: str = "full",
        n_pairs: int | None = None,
        along: str = "sign",
        h: float | int = 0.1,
        weighting: str = "fixed",
        anchor: nn.Module | None = None,
        score: str = "prob",
        target: str = "label",
    ):
        super().__init__(score=score, target=target, weighting=weighting)
        options = dict(score=score, target=target, weighting=weighting)
        self.gap = Gap(k, lam, pairs=pairs, n_pairs=n_pairs, anchor=anchor, **options)
        self.hessian = FDHessian(hessian, along=along, h=h, k=k, **options)

    @property
    def parts(self) -> list[Regulariser]:
        """Those of the two terms that are switched on."""
        return [part for part in (self.gap, self.hessian) if part.active]

    @property
    def active(self) -> bool:
        """Whether one of the two weights is above zero."""
        return bool(self.parts)

    def check(self, model: nn.Module, x: Inputs, y: Labels) -> None:
        """The checks of the terms that are switched on."""
        for part in self.parts:
            part.check(model, x, y)

    def __call__(self, model: nn.Module, x: Inputs, y: Labels, cache: CachedBatch | None = None) -> Scalar:
        """The weighted sum of both terms for a batch."""
        cache = checked(model, x, y) if cache is None else cache
        terms = [part(model, x, y, cache) for part in self.parts]
        return sum(terms[1:], terms[0]) if terms else cache.ce.new_zeros(())
