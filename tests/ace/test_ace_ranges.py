"""Public helpers of ACE check what they are given: no NaN becomes a number, no wrong length or range is accepted."""

import pytest
import torch
from torch import nn
from toys import Classifier, filtered, images

from robustxai import ace as A
from robustxai.ace import metrics as M
from robustxai.ace.filter_gradients import gradient_cosine

X, Y = images(), images(seed=1)
NAN = X.clone()
NAN[0, 0, 0, 0] = float("nan")
T = torch.tensor([0, 1, 0, 1])
F = filtered()
MASK = torch.ones(4, 1, 8, 8, dtype=torch.bool)
FLAGS = torch.zeros(4, 3, dtype=torch.bool)
DARK = nn.Sequential(nn.Flatten(), nn.Linear(192, 3), nn.ReLU(), nn.Linear(3, 2)).eval()
NET = Classifier(2)

PAIRS = {
    "changed_pixels": M.changed_pixels, "changed_share": M.changed_share, "mean_change": M.mean_change,
    "largest_change": M.largest_change, "high_frequency_share": M.high_frequency_share, "change_map": A.change_map,
    "change_mask": A.change_mask, "distance": A.distance, "distance_gradient": A.distance_gradient,
    "similarity": lambda x, y: M.similarity(M.Features("f", NET), x, y),
    "same_identity": lambda x, y: M.same_identity(M.Features("f", NET), x, y),
    "frechet": lambda x, y: M.frechet(M.Features("f", NET), x, y) if x.shape == y.shape else M.mean_change(x, y),
    "cout": lambda x, y: M.cout(NET, x, y, 0, 1), "transfer_flips": lambda x, y: M.transfer_flips(NET, x, y, 1),
    "factor_shift": lambda x, y: M.factor_shift(NET, x, y),
    "refine": lambda x, y: A.refine(x, y, MASK, F, F.noise(X), F.noise(X)),
}  # fmt: skip


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize(
    ("x", "y"), [(X, NAN), (NAN, Y), (X, Y[:3]), (X, Y[:, :2]), (X, Y[0]), (X[:0], Y[:0]), (X, Y.long())],
    ids=["nan", "nan x", "fewer", "channels", "rank", "none", "integers"],
)  # fmt: skip
def test_two_batches_of_images_are_finite_and_fit(name, x, y, as_shipped):
    with pytest.raises(ValueError) as caught:
        PAIRS[name](x, y)
    assert "\n" not in str(caught.value)


