"""From methods and images to the rows of the tables: every quantity there, in range, and the right one."""

from types import SimpleNamespace

import pytest
import torch
from curved import generator

from robustxai.data.scenes import FactorSpec
from robustxai.manifold_ig import AttributionAttack, KnownManifold, path_of, saliency
from robustxai.manifold_ig.study import tables
from robustxai.manifold_ig.study.attack_tables import pushed_rows
from robustxai.metrics import pearson, topk_intersection
from robustxai.records import joined_rows, over_images

NAMES = ("IG", "IG-recon", "EIG", "EIG even", "MIG released", "MIG")


@pytest.fixture
def setting(classifier, encoder, decoder):
    """Five methods, images of the decoder, their classes."""
    methods = tables.methods(classifier, encoder, decoder, n_steps=8, evaluations=6, batch_size=64)
    with torch.no_grad():
        x = decoder(torch.randn(3, 6, generator=generator(1)))
        return methods, x, classifier(x).argmax(1)


def test_the_methods_are_those_of_the_spec(setting):
    methods, _, _ = setting
    assert tuple(methods) == NAMES
    assert methods["MIG released"].rule == "released" and methods["MIG released"].score == "prob"
    for name in ("IG", "IG-recon", "EIG", "MIG"):
        assert methods[name].n_steps == 8 and methods[name].score == "logit"


def test_quality_rows(setting):
    methods, x, target = setting
    masks = torch.zeros(3, 8, 8)
    masks[:, 2:6, 2:6] = 1
    rows = tables.quality_rows(methods, x, target, masks=masks, draws=5, sensitivity_draws=2)
    assert tuple(rows) == NAMES
    for row in rows.values():
        assert all(v.shape == (3,) for v in row.values())
        for kind in ("noise", "squares"):
            assert (row[f"INFD {kind}"] >= 0).all() and (row[f"unexplained {kind}"] <= 1 + 1e-4).all()
        assert (row["SENS_max"] > 0).all() and ((row["energy inside"] - 0.5).abs() <= 0.5).all()
        assert {"SIC", "AIC", "insertion", "deletion", "pointing game"} <= set(row)
    assert set(tables.quality_rows({"IG": methods["IG"]}, x, target, draws=2, curves=())["IG"]) == {
        "INFD noise", "unexplained noise", "INFD squares", "unexplained squares", "SENS_max",
    }  # fmt: skip


def test_path_rows(setting):
    methods, x, target = setting
    rows = tables.path_rows(methods, x, target)
    assert tuple(rows) == NAMES
    one = torch.ones(3)
    torch.testing.assert_close(rows["EIG"]["E / E_lin"], one)
    torch.testing.assert_close(rows["EIG"]["PCC with EIG"], one)
    torch.testing.assert_close(rows["IG-recon"]["bound / E"], one)
    assert (rows["MIG"]["E / E_lin"] <= 1 + 1e-5).all() and (rows["MIG"]["bound / E"] <= 1 + 1e-5).all()
    assert (rows["MIG"]["bound / E"] > rows["EIG"]["bound / E"]).all()
    for name in ("EIG", "MIG"):
        assert rows[name]["gap / TV"].mean() < rows["MIG released"]["gap / TV"].mean()
    counted = {n: [3 * row[f"decoder {way}"] for way in ("forwards", "backwards")] for n, row in rows.items()}
    rebuilt, points, inner, nodes = 3, 3 * 9, 3 * 7, 3 * 20  # images decoded for three explained ones
    expected = {
        "IG": (0, 0),
        "IG-recon": (2 * rebuilt, 0),
        "EIG": (points, 0),
        # it stops before the first sweep: the line, the stop rule with its two ends, the curve found
        "MIG released": (nodes + (nodes - 6) + 6 + nodes, nodes - 6),
        # ends, first and 6 more evaluations, the curve found
        "MIG": (6 + 7 * inner + inner, 7 * inner),
    }
    for name, counts in expected.items():
        for found, count in zip(counted[name], counts, strict=True):
            torch.testing.assert_close(found, torch.full((3,), float(count)))
    for row in rows.values():
        assert all(v.shape == (3,) and v.isfinite().all() for v in row.values())


def test_path_rows_with_a_known_manifold(setting):
    """The manifold of grey images: the distance is the spread of the pixels around their mean."""
    methods, x, target = setting
    grey = KnownManifold(
        lambda f, size: f[:, :1, None, None].expand(-1, 3, size, size),
        (FactorSpec("grey", 0, 1, "continuous", "brightness"),),
    )
    rows = tables.path_rows(
        {name: methods[name] for name in ("IG", "EIG")}, x, target, manifold=grey, library=50
    )
    path = path_of(methods["IG"], x, torch.zeros_like(x))[1:-1].flatten(2)
    spread = (path - path.mean(2, keepdim=True)).norm(dim=2).mean(0)
    torch.testing.assert_close(rows["IG"]["distance"], spread, rtol=1e-3, atol=0)


