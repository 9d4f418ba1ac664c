"""What ACE accepts: classifiers that return anything with logits in it, images as they come, and no training mode."""

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.transforms.v2 import functional as TF
from toys import Classifier, filtered, images, scheduler, unet

from robustxai.ace import ACE, PGD, DiffusionFilter, class_gradient, image_generators, metrics as M

SHORT = dict(steps=3, step=4 / 255, dilation=3)


class Output:
    def __init__(self, logits):
        self.logits = logits


class Wrapped(nn.Module):
    """The same logits in the ways that networks return them."""

    def __init__(self, net: nn.Module, kind: str) -> None:
        super().__init__()
        self.net, self.kind = net, kind
        self.eval()

    def forward(self, x):
        z = self.net(x)
        return {
            "object": Output(z), "logits": {"logits": z}, "out": {"out": z, "aux": None}, "tuple": (z, x),
            "flat": z.squeeze(1), "tensor": z,
        }[self.kind]  # fmt: skip


KINDS = ["object", "logits", "out", "tuple", "tensor"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("classes", [1, 2, 3])
def test_a_classifier_may_return_its_logits_in_any_way(kind, classes):
    net, x, f = Classifier(classes), images(), filtered()
    plain, found = (ACE(c, f, **SHORT).explain(x) for c in (net, Wrapped(net, kind)))
    assert torch.equal(plain.image, found.image) and torch.equal(plain.after, found.after)
    fast = ACE(Wrapped(net, kind), f, **SHORT).explain(x, mode="fast")
    assert torch.equal(fast.image, ACE(net, f, **SHORT).explain(x, mode="fast").image)


def test_one_logit_per_image_is_two_classes():
    net, x, f = Classifier(1), images(), filtered()
    flat = Wrapped(net, "flat")
    plain, found = (ACE(c, f, **SHORT).explain(x) for c in (net, flat))
    assert torch.equal(plain.image, found.image) and torch.equal(plain.target, found.target)
    alone = torch.cat([ACE(flat, None, **SHORT).explain(x[i : i + 1]).image for i in range(4)])
    assert torch.equal(alone, ACE(flat, None, **SHORT).explain(x).image)


@pytest.mark.parametrize("kind", [*KINDS, "flat"])
def test_measures_read_any_classifier(kind):
    net, x, moved = Classifier(1), images(), images(seed=1)
    t, o = torch.tensor([0, 1, 0, 1]), torch.tensor([1, 0, 1, 0])
    wrapped = Wrapped(net, kind)
    for measure in (
        lambda c: M.flips(c, x, t), lambda c: M.transfer_flips(c, x, moved, t),
        lambda c: M.cout(c, x, moved, o, t).score,
        lambda c: M.purified_flips(c, filtered(), x, t, draws=2), lambda c: M.Features("f", c)(x),
        lambda c: M.upper_half(c, x),
    ):  # fmt: skip
        torch.testing.assert_close(measure(wrapped), measure(net), rtol=0, atol=0, equal_nan=True)


class Boxes(nn.Module):
    def forward(self, x):
        return [x.mean((1, 2, 3))]


class Map(nn.Module):
    def forward(self, x):
        return x


@pytest.mark.parametrize("net", [Boxes(), Map()])
def test_what_is_no_classifier_is_one_sentence(net):
    for call in (
        lambda: ACE(net, None, **SHORT).explain(images()), lambda: M.flips(net, images(), 0),
        lambda: M.cout(net, images(), images(), 0, 1), lambda: PGD(steps=1).perturb(net, images()),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"classifier must return logits \(n, classes\), got"):
            call()


class Grey(nn.Module):
    """Widens grey images itself, so that its first convolution is not what the images' channels have to fit."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Classifier(2)

    def forward(self, x):
        return self.net(x.expand(-1, 3, -1, -1))


def test_the_model_says_which_channels_it_takes():
    found = ACE(Grey().eval(), None, **SHORT).explain(images(channels=1))
    assert found.image.shape == (4, 1, 8, 8) and bool((found.between > found.before).all())
    with pytest.raises(ValueError, match=r"classifier does not run on x of shape \(4, 1, 8, 8\).*channels"):
        ACE(Classifier(2), None, **SHORT).explain(images(channels=1))


@pytest.mark.parametrize("attack", ["pgd", "gd", "cw"])
@pytest.mark.parametrize("off", [2.4e-7, 9e-6])
def test_resized_images_a_hair_outside_are_accepted_and_moved_inside(attack, off):
    x = torch.cat((torch.full((1, 3, 8, 8), 1 + off), torch.full((1, 3, 8, 8), -off), images(1)))
    found = ACE(Classifier(2), filtered(), attack=attack, **SHORT).explain(x)
    assert torch.equal(found.x, x.clamp(0, 1)) and found.image.isfinite().all()
    assert 0 <= found.image.min() and found.image.max() <= 1
    white = TF.resize(torch.ones(1, 3, 100, 100), [32, 32], antialias=True)
    assert ACE(Classifier(2), None, **SHORT).explain(white).finished.all()


@pytest.mark.parametrize("bad", [1.01, -0.01, float("nan"), float("inf")])
def test_other_pixels_are_refused(bad):
    x = images()
    x[1, 2, 3, 4] = bad
    for call in (lambda: ACE(Classifier(2), None).explain(x), lambda: filtered()(x)):
        with pytest.raises(ValueError, match=r"^x must be (finite )?images in \[0, 1\], got"):
            call()


def test_no_measure_moves_a_running_statistic_or_reads_one_batch():
    net = Classifier(2)
    net.norm.train()
    was, x, t = net.norm.running_mean.clone(), images(), torch.tensor([0, 1, 0, 1])
    for call in (
        lambda: ACE(net, None).explain(x), lambda: PGD().perturb(net, x), lambda: M.flips(net, x, t),
        lambda: M.transfer_flips(net, x, x, t), lambda: M.cout(net, x, x, t, 1 - t), lambda: M.upper_half(net, x),
        lambda: M.purified_flips(net, filtered(), x, t), lambda: M.Features("f", net),
        lambda: M.factor_shift(net, x, x),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"must be in eval mode, got training mode \(norm\)"):
            call()
    assert torch.equal(net.norm.running_mean, was)
    assert M.flips(nn.Sequential(Classifier(2)).train().eval(), x, t).shape == (4,)


def made_in_inference_mode():
    with torch.inference_mode():
        return Classifier(2)


def on_meta():
    with torch.device("meta"):
        return Classifier(2)


NETS = {
    "inference": (made_in_inference_mode, torch.float32), "meta": (on_meta, torch.float32),
    "double image": (lambda: Classifier(2), torch.float64), "half image": (lambda: Classifier(2), torch.float16),
}  # fmt: skip


@pytest.mark.parametrize("name", NETS)
def test_networks_that_images_do_not_fit_are_one_sentence(name):
    make, dtype = NETS[name]
    with pytest.raises(ValueError, match=r"^classifier ") as caught:
        ACE(make(), None, **SHORT).explain(images(dtype=dtype))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("make", [made_in_inference_mode, on_meta])
def test_denoisers_that_images_do_not_fit_are_one_sentence(make, monkeypatch):
    with torch.inference_mode() if make is made_in_inference_mode else torch.device("meta"):
        net = unet()
    with pytest.raises(
        ValueError, match=r"got a network that was made in inference mode|unet does not run on x"
    ):
        DiffusionFilter(net, scheduler())(images(), generators=0)


class Cut(nn.Module):
    def forward(self, x):
        with torch.no_grad():
            return 20 * (x.mean((2, 3)) - 0.5)


def test_a_classifier_without_a_gradient_is_one_sentence():
    with pytest.raises(ValueError, match="classifier must be differentiable in its images"):
        ACE(Cut(), None, **SHORT).explain(images())


def test_a_classifier_that_decides_nothing_is_one_sentence():
    nothing = lambda x: x.mean((2, 3)) * torch.nan  # noqa: E731
    t = torch.tensor([0, 1, 0, 1])
    for call in (
        lambda: M.flips(nothing, images(), t), lambda: M.transfer_flips(nothing, images(), images(), t),
        lambda: M.cout(nothing, images(), images(), t, 1 - t),
        lambda: M.purified_flips(nothing, filtered(), images(), t),
        lambda: ACE(nothing, None).explain(images()),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="classifier must return finite logits"):
            call()
    with pytest.raises(ValueError, match="reader must return finite logits"):
        M.upper_half(nothing, images())


class Unused(nn.Module):
    """A linear layer that never runs is registered last, and the logits are scaled behind the head."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head, self.aux = nn.Linear(192, 5), nn.Linear(5, 2), nn.Linear(7, 9)

    def forward(self, x):
        return 3 * self.head(self.first(x.flatten(1)).relu())


def test_features_are_those_of_the_layer_that_runs_last_not_of_the_one_registered_last():
    net, x = Unused().eval(), images()
    torch.testing.assert_close(M.Features("f", net)(x), net.first(x.flatten(1)).relu().detach())


def test_a_plain_callable_is_a_classifier_too():
    net, x = Classifier(2), images()
    found = ACE(lambda v: net(v), filtered(), **SHORT).explain(x)
    assert torch.equal(found.image, ACE(net, filtered(), **SHORT).explain(x).image)
    assert torch.equal(ACE(net.forward, filtered(), **SHORT).explain(x).image, found.image)
    assert all(p.grad is None and p.requires_grad for p in net.parameters())


SEEDS = [
    np.int64(3),
    np.uint8(3),
    torch.tensor(3),
    [3] * 4,
    (3,) * 4,
    np.array([3] * 4),
    torch.tensor([3] * 4),
]


@pytest.mark.parametrize("seed", SEEDS, ids=lambda s: type(s).__name__)
def test_any_integer_is_a_seed(seed, as_shipped):
    x = images()
    usual = ACE(Classifier(2), filtered(), **SHORT).explain(x, generators=3)
    assert torch.equal(ACE(Classifier(2), filtered(), **SHORT).explain(x, generators=seed).image, usual.image)
    assert torch.equal(filtered()(x, generators=seed), filtered()(x, generators=3))


def test_a_list_of_seeds_is_one_for_each_image_in_any_batch():
    x, f = images(), filtered()
    whole = f.noise(x, [1, 2, 3, torch.Generator().manual_seed(9)])
    for i in range(3):
        assert torch.equal(f.noise(x[i : i + 1], i + 1), whole[i : i + 1])
    again = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(9))
    assert torch.equal(whole[3], again)


@pytest.mark.parametrize(
    "seed", [1.5, "three", None, True, [1, 2.5, 3, 4], {}, object(), np.array(1.5), 2**127]
)
def test_what_is_no_seed_is_one_sentence(seed, as_shipped):
    with pytest.raises(ValueError, match=r"^generators must be"):
        image_generators(images(), seed)
    with pytest.raises(ValueError, match="generators must hold 4 of them, one for each image, got 3"):
        image_generators(images(), [1, 2, 3])


def test_class_gradient_asks_for_the_filters_noise(as_shipped):
    x, f, t = images(), filtered(), torch.tensor([0, 1, 0, 1])
    with pytest.raises(ValueError, match=r"noise must be a tensor of shape \(4, 3, 3, 8, 8\), got None"):
        class_gradient(Classifier(2), f, x, t)
    with pytest.raises(ValueError, match=r"noise must be a tensor of shape .*, got shape"):
        class_gradient(Classifier(2), f, x, t, f.noise(x)[:, :1])
