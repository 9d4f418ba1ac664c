"""SSR (Wang et al. 2020): the largest eigenvalue of the input Hessian of the cross-entropy, in closed form (spec 5).

For piecewise linear logits that Hessian is W A W^T with A = diag(p) - p p^T and the columns of W the input
gradients of the logits. Its largest eigenvalue is that of a C x C matrix, since A = R R^T.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from robustxai.checks import check_positive
from robustxai.ranking.regularisers.base import CachedBatch, Regulariser
from robustxai.scores.explained import two_columns
from robustxai.shapes import PerSample


def root(p: Float[Tensor, "n classes"]) -> Float[Tensor, "n classes classes"]:
    """R = diag(sqrt p) - p sqrt(p)^T, for which R R^T = diag(p) - p p^T.

    >>> r = root(torch.tensor([[0.25, 0.75]]))
    >>> r @ r.mT
    tensor([[[ 0.1875, -0.1875],
             [-0.1875,  0.1875]]])
    """
    s = p.sqrt()
    return torch.diag_embed(s) - p[:, :, None] * s[:, None, :]


def largest_hessian_eigenvalue(cache: CachedBatch) -> Float[Tensor, " n"]:
    """lambda_max(W A W^T) of every sample, in the graph of the weights; one gradient where there are two classes."""
    p = cache.log_probabilities.exp()
    if p.shape[1] == 2:
        z = two_columns(cache.logits)
        (w,) = torch.autograd.grad((z[:, 1] - z[:, 0]).sum(), cache.x, create_graph=True)
        return p.prod(1) * w.flatten(1).square().sum(1)
    r = root(p)
    logits, columns = cache.logits, r.permute(2, 0, 1)
    (wr,) = torch.autograd.grad(logits, cache.x, columns, create_graph=True, is_grads_batched=True)
    wr = wr.flatten(2).transpose(0, 1)
    return torch.linalg.eigvalsh(wr @ wr.mT)[:, -1]


class SSR(Regulariser):
    """(1 - a) CE + a s mean lambda_max: needs no choice of an explained score.

    Args:
        a: share in (0, 1) that the curvature takes from the cross-entropy.
        s: scale of the curvature, above 0.

    >>> bool(SSR()(torch.nn.Linear(4, 2), torch.ones(3, 4), torch.tensor([0, 1, 0])) > 0)
    True
    """

    def __init__(self, a: float = 0.3, s: float | int = 1.0):
        if not 0 <= a < 1:
            raise ValueError(f"a must be a share in [0, 1), got {a}")
        super().__init__(a * check_positive("s", s))
        self.keep = 1 - a

    def terms(self, cache: CachedBatch) -> PerSample:
        """Largest eigenvalue."""
        return largest_hessian_eigenvalue(cache)
