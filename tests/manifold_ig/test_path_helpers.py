"""The chapter's helpers refuse by one sentence what they cannot answer, and never make a number of NaN."""

import math

import captum.attr
import numpy as np
import pytest
import torch
from curved import Classifier, generator, module

from robustxai.manifold_ig import (
    AggregatedPosterior,
    AttributionAttack,
    IntegratedGradients,
    ShuffledChange,
    VAELoss,
    VarianceDecoder,
    accumulated,
    at_constant_speed,
    autoencoder_residual,
    baselines,
    blur_path,
    class_scores,
    curve_bounds,
    curve_energy,
    curve_length,
    decode,
    dense_metric,
    endpoints,
    energy_gradient,
    frozen,
    geodesic,
    gradient_noise,
    guided_path,
    implicit,
    largest_eigenvalue,
    metric_product,
    nearest_distance,
    path_of,
    quadrature,
    reconstruction_error,
    released_geodesic,
    shares,
    speed_variation,
    straight,
    straight_integral,
    weighted_gradients,
)
from robustxai.manifold_ig.diffid import diff_id
from robustxai.manifold_ig.path_diagnostics import by_length
from robustxai.manifold_ig.study import tables
from robustxai.nets import ConvVAE

TARGET = torch.tensor([0, 3, 2])
NINE = torch.zeros(9).long()


def images(n=3, seed=4):
    return torch.rand(n, 3, 8, 8, generator=generator(seed))


