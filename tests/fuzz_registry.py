"""Every public function and class that a user calls, with one good and cheap call: what `test_fuzz.py` spoils.

A row is `fn(function, argument=value, ...)`, or `cls(Class, "method", dict(of the constructor), argument=value, ...)`.
Arguments that are not given keep their defaults, and are spoiled all the same. `free` names what looks bad and is
documented as fine: {"argument" or "argument.label": why}; labels are those of `test_fuzz.bad_values`. `kinds` says
what an argument is where its annotation says too little. `LEFT_OUT` names public names without a row, and why.
"""

import dataclasses
import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from contract_models import kinds
from contract_registry import CAMS, OTHERS, coded
from test_numbers import ROWS as NUMBERS
from torch import Tensor, nn

import robustxai.ace as A
import robustxai.claims as L
import robustxai.concepts as C
import robustxai.diffgradcam as D
import robustxai.manifold_ig as M
import robustxai.metrics as S
import robustxai.nets as N
import robustxai.ranking as R
from robustxai.data.scenes import FactorSpec

ROOMS = {
    "ace": A, "claims": L, "concepts": C, "diffgradcam": D, "manifold_ig": M, "metrics": S, "nets": N, "ranking": R,
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Row:
    """One good call: `of(**init).method(**given)`, or `of(**given)` where `method` is None."""

    of: Callable[..., Any]
    method: str | None
    init: Mapping[str, Any]
    given: Mapping[str, Any]
    free: Mapping[str, str]
    kinds: Mapping[str, str]

    def call(self, place: str = "", **spoiled: Any) -> Any:
        """The result; `spoiled` replaces arguments of `place`, "init" or "given"."""
        if self.method is None:
            return self.of(**{**self.given, **spoiled})
        made = self.of(**{**self.init, **(spoiled if place == "init" else {})})
        return getattr(made, self.method)(**{**self.given, **(spoiled if place == "given" else {})})

    def arguments(self) -> list[tuple[str, str, inspect.Parameter]]:
        """(place, name, parameter) of all that can be given, `**options` by the name of what the row gives."""
        if self.method is None:
            return [("given", n, p) for n, p in parameters(self.of, self.given)]
        found = [("init", n, p) for n, p in parameters(self.of, self.init)]
        method = getattr(self.of, self.method)
        return found + [("given", n, p) for n, p in parameters(method, self.given) if n != "self"]


def parameters(of: Callable[..., Any], given: Mapping[str, Any]) -> list[tuple[str, inspect.Parameter]]:
    """Parameters with resolved annotations; those behind `**options` are looked up in the base classes."""
    found: dict[str, inspect.Parameter] = {}
    for one in (
        (of, *(c.__init__ for c in of.__mro__[1:-1] if "__init__" in vars(c)))
        if inspect.isclass(of)
        else (of,)
    ):
        signature = inspect.signature(one)
        open_ended = False
        for name, p in signature.parameters.items():
            if p.kind is p.VAR_KEYWORD:
                open_ended = True
            elif p.kind is not p.VAR_POSITIONAL and name not in found and name != "self":
                found[name] = p
        if not open_ended:
            break
    for name in given:
        found.setdefault(name, inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY))
    return list(found.items())


def fn(
    of: Callable[..., Any], free: Mapping[str, str] = {}, kinds: Mapping[str, str] = {}, **given: Any
) -> Row:
    return Row(of, None, {}, given, free, kinds)


