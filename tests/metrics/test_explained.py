"""How sensitivities meet explainers: ours and Captum's, signed or not; what has no gradient was not attacked."""

import copy
import warnings
from types import SimpleNamespace

import captum.attr
import jaxtyping
import pytest
import torch
from brought import Returns, X, convnet
from torch import nn

from robustxai.metrics import max_sensitivity, mean_ignoring_nan, optimised_sensitivity


@pytest.fixture(autouse=True)
def as_shipped():
    """Run without the runtime shape checks, as a user does: the library's own sentences must come out."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


LABELS = torch.tensor([0, 1, 1])


class Gradient:
    """Ours: the input gradient, with its graph where gradients are on."""

    def __init__(self, model):
        self.model = model

    def __call__(self, x, target=None):
        with torch.enable_grad():
            v = x if x.requires_grad else x.detach().requires_grad_()
            logits = self.model(v)
            t = logits.argmax(1) if target is None else torch.as_tensor(target).expand(len(x))
            return torch.autograd.grad(logits.gather(1, t[:, None]).sum(), v, create_graph=True)[0]


@pytest.mark.parametrize("sensitivity", [max_sensitivity, optimised_sensitivity])
@pytest.mark.parametrize("kind", [Gradient, captum.attr.Saliency, captum.attr.IntegratedGradients])
def test_an_explainer_of_a_network_in_training_mode_is_refused(sensitivity, kind):
    net = convnet(norm=nn.BatchNorm2d(8)).eval()
    net[1].train()
    before = copy.deepcopy(net.state_dict())
    with pytest.raises(ValueError, match=r"^model must be in eval mode, got training mode \(1\)"):
        sensitivity(kind(net), X, LABELS)
    assert all(torch.equal(a, b) for a, b in zip(before.values(), net.state_dict().values(), strict=True))


def test_captums_explainers_are_taken_as_objects_as_methods_and_as_functions():
    net = convnet()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Captum, about inputs that do not require a gradient
        for kind in (
            captum.attr.Saliency(
                net,
            ),
            captum.attr.IntegratedGradients(net),
            captum.attr.InputXGradient(net),
        ):
            by_hand = max_sensitivity(
                lambda x, target, one=kind: one.attribute(x, target=target), X, LABELS
            ).value
            for explain in (kind, kind.attribute):
                torch.testing.assert_close(max_sensitivity(explain, X, LABELS).value, by_hand)
                torch.testing.assert_close(max_sensitivity(explain, X, LABELS.tolist()).value, by_hand)


def test_captums_explainers_get_the_class_that_is_predicted_and_make_no_noise():
    net = convnet()
    ig = captum.attr.IntegratedGradients(net)
    found = max_sensitivity(ig, X)
    torch.testing.assert_close(found.value, max_sensitivity(ig, X, net(X).argmax(1)).value)
    for wrap in (lambda z: z, lambda z: z[:, 0]):
        one = captum.attr.InputXGradient(Returns(convnet(1), wrap))
        assert max_sensitivity(one, X).value.isfinite().all()
    with pytest.raises(
        ValueError, match=r"^target must be given for an explainer whose network is not known"
    ):
        max_sensitivity(SimpleNamespace(attribute=lambda x, target: x), X)


def test_signed_and_reduced_attributions_keep_their_shape():
    for explain in (lambda x, t: x - 0.5, lambda x, t: (x - 0.5).abs().sum(1, keepdim=True)):
        found = optimised_sensitivity(explain, X, radius=0.1, steps=3)
        assert found.value.shape == (3,) and (found.value > 0).all()


@pytest.mark.parametrize(
    "explain",
    [
        lambda x, t: 2 * x.detach(),
        lambda x, t: 2 * x.round(),
        lambda x, t: 2 * x.detach() + nn.Parameter(torch.ones(())),
    ],
    ids=["no graph", "no slope", "a graph that x is not part of"],
)
def test_what_could_not_be_searched_is_not_called_stable(explain):
    with pytest.warns(UserWarning, match=r"^explain has no gradient to follow for 3 of 3 samples") as said:
        found = optimised_sensitivity(explain, X, radius=0.1, steps=3)
    assert len(said) == 1 and found.value.isnan().all()
    assert max_sensitivity(explain, X, radius=0.1).value.isfinite().all()
    guided = optimised_sensitivity(explain, X, radius=0.1, steps=3, guide=lambda x: lambda v, t: 2 * v)
    assert (guided.value >= max_sensitivity(explain, X, radius=0.1).value).all()


def test_only_the_samples_without_a_slope_are_not_measured():
    live = torch.tensor([1.0, 0.0, 1.0]).reshape(3, 1, 1, 1)
    with pytest.warns(UserWarning, match=r"for 1 of 3 samples"):
        found = optimised_sensitivity(lambda x, t: live * x + (1 - live), X, steps=2)
    assert found.value.isnan().tolist() == [False, True, False]


def test_an_attribution_that_turns_nan_under_a_change_has_no_sensitivity():
    def explain(x, target):
        return torch.where((x != X) & (torch.arange(3) == 1)[:, None, None, None], torch.nan, x)

    for sensitivity in (max_sensitivity, optimised_sensitivity):
        found = sensitivity(explain, X, radius=0.1)
        assert found.value.isnan().tolist() == [False, True, False]
    counted = mean_ignoring_nan(found.value)
    assert (counted.n, counted.skipped) == (2, 1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(target=1.7), "^target must be an int"),
        (dict(target=[0, 1]), "^target must be an int"),
        (dict(target=-1), "^target must hold classes from 0, got -1"),
        (dict(explain=3), r"^explain must be a callable explain\(x, target\), got int"),
        (dict(explain=lambda x, t: (x,)), r"^explain must give attributions .*got tuple"),
        (dict(explain=lambda x, t: x[:1]), r"^explain must give attributions \(n, \.\.\.\) of 3 samples"),
        (dict(explain=lambda x, t: x.sum()), "^explain must give attributions"),
        (dict(radius=torch.nan), "^radius must be a finite number > 0, got nan"),
        (dict(draws=-1), "^draws must be an integer >= 1, got -1"),
        (dict(draws=1.5), r"^draws must be an integer >= 1, got 1\.5"),
        (dict(clip=(1, 0)), r"^clip must be \(low, high\)"),
        (dict(clip=0.5), r"^clip must be \(low, high\)"),
        (dict(clip=(0.9, 1)), r"^x must lie in clip"),
        (dict(x=X * torch.nan), "^x must be finite inputs, got NaN or infinite numbers"),
        (
            dict(x=X[:0]),
            r"^x must be a table \(n, d\) or images \(n, C, H, W\), not empty, got shape \(0, 3, 8, 8\) and dtype",
        ),
        (dict(generator=3), "^generator must be a torch.Generator"),
        (dict(steps=0), "^steps must be an integer >= 1, got 0"),
        (dict(step=-1.0), r"^step must be a finite number > 0, got -1\.0"),
    ],
)
def test_bad_requests_for_a_sensitivity(options, words):
    given = dict(explain=lambda x, t: x, x=X) | options
    with pytest.raises(ValueError, match=words):
        optimised_sensitivity(**given)
    if not {"steps", "step"} & set(options):
        with pytest.raises(ValueError, match=words):
            max_sensitivity(**given)
