"""The chapter's experiments as data: studies in, one record per (task, run, seed) out, rows for tables.

A value that depends on training is a mean over seeds with a t interval; it is never a single network. Knows nothing
about notebooks or figures.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from math import isnan
from time import perf_counter

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robustxai.diffgradcam.logit_shift import ShiftAttack, shift_index
from robustxai.diffgradcam.study.compare import METHODS, Comparison, compare, native_maps
from robustxai.diffgradcam.study.manipulated import FOOLING_PROTOCOLS, FooledNetwork, map_loss
from robustxai.diffgradcam.study.study import Study
from robustxai.explainers.precision import as_double
from robustxai.metrics import Interval, energy_inside, pearson, pointing_game, resize
from robustxai.records import Row, over_seeds, select

Methods = dict[str, tuple[str, str]]
MAIN = ("GradCAM", "DiffGradCAM", "GradCAM++", "DiffGradCAM++")


@dataclass(frozen=True)
class Record:
    """One manipulated network against its honest twin; run 'ceiling' compares two honest networks of different seeds.

    map_loss: the attack's own map term on held-out images (nan for 'ceiling'): whether it converged at all.
    """

    task: str
    run: str
    seed: int
    comparison: Comparison
    index: float
    map_loss: float = float("nan")

    def value(self, method: str, metric: str) -> float:
        """Mean over images of a metric of `Comparison.methods`."""
        return self.comparison.mean(method, metric)

    @property
    def lost(self) -> float:
        """Accuracy lost by the manipulation, in points of 1 (negative: gained)."""
        return self.comparison.accuracy[0] - self.comparison.accuracy[1]


def sweep(
    study: Study, runs: Iterable[str], seeds: Sequence[int], methods: Methods = METHODS
) -> list[Record]:
    """Compare every run with its honest network; 'ceiling' is the honest network of the next seed, 'clean' itself.

    A single seed takes seed + 1 as its ceiling.
    """
    records = []
    for i, seed in enumerate(seeds):
        honest, after = study.honest(seed), seeds[(i + 1) % len(seeds)] if len(seeds) > 1 else seed + 1
        for run in runs:
            if run in ("ceiling", "clean"):
                model = study.honest(after) if run == "ceiling" else honest
            else:
                model = study.twin(seed, run)
            records.append(record(study, run, seed, honest, model, methods))
    return records


def record(
    study: Study,
    run: str,
    seed: int,
    honest: FooledNetwork,
    model: FooledNetwork,
    methods: Methods = METHODS,
) -> Record:
    """One comparison, on the study's held-out images."""
    loss = (
        map_loss(model, honest, FOOLING_PROTOCOLS[run], study.x, study.y)
        if run in FOOLING_PROTOCOLS
        else float("nan")
    )
    comparison = compare(honest, model, study.x, study.y, study.pattern, methods)
    return Record(study.name, run, seed, comparison, shift_index(model), loss)


def fooling_rows(records: Sequence[Record], methods: Sequence[str] = MAIN) -> list[Row]:
    """Table B: a row per task and run; cells 'r_base / r_sham', means over seeds."""
    rows: list[Row] = []
    many = len({r.task for r in records}) > 1
    heading = "task · run" if many else "run"
    for task, run in dict.fromkeys((r.task, r.run) for r in records):
        these = select(records, run=run, task=task)

        def mean(f, these=these):
            return sum(map(f, these)) / len(these)

        row: Row = {
            heading: f"{task} · {run}" if many else run,
            "accuracy": mean(lambda r: r.comparison.accuracy[1]),
        }
        for m in methods:
            base, sham = (mean(lambda r, m=m, q=q: r.value(m, q)) for q in ("r_base", "r_sham"))
            row[m] = f"{base:.2f} / {sham:.2f}"
        row["H(GradCAM)"] = mean(lambda r: r.value("GradCAM", "entropy"))
        row["shift index"] = mean(lambda r: r.index)
        loss = mean(lambda r: r.map_loss)
        row["map loss"] = None if isnan(loss) else loss
        rows.append(row)
    return rows


def contrast_agreement(
    study: Study, contrasts: Sequence[str], seeds: Sequence[int]
) -> dict[str, dict[str, Float[Tensor, "network image"]]]:
    """Pearson of each contrast's map with the per-logit map on honest networks, for both weightings (Table A)."""
    result: dict[str, dict[str, Tensor]] = {}
    for weighting in ("gradcam", "gradcam++"):
        methods = {c: (c, weighting) for c in ("logit", *contrasts)}
        maps = [native_maps(study.honest(seed), study.x, None, methods)[1] for seed in seeds]
        result[weighting] = {c: torch.stack([pearson(m[c], m["logit"]) for m in maps]) for c in contrasts}
    return result


def localisation(
    study: Study, run: str, seeds: Sequence[int], methods: Methods = METHODS
) -> dict[str, dict[str, Interval]]:
    """Pointing game and energy inside the object's mask of each method, explaining the honest network's prediction."""
    if study.mask is None:
        raise ValueError(
            f"study must be a task that knows where the object is, got {study.name!r}, which has no masks"
        )
    score: dict[str, list[tuple[float, float]]] = {m: [] for m in methods}
    for seed in seeds:
        honest = study.honest(seed)
        target = native_maps(honest, study.x, None, {})[0].argmax(-1)
        _, maps = native_maps(honest if run == "clean" else study.twin(seed, run), study.x, target, methods)
        for m in methods:
            big = resize(maps[m][:, 0], (study.mask.shape[1], study.mask.shape[2]))
            values = pointing_game(big, study.mask).nanmean(), energy_inside(big, study.mask).nanmean()
            score[m].append((float(values[0]), float(values[1])))
    return {
        m: {q: over_seeds(s[k] for s in score[m]) for k, q in enumerate(("pointing", "energy"))}
        for m in methods
    }


