"""What stable rankings cost: a training step with each regulariser against a plain one, and attacking in batches.

The reference of a step is the plain cross-entropy step of the same network with the same optimiser; the attack's is the
same attack on one sample at a time.
"""

import pytest
import torch

from robustxai.nets import MLP, SmallConvNet
from robustxai.ranking import (
    R2ET,
    SSR,
    AdversarialTraining,
    ExactHessian,
    MSEAttack,
    RankingAttack,
    RegularisedLoss,
    Saliency,
)

CHAPTER = "ranking"
TABLES = "one training step, MLP 28-32-16-2, batch 128, one thread"
IMAGES = "one training step, small convolutional network, 8 px, batch 128, one thread"
ATTACKS = "256 attacked samples, MLP 28-32-16-2, 10 steps, one thread"
THREADS = 1  # two threads cost more than they bring at these sizes


@pytest.fixture(autouse=True)
def one_thread(_as_a_user_runs_it):
    torch.set_num_threads(THREADS)


def step(regularisers, *, images: bool = False):
    """A function that makes ten Adam steps on a fixed batch: one is too short for the clock."""
    g = torch.Generator().manual_seed(0)
    model = (SmallConvNet(generator=g) if images else MLP(28, generator=g)).eval()
    x = torch.rand(128, 1, 8, 8, generator=g) if images else torch.randn(128, 28, generator=g)
    y = torch.arange(128) % (10 if images else 2)
    rule, loss = torch.optim.Adam(model.parameters(), 1e-5, fused=True), RegularisedLoss(regularisers)

    def run():
        for _ in range(10):
            loss(model, x, y).backward(inputs=list(model.parameters()))
            rule.step()
            rule.zero_grad()

    return run


GAP, BOTH, AT = "gap (R2ET without Hessian)", "gap and finite-difference Hessian (R2ET)", "AT, 3 steps"
CASES = {
    GAP: (lambda k: R2ET(k, hessian=0), "3 or less"),
    "gap, mm pairs": (lambda k: R2ET(k, hessian=0, pairs="mm"), None),
    BOTH: (R2ET, "4 or less"),
    "R2ET, random direction": (lambda k: R2ET(k, along="random"), None),
    "SSR": (lambda _k: SSR(), None),
    "exact Hessian": (lambda _k: ExactHessian(0.1), None),
    AT: (lambda k: AdversarialTraining(k, 0.5), None),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.benchmark(group=TABLES)
def test_step(name, against):
    build, target = CASES[name]
    against(step([build(8)]), step([]), rounds=40, name=f"{name} / cross-entropy step", target=target)


@pytest.mark.parametrize("name", [GAP, BOTH])
@pytest.mark.benchmark(group=TABLES)
def test_step_against_adversarial_training(name, against):
    against(step([CASES[name][0](8)]), step([CASES[AT][0](8)]), rounds=40,
            name=f"{name} / {AT}", target="below 1")  # fmt: skip


@pytest.mark.parametrize("name", [GAP, BOTH, "SSR", AT])
@pytest.mark.benchmark(group=IMAGES)
def test_image_step(name, against):
    regulariser = CASES[name][0](16)
    against(step([regulariser], images=True), step([], images=True), rounds=15,
            name=f"{name} / cross-entropy step, images")  # fmt: skip


@pytest.mark.parametrize(
    "attack", [RankingAttack(8, 0.5, steps=10), MSEAttack(0.5, steps=10)], ids=["er", "mse"]
)
@pytest.mark.benchmark(group=ATTACKS)
def test_attack_in_batches(attack, against):
    g = torch.Generator().manual_seed(0)
    model, x = MLP(28, generator=g).eval(), torch.randn(256, 28, generator=g)
    explain = Saliency(model)
    against(lambda: [attack.perturb(model, one, explain=explain) for one in x.split(1)],
            lambda: attack.perturb(model, x, explain=explain), rounds=5,
            name=f"one at a time / a batch of 256, {type(attack).__name__}", target="20 or more")  # fmt: skip