def cls(
    of: Callable[..., Any], method: str, init: Mapping[str, Any], free: Mapping[str, str] = {},
    kinds: Mapping[str, str] = {}, **given: Any,
) -> Row:  # fmt: skip
    return Row(of, method, init, given, free, kinds)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def dice(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


KIND = kinds()["smooth"]()
NET, X, X2, T = KIND.net, KIND.images(3), KIND.images(3, 1), torch.tensor([0, 1, 2])
BYTES = (X * 255).round() / 255
ENCODER, DECODER = coded(KIND)
TABLE, ROWS_Y = draw(6, 6) - 0.5, torch.tensor([0, 1, 2, 0, 1, 2])
MLP = N.MLP(6, 3, widths=(8,), softplus=5, generator=dice()).eval()
READ = R.Saliency(MLP)
SIGNED = READ.signed
Z, Z2 = draw(3, 5), draw(3, 5, seed=1)
PATH = torch.stack([X.lerp(X2, t) for t in (0.0, 0.3, 0.7, 1.0)])
CODES = torch.stack([Z.lerp(Z2, t) for t in (0.0, 0.3, 0.7, 1.0)])
SCORES, REFERENCE = draw(3, 9), draw(3, 9, seed=1)
LOGITS = 4 * draw(3, 3) - 2
OTHER = NET(X).argmin(1)
MAPS = draw(3, 1, 16, 16)
FOUND = R.RankingAttack(2, 0.1, steps=2).perturb(MLP, TABLE, explain=READ)
GREYS = M.KnownManifold(
    lambda f, size: f[:, :, None, None].expand(-1, 1, size, size),
    (FactorSpec("level", 0, 1, "continuous", "brightness"),),
)
GEODESIC = M.geodesic(DECODER, Z, Z2, 5, evaluations=3)


@functools.cache
def filtered() -> Any:
    sys.path.insert(0, str(Path(__file__).parent / "ace"))
    try:
        from toys import filtered as make
    finally:
        sys.path.pop(0)
    return make(2)


FILTER = filtered()
NOISE = FILTER.noise(X, 0)
NET_X = dict(model=NET, x=X)
VAE = N.ConvVAE(widths=(4, 4), latent=2, blocks=1, generator=dice()).eval()
GEODESICS = M.ManifoldIG(NET, ENCODER, DECODER, n_steps=3, evaluations=2)
PUSHED = C.TokenPushing("body", steps=1).perturb(NET, BYTES, BYTES.flip(0))
PROBE = C.facet_probe(NET, ["body"], theme=draw(6, 3, 16, 16), generic=[draw(6, 3, 16, 16, seed=1)])

INTEGERS = {
    f"{a}.integers": "whole numbers are numbers"
    for a in ("maps", "a", "b", "mask", "boxes", "logits", "attribution")
}
INTEGERS_OF_MAPS = {"maps.integers": "whole numbers are numbers"}
LEFT_OUT_AND_COUNTED = {"values.nan": "nan is left out, and counted"}
MEASURES: dict[str, dict[str, str]] = {
    "metrics.mean_ignoring_nan": LEFT_OUT_AND_COUNTED,
    "metrics.t_interval": LEFT_OUT_AND_COUNTED,
    "metrics.bootstrap_interval": LEFT_OUT_AND_COUNTED,
    "metrics.deletion": INTEGERS_OF_MAPS | {"baseline.type": "a number is a grey"},
    "metrics.insertion": INTEGERS_OF_MAPS | {"baseline.type": "a number is a grey"},
    "metrics.max_sensitivity": {"target.range": "the explainer judges its target", "target.rank": "likewise"},
    "metrics.optimised_sensitivity": {
        "target.range": "the explainer judges its target",
        "target.rank": "likewise",
    },
    "claims.judge": {"value.negative": "a measured value has any sign"},
}


UNREAD = {n: "a control takes what an attack takes, and does not use it" for n in ("explain",)}
SETS = {f"{a}.length": "two sets need no one size" for a in ("x", "towards")}


def free_of(name: str, row: Any) -> dict[str, str]:
    """What a measure takes that looks bad."""
    return MEASURES.get(name, {key: why for key, why in INTEGERS.items() if key.split(".")[0] in row.make()})


WHOLE = {f"{a}.integers": "whole numbers are numbers" for a in "ab"}
ACT = {"activation.type": "a number is the beta of a softplus"}
BETA = ACT | {"mean.negative": "a mean has any sign"}
TRAINS: dict[str, str] = {"model.mode": "the loss is of a network that trains"}
LOSS = TRAINS | {"map_weight": "is lam or alpha here"}
REFERENCE_LOSS = LOSS | {"original.mode": "frozen, and put in eval mode by whoever trains"}


def guided(of: Callable[..., Any]) -> Callable[..., Any]:
    """A guide that is asked once."""

    @functools.wraps(of)
    def call(*args: Any, **options: Any) -> Any:
        return of(*args, **options)(X)

    return call


ROWS: dict[str, Row] = {
    **{name: fn(row.call, free_of(name, row), **row.make()) for name, row in NUMBERS.items()},
    # explainers: attribute(x, target)
    **{
        f"diffgradcam.{n}": cls(getattr(D, n), "attribute", dict(model=NET, layer="body"), x=X, target=T)
        for n in CAMS
    },
    "diffgradcam.SigmoidBranch": cls(
        D.SigmoidBranch,
        "attribute",
        dict(model=NET, features=draw(9, 8), labels=torch.arange(9) % 3, layer="body"),
        {"labels.range": "labels name the classes, however many"},
        x=X,
        target=T,
    ),
    "diffgradcam.FullGrad": cls(D.FullGrad, "attribute", dict(model=NET), x=X, target=T),
    "ranking.Saliency": cls(R.Saliency, "attribute", dict(model=NET), x=X, target=T),
    "ranking.GradientTimesInput": cls(R.GradientTimesInput, "attribute", dict(model=NET), x=X, target=T),
    "ranking.SmoothGrad": cls(R.SmoothGrad, "attribute", dict(model=NET, n=2, sigma=0.1), x=X, target=T),
    "ranking.IntegratedGradients": cls(
        R.IntegratedGradients, "attribute", dict(model=NET, steps=2, baseline=0.0), x=X, target=T
    ),
    **{
        f"manifold_ig.{c.__name__}": cls(c, "attribute", dict(model=NET) | more, x=X, target=T)
        for c, more in (
            (M.IntegratedGradients, dict(n_steps=2)),
            (M.SmoothGradIG, dict(n_steps=2, samples=2)),
            (M.GradientSHAP, dict(samples=2)),
            (M.BlurIG, dict(n_steps=2)),
            (M.GuidedIG, dict(n_steps=3)),
            (M.LatentPathIG, dict(encoder=ENCODER, decoder=DECODER, n_steps=2)),
            (M.EvenPathIG, dict(encoder=ENCODER, decoder=DECODER, n_steps=2)),
            (M.ManifoldIG, dict(encoder=ENCODER, decoder=DECODER, n_steps=3, evaluations=2)),
        )
    },
    "manifold_ig.SaliencyOf": cls(
        M.SaliencyOf, "attribute", dict(explain=M.IntegratedGradients(NET, n_steps=2)), x=X, target=T
    ),
    "manifold_ig.BPDA": cls(
        M.BPDA,
        "attribute",
        dict(explain=M.GuidedIG(NET, n_steps=2), behind=M.IntegratedGradients(NET, n_steps=2)),
        x=X,
        target=T,
    ),
    # attacks on inputs: perturb(model, x, target, explain=...)
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
    # diffgradcam
    "diffgradcam.EntropyMonitor": cls(
        D.EntropyMonitor,
        "zscore",
        dict(mean=1.0, std=0.5),
        {f"maps.{n}": "maps without an entropy are left out, as in fit" for n in ("nan", "inf", "integers")},
        maps=MAPS,
    ),
    "diffgradcam.HeoCenterMass": cls(
        D.HeoCenterMass, "__call__", dict(original=NET, layer="body"), REFERENCE_LOSS, model=NET, x=X, y=T
    ),
    "diffgradcam.HeoLocation": cls(D.HeoLocation, "__call__", dict(layer="body"), LOSS, model=NET, x=X, y=T),
    "diffgradcam.HeoTopK": cls(
        D.HeoTopK, "__call__", dict(original=NET, layer="body"), REFERENCE_LOSS, model=NET, x=X, y=T
    ),
    "diffgradcam.HeoActive": cls(
        D.HeoActive,
        "__call__",
        dict(original=NET, pairs=X2, c1=0, c2=1, layer="body", generator=dice()),
        REFERENCE_LOSS,
        model=NET,
        x=X,
        y=T,
    ),
    "diffgradcam.ShamLoss": cls(
        D.ShamLoss,
        "__call__",
        dict(target=D.sham_target(8, 8), layer="body"),
        TRAINS | {"keep_weight": "is alpha here", "map_weight": "is 1 - alpha here"},
        model=NET,
        x=X,
        y=T,
    ),
    "diffgradcam.ShiftAttack": cls(
        D.ShiftAttack,
        "forward",
        dict(model=NET, pattern=torch.eye(8), strength=1.0, layer="body"),
        {"model.mode": "has the mode of its network", "strength.negative": "a shift has any sign"},
        x=X,
    ),
    "diffgradcam.border": fn(D.border, h=7, w=7),
    "diffgradcam.center_head": fn(D.center_head, {"model.mode": "weights have no mode"}, model=NET),
    "diffgradcam.center_shift": fn(D.center_shift, maps=MAPS[:, 0], reference=MAPS[:, 0].flip(0)),
    "diffgradcam.score_agreement": fn(D.score_agreement, **NET_X, layer="body"),
    "diffgradcam.score_coefficients": fn(D.score_coefficients, logits=LOGITS, target=T),
    "diffgradcam.sham_target": fn(D.sham_target, h=7, w=7),
    "diffgradcam.shift_head": fn(D.shift_head, {"model.mode": "weights have no mode"}, model=NET, v=draw(8)),
    "diffgradcam.shift_index": fn(D.shift_index, head=draw(3, 8), kinds=dict(head="tensor")),
    # ranking: losses on weights
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
    "ranking.Objective": cls(
        R.Objective, "__call__", dict(regularisers=[R.SSR()]), model=MLP, x=TABLE, y=ROWS_Y
    ),
    # ranking: measures
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
    "ranking.fit": fn(R.fit, model=N.MLP(6, 3, widths=(4,)), data=(TABLE, ROWS_Y), epochs=1),
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
    # manifold_ig
    "manifold_ig.AggregatedPosterior": cls(M.AggregatedPosterior, "__call__", dict(codes=draw(9, 5)), z=Z),
    "manifold_ig.VarianceDecoder": cls(
        M.VarianceDecoder, "__call__", dict(decoder=DECODER, codes=draw(9, 5)), z=Z
    ),
    "manifold_ig.KnownManifold": cls(
        M.KnownManifold, "sample", dict(render=GREYS.render, factors=GREYS.factors), n=2, generator=dice()
    ),
    "manifold_ig.accumulated": fn(M.accumulated, model=NET, images=PATH, target=T),
    "manifold_ig.at_constant_speed": fn(M.at_constant_speed, decoder=DECODER, path=GEODESIC, rounds=1),
    "manifold_ig.autoencoder_residual": fn(
        M.autoencoder_residual, path=PATH, autoencoder=nn.Sequential(ENCODER, DECODER)
    ),
    "manifold_ig.blur_path": fn(M.blur_path, x=X, scales=[2.0, 1.0, 0.0]),
    "manifold_ig.class_scores": fn(M.class_scores, logits=LOGITS, target=T),
    "manifold_ig.curve_bounds": fn(
        M.curve_bounds, {f"curve.{n}": "the chord is of the ends alone" for n in ("nan", "inf")}, curve=PATH
    ),
    "manifold_ig.curve_energy": fn(M.curve_energy, curve=PATH),
    "manifold_ig.curve_length": fn(M.curve_length, curve=CODES, decoder=DECODER),
    "manifold_ig.speed_variation": fn(M.speed_variation, curve=PATH),
    "manifold_ig.curve_ratios": fn(M.curve_ratios, path=PATH, reference=PATH.flip(0)),
    "manifold_ig.decode": fn(M.decode, decoder=DECODER, latents=CODES),
    "manifold_ig.dense_metric": fn(M.dense_metric, decoder=DECODER, z=Z),
    "manifold_ig.encoder_direction": fn(M.encoder_direction, decoder=DECODER, encoder=ENCODER, latents=CODES),
    "manifold_ig.endpoints": fn(M.endpoints, path=PATH, start=X, end=X2, mode="bridge"),
    "manifold_ig.energy_gradient": fn(M.energy_gradient, decoder=DECODER, latents=CODES),
    "manifold_ig.geodesic": fn(M.geodesic, decoder=DECODER, z0=Z, z1=Z2, n_points=5, evaluations=2),
    "manifold_ig.gradient_noise": fn(M.gradient_noise, model=NET, path=PATH, target=T),
    "manifold_ig.guided_path": fn(
        M.guided_path,
        {
            f"{a}.{n}": "slopes are of the points that are visited"
            for a in ("start", "end")
            for n in ("nan", "inf")
        },
        gradient=lambda v: v,
        start=X,
        end=X2,
        steps=4,
    ),
    "manifold_ig.largest_eigenvalue": fn(
        M.largest_eigenvalue, decoder=DECODER, z=Z, iterations=2, generator=dice()
    ),
    "manifold_ig.manifold_distance": fn(M.manifold_distance, path=PATH[:, :, :1], manifold=GREYS, library=5),
    "manifold_ig.metric_product": fn(M.metric_product, decoder=DECODER, z=Z, u=Z2),
    "manifold_ig.pull": fn(M.pull, decoder=DECODER, z=Z, v=X),
    "manifold_ig.push": fn(M.push, decoder=DECODER, z=Z, u=Z2),
    "manifold_ig.nearest_distance": fn(M.nearest_distance, path=PATH, images=X),
    "manifold_ig.nearest_on_manifold": fn(
        M.nearest_on_manifold,
        images=X[:, :1],
        manifold=GREYS,
        library=5,
        starts=1,
        evaluations=2,
        generator=dice(),
    ),
    "manifold_ig.path_of": fn(M.path_of, method=M.IntegratedGradients(NET, n_steps=2), x=X, start=0 * X),
    "manifold_ig.quadrature": fn(M.quadrature, images=PATH),
    "manifold_ig.reconstruction_error": fn(
        M.reconstruction_error,
        {"y": "the label that `fit` gives to measures, not looked at"},
        model=nn.Sequential(ENCODER, DECODER),
        x=X,
    ),
    "manifold_ig.released_geodesic": fn(M.released_geodesic, decoder=DECODER, z0=Z, z1=Z2, nodes=3, sweeps=2),
    "manifold_ig.saliency": fn(M.saliency, attribution=X),
    "manifold_ig.shares": fn(M.shares, attribution=X),
    "manifold_ig.straight": fn(M.straight, start=X, end=X2, n_points=4),
    "manifold_ig.straight_integral": fn(M.straight_integral, model=NET, start=X, end=X2, target=T, steps=2),
    "manifold_ig.weighted_gradients": fn(
        M.weighted_gradients, model=NET, points=PATH, weights=PATH / 4, target=T
    ),
    # ace
    "ace.ACE": cls(
        A.ACE, "explain", dict(classifier=NET, filter=None, attack="gd", steps=1), x=X, target=OTHER
    ),
    **{
        f"ace.{n}": cls(getattr(A, n), "perturb", dict(steps=1), classifier=NET, x=X, target=OTHER)
        for n in ("PGD", "GD", "CW")
    },
    "ace.DiffusionFilter": cls(
        A.DiffusionFilter,
        "__call__",
        dict(unet=FILTER.unet, scheduler=FILTER.scheduler, steps=100, tau=2),
        x=X,
        generators=0,
    ),
    "ace.change_map": fn(A.change_map, x=X, moved=X2),
    "ace.change_mask": fn(A.change_mask, x=X, moved=X2),
    "ace.class_gradient": fn(A.class_gradient, classifier=NET, filter=None, x=X, target=T),
    "ace.class_loss": fn(A.class_loss, logits=LOGITS, target=T),
    "ace.distance": fn(A.distance, x=X, moved=X2),
    "ace.distance_gradient": fn(A.distance_gradient, x=X, moved=X2),
    "ace.distance_weight": fn(A.distance_weight, step=T, steps=5),
    "ace.draw": fn(A.draw, x=X, generators=[dice(i) for i in range(3)], count=2),
    "ace.fewer": fn(A.fewer, timesteps=(0, 10, 20), steps=2),
    "ace.image_generators": fn(A.image_generators, x=X, seed=0),
    "ace.passes": fn(A.passes, filter=FILTER, route="full"),
    "ace.refine": fn(
        A.refine,
        x=X,
        moved=X2,
        mask=torch.ones(3, 1, 16, 16, dtype=torch.bool),
        filter=FILTER,
        noise=NOISE,
        known=NOISE,
    ),
    "ace.respaced": fn(A.respaced, base=1000, steps=10),
    "ace.target_probability": fn(A.target_probability, logits=LOGITS, target=T),
    # concepts
    "concepts.CAV": cls(
        C.CAV, "fit", {}, positive=draw(12, 5), negatives=[draw(12, 5, seed=s) for s in (1, 2)]
    ),
    "concepts.TCAV": cls(
        C.TCAV,
        "score",
        dict(model=NET, layers=["body"]),
        images=X,
        target=0,
        concepts={"a": draw(6, 3, 16, 16)},
        random=[draw(6, 3, 16, 16, seed=s) for s in range(1, 5)],
        permutations=9,
    ),
    **{
        f"concepts.{n}": cls(
            getattr(C, n), "perturb", init | dict(steps=1), SETS, model=NET, x=BYTES, towards=BYTES.flip(0)
        )
        for n, init in (
            ("TokenPushing", dict(layer="body")),
            ("UniversalPushing", dict(layer="body")),
            ("MultiLayerPushing", dict(layers=["body"])),
        )
    },
    "concepts.ClassGradientPush": cls(
        C.ClassGradientPush,
        "perturb",
        dict(layer="body", steps=1),
        model=NET,
        x=BYTES,
        class_images=X,
        target=0,
    ),
    "concepts.FacetedVisualization": cls(
        C.FacetedVisualization, "render", dict(model=NET, target=0, size=16, steps=1), n=1
    ),
    "concepts.concept_sets": fn(C.concept_sets, names=("striped",), n=1, size=16),
    "concepts.random_sets": fn(C.random_sets, sets=1, n=1, size=16),
    "concepts.scored_images": fn(C.scored_images, name="zebra", n=1, size=16),
    "concepts.corrected": fn(C.corrected, {"p.nan": "stays nan and is not counted"}, p=[0.01, 0.2]),
    "concepts.facet_probe": fn(
        C.facet_probe,
        model=NET,
        layers=["body"],
        theme=draw(6, 3, 16, 16),
        generic=[draw(6, 3, 16, 16, seed=1)],
    ),
    "concepts.permutation_test": fn(C.permutation_test, WHOLE, a=draw(5), b=draw(6, seed=1), resamples=9),
    "concepts.sign_noise": fn(C.sign_noise, x=BYTES, eps=8 / 255, generator=dice()),
    "concepts.state": fn(C.state, {"p.nan": "no p value, no finding"}, mean=0.7, p=0.01),
    "concepts.t_test": fn(C.t_test, WHOLE, a=draw(5), b=draw(6, seed=1)),
    # nets
    "nets.MLP": cls(N.MLP, "__call__", dict(inputs=6, classes=3, widths=(4,), generator=dice()), x=TABLE),
    "nets.CompactResNet": cls(
        N.CompactResNet, "__call__", dict(classes=3, widths=(4, 4, 4, 4), generator=dice()), BETA, x=X
    ),
    "nets.CompactVGG": cls(
        N.CompactVGG, "__call__", dict(classes=3, widths=(4, 4, 4, 4), hidden=4, generator=dice()), ACT, x=X
    ),
    "nets.CompactInception": cls(
        N.CompactInception, "__call__", dict(classes=3, widths=(8, 8, 8, 8), generator=dice()), ACT, x=X
    ),
    "nets.CompactViT": cls(
        N.CompactViT,
        "__call__",
        dict(classes=3, size=16, patch=4, depth=1, width=8, heads=2, generator=dice()),
        x=X,
    ),
    "nets.ConvVAE": cls(
        N.ConvVAE, "__call__", dict(widths=(4, 4), latent=2, blocks=1, generator=dice()), x=X
    ),
    "nets.MiniInception": cls(
        N.MiniInception, "__call__", dict(classes=3, widths=(8, 8, 8, 8, 8), generator=dice()), x=X
    ),
    "nets.PlainConvNet": cls(
        N.PlainConvNet, "__call__", dict(classes=3, widths=(4, 4, 4, 4, 4), generator=dice()), x=X
    ),
    "nets.RandomShift": cls(N.RandomShift, "__call__", dict(pixels=2), x=X, generator=dice()),
    "nets.ResNet9": cls(N.ResNet9, "__call__", dict(classes=3, widths=(4, 4, 4, 4), generator=dice()), x=X),
    "nets.SmallConvNet": cls(
        N.SmallConvNet,
        "__call__",
        dict(classes=3, in_channels=3, size=16, widths=(4, 4), hidden=4, generator=dice()),
        x=X,
    ),
    "nets.cross_entropy": fn(N.cross_entropy, TRAINS, model=NET, x=X, y=T),
    "nets.fit": fn(N.fit, model=N.MLP(6, 3, widths=(4,)), x=TABLE, y=ROWS_Y, epochs=1, progress=False),
    # claims
    "claims.ledger": fn(L.ledger),
    "claims.of_chapter": fn(L.of_chapter, chapter="ranking"),
    "claims.results_path": fn(L.results_path, chapter="ranking", profile="quick"),
    "claims.stored": fn(L.stored, chapter="ranking", profile="quick"),
    # the rest
    "ace.Fast": cls(A.Fast, "filter", {}, filter=FILTER),
    "concepts.controls": fn(C.controls, attacked=PUSHED),
    "concepts.facet_score": fn(C.facet_score, model=NET, x=X, probe=PROBE),
    "manifold_ig.VAELoss": cls(
        M.VAELoss,
        "__call__",
        {},
        TRAINS | {"y": "documented as not looked at", "x.length": "so its length is free"},
        model=VAE,
        x=X,
        y=X,
    ),
    "manifold_ig.ConvFeatures": cls(
        M.ConvFeatures,
        "__call__",
        dict(network=NET, layers=2),
        {"network.mode": "documented as used as it is"},
        x=X,
    ),
    "manifold_ig.frozen": fn(guided(M.frozen), method=GEODESICS),
    "manifold_ig.implicit": fn(guided(M.implicit), method=GEODESICS),
    "nets.folded": fn(N.folded, model=NET),
    "nets.round_weights": fn(N.round_weights, module=N.MLP(6, 3).eval()),
    "ranking.select_weights": fn(
        R.select_weights,
        {"candidates.element": "what `measure` understands"},
        candidates=[{"lam": 1.0}],
        measure=lambda options, seed: R.Score(0.9, 0.5),
        reference=0.9,
    ),
}

LEFT_OUT = {
    "reads, writes or fetches files: the tests of each room": (
        "claims.Run claims.check claims.finish claims.share claims.skip claims.start claims.table claims.benchmarks "
        "claims.coverage nets.pretrained nets.save_weights nets.zoo nets.WeightsError ranking.from_csv "
        "ranking.prepared ranking.table nets.TorchvisionClassifier nets.HeadedClassifier"
    ),
    "trains for seconds; made of calls that have rows": (
        "ranking.evaluate ranking.fine_tune ranking.measure ranking.pretrain"
    ),
    "a record that is read and never fed": (
        "claims.Claim claims.Coverage nets.Entry nets.History metrics.Curve metrics.Infidelity metrics.Information "
        "metrics.Interval metrics.Mean metrics.Sensitivity ranking.Setting ranking.Method ace.Schedule ace.Calls "
        + next(names for why, names in OTHERS.items() if why.startswith("a result"))
    ),
    "a base class; its classes have rows": (
        "ace.Attack ranking.GradientAttack ranking.Regulariser manifold_ig.PathExplainer ranking.Cache "
        "diffgradcam.FoolingLoss"
    ),
    "another name of a row": "ranking.ERAttack manifold_ig.released_geodesic_reference",
    "wires other calls together": "ace.Chunks manifold_ig.borrowed",
}
