"""The diffusion filter: acceptance tests 3 to 6 of the specification, counts, bad input."""

import pytest
import torch
from torch import nn
from toys import Knows, Smooth, filtered, images, scheduler, unet

from robustxai.ace import DiffusionFilter, image_generators


def smooth(tau=3, **options):
    return DiffusionFilter(Smooth(out=4 if options.get("variance") == "learned" else 2).double(), scheduler(),
                           20, tau, **options)  # fmt: skip


@pytest.mark.parametrize("tau", [1, 2, 5, 20])
@pytest.mark.parametrize("variance", ["small", "large"])
def test_an_oracle_gets_the_image_back(tau, variance):
    x = images()
    net = Knows(2 * x.double() - 1, scheduler().alphas_cumprod)
    out = DiffusionFilter(net, scheduler(), 20, tau, variance=variance)(x)
    torch.testing.assert_close(out, x, rtol=0, atol=1e-4)


def test_range_identity_and_repetition():
    x, f = images(), filtered(5)
    out = f(x, generators=3)
    assert out.min() >= 0 and out.max() <= 1 and not torch.equal(out, x)
    assert torch.equal(out, f(x, generators=3)) and not torch.equal(out, f(x, generators=4))
    assert torch.equal(filtered(0)(x), x)


def test_a_generator_moves_on_and_the_filters_own_noise_is_new_at_each_call():
    x, f = images(), filtered()
    g = torch.Generator().manual_seed(0)
    first, second = f(x, generators=g), f(x, generators=g)
    assert not torch.equal(first, second)
    assert torch.equal(first, f(x, generators=torch.Generator().manual_seed(0)))
    a, b = f(x), f(x)
    assert not torch.equal(a, b) and torch.equal(a, filtered()(x))


def test_an_image_has_its_own_noise_in_any_batch():
    x, f = images(5), filtered()
    noise = f.noise(x, 7)
    assert torch.equal(noise[[3, 1]], f.noise(x[[3, 1]], 7))
    assert noise.flatten(1).unique(dim=0).shape[0] == 5
    whole = f(x, generators=7)
    for j in range(5):
        torch.testing.assert_close(f(x[j : j + 1], generators=7), whole[j : j + 1])


def test_noise_of_a_shared_list_of_generators_is_drawn_in_turn():
    x, f = images(2), filtered(2)
    g = [torch.Generator().manual_seed(s) for s in (1, 2)]
    again = torch.Generator().manual_seed(2)
    for _ in range(2):
        noise = f.noise(x, g)
        assert torch.equal(noise[1], torch.randn(2, 3, 8, 8, generator=again))


def test_the_network_sees_base_timesteps():
    f = smooth(4)
    f(images(channels=2, dtype=torch.float64))
    assert f.unet.seen == [158, 105, 53, 0] == list(reversed(f.timesteps))
    f.unet.seen.clear()
    f.fewer(1)(images(channels=2, dtype=torch.float64))
    assert f.unet.seen == [158] and f.fewer(1).sigma == f.sigma


@pytest.mark.parametrize("variance", ["small", "large", "learned"])
@pytest.mark.parametrize("tau", [1, 3])
def test_gradient_against_finite_differences(variance, tau):
    f = smooth(tau, variance=variance)
    x = 0.3 + 0.4 * images(2, channels=2, size=4, dtype=torch.float64)
    noise = 0.3 * f.noise(x, 0)  # small, so that no estimate is clamped
    weights = torch.randn(x.shape, generator=torch.Generator().manual_seed(5), dtype=x.dtype)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad((weights * f(x, noise=noise)).sum(), x)
    step, numeric = 1e-5, torch.zeros_like(gradient)
    with torch.no_grad():
        for j in range(x[0].numel()):
            shift = torch.zeros_like(x).flatten(1)
            shift[:, j] = step
            shift = shift.view_as(x)
            up, down = f(x + shift, noise=noise), f(x - shift, noise=noise)
            numeric.flatten(1)[:, j] = (weights * (up - down)).flatten(1).sum(1) / (2 * step)
    assert float((gradient - numeric).norm() / numeric.norm()) < 1e-4


def test_learned_variance_by_hand():
    class Fixed(nn.Module):
        def forward(self, z, t):
            return torch.cat((torch.zeros_like(z), torch.full_like(z, 0.5)), 1)

    f = DiffusionFilter(Fixed(), scheduler(), 10, 2, variance="learned")
    s = f.schedule
    z, n = torch.zeros(1, 1, 1, 1, dtype=torch.float64), torch.ones(1, 1, 1, 1, dtype=torch.float64)
    expected = (0.75 * s.beta[1].log() + 0.25 * s.small[1].log()).mul(0.5).exp()
    torch.testing.assert_close(f.step(z, 1, n).squeeze(), expected)


@pytest.mark.parametrize("tau", [1, 4])
def test_checkpointed_gradient_is_the_joint_one_and_calls_are_counted(tau):
    x = images()
    found = {}
    for checkpoint in (False, True):
        f = filtered(tau, checkpoint=checkpoint)
        v = x.clone().requires_grad_()
        out = f(v, generators=0)
        (found[checkpoint],) = torch.autograd.grad(out.square().sum(), v)
        c = f.calls
        assert c.forward_calls == tau * (1 + checkpoint) and c.backward_calls == tau
        assert c.forwards == 4 * c.forward_calls and c.backwards == 4 * tau
    assert float((found[True] - found[False]).abs().max()) < 1e-5
    assert float(found[False].abs().max()) > 0


