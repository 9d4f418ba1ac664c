"""TCAV against what it cannot do without, the forwards and one backward, and against captum's on the same work.

Caches are cold: every round has fresh image tensors, and captum a fresh folder. Both get the same model, layers,
images and random sets; scores are compared in tests/concepts, where both use one estimator.
"""

import shutil
import tempfile
import warnings

import pytest
import torch
from torch.utils.data import DataLoader

from robustxai.concepts import CAV, TCAV
from robustxai.nets import TorchvisionClassifier

CHAPTER = "concepts"
GROUP = "TCAV, ResNet-18, 64 px"
N = 50
CAVS, ROWS, FEATURES = 20, 100, 8192
LAYERS = ("body.layer1", "body.layer2", "body.layer3")  # behind layer4 there is only a linear head


def network():
    return TorchvisionClassifier("resnet18", classes=10, generator=torch.Generator().manual_seed(0)).eval()


def pictures(sets: int, seed: int):
    """Random pictures whose mean colour tells the sets apart."""
    generator = torch.Generator().manual_seed(seed)
    base = torch.rand(sets, 1, 3, 1, 1, generator=generator)
    return list(((base + torch.rand(sets, N, 3, 64, 64, generator=generator)) / 2).unbind(0))


class Work:
    """Some concepts, random sets and layers, done by us, by captum, and by the network alone."""

    def __init__(self, concepts: int, randoms: int, layers: tuple[str, ...]) -> None:
        self.model, self.layers = network(), layers
        self.concepts, self.random = pictures(concepts, 1), pictures(randoms, 2)
        self.images = pictures(1, 3)[0]

    def bare(self) -> None:
        """All forwards, and one forward and backward for the class images."""
        with torch.no_grad():
            for x in (*self.concepts, *self.random):
                self.model(x)
        maps = {}
        handles = [
            self.model.get_submodule(name).register_forward_hook(
                lambda _m, _i, out, name=name: maps.update({name: out})
            )
            for name in self.layers
        ]
        score = self.model(self.images)[:, 1].sum()
        for handle in handles:
            handle.remove()
        torch.autograd.grad(score, list(maps.values()))

    def ours(self, estimator: str) -> None:
        named = {str(i): x for i, x in enumerate(self.concepts)}
        TCAV(self.model, self.layers, cav=CAV(estimator)).score(self.images, 1, named, self.random)

    def captum(self) -> None:
        from captum.attr import LayerGradientXActivation
        from captum.concept import TCAV as Theirs, Concept

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            folder = tempfile.mkdtemp()
            sets = [
                Concept(i, str(i), DataLoader(x, batch_size=N))
                for i, x in enumerate((*self.concepts, *self.random))
            ]
            method = LayerGradientXActivation(self.model, None, multiply_by_inputs=False)
            tool = Theirs(self.model, list(self.layers), layer_attr_method=method, save_path=folder)
            count = len(self.concepts)
            tool.interpret(self.images, [[c, r] for c in sets[:count] for r in sets[count:]], target=1)
            shutil.rmtree(folder)


@pytest.mark.parametrize("estimator", ["ridge", "sgd"])
@pytest.mark.benchmark(group=GROUP)
def test_against_the_bare_cost(estimator, against):
    work = Work(1, 5, LAYERS[:2])
    against(lambda: work.ours(estimator), work.bare, rounds=7,
            name=f"ours ({estimator}), 1 concept, 5 random sets, 2 layers / forwards and one backward",
            target="1.5 or less" if estimator == "ridge" else None)  # fmt: skip


@pytest.mark.benchmark(group=GROUP)
def test_captum_against_the_bare_cost(against):
    work = Work(1, 5, LAYERS[:2])
    against(work.captum, work.bare, rounds=5,
            name="captum, 1 concept, 5 random sets, 2 layers / forwards and one backward")  # fmt: skip


@pytest.mark.parametrize("estimator", ["ridge", "sgd"])
@pytest.mark.benchmark(group=GROUP)
def test_against_captum(estimator, against):
    work = Work(5, 20, LAYERS)
    against(lambda: work.ours(estimator), work.captum, rounds=5 if estimator == "sgd" else 3,
            name=f"ours ({estimator}) / captum, 5 concepts, 20 random sets, 3 layers",
            target="0.1 or less")  # fmt: skip


def theirs(estimator: str):
    """What scikit-learn fits of the same kind."""
    from sklearn.linear_model import RidgeClassifier, SGDClassifier

    if estimator == "sgd":
        return SGDClassifier(alpha=0.01, max_iter=1000, tol=1e-3, random_state=0)
    return RidgeClassifier(alpha=float(FEATURES))  # about the mean diagonal of the Gram matrix, as ours


@pytest.mark.parametrize("estimator", ["ridge", "sgd"])
@pytest.mark.benchmark(group=f"{CAVS} CAVs of one concept, {ROWS} + {ROWS} rows of {FEATURES:,}")
def test_cavs_at_once(estimator, against):
    generator = torch.Generator().manual_seed(0)
    positive = torch.randn(ROWS, FEATURES, generator=generator) + 0.1
    negatives = [torch.randn(ROWS, FEATURES, generator=generator) for _ in range(CAVS)]
    train = round(ROWS * 2 / 3)  # ours holds a third out, too

    def one_by_one():
        y = [1] * train + [0] * train
        for negative in negatives:
            theirs(estimator).fit(torch.cat((positive[:train], negative[:train])).numpy(), y)

    name = type(theirs(estimator)).__name__
    against(lambda: CAV(estimator).fit(positive, negatives), one_by_one, rounds=5,
            name=f"ours ({estimator}), all at once / scikit-learn's {name}, one by one")  # fmt: skip