BAD = {
    "flips None": lambda: M.flips(NET, X, None), "flips class": lambda: M.flips(NET, X, 2),
    "flips length": lambda: M.flips(NET, X, T[:3]), "flips negative": lambda: M.flips(NET, X, -1),
    "flips float": lambda: M.flips(NET, X, 0.5), "flips batch": lambda: M.flips(NET, X, T, batch_size=0),
    "flips nan": lambda: M.flips(NET, NAN, T), "flips none": lambda: M.flips(NET, X[:0], T[:0]),
    "purified draws": lambda: M.purified_flips(NET, F, X, T, draws=-1),
    "purified seed": lambda: M.purified_flips(NET, F, X, T, seed=0.5),
    "cout None": lambda: M.cout(NET, X, Y, None, T), "cout length": lambda: M.cout(NET, X, Y, T, T[:2]),
    "above": lambda: M.changed_pixels(X, Y, above=float("nan")), "above below": lambda: M.changed_share(X, Y, above=-1),
    "high above": lambda: M.high_frequency_share(X, Y, above=float("nan")),
    "iou floats": lambda: M.mask_iou(MASK.float(), MASK[:, 0]), "iou shape": lambda: M.mask_iou(MASK, MASK[:2, 0]),
    "iou two": lambda: M.mask_iou(MASK.expand(-1, 2, -1, -1), MASK[:, 0]),
    "attributes floats": lambda: M.attributes_changed(FLAGS.float(), FLAGS.float()),
    "attributes length": lambda: M.attributes_changed(FLAGS, FLAGS[:2]),
    "cd query": lambda: M.correlation_difference(FLAGS, FLAGS, FLAGS, 3),
    "cd negative": lambda: M.correlation_difference(FLAGS, FLAGS, FLAGS, -1),
    "cd length": lambda: M.correlation_difference(FLAGS, FLAGS[:2], FLAGS, 0),
    "cd none": lambda: M.correlation_difference(FLAGS[:0], FLAGS[:0], FLAGS, 0),
    "threshold": lambda: M.same_identity(M.Features("f", NET), X, Y, threshold=2.0),
    "repeats": lambda: M.split_frechet(M.Features("f", NET), X, Y, repeats=0),
    "feature batch": lambda: M.Features("f", NET, batch_size=0),
    "loss class": lambda: A.class_loss(torch.zeros(2, 3), torch.tensor([0, 3])),
    "loss length": lambda: A.class_loss(torch.zeros(2, 3), torch.tensor([0])),
    "loss None": lambda: A.class_loss(torch.zeros(2, 3), None),
    "probability class": lambda: A.target_probability(torch.zeros(2, 1), torch.tensor([0, 2])),
    "probability rank": lambda: A.target_probability(torch.zeros(2), torch.tensor([0, 1])),
    "weight steps": lambda: A.distance_weight(torch.tensor([0]), 0),
    "weight step": lambda: A.distance_weight(torch.tensor([5]), 4),
    "weight negative": lambda: A.distance_weight(torch.tensor([-1]), 4),
    "weight float": lambda: A.distance_weight(torch.tensor([0.5]), 4),
    "passes": lambda: A.passes(F, "none"), "draw count": lambda: A.draw_noise(X, A.image_generators(X), -1),
    "draw length": lambda: A.draw_noise(X, A.image_generators(X)[:2], 1),
    "draw kind": lambda: A.draw_noise(X, [0, 1, 2, 3], 1),
    "respaced base": lambda: A.respaced(10.5, 2), "respaced steps": lambda: A.respaced(10, 2.5),
    "fewer none": lambda: A.fewer((), 1), "fewer falling": lambda: A.fewer((4, 2), 1),
    "fewer floats": lambda: A.fewer((0.5, 1.5), 1), "fewer many": lambda: A.fewer((0, 2), 3),
    "schedule floats": lambda: A.Schedule.over(torch.tensor([0.9, 0.5]), (0.0, 1.0)),
    "schedule words": lambda: A.Schedule.over("bars", (0, 1)),
    "schedule place": lambda: A.Schedule.over(torch.tensor([0.9, 0.5]), (0, 1)).sigma(2),
    "timesteps": lambda: A.DiffusionFilter(F.unet, F.scheduler, timesteps=(1, 1)),
    "tau": lambda: A.DiffusionFilter(F.unet, F.scheduler, tau=1.5),
    "seed": lambda: A.DiffusionFilter(F.unet, F.scheduler, seed=1.5),
    "unet": lambda: A.DiffusionFilter(None, F.scheduler), "noise nan": lambda: F(X, noise=F.noise(X) * torch.nan),
    "mask": lambda: A.refine(X, Y, MASK.float(), F, F.noise(X), F.noise(X)),
    "mask length": lambda: A.refine(X, Y, MASK[:2], F, F.noise(X), F.noise(X)),
    "known": lambda: A.refine(X, Y, MASK, F, F.noise(X), F.noise(X)[:, :1]),
    "refine filter": lambda: A.refine(X, Y, MASK, None, F.noise(X), F.noise(X)),
    "chunks": lambda: A.Chunks(0), "chunks n": lambda: A.Chunks().run(lambda rows: (X[rows],), 0),
    "fast word": lambda: A.Fast(confidence="high"), "fast nan": lambda: A.Fast(confirm=float("nan")),
    "fast attack": lambda: A.Fast(attack="pgd"), "filter": lambda: A.ACE(NET, "filter").explain(X),
    "classifier": lambda: A.ACE(None, None), "joined": lambda: A.Counterfactual.joined([]),
    "gradient class": lambda: A.class_gradient(NET, None, X, torch.tensor([0, 1, 0, 2])),
    "gradient route": lambda: A.class_gradient(NET, None, X, T, route="short"),
    "gradient nan": lambda: A.class_gradient(NET, None, NAN, T),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_values_are_one_sentence(name, as_shipped):
    with pytest.raises(ValueError) as caught:
        BAD[name]()
    assert "\n" not in str(caught.value)


def test_columns_of_a_result_have_one_length(as_shipped):
    found = A.ACE(NET, None, steps=1).explain(X)
    columns = {name: getattr(found, name) for name in A.Counterfactual.__dataclass_fields__}
    with pytest.raises(ValueError, match="columns must have one row for each image"):
        A.Counterfactual(**(columns | {"x": X[:2]}))


def test_nan_logits_stay_nan():
    z = torch.tensor([[float("nan"), 0.0], [0.0, 1.0]])
    for value in (A.class_loss(z, T[:2]), A.class_loss(z, T[:2], "margin"), A.target_probability(z, T[:2])):
        assert value.isnan().tolist() == [True, False]
    single = torch.tensor([[float("nan")], [1.0]])
    for value in (
        A.class_loss(single, T[:2]),
        A.class_loss(single, T[:2], "margin"),
        A.target_probability(single, T[:2]),
    ):
        assert value.isnan().tolist() == [True, False]


def test_dead_features_and_gradients_agree_with_nothing():
    with torch.no_grad():
        DARK[1].bias.fill_(-100.0)
    features = M.Features("dark", DARK)
    assert M.similarity(features, X, X).isnan().all()
    with pytest.raises(
        ValueError, match="features must not all be 0 in an image, got such images in 4 of 4 pairs"
    ):
        M.same_identity(features, X, X)
    assert gradient_cosine(torch.zeros_like(X), X).isnan().all() and gradient_cosine(X, X).isfinite().all()


def test_nothing_is_computed_in_double_precision_on_a_device_without_it(monkeypatch):
    """A faked device: other than the CPU no tensor may become double; and the default device is never drawn on."""
    real = torch.Tensor.double
    monkeypatch.setattr(
        torch.Tensor, "double", lambda t: real(t) if t.device.type == "cpu" else pytest.fail("double")
    )
    expected = M.high_frequency_share(X, Y), A.ACE(NET, F, steps=2, dilation=3).explain(X).image
    features, g = M.Features("f", NET), torch.Generator
    fid = M.split_frechet(features, X, Y, repeats=1, generator=g().manual_seed(0)).mean
    with torch.device("meta"):
        assert torch.equal(M.high_frequency_share(X, Y), expected[0])
        assert torch.equal(A.ACE(NET, F, steps=2, dilation=3).explain(X).image, expected[1])
        order = torch.Generator().manual_seed(0)
        assert M.split_frechet(features, X, Y, repeats=1, generator=order).mean == fid