X, PATH, Z = (
    images(),
    torch.rand(4, 3, 3, 8, 8, generator=generator()),
    torch.rand(3, 6, generator=generator()),
)
LEVEL = lambda z: z.repeat(1, 32).unflatten(1, (3, 8, 8))  # noqa: E731
BAD = {
    "accumulated, 9 targets": (
        lambda m: accumulated(m, PATH, NINE),
        r"target must be an int, integers of shape \(3,\) or None, got shape \(9,\) and dtype",
    ),
    "accumulated, class": (
        lambda m: accumulated(m, PATH, 4),
        r"target must be classes in \[0, 3\], got class 4",
    ),
    "accumulated, score": (
        lambda m: accumulated(m, PATH, 0, "odds"),
        "score must be one of logit, .*, got 'odds'",
    ),
    "accumulated, a point": (
        lambda m: accumulated(m, PATH[:1], TARGET),
        "images must be paths .* got 1 point",
    ),
    "accumulated, pass": (
        lambda m: accumulated(m, PATH, 0, batch_size=0),
        "batch_size must be an integer >= 1, got 0",
    ),
    "straight, 9 targets": (
        lambda m: straight_integral(m, 0 * X, X, NINE),
        r"target must be an int, integers of shape \(3,\) or None, got shape \(9,\) and dtype",
    ),
    "straight, steps": (
        lambda m: straight_integral(m, 0 * X, X, 0, n_steps=0),
        "n_steps must be an integer >= 1, got 0",
    ),
    "straight, rule": (
        lambda m: straight_integral(m, 0 * X, X, 0, rule="no"),
        r"rule must be one of midpoint, left, released, right, .*, got 'no'",
    ),
    "straight, start": (lambda m: straight_integral(m, X[:1], X, 0), "start must be like end"),
    "straight, NaN": (
        lambda m: straight_integral(m, 0 * X, X / 0, 0),
        r"x must be finite .*, got NaN or infinite numbers",
    ),
    "straight, empty": (lambda m: straight_integral(m, X[:0], X[:0], 0), "end must be floats"),
    "weighted, 9 targets": (
        lambda m: weighted_gradients(m, PATH, PATH, NINE),
        r"target must be an int, integers of shape \(3,\) or None, got shape \(9,\) and dtype",
    ),
    "weighted, weights": (lambda m: weighted_gradients(m, PATH, PATH[:2], 0), "weights must have the shape"),
    "noise, 9 targets": (
        lambda m: gradient_noise(m, PATH, NINE),
        r"target must be an int, integers of shape \(3,\) or None, got shape \(9,\) and dtype",
    ),
    "noise, score": (
        lambda m: gradient_noise(m, PATH, TARGET, score="odds"),
        "score must be one of logit, .*, got 'odds'",
    ),
    "diffid, 9 targets": (
        lambda m: diff_id(m, X, X[:, 0], NINE),
        r"target must be an int, integers of shape \(3,\) or None, got shape \(9,\) and dtype",
    ),
    "diffid, share": (lambda m: diff_id(m, X, X[:, 0], shares=[math.nan]), "shares must be a number in"),
    "diffid, none": (lambda m: diff_id(m, X, X[:, 0], shares=[]), "shares must hold one number"),
    "diffid, NaN": (
        lambda m: diff_id(m, X / 0, X[:, 0]),
        r"x must be finite .*, got NaN or infinite numbers",
    ),
    "diffid, pass": (
        lambda m: diff_id(m, X, X[:, 0], batch_size=0),
        "batch_size must be an integer >= 1, got 0",
    ),
    "scores, 9 targets": (
        lambda m: class_scores(m(X), NINE),
        r"target must be an int, integers of shape \(3,\) or None, got shape \(9,\) and dtype",
    ),
    "scores, class": (
        lambda m: class_scores(m(X), torch.tensor([0, 1, 4])),
        r"target must be classes in \[0, 3\], got class 4",
    ),
    "quadrature, integers": (lambda m: quadrature(PATH.long()), "images must be floats"),
    "energy, rank": (lambda m: curve_energy(torch.zeros(4, 3)), "curve must be floats"),
    "energy, a point": (
        lambda m: curve_energy(PATH[:1]),
        "curve must be curves of 2 points or more, got 1 point",
    ),
    "energy, none": (lambda m: curve_length(PATH[:0]), "curve must be floats"),
    "bounds, a point": (
        lambda m: curve_bounds(PATH[:1]),
        "curve must be curves of 2 points or more, got 1 point",
    ),
    "speed, rank": (lambda m: speed_variation(torch.zeros(3)), "curve must be floats"),
    "gradient, two points": (
        lambda m: energy_gradient(LEVEL, torch.zeros(2, 1, 6)),
        "latents must be curves of 3 points or more, got 2 points",
    ),
    "decode, pass": (
        lambda m: decode(LEVEL, Z[None], batch_size=0),
        "batch_size must be an integer >= 1, got 0",
    ),
    "decode, rank": (lambda m: decode(LEVEL, Z), "decoder gives|latents must be floats"),
    "product, velocity": (lambda m: metric_product(LEVEL, Z, Z[:2]), "u must be like z"),
    "metric, batch_size": (
        lambda m: dense_metric(LEVEL, Z, batch_size=-1),
        "batch_size must be an integer >= 1, got -1",
    ),
    "eigenvalue": (
        lambda m: largest_eigenvalue(LEVEL, Z, iterations=0),
        "iterations must be an integer >= 1, got 0",
    ),
    "speed, rounds": (
        lambda m: at_constant_speed(LEVEL, geodesic(LEVEL, 0 * Z, Z, 4), rounds=-1),
        "rounds must be an integer >= 0, got -1",
    ),
    "released, ends": (
        lambda m: released_geodesic(LEVEL, Z, Z[:2]),
        r"z0 and z1 must have one shape \(n, \.\.\.\), got \(3, 6\) and \(2, 6\)",
    ),
    "line, points": (lambda m: straight(0 * X, X, 1), "n_points must be an integer >= 2, got 1"),
    "line, ends": (lambda m: straight(X[:2], X, 4), "start must be like end"),
    "ends, mode": (
        lambda m: endpoints(PATH, X, X, "raw"),
        "endpoint mode must be one of recon, bridge, anchor, got 'raw'",
    ),
    "ends, points": (
        lambda m: endpoints(PATH, X, X, "bridge", points=0),
        "points must be an integer >= 1, got 0",
    ),
    "ends, shape": (lambda m: endpoints(PATH, X[:2], X, "bridge"), "start must have the shape"),
    "blur, none": (lambda m: blur_path(X, []), "scales must hold one"),
    "blur, negative": (lambda m: blur_path(X, [-1.0]), r"scales must be a finite number >= 0, got -1\.0"),
    "blur, rank": (lambda m: blur_path(X[0], [1.0]), "x must be images"),
    "guided, steps": (
        lambda m: guided_path(torch.sin, 0 * X, X, n_steps=0),
        "n_steps must be an integer >= 1, got 0",
    ),
    "guided, fraction": (
        lambda m: guided_path(torch.sin, 0 * X, X, fraction=1.5),
        r"fraction must be a finite number in \(0, 1\], got 1\.5",
    ),
    "guided, NaN": (
        lambda m: guided_path(torch.sin, 0 * X, X, max_dist=math.nan),
        r"max_dist must be a finite number in \[0, 1\], got nan",
    ),
    "residual, pass": (
        lambda m: autoencoder_residual(PATH, lambda v: v, batch_size=0),
        "batch_size must be an integer >= 1, got 0",
    ),
    "residual, images": (
        lambda m: autoencoder_residual(PATH, lambda v: v[:, :1]),
        "autoencoder must give images",
    ),
    "by length": (lambda m: by_length(PATH, torch.zeros(3, 3)), "values must have shape"),
    "nearest": (
        lambda m: nearest_distance(PATH, torch.zeros(5, 3, 4, 4)),
        "images must be like those of path",
    ),
    "path of": (lambda m: path_of(IntegratedGradients(m), X, X[:2]), "start must have the shape of x"),
    "mean colour": (lambda m: baselines.mean(X[0]), "x must be images"),
    "median, labels": (
        lambda m: baselines.class_median(X, NINE, 0),
        "labels must have one entry for each of the 3",
    ),
    "median, half": (lambda m: baselines.class_median(X, TARGET, torch.tensor(0.5)), "target must be an int"),
    "posterior": (
        lambda m: AggregatedPosterior(Z, scale=math.nan),
        "scale must be a finite number > 0, got nan",
    ),
    "posterior, codes": (lambda m: AggregatedPosterior(Z)(Z[:, :2]), "z must have codes of 6 numbers"),
    "variance": (
        lambda m: VarianceDecoder(LEVEL, Z, low=2.0),
        r"low and high must be 0 < low < high, got 2\.0 and 1\.0",
    ),
    "loss": (lambda m: VAELoss(kl=-1.0), r"kl must be a finite number >= 0, got -1\.0"),
    "error": (
        lambda m: reconstruction_error(ConvVAE(widths=(4, 4)).eval(), X[:0]),
        r"x must be a table \(n, d\) or images \(n, C, H, W\), not empty, got shape \(0, 3, 8, 8\) and dtype",
    ),
    "frozen": (lambda m: frozen(IntegratedGradients(m)), "method must be a ManifoldIG"),
    "implicit": (lambda m: implicit(IntegratedGradients(m)), "method must be a ManifoldIG"),
    "attack, clip": (lambda m: AttributionAttack(X, clip=(1, 0)), "clip must be None or a pair"),
    "attack, lr": (lambda m: AttributionAttack(X, lr=math.nan), "lr must be a finite number > 0, got nan"),
    "attack, goal": (
        lambda m: AttributionAttack(X / 0),
        "images must be finite inputs, got NaN or infinite numbers",
    ),
    "attack, maps": (
        lambda m: AttributionAttack(maps=X[0, 0] / 0),
        "maps must be finite maps, got NaN or infinite numbers",
    ),
    "attack, empty": (
        lambda m: AttributionAttack(X).perturb(m, X[:0]),
        r"x must be a table \(n, d\) or images \(n, C, H, W\), not empty, got shape \(0, 3, 8, 8\) and dtype",
    ),
    "attack, double": (lambda m: AttributionAttack(X).perturb(m, X.double()), "model does not run on x"),
    "attack, targets": (
        lambda m: AttributionAttack(X).perturb(m, X, NINE),
        r"target must be an int, integers of shape \(3,\) or None, got shape \(9,\) and dtype",
    ),
    "control, NaN": (
        lambda m: ShuffledChange(X / 0),
        "changed must be finite inputs, got NaN or infinite numbers",
    ),
    "control, tries": (lambda m: ShuffledChange(X, tries=2.5), r"tries must be an integer >= 1, got 2\.5"),
    "control, x": (
        lambda m: ShuffledChange(X).perturb(m, X / 0),
        r"x must be finite .*, got NaN or infinite numbers",
    ),
}