def ablation(
    study: Study, base: str, changes: dict[str, dict], *, seed: int, images: int, epochs: int
) -> list[Record]:
    """Fine-tune now: attack `base` with fields replaced, e.g. {"alpha 0.5": {"loss": ...}}; one record each."""
    honest = study.honest(seed)
    records = []
    for name, change in changes.items():
        attack = replace(FOOLING_PROTOCOLS[base], **{"epochs": epochs, **change})
        model = study.attack(seed, attack, images=images)
        loss = map_loss(model, honest, attack, study.x, study.y)
        result = compare(honest, model, study.x, study.y, study.pattern)
        records.append(Record(study.name, name, seed, result, shift_index(model), loss))
    return records


def explained_classes(study: Study, run: str, seed: int) -> list[Row]:
    """Does it matter which class is explained? r_base and r_sham of predicted, true, runner-up and random class."""
    honest, twin = study.honest(seed), study.twin(seed, run)
    y0, _ = native_maps(honest, study.x, None, {})
    generator = torch.Generator().manual_seed(seed)
    classes = {
        "predicted": y0.argmax(-1),
        "true": study.y,
        "runner-up": y0.topk(2).indices[:, 1],
        "random": torch.randint(
            study.classes, study.y.shape, generator=generator, device=generator.device
        ).to(study.y.device),
    }
    rows: list[Row] = []
    for name, target in classes.items():
        row: Row = {"explained class": name}
        maps0, maps1 = (native_maps(net, study.x, target)[1] for net in (honest, twin))
        for m in MAIN:
            base = float(pearson(maps1[m], maps0[m]).nanmean())
            row[m] = (
                f"{base:.2f} / {float(pearson(maps1[m], study.pattern.expand_as(maps1[m])).nanmean()):.2f}"
            )
        rows.append(row)
    return rows


def shift_test(
    study: Study, seed: int, *, strength: float = 1e4
) -> tuple[float, Float[Tensor, " image"], float]:
    """The shift attack in double precision: (largest change of a probability, Pearson of GradCAM with the fake map for
    each image, largest change of a DiffGradCAM or DiffGradCAM++ map of any contrast relative to its maximum).
    """
    net, x, pattern = as_double(study.honest(seed)), as_double(study.x), as_double(study.pattern)
    attacked = ShiftAttack(net, pattern, strength).eval()
    y0, maps0 = native_maps(net, x)
    y1, maps1 = native_maps(attacked, x, y0.argmax(-1))
    moved = max(float((maps1[m] - maps0[m]).abs().max() / maps0[m].max()) for m in METHODS if "Diff" in m)
    fooled = pearson(maps1["GradCAM"], pattern.expand_as(maps1["GradCAM"]))
    return float((y1.softmax(-1) - y0.softmax(-1)).abs().max()), fooled, moved


def cost_ratio(slow: Callable[[], object], fast: Callable[[], object], *, repeats: int = 15) -> list[float]:
    """Time of `slow` over time of `fast`, in alternating runs; the first pair is a warm-up."""
    ratios: list[float] = []
    for _ in range(repeats + 1):
        seconds = []
        for call in (slow, fast):
            start = perf_counter()
            call()
            seconds.append(perf_counter() - start)
        ratios.append(seconds[0] / seconds[1])
    return ratios[1:]


def shift_attack(
    model: nn.Module,
    x: Tensor,
    pattern: Tensor,
    strength: float,
    *,
    layer: str | None = None,
    batch_size: int = 50,
) -> Row:
    """The training-free attack on any network: probabilities, GradCAM and DiffGradCAM before and after, on images x."""
    attacked = ShiftAttack(model, pattern, strength, layer=layer).eval()
    parts: dict[str, list[Tensor]] = {"p": [], "GradCAM": [], "fake": [], "DiffGradCAM": []}
    classes = 0
    for images in x.split(batch_size):
        before, maps0 = native_maps(model, images, None, METHODS, layer=layer)
        classes = before.shape[1]
        after, maps1 = native_maps(attacked, images, before.argmax(-1), METHODS)
        parts["p"].append((after.softmax(-1) - before.softmax(-1)).abs().amax(1))
        parts["GradCAM"].append(pearson(maps1["GradCAM"], maps0["GradCAM"]))
        parts["fake"].append(pearson(maps1["GradCAM"], pattern.expand_as(maps1["GradCAM"])))
        parts["DiffGradCAM"].append(pearson(maps1["DiffGradCAM"], maps0["DiffGradCAM"]))
    joined = {k: torch.cat(v) for k, v in parts.items()}
    return {
        "images": len(x),
        "classes": classes,
        "largest change of a probability": float(joined["p"].max()),
        "GradCAM r_base": float(joined["GradCAM"].nanmean()),
        "GradCAM r_sham": float(joined["fake"].nanmean()),
        "DiffGradCAM r_base": float(joined["DiffGradCAM"].nanmean()),
    }
