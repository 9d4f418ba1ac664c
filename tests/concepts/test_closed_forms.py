"""Small exact cases of what TCAV counts, where attacks look, and what they call near: each solved by hand."""

import torch
from tiny import Linear, bars, gen, images, net
from torch import nn
from torch.nn import functional as F

from robustxai.concepts import CAV, TCAV, FacetedVisualization, permutation_test
from robustxai.concepts.attacks import ClassGradientPush, MultiLayerPushing, TokenPushing, UniversalPushing
from robustxai.concepts.attacks.base import pgd


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


def test_the_seen_labelling_counts_among_the_resamples():
    """None of 99 relabellings of 20 ones and 20 zeros is as far apart as they are: 1 of 100, and never 0."""
    assert permutation_test(torch.ones(20), torch.zeros(20), resamples=99) == 0.01
    assert permutation_test(torch.ones(20), torch.zeros(20), resamples=1) == 0.5


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


def test_one_perturbation_for_all_follows_all_however_few_go_through_at_a_time():
    """Three images want to be 100 levels darker and the last one 10 levels brighter: all together, darker."""
    x = torch.full((4, 3, 4, 4), 200 / 255)
    x[3] = 90 / 255
    goal = torch.full((2, 3, 4, 4), 100 / 255)
    attack = UniversalPushing("a", eps=8 / 255, steps=6, batch_size=1)
    shared = attack.perturb(Linear(torch.zeros(2, 48)).eval(), x, goal).shared
    torch.testing.assert_close(shared, torch.full_like(shared, -8 / 255))


def test_every_layer_of_every_network_counts_one_before_the_attack():
    """Distances of layers differ by orders of magnitude; each is measured in units of its clean one."""
    found = MultiLayerPushing(["b2", "b4"], steps=2).perturb(
        [net(), net(9)], images(4, seed=3), bars(6, seed=4)
    )
    torch.testing.assert_close(found.clean_loss, torch.full((4,), 4.0))


def test_budgets_between_two_levels_are_those_of_the_level_below():
    """8.6 levels round to 9, which is more than was allowed."""
    grey = torch.full((1, 3, 4, 4), 100 / 255)
    found = pgd(grey, lambda x, rows: x.flatten(1).sum(1), eps=8.6 / 255)
    assert torch.equal((found.x * 255).round(), torch.full_like(grey, 92.0))


class Energy(nn.Module):
    """Logit 1 is half the squared length of an image, whose gradient is the image."""

    def __init__(self):
        super().__init__()
        self.a = nn.Identity()

    def forward(self, x):
        z = self.a(x).flatten(1).square().sum(1) / 2
        return torch.stack((-z, z), 1)


def test_the_class_direction_is_the_mean_of_unit_gradients():
    """A bright image has a long gradient and counts as much as a dark one."""
    x = images(2, 3, size=4)
    x[1] = (x[1] * 25).round() / 255
    found = ClassGradientPush("a").direction(Energy().eval(), x, 1)
    torch.testing.assert_close(found, F.normalize(x.flatten(1), dim=1).mean(0))


def test_pushing_away_goes_away_from_the_clean_centroid():
    model, x = Linear(torch.zeros(2, 48)).eval(), images(5, 3, size=4)
    found = TokenPushing("a", away=True, steps=6).perturb(model, x)
    before, after = ((v - x.mean(0)).flatten(1).square().sum(1) for v in (x, found.x))
    torch.testing.assert_close((found.clean_loss, found.loss), (-before, -after))
    assert (after > before).all()


def test_the_pooled_variant_sees_means_over_positions_only():
    model = Linear(torch.zeros(2, 48)).eval()
    goal, x = images(6, 3, size=4), images(3, 4, size=4)
    found = TokenPushing("a", variant="pooled", steps=1).perturb(model, x, goal)
    far = (x.mean((2, 3)) - goal.mean((0, 2, 3))).square().sum(1)
    torch.testing.assert_close(found.clean_loss, far)


def test_a_uniform_start_lies_anywhere_in_the_box():
    eps, grey, seen = 10 / 255, torch.full((2, 3, 8, 8), 100 / 255), []

    def watched(x, rows):
        seen.append(x.detach())
        return x.flatten(1).sum(1)

    pgd(grey, watched, eps=eps, steps=1, start="uniform", generator=gen(1))
    low, high = map(float, (seen[0] - grey).aminmax())
    assert -eps - 1e-6 <= low < -0.9 * eps and 0.9 * eps < high <= eps + 1e-6


def test_the_penalty_of_a_picture_keeps_it_grey():
    model, still = net(), dict(size=16, steps=15, jitter=0, scale=0, rotate=0)
    far = [
        float((FacetedVisualization(model, 1, penalty=p, **still).render(n=2).images - 0.5).square().mean())
        for p in (0.0, 1e6)
    ]
    assert far[1] < 0.1 * far[0]