def test_a_saturated_estimate_has_no_gradient():
    f = smooth(1)
    x = torch.ones(1, 2, 4, 4, dtype=torch.float64).requires_grad_()
    out = f(x, noise=3 * torch.ones(1, 1, 2, 4, 4, dtype=torch.float64))
    (gradient,) = torch.autograd.grad(out.sum(), x)
    assert (out == 1).all() and (gradient == 0).all()


def test_parameters_take_no_part_and_stay_as_they_were():
    f, x = filtered(), images().requires_grad_()
    f.unet.requires_grad_(True)
    f(x, generators=0).sum().backward()
    assert all(p.requires_grad and p.grad is None for p in f.unet.parameters())
    assert x.grad is not None


def test_bf16_is_near_and_keeps_the_dtype():
    x, f = images(), filtered()
    out = f.with_(bf16=True)(x, generators=0)
    assert out.dtype == torch.float32
    assert 0 < float((out - f(x, generators=0)).abs().mean()) < 0.02


def test_twins_share_the_count():
    f = filtered(3)
    f.with_(tau=2)(images(), generators=0)
    f.fewer(1)(images(), generators=0)
    assert f.with_(tau=2).timesteps == f.timesteps[:2] and f.calls.forward_calls == 3


def test_processors_that_round_pixels_differently_draw_the_same_noise():
    """Rendered images differ by up to 2e-6 between processors; their noise must not be another one."""
    x = torch.rand(500, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    other = x + 2e-6 * (2 * torch.rand(x.shape, generator=torch.Generator().manual_seed(1)) - 1)
    assert not torch.equal((x * 65535).round(), (other * 65535).round())
    a, b = ([g.initial_seed() for g in image_generators(v, 7)] for v in (x, other))
    assert sum(map(int.__ne__, a, b)) <= 1
    assert len(set(a)) == 500, "other images draw other noise"
    greys = torch.arange(256)[:, None, None, None].expand(-1, 3, 4, 4) / 255
    c, d = ([g.initial_seed() for g in image_generators(v, 7)] for v in (greys, greys * (1 + 1e-7)))
    assert c == d


def test_generators_must_be_one_for_each_image(as_shipped):
    with pytest.raises(ValueError, match="generators must hold 3 of them, one for each image, got 2"):
        image_generators(images(3), [torch.Generator(), torch.Generator()])


BAD = {
    r"tau must be an integer in \[0, 100\], .* got 101": dict(tau=101),
    "tau must be an integer >= 0, got -1": dict(tau=-1),
    r"steps must be an integer in \[1, 1000\], at most the trained timesteps, got 0": dict(steps=0),
    "variance must be one of small, .*, got 'huge'": dict(variance="huge"),
    "unet must give 6 channels for 3, .* got 3": dict(variance="learned"),
    "scheduler must be one with alphas_cumprod, got a int": dict(scheduler=3),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_settings(message, as_shipped):
    options = dict(unet=unet(), scheduler=scheduler()) | BAD[message]
    with pytest.raises(ValueError, match=message):
        DiffusionFilter(**options)


def test_networks_that_do_not_fit(as_shipped):
    v = scheduler()
    v.register_to_config(prediction_type="v_prediction")
    with pytest.raises(ValueError, match="scheduler must have prediction_type 'epsilon', got 'v_prediction'"):
        DiffusionFilter(unet(), v)
    small = unet()
    small.trained_steps = 41
    assert DiffusionFilter(small, scheduler()).timesteps[-1] == 40
    with pytest.raises(ValueError, match=r"timesteps must be below 41, .* got 50"):
        DiffusionFilter(small, scheduler(), tau=6)
    with pytest.raises(ValueError, match="unet must be in eval mode, got training mode"):
        DiffusionFilter(nn.Dropout(0.1).train(), scheduler())


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.rand(2, 1, 8, 8), "x must have the 3 channels that unet takes, got 1"),
        (torch.rand(2, 3, 9, 8), "x must have sides in multiples of 2, .* got 9 x 8"),
        (torch.rand(2, 3, 8, 8) + 0.5, r"x must be images in \[0, 1\], got pixels"),
        (torch.full((1, 3, 8, 8), torch.nan), r"x must be finite images in \[0, 1\], got NaN"),
        (torch.rand(3, 8, 8), r"x must be images \(n, C, H, W\), not empty, got shape \(3, 8, 8\)"),
        (
            torch.rand(2, 3, 8, 8).double(),
            r"x must have the dtype of unet, torch\.float32, without .*, got torch\.float64",
        ),
    ],
)
def test_bad_images(x, message, as_shipped):
    with pytest.raises(ValueError, match=message):
        filtered()(x)


def test_bad_noise_and_outputs(as_shipped):
    with pytest.raises(ValueError, match=r"noise must be a tensor of shape .*, got shape"):
        filtered()(images(), noise=torch.zeros(4, 2, 3, 8, 8))
    with pytest.raises(ValueError, match="unet must return 2 channels for 2, got 5"):
        DiffusionFilter(Smooth(2, 5).double(), scheduler())(images(channels=2, dtype=torch.float64))
