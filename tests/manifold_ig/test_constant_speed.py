"""The latent line at constant speed: the same curve, less energy, and means by length that do not see the speed."""

import pytest
import torch

from robustxai.manifold_ig import IntegratedGradients, LatentPathIG, curve_bounds, path_of
from robustxai.manifold_ig.constant_speed import EvenPathIG
from robustxai.manifold_ig.path_diagnostics import along_length, by_length


def encode(x):
    """The code of a number in [0, 1] is its square root, so the decoder is slow at first."""
    return x.flatten(1).sqrt()


def decode(z):
    return z.square()


class Cubed(torch.nn.Module):
    def forward(self, x):
        return torch.stack((x.flatten(1).pow(3).sum(1), x.flatten(1).sum(1)), 1)


X = torch.tensor([[1.0, 1.0], [0.25, 0.64]])


def test_even_steps_on_the_same_curve():
    parts, start = (Cubed().eval(), encode, decode), torch.zeros_like(X)
    line = path_of(LatentPathIG(*parts, n_steps=40), X, start)
    method = EvenPathIG(*parts, n_steps=40, memory={})
    even = path_of(method, X, start)
    assert torch.equal(even[[0, -1]], line[[0, -1]])
    speeds = even.diff(dim=0).norm(dim=2)
    assert (speeds.std(0) / speeds.mean(0)).max() < 0.02
    bounds = curve_bounds(even)
    torch.testing.assert_close(
        bounds.energy, bounds.half_chord, rtol=1e-3, atol=0
    )  # here the curve is a line
    assert (curve_bounds(line).energy > 1.2 * bounds.energy).all()
    # the line of pixels is the same path, so the attribution is that of Integrated Gradients
    pixels = IntegratedGradients(parts[0], n_steps=40)(X, 0)
    torch.testing.assert_close(method(X, 0), pixels, rtol=5e-3, atol=1e-4)
    assert method.memory
    method.memory.clear()
    torch.testing.assert_close(method(X[1:], 0), method(X, 0)[1:])


def test_no_round_is_refused():
    with pytest.raises(ValueError, match="rounds must be an integer >= 1, got 0"):
        EvenPathIG(Cubed().eval(), encode, decode, rounds=0)


def test_means_by_length_do_not_depend_on_the_speed():
    t = torch.linspace(0, 1, 401)[:, None, None]
    for power in (1, 2, 5):
        path = t.pow(power)
        mean = by_length(path, path[1:-1].flatten(1))
        torch.testing.assert_close(mean, torch.tensor([0.5]), rtol=0, atol=5e-3)
        some = along_length(path, 3).flatten()
        torch.testing.assert_close(some, torch.tensor([0.25, 0.5, 0.75]), rtol=0, atol=0.01)


def test_each_path_has_its_own_shares_of_length():
    t = torch.linspace(0, 1, 201)[:, None, None]
    two = torch.cat((t, 3 * t.pow(4)), 1)
    torch.testing.assert_close(along_length(two, 1).flatten(), torch.tensor([0.5, 1.5]), rtol=0, atol=0.03)
