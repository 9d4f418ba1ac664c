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
        from captum.concept import TCAV as Theirs
        from captum.concept import Concept

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
    against(work.captum, work.bare, rounds=3,
            name="captum, 1 concept, 5 random sets, 2 layers / forwards and one backward")  # fmt: skip


@pytest.mark.parametrize("estimator", ["ridge", "sgd"])
@pytest.mark.benchmark(group=GROUP)
def test_against_captum(estimator, against):
    work = Work(5, 20, LAYERS)
    against(lambda: work.ours(estimator), work.captum, rounds=2,
            name=f"ours ({estimator}) / captum, 5 concepts, 20 random sets, 3 layers",
            target="0.1 or less")  # fmt: skip


@pytest.mark.benchmark(group="CAVs of one concept against 100 negative sets, 100 + 100 rows of 8,192")
def test_cavs_at_once(against):
    from sklearn.linear_model import SGDClassifier

    generator = torch.Generator().manual_seed(0)
    positive, negatives = torch.randn(100, 8192, generator=generator) + 0.1, []
    negatives = [torch.randn(100, 8192, generator=generator) for _ in range(100)]

    def one_by_one():
        y = [1] * 67 + [0] * 67
        for negative in negatives[:10]:  # a tenth of the work
            rows = torch.cat((positive[:67], negative[:67])).numpy()
            SGDClassifier(alpha=0.01, max_iter=1000, tol=1e-3, random_state=0).fit(rows, y)

    against(lambda: CAV("ridge").fit(positive, negatives), one_by_one, rounds=5,
            name="100 ridge CAVs, batched / 10 CAVs of scikit-learn's SGDClassifier one by one")  # fmt: skip
