"""Respacing and the posterior: acceptance tests 1 and 2 of the specification."""

import pytest
import torch
from toys import scheduler

from robustxai.ace import Schedule, fewer, respaced


@pytest.mark.parametrize(
    ("base", "steps", "first"),
    [
        (500, 50, (0, 10, 20, 31, 41)),
        (500, 25, (0, 21, 42, 62, 83)),
        (1000, 100, (0, 10, 20, 30, 40)),
        (1000, 25, (0, 42, 83, 125, 166)),
    ],
)
def test_respacing_as_published(base, steps, first):
    picked = respaced(base, steps)
    assert picked[:5] == first and picked[-1] == base - 1 and len(set(picked)) == steps


def test_all_steps_are_the_identity():
    assert respaced(500, 500) == tuple(range(500))
    assert respaced(500, 1) == (0,)


@pytest.mark.parametrize("steps", [1, 7, 100, 1000])
def test_betas_recompose_the_schedule(steps):
    bars = scheduler().alphas_cumprod
    picked = respaced(1000, steps)
    s = Schedule.over(bars, picked)
    torch.testing.assert_close((1 - s.beta).cumprod(0), bars.double()[list(picked)], rtol=0, atol=1e-10)


def test_the_last_step_returns_the_estimate_itself():
    s = Schedule.over(scheduler().alphas_cumprod, respaced(1000, 50))
    assert float(s.x0_weight[0]) == 1 and float(s.z_weight[0]) == 0 and float(s.small[0]) == 0
    assert s.log_variances(0)[0] == s.log_variances(1)[0]


def test_posterior_against_bayes():
    # q(z_{i-1} | z_i, x0) of two Gaussians, by precision weighting
    s = Schedule.over(scheduler().alphas_cumprod, respaced(1000, 20))
    for i in range(1, 20):
        prior = 1 - s.alpha_bar[i - 1]
        step = (1 - s.beta[i]).sqrt()
        precision = 1 / prior + step**2 / s.beta[i]
        torch.testing.assert_close(s.small[i], 1 / precision)
        torch.testing.assert_close(s.z_weight[i], step / s.beta[i] / precision)
        torch.testing.assert_close(s.x0_weight[i], s.alpha_bar[i - 1].sqrt() / prior / precision)


def test_noise_levels_of_the_table():
    bars = scheduler().alphas_cumprod
    levels = [round(Schedule.over(bars, (t,)).sigma(0), 2) for t in (20, 40, 60, 80, 100, 120, 160, 199, 250)]
    assert levels == [0.08, 0.14, 0.20, 0.26, 0.32, 0.38, 0.49, 0.58, 0.69]


def test_fewer_steps_keep_the_noise():
    visited = respaced(1000, 100)[:5]
    for steps in (1, 2, 3, 5):
        assert len(fewer(visited, steps)) == steps and fewer(visited, steps)[-1] == 40


@pytest.mark.parametrize("steps", [0, 1001, True])
def test_bad_steps(steps, as_shipped):
    with pytest.raises(ValueError, match=r"steps must be an integer in \[1, 1000\]"):
        respaced(1000, steps)


@pytest.mark.parametrize("bars", [[0.9, 0.95], [0.0, 0.1], [[0.9]], []])
def test_bad_schedules(bars, as_shipped):
    with pytest.raises(ValueError, match="alphas_cumprod must be falling numbers"):
        Schedule.over(torch.tensor(bars), (0,))


@pytest.mark.parametrize("steps", [(), (3, 2), (-1,), (1000,), (1, 1)])
def test_bad_timesteps(steps, as_shipped):
    with pytest.raises(ValueError, match=r"timesteps must be rising integers"):
        Schedule.over(scheduler().alphas_cumprod, steps)