@pytest.mark.usefixtures("as_shipped")
@pytest.mark.parametrize("name", BAD)
def test_bad_values_are_one_sentence(name, classifier):
    call, words = BAD[name]
    with pytest.raises(ValueError, match=words) as caught:
        call(classifier)
    assert "\n" not in str(caught.value)


def test_nan_stays_nan(classifier):
    path = PATH.clone()
    holes = lambda x: classifier(x).masked_fill((x.mean((1, 2, 3)) > x.mean())[:, None], torch.nan)  # noqa: E731
    whole, broken = gradient_noise(classifier, path, TARGET), gradient_noise(holes, path, TARGET)
    assert whole.isfinite().all() and broken.isnan().any()
    torch.testing.assert_close(broken[broken.isfinite()], whole[broken.isfinite()])
    none = lambda x: torch.full((len(x), 4), torch.nan)  # noqa: E731
    assert diff_id(none, X, X[:, 0], 0).isnan().all() and diff_id(classifier, X, X[:, 0]).isfinite().all()
    assert class_scores(none(X), TARGET).isnan().all() and shares(X / 0 - X / 0).isnan().all()
    assert curve_energy(PATH * torch.nan).isnan().all()
    found = ShuffledChange((X + 0.1).clamp(0, 1)).perturb(none, X)
    assert not found.kept.any() and torch.equal(found.x, X)
    assert found.loss.isnan().all() and found.followed.all(), "a control misses no gradient"