def test_attack_rows(setting, classifier):
    methods, x, target = setting
    wanted = x.roll(1, 0)
    attack = lambda images: AttributionAttack(images, eps=0.06, steps=6, lr=0.02, refresh=3)  # noqa: E731
    parts = tables.attack_rows(methods, x, wanted, target, attack=attack)
    assert list(parts) == ["transfer", "noise", "adaptive"]
    for rows in parts.values():
        assert tuple(rows) == NAMES
        for row in rows.values():
            assert (row["budget used"] <= 0.06 + 1e-6).all() and (
                (row["kept"] == 0) | (row["kept"] == 1)
            ).all()
            torch.testing.assert_close(row["shift"], row["PCC to target"] - row["PCC to target before"])
    for own, other in zip(parts["transfer"]["IG"].values(), parts["adaptive"]["IG"].values(), strict=True):
        torch.testing.assert_close(own, other)
    assert (parts["transfer"]["IG"]["kept"] == 1).all()
    assert all((row["kept"] == 1).all() for name, row in parts["adaptive"].items() if name != "MIG released")
    assert parts["transfer"]["IG"]["shift"].mean() > parts["noise"]["IG"]["shift"].mean()
    assert parts["adaptive"]["EIG"]["shift"].mean() > parts["transfer"]["EIG"]["shift"].mean()
    torch.testing.assert_close(parts["transfer"]["IG"]["contraction"], torch.ones(3))
    before = pearson(saliency(methods["EIG"](x, target)), saliency(methods["EIG"](wanted)))
    torch.testing.assert_close(parts["noise"]["EIG"]["PCC to target before"], before)
    one = {"IG": methods["IG"]}
    only = tables.attack_rows(
        one, x, wanted, target, attack=attack, adaptive=False, readers={"EIG": methods["EIG"]}
    )
    assert only["adaptive"] == {} and list(only["noise"]) == ["IG"]
    torch.testing.assert_close(only["transfer"]["EIG"], parts["transfer"]["EIG"])


def test_tables_have_intervals_and_parts_join(setting):
    methods, x, target = setting
    rows = tables.path_rows({k: methods[k] for k in ("EIG", "MIG")}, x, target)
    lines = over_images(rows)
    assert [line["method"] for line in lines] == ["EIG", "MIG"]
    value, low, high = lines[1]["gap / TV"]
    assert low <= value <= high
    twice = joined_rows([rows, rows])
    assert twice["MIG"]["gap / TV"].shape == (6,)


def test_the_reconstruction_needs_an_autoencoder(setting):
    with pytest.raises(
        ValueError, match=r"method must be one with an autoencoder, .* got IntegratedGradients"
    ):
        tables.rebuilt(setting[0]["IG"])


def test_what_is_known_changes_nothing(setting):
    """Attributions that are handed over give the numbers of those that are made."""
    methods, x, target = setting
    found = {name: method.explain(x, target) for name, method in methods.items()}
    for rows, again in (
        (
            tables.quality_rows(methods, x, target, draws=3, curves=()),
            tables.quality_rows(methods, x, target, draws=3, curves=(), found=found),
        ),
        (
            tables.path_rows(methods, x, target, priced=False),
            tables.path_rows(methods, x, target, priced=False, found=found),
        ),
    ):
        for name in NAMES:
            assert list(rows[name]) == list(again[name])
            for quantity, values in rows[name].items():
                torch.testing.assert_close(values, again[name][quantity], rtol=1e-3, atol=1e-5)


def test_rows_without_geometry_and_with_known_images(setting):
    methods, x, target = setting
    rows = tables.path_rows(methods, x, target, priced=False, geometry=False, known=x)
    assert set(rows["MIG"]) == {
        "gap / TV", "gradient noise", "nearest image", "PCC with EIG", "PCC with IG-recon",
    }  # fmt: skip
    path = path_of(methods["IG"], x, torch.zeros_like(x))[1:-1]
    away = torch.stack([(path - image).flatten(2).norm(dim=2) for image in x]).amin(0)
    torch.testing.assert_close(rows["IG"]["nearest image"], away.mean(0), rtol=1e-4, atol=1e-4)


class Nudge:
    """An attack that adds the wanted maps; it remembers what it was told to fool."""

    seen: list = []  # noqa: RUF012

    def __init__(self, goal):
        self.goal = goal

    def perturb(self, model, x, target, *, explain):
        Nudge.seen.append(explain(x, target).shape)
        return SimpleNamespace(x=(x + 0.01 * self.goal / self.goal.amax()).requires_grad_())


class Tracked(Nudge):
    """Keeps what the network whose prediction counts says of the images."""

    kept: list = []  # noqa: RUF012

    def perturb(self, model, x, target, *, explain):
        with torch.no_grad():
            Tracked.kept.append(model(x))
        assert not model.training
        return super().perturb(model, x, target, explain=explain)


def test_a_pushed_method_keeps_the_prediction_on_what_it_explains(setting):
    methods, x, target = setting
    for name in ("IG", "EIG"):
        Tracked.kept.clear()
        pushed_rows({name: methods[name]}, x, x.roll(1, 0), target, Tracked, k=10)
        method = methods[name]
        seen = x if method.encoder is None else method.decoder(method.encoder(x))
        torch.testing.assert_close(Tracked.kept[0], method.model(seen))


def test_pushed_rows(setting):
    methods, x, target = setting
    Nudge.seen.clear()
    rows = pushed_rows(methods, x, x.roll(1, 0), target, Nudge, k=10)
    assert tuple(rows) == NAMES and Nudge.seen == [(3, 1, 8, 8)] * len(NAMES)
    for name, row in rows.items():
        assert ((row["top 10 kept"] >= 0) & (row["top 10 kept"] <= 1)).all()
        goal = saliency(methods[name](x.roll(1, 0)))
        changed = x + 0.01 * goal / goal.amax()
        before, after = (saliency(methods[name](v, target)) for v in (x, changed))
        torch.testing.assert_close(row["top 10 kept"], topk_intersection(before, after, k=10))
        torch.testing.assert_close(row["PCC to original"], pearson(before, after), rtol=1e-4, atol=1e-5)
        assert not row["shift"].requires_grad
