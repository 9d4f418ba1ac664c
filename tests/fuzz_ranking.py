"""Rows of the fuzz registry: thickness, R2ET, attacks on rankings."""

import torch
from fuzz_rows import LOGITS, MLP, NET, ROWS_Y, TABLE, Row, T, X, cls, dice, draw, fn

import robustxai.manifold_ig as M
import robustxai.nets as N
import robustxai.ranking as R

READ = R.Saliency(MLP)
SCORES, REFERENCE = draw(3, 9), draw(3, 9, seed=1)
FOUND = R.RankingAttack(2, 0.1, steps=2).perturb(MLP, TABLE, explain=READ)
UNREAD = {n: "a control takes what an attack takes, and does not use it" for n in ("explain",)}

ROWS: dict[str, Row] = {
    "ranking.Saliency": cls(R.Saliency, "attribute", dict(model=NET), x=X, target=T),
    "ranking.GradientTimesInput": cls(R.GradientTimesInput, "attribute", dict(model=NET), x=X, target=T),
    "ranking.SmoothGrad": cls(R.SmoothGrad, "attribute", dict(model=NET, samples=2, std=0.1), x=X, target=T),
    "ranking.IntegratedGradients": cls(
        R.IntegratedGradients, "attribute", dict(model=NET, n_steps=2, baselines=0.0), x=X, target=T
    ),
    **{
        f"ranking.{c.__name__}": cls(
            c,
            "perturb",
            more,
            UNREAD if c is R.RandomDirections else {},
            model=MLP,
            x=TABLE,
            target=ROWS_Y,
            explain=READ,
            **seeded,
        )
        for c, more, seeded in (
            (R.RankingAttack, dict(k=2, eps=0.1, steps=2), {}),
            (R.MSEAttack, dict(eps=0.1, steps=2), dict(generator=dice())),
            (R.TopKAttack, dict(k=2, eps=0.1, steps=2), {}),
            (R.RandomDirections, dict(eps=0.1, tries=2), dict(generator=dice())),
        )
    },
    **{
        f"{name}": cls(
            c,
            "perturb",
            more,
            UNREAD if name.endswith("Change") else {},
            model=NET,
            x=X,
            target=T,
            explain=R.Saliency(NET),
        )
        for name, c, more in (
            (
                "ranking.TargetRegionAttack",
                R.TargetRegionAttack,
                dict(region=torch.eye(16), eps=0.1, steps=2),
            ),
            ("ranking.MassCentreAttack", R.MassCentreAttack, dict(eps=0.1, steps=2)),
            ("ranking.TargetMapAttack", R.TargetMapAttack, dict(goal=draw(256), eps=0.1, steps=2)),
            ("manifold_ig.AttributionAttack", M.AttributionAttack, dict(maps=draw(256), steps=2)),
            ("manifold_ig.ShuffledChange", M.ShuffledChange, dict(changed=(X + 0.05).clamp(0, 1), tries=2)),
        )
    },
    **{
        f"ranking.{c.__name__}": cls(c, "__call__", more, model=MLP, x=TABLE, y=ROWS_Y)
        for c, more in (
            (R.R2ET, dict(k=2)),
            (R.SSR, {}),
            (R.ExactHessian, {}),
            (R.FDHessian, {}),
            (R.Gap, dict(k=2)),
            (R.AdversarialTraining, dict(k=2, eps=0.1, steps=1)),
        )
    },
    "ranking.RegularisedLoss": cls(
        R.RegularisedLoss, "__call__", dict(regularisers=[R.SSR()]), model=MLP, x=TABLE, y=ROWS_Y
    ),
    "ranking.adult_like": fn(R.adult_like, n=20),
    "ranking.attacked_precision": fn(R.attacked_precision, explain=READ, x=TABLE, attacked=FOUND, k=2),
    "ranking.certified_radius": fn(
        R.certified_radius, explain=READ, x=TABLE, target=ROWS_Y, k=2, within=0.1, draws=2
    ),
    "ranking.certified_ratio": fn(R.certified_ratio, explain=READ, x=TABLE, target=ROWS_Y, k=2),
    "ranking.chance_level": fn(R.chance_level, k=2, d=6),
    "ranking.common_descent": fn(
        R.common_descent,
        explain=READ,
        x=TABLE,
        target=ROWS_Y,
        first=torch.tensor([[0, 1]] * 6),
        second=torch.tensor([[2, 3]] * 6),
    ),
    "ranking.comp": fn(R.comp, model=MLP, x=TABLE, scores=READ(TABLE), target=ROWS_Y),
    "ranking.suff": fn(R.suff, model=MLP, x=TABLE, scores=READ(TABLE), target=ROWS_Y),
    "ranking.dffot": fn(R.dffot, model=MLP, x=TABLE, scores=READ(TABLE)),
    "ranking.explained": fn(R.explained, logits=LOGITS, target=T),
    "ranking.fit_regularised": fn(
        R.fit_regularised, model=N.MLP(6, 3, widths=(4,)), data=(TABLE, ROWS_Y), epochs=1
    ),
    "ranking.gradient": fn(R.gradient, model=MLP, x=TABLE, target=ROWS_Y),
    "ranking.logits_and_gradient": fn(R.logits_and_gradient, model=MLP, x=TABLE, target=ROWS_Y),
    "ranking.iteration_bound": fn(R.iteration_bound, radius=draw(3), step=0.1),
    "ranking.iterations_to_break": fn(
        R.iterations_to_break, model=MLP, x=TABLE, target=ROWS_Y, k=2, step=0.1, max_steps=2, explain=READ
    ),
    "ranking.kept_share": fn(R.kept_share, scores=SCORES, reference=REFERENCE, k=2),
    "ranking.lp_counterexample": fn(R.lp_counterexample, {"p.inf": "the largest norm"}, scores=SCORES, k=2),
    "ranking.min_norm_weights": fn(R.min_norm_weights, gradients=draw(3, 2, 6)),
    "ranking.pair_count": fn(R.pair_count, d=9, k=2),
    **{
        f"ranking.{f.__name__}": fn(
            f, {"reference.inf": "only its order counts"}, reference=REFERENCE, k=2, **more
        )
        for f, more in (
            (R.pair_mean, dict(scores=SCORES)),
            (R.pair_sum, dict(scores=SCORES)),
            (R.pair_weights, {}),
        )
    },
    "ranking.precision_at_k": fn(R.precision_at_k, a=SCORES, b=REFERENCE, k=2),
    "ranking.pretrained_overlap": fn(
        R.pretrained_overlap, explain=READ, pretrained=READ, x=TABLE, k=2, target=ROWS_Y
    ),
    "ranking.random_control": fn(
        R.random_control,
        model=MLP,
        x=TABLE,
        k=2,
        explain=READ,
        control=R.RandomDirections(0.1, tries=2),
        target=ROWS_Y,
        draws=1,
        generator=dice(),
    ),
    "ranking.ranked": fn(R.ranked, signed=TABLE),
    "ranking.sensitivity": fn(
        R.sensitivity,
        model=MLP,
        explain=READ,
        x=TABLE,
        target=ROWS_Y,
        eps=0.1,
        draws=2,
        steps=2,
        generator=dice(),
    ),
    "ranking.softplus_copy": fn(R.softplus_copy, model=N.MLP(6, 3).eval(), beta=5.0),
    "ranking.thickness": fn(
        R.thickness,
        explain=READ,
        x=TABLE,
        i=0,
        j=1,
        target=ROWS_Y,
        eps=0.1,
        draws=2,
        points=2,
        generator=dice(),
    ),
    "ranking.topk_thickness": fn(
        R.topk_thickness,
        explain=READ,
        x=TABLE,
        target=ROWS_Y,
        k=2,
        eps=0.1,
        draws=2,
        points=2,
        generator=dice(),
    ),
    "ranking.thickness_bounds": fn(
        R.thickness_bounds, explain=READ, x=TABLE, target=ROWS_Y, k=2, eps=0.1, draws=2, generator=dice()
    ),
    "ranking.prepare": fn(R.prepare, data=R.adult_like(60)),
    "ranking.select_weights": fn(
        R.select_weights,
        {"candidates.element": "what `measure` understands"},
        candidates=[{"lam": 1.0}],
        measure=lambda options, seed: R.SelectionScore(0.9, 0.5),
        reference=0.9,
    ),
}
