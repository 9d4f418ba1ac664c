"""The search without derivatives: budget, class, batches; it moves what has no gradient and beats noise of its size."""

import pytest
import torch
from torch import Tensor, nn

from robustxai.arena.black_box import SquareSearch
from robustxai.arena.columns import FarCornerAttack
from robustxai.arena.measures import overlap
from robustxai.attacks.controls import RandomDirections
from robustxai.attacks.ghorbani import TopKAttack
from robustxai.explainers.base import Explainer
from robustxai.explainers.gradient import Saliency
from robustxai.nets import CompactResNet

EPS = 8 / 255
NET = CompactResNet(classes=4, generator=torch.Generator().manual_seed(0)).eval()
X = 0.2 + 0.6 * torch.rand(6, 3, 56, 56, generator=torch.Generator().manual_seed(1))


class Detached(Explainer):
    """The saliency without its graph."""

    differentiable = False

    def __init__(self, model: nn.Module):
        self.model = model

    def attribute(self, x: Tensor, target=None) -> Tensor:
        return Saliency(self.model, score="logit")(x.detach(), target).detach()


def top(norm: str = "linf", eps: float = EPS) -> TopKAttack:
    return TopKAttack(157, eps, norm=norm, steps=5, clip=(0, 1))


@pytest.mark.parametrize(("norm", "eps"), [("linf", EPS), ("l2", 1.0)])
def test_it_moves_a_map_without_derivative_further_than_noise_does(norm: str, eps: float) -> None:
    explain = Detached(NET)
    found = SquareSearch(top(norm, eps), queries=60).perturb(NET, X, explain=explain)
    assert found.kept.all() and not found.followed.any()
    assert found.budget is not None and found.budget.contains(found.x, X).all()
    t = found.target
    noise = RandomDirections(eps, norm=norm, clip=(0, 1)).perturb(NET, X, t)
    attacked = overlap(explain(X, t), explain(found.x, t))
    random = overlap(explain(X, t), explain(noise.x, t))
    assert (found.loss < found.clean_loss).all() and attacked.mean() < random.mean()


def test_a_batch_and_chunks_change_nothing_and_a_generator_does() -> None:
    search, explain = SquareSearch(top(), queries=8), Detached(NET)
    whole = search.perturb(NET, X, explain=explain).x
    parts = SquareSearch(top(), queries=8, batch_size=4).perturb(NET, X, explain=explain).x
    alone = torch.cat([search.perturb(NET, one, explain=explain).x for one in X.split(1)])
    assert torch.allclose(whole, parts) and torch.allclose(whole, alone)
    other = search.perturb(NET, X, explain=explain, generator=torch.Generator().manual_seed(3)).x
    assert not torch.equal(whole, other)


def test_more_queries_are_never_worse_and_other_objectives_fit() -> None:
    losses = []
    for queries in (1, 10, 40):
        found = SquareSearch(FarCornerAttack(EPS, norm="linf", steps=5, clip=(0, 1)), queries=queries)
        losses.append(found.perturb(NET, X[:2], explain=Detached(NET)).loss)
    assert (losses[2] <= losses[0]).all()
    assert (losses[2] < losses[0]).any()


def test_a_constant_map_stays_where_it_is() -> None:
    found = SquareSearch(top(), queries=5).perturb(
        NET, X[:2], explain=lambda x, t: torch.ones(len(x), 1, 56, 56)
    )
    assert torch.equal(found.x, X[:2])


@pytest.mark.usefixtures("as_shipped")
def test_bad_input() -> None:
    with pytest.raises(ValueError, match=r"^like must be an attack on maps with one budget, got str$"):
        SquareSearch("topk")  # pyright: ignore[reportArgumentType]
    for bad in ({"queries": 0}, {"area": 1.5}, {"batch_size": 0}):
        with pytest.raises(ValueError, match=rf"^{next(iter(bad))} must "):
            SquareSearch(top(), **bad)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"^x must be images"):
        SquareSearch(top()).perturb(NET, X[0])
