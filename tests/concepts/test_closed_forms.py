"""Small exact cases of what TCAV counts, where attacks look, and what they call near: each solved by hand."""

import torch
from tiny import Linear, gen, images
from torch import nn

from robustxai.concepts import CAV, TCAV
from robustxai.concepts.attacks import TokenPushing
from robustxai.concepts.attacks.common import pgd


class Above(nn.Module):
    """Logit 1 is how far the mean of an image lies above 0.5, and 0 below: dark images give no gradient at all."""

    def __init__(self):
        super().__init__()
        self.a = nn.Identity()

    def forward(self, x):
        z = (self.a(x).flatten(1).mean(1) - 0.5).relu()
        return torch.stack((-z, z), 1)


def test_an_image_without_gradient_is_not_positive():
    """3 of 12 images are bright: no CAV can be positive for more, and that of brightness is for these."""
    x = torch.full((12, 3, 4, 4), 0.1)
    x[:3] = 0.9
    concept = 0.8 + 0.2 * torch.rand(8, 3, 4, 4, generator=gen(1))
    random = [0.2 * torch.rand(8, 3, 4, 4, generator=gen(10 + i)) for i in range(4)]
    tool = TCAV(Above().eval(), ["a"], cav=CAV("mean", test_share=0))
    cell = tool.score(x, 1, {"bright": concept}, random)["bright", "a"]
    assert cell.scores.tolist() == [0.25] * 4
    assert set(cell.random.tolist()) <= {0.0, 0.25}
    assert "9 of 12 images give no gradient" in cell.warning


def test_the_attack_never_looks_outside_its_budget():
    """Downhill inside the budget and uphill beyond it: steps of 0.6 eps that are not projected come to -0.6 eps."""
    eps, grey, seen = 10 / 255, torch.full((2, 3, 4, 4), 100 / 255), []

    def valley(x, rows):
        seen.append(x.detach())
        return (x - (grey[rows] - 1.1 * eps)).abs().flatten(1).sum(1)

    found = pgd(grey, valley, eps=eps, step=0.6 * eps, steps=3)
    assert max(float((x - grey[0]).abs().max()) for x in seen) <= eps + 1e-6
    assert torch.equal((found.x * 255).round(), torch.full_like(grey, 90.0))


def test_the_goal_is_the_mean_of_all_images_however_many():
    """More goal images than one pass takes."""
    goal, x = images(300, 3, size=4), images(2, 4, size=4)
    goal[:256] = goal[:256] / 2
    goal = (goal * 255).round() / 255
    model = Linear(torch.zeros(2, 48)).eval()
    found = TokenPushing("a", steps=1).perturb(model, x, goal)
    torch.testing.assert_close(found.clean_loss, (x - goal.mean(0)).flatten(1).square().sum(1))


def test_the_cosine_variant_sees_directions_of_channels_only():
    """Scaled channels are as far as before; the distance is that of unit vectors."""
    model = Linear(torch.zeros(2, 48)).eval()
    goal, x = images(6, 3, size=4), (images(3, 4, size=4) * 127).round() / 255
    attack = TokenPushing("a", variant="cosine", steps=1)
    one, two = (attack.perturb(model, v, goal).clean_loss for v in (x, 2 * x))
    torch.testing.assert_close(one, two)
    unit = goal / goal.square().sum(1, keepdim=True).sqrt()
    own = x / x.square().sum(1, keepdim=True).sqrt()
    torch.testing.assert_close(one, (own - unit.mean(0)).square().sum((1, 2, 3)))