def test_an_explainer_of_nan_is_no_success(classifier):
    explain = lambda x, t: (x * x).masked_fill(x > 2, 0) * torch.nan  # noqa: E731
    with pytest.warns(UserWarning, match="no gradient in x to follow"):
        found = AttributionAttack(X, steps=2).perturb(classifier, X, explain=explain)
    assert found.loss.isnan().all() and torch.equal(found.x, X) and not found.followed.any()


def test_only_what_has_a_gradient_is_attacked(classifier):
    """Rows without one stay as they were, with NaN for their loss; the others are attacked as if alone."""
    plain = IntegratedGradients(classifier, n_steps=4)
    dead = lambda x, t: plain.attribute(x, t) * (x.detach().mean((1, 2, 3), keepdim=True) > level)  # noqa: E731
    x = torch.stack((0.5 * images()[0], images()[1], images()[2]))
    level = x.mean((1, 2, 3)).sort().values[:2].mean()
    attack = AttributionAttack(images(1, 9), steps=5, lr=0.02, eps=0.05)
    found = attack.perturb(classifier, x, explain=dead)
    assert found.followed.tolist() == [False, True, True] == (~found.stuck).tolist() == found.moved.tolist()
    assert found.loss.isnan().tolist() == [True, False, False] and torch.equal(found.x[0], x[0])
    assert (
        found.trace[0].isnan().all()
        and found.trace[1:].isfinite().all()
        and found.clean_loss.isfinite().all()
    )
    assert (found.linf <= 0.05 + 1e-6).all() and torch.equal(found.delta, found.x - x)
    torch.testing.assert_close(found.l2, (found.x - x).flatten(1).norm(dim=1))


def test_a_start_that_cannot_be_kept_was_followed_all_the_same(classifier):
    """followed is what happened while searching, not whether the result differs."""
    x = images()
    nowhere = AttributionAttack(images(3, 9), steps=2, lr=1e-12)
    found = nowhere.perturb(classifier, x, explain=IntegratedGradients(classifier, n_steps=3))
    assert found.followed.all() and found.loss.isfinite().all()


@pytest.mark.usefixtures("as_shipped")
def test_the_class_is_resolved_before_an_explainer_is_asked(classifier):
    """So that Captum's explainers, which take no None, can be attacked; numbers of numpy count."""
    asked = []
    theirs = captum.attr.IntegratedGradients(classifier)

    def explain(x, target):
        asked.append(target)
        return theirs.attribute(x, target=target, n_steps=4, method="riemann_middle").to(x)

    attack = AttributionAttack(
        images(3, 9), eps=np.float64(0.05), lr=np.float32(0.02), steps=np.int64(3), batch_size=np.int64(2)
    )
    found = attack.perturb(
        classifier, images(), explain=explain
    )  # Captum's gradients are constants, x is not
    assert found.followed.all() and (found.loss < found.clean_loss).all()
    assert asked and all(isinstance(t, torch.Tensor) and t.dtype == torch.long for t in asked)


def test_images_that_were_not_attacked_are_not_called_robust(classifier, encoder, decoder):
    methods = tables.methods(classifier, encoder, decoder, n_steps=4, evaluations=2, neighbours=True)
    methods = {n: methods[n] for n in ("IG", "GuidedIG")}
    attack = lambda wanted: AttributionAttack(wanted, steps=2, lr=0.02)  # noqa: E731
    with pytest.warns(UserWarning, match="explain has no gradient in x to follow, so nothing was attacked"):
        rows = tables.attack_rows(methods, images(), images(3, 9), TARGET, attack=attack)
    assert all(v.isnan().all() for v in rows["adaptive"]["GuidedIG"].values())
    assert all(v.isfinite().all() for v in rows["adaptive"]["IG"].values())
    assert all(v.isfinite().all() for v in rows["transfer"]["GuidedIG"].values())


@pytest.mark.usefixtures("as_shipped")
def test_one_logit_may_be_attacked():
    net = module(3, Classifier)
    for single in (lambda x: net(x)[:, :1], lambda x: {"logits": net(x)[:, 0]}):
        explain = IntegratedGradients(single, n_steps=4)
        found = AttributionAttack(images(3, 9), steps=4, lr=0.02).perturb(single, images(), explain=explain)
        assert found.kept.all() and found.followed.all() and (found.loss <= found.clean_loss).all()
        assert torch.equal(found.target, (net(images())[:, 0] > 0).long())
        assert ShuffledChange(found.x).perturb(single, images()).kept.all()
