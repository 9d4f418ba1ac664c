"""Small exact cases of paths and attacks, each solved by hand."""

from itertools import pairwise

import torch
from torch import nn

from robustxai.manifold_ig import AttributionAttack, IntegratedGradients, endpoints, geodesic, shares
from robustxai.manifold_ig.path_diagnostics import by_length


def network(inputs=12):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, 6), nn.Tanh(), nn.Linear(6, 2)).eval()


def test_without_a_baseline_the_path_begins_at_black():
    """Of a linear network each pixel has its weight times its value, and black nothing."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 2)).eval()
    x = torch.rand(3, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    ig = IntegratedGradients(net, n_steps=3)
    torch.testing.assert_close(ig.attribute(x, 1), x * net[1].weight[1].reshape(3, 2, 2))
    assert not ig.attribute(torch.zeros(1, 3, 2, 2), 1).any()


def test_logits_that_are_nan_predict_nothing_and_nothing_is_kept():
    net = network()
    x = torch.rand(2, 3, 2, 2, generator=torch.Generator().manual_seed(1)) / 2
    x[0] += 0.5

    def broken(v):
        bright = v.flatten(1).mean(1, keepdim=True) > 0.6
        return net(v).masked_fill(bright, torch.nan)

    attack = AttributionAttack(x[1:] / 2, eps=0.05, steps=4, lr=0.01)
    found = attack.perturb(broken, x, 0, explain=IntegratedGradients(net, n_steps=4))
    assert found.kept.tolist() == [False, True] and torch.equal(found.x[0], x[0])


def test_goal_images_are_explained_for_the_class_of_the_network_that_explains_them():
    """Two networks that never agree: the class on the goal images is that of `also`, where there is one."""
    weight = torch.tensor([[1.0, 2.0, 3.0, 4.0], [4.0, 1.0, 1.0, 2.0]])
    x, goal = torch.full((1, 4), 0.5), torch.tensor([[0.1, 0.2, 0.3, 0.9]])
    one = lambda v: v @ weight.T  # noqa: E731
    other = lambda v: -(v @ weight.T)  # noqa: E731
    assert one(goal).argmax() == 0 and other(goal).argmax() == 1
    explain = lambda v, target: v * weight[target]  # noqa: E731
    for also, wanted in ((None, 0), (other, 1)):
        found = AttributionAttack(goal, eps=0.1, steps=1).perturb(one, x, 0, explain=explain, also=also)
        far = 4 * (shares(explain(x, [0])) - shares(explain(goal, [wanted]))).square().sum(1)
        torch.testing.assert_close(found.clean_loss, far)


def test_a_bridge_goes_evenly_from_the_raw_images_to_the_path():
    path, start, end = (torch.tensor(v)[:, None, None] for v in ([2.0, 3.0], [0.0], [5.0]))
    found = endpoints(path, start[0], end[0], "bridge", points=2)
    torch.testing.assert_close(found[:, 0, 0], torch.arange(6.0))


def test_the_penalty_is_a_mean_over_the_inner_points():
    """A line of length 1 has the energy 1/2; a penalty of 1 everywhere adds its weight, whatever the points."""
    z0, z1 = torch.zeros(1, 2), torch.tensor([[0.6, 0.8]])
    for n_points in (5, 9):
        everywhere = lambda z: 1 + 0 * z.sum(1)  # noqa: E731
        found = geodesic(lambda z: z, z0, z1, n_points, penalty=everywhere, weight=3.0)
        torch.testing.assert_close(found.trace[0], torch.tensor([3.5]))


def test_a_point_counts_by_the_way_on_both_sides_of_it():
    """Steps 1, 3 and 0 long: half of 1 and 3 around the first inner point, half of 3 and 0 around the second."""
    path = torch.tensor([0.0, 1.0, 4.0, 4.0])[:, None, None]
    torch.testing.assert_close(
        by_length(path, torch.tensor([[1.0], [2.0]])), torch.tensor([(2 + 2 * 1.5) / 3.5])
    )


def test_a_guide_is_asked_again_where_the_attack_has_come_to():
    net, asked = network(), []
    x = torch.rand(2, 3, 2, 2, generator=torch.Generator().manual_seed(1)) / 2 + 0.2
    explain = IntegratedGradients(net, n_steps=4)

    def guide(v):
        asked.append(v.clone())
        return explain

    AttributionAttack(x / 2, eps=0.05, steps=10, lr=0.001, refresh=4).perturb(
        net, x, 0, explain=explain, guide=guide
    )
    assert len(asked) == 3 and torch.equal(asked[0], x)
    assert all((a != b).flatten(1).any(1).all() for a, b in pairwise(asked))
