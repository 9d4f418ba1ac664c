"""The chapter's experiments as data: shipped networks in, one record per (task, run, seed) out, rows for tables.

A value that depends on training is a mean over seeds with a t interval; it is never a single network. Knows nothing
about notebooks or figures.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from torch import nn

from robustxai.data.scenes import Scenes
from robustxai.diffgradcam.evaluate import METHODS, Comparison, compare, native_maps
from robustxai.diffgradcam.recipes import SEEDS, TASKS, Task, scenes, zoo_name
from robustxai.diffgradcam.sham import sham_target
from robustxai.diffgradcam.shift import shift_index
from robustxai.diffgradcam.victims import ATTACKS, Data, fool
from robustxai.metrics import Interval, energy_inside, pearson, pointing_game, resize, t_interval
from robustxai.nets import pretrained

Row = dict[str, object]


@dataclass(frozen=True)
class Record:
    """One manipulated network against its honest twin; `ceiling` compares two honest networks of different seeds."""

    task: str
    run: str
    seed: int
    comparison: Comparison
    index: float

    def value(self, method: str, metric: str) -> float:
        """Mean over images of a metric of `Comparison.methods`."""
        return self.comparison.mean(method, metric)


def shipped(task: str, seed: int, run: str = "clean") -> nn.Module:
    """A network of the zoo; `run` is 'clean' or an attack."""
    return pretrained(zoo_name(task, seed, run))


def sweep(task: str, runs: Iterable[str], *, test: Scenes, seeds: Sequence[int] = SEEDS) -> list[Record]:
    """Compare every shipped run of a task with its honest network; run 'ceiling' compares seed s with seed s + 1."""
    records = []
    pattern = sham_target(7, 7)
    for seed in seeds:
        honest = shipped(task, seed)
        for run in runs:
            other = shipped(task, seeds[(seeds.index(seed) + 1) % len(seeds)]) if run == "ceiling" else None
            model = other or shipped(task, seed, run)
            result = compare(honest, model, test.images, test.labels, pattern)
            records.append(Record(task, run, seed, result, shift_index(model)))
    return records


def over_seeds(records: Iterable[Record], value: Callable[[Record], float]) -> Interval:
    """Mean over records (one per seed) with its t interval."""
    return t_interval([value(r) for r in records])


def triple(i: Interval) -> tuple[float, float, float]:
    """(value, low, high), as tables and claims take it."""
    return i.value, i.low, i.high


def select(records: Iterable[Record], run: str, task: str | None = None) -> list[Record]:
    """The records of a run (and task)."""
    return [r for r in records if r.run == run and task in (None, r.task)]


def fooling_rows(records: Sequence[Record], methods: Sequence[str] = ("GradCAM", "DiffGradCAM", "GradCAM++", "DiffGradCAM++")) -> list[Row]:
    """Table B: a row per task and run; cells 'r_base / r_sham', means over seeds."""
    rows: list[Row] = []
    for task, run in dict.fromkeys((r.task, r.run) for r in records):
        these = select(records, run, task)
        mean = lambda f, these=these: sum(map(f, these)) / len(these)  # noqa: E731
        row: Row = {"task · run": f"{task} · {run}", "accuracy": mean(lambda r: r.comparison.accuracy[1])}
        for m in methods:
            pair = [mean(lambda r, m=m, q=q: r.value(m, q)) for q in ("r_base", "r_sham")]
            row[m] = " / ".join(f"{v:.2f}" for v in pair)
        row["H(GradCAM)"] = mean(lambda r: r.value("GradCAM", "entropy"))
        row["shift index"] = mean(lambda r: r.index)
        rows.append(row)
    return rows


def agreement(task: str, contrasts: Sequence[str], *, test: Scenes, seeds: Sequence[int] = SEEDS) -> dict[str, dict[str, Interval]]:
    """Pearson of each contrast's map with the per-logit map on honest networks, for both weightings (Table A)."""
    result: dict[str, dict[str, Interval]] = {}
    for weighting in ("gradcam", "gradcam++"):
        methods = {c: (c, weighting) for c in ("logit", *contrasts)}
        each = []
        for seed in seeds:
            _, maps = native_maps(shipped(task, seed), test.images, None, methods)
            each.append({c: float(pearson(maps[c], maps["logit"]).nanmean()) for c in contrasts})
        result[weighting] = {c: t_interval([e[c] for e in each]) for c in contrasts}
    return result


def localisation_rows(task: str, runs: Sequence[str], *, test: Scenes, seeds: Sequence[int] = SEEDS,
                      methods: dict[str, tuple[str, str]] = METHODS) -> list[Row]:
    """Pointing game and energy inside the object's true mask, per method and run, means over seeds and images."""
    mask = test.masks[:, test.parts.index("object")] > 0.5
    rows: list[Row] = [{"run": "chance (area of the object)", "pointing": float(mask.float().mean()), "energy": float(mask.float().mean())}]
    for run in runs:
        score: dict[str, list[tuple[float, float]]] = {m: [] for m in methods}
        for seed in seeds:
            target = native_maps(shipped(task, seed), test.images, None, {})[0].argmax(-1)
            _, maps = native_maps(shipped(task, seed, run), test.images, target, methods)
            for m in methods:
                big = resize(maps[m][:, 0], mask.shape[1:])
                score[m].append((float(pointing_game(big, mask).nanmean()), float(energy_inside(big, mask).nanmean())))
        for m in methods:
            pointing, energy = (t_interval([s[k] for s in score[m]]) for k in (0, 1))
            rows.append({"run": f"{run} · {m}", "pointing": triple(pointing), "energy": triple(energy)})
    return rows


def live(task: Task, train: Scenes, run: str, *, seed: int, n: int, epochs: int, **changes) -> nn.Module:
    """Fine-tune a shipped honest network now, on n images; `changes` replace fields of the attack (loss, lr, ...)."""
    attack = ATTACKS[run]
    attack = type(attack)(**{**attack.__dict__, "epochs": epochs, **changes})
    data = Data(train.images[:n], train.labels[:n], task.classes)
    return fool(shipped(task.name, seed), data, attack, seed=seed, progress=False)


def held_out(task: str, n: int) -> Scenes:
    """n held-out images of a task."""
    return scenes(TASKS[task], "test", n)

