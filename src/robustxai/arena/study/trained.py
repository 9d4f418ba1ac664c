"""Networks that were trained to have steady maps, in the arena: Saliency of the plain one and of its robust twin."""

from collections.abc import Sequence

import torch
from torch import Tensor

from robustxai.arena.evaluate import evaluate
from robustxai.arena.study.rounds import IMAGE_SEED, MIDDLE
from robustxai.data.scenes import menagerie
from robustxai.nets import pretrained
from robustxai.records import Row

SIZE, CLASSES = 32, "animals4"
ATTACKS = ("topk", "topk-twin")


def trained_twins(
    seeds: Sequence[int], names: Sequence[str], n: int, *, device: torch.device | str = "cpu"
) -> tuple[dict[str, Tensor], list[Row]]:
    """Worst P of Saliency at 2/255 for `ranking-menagerie-s<seed>-<name>`: name -> (networks, images), and a line a
    network with each attack apart: what holds against derivatives of the map itself may not hold against a twin's.
    """
    x = menagerie(
        n, size=SIZE, classes=CLASSES, generator=torch.Generator().manual_seed(IMAGE_SEED)
    ).images.to(device)
    worst: dict[str, list[Tensor]] = {name: [] for name in names}
    lines: list[Row] = []
    for name in names:
        for seed in seeds:
            model = pretrained(f"ranking-menagerie-s{seed}-{name}").to(device).eval()
            (cell,) = evaluate(
                model, x, rows=["Saliency"], eps=(MIDDLE,), readout=("own",), network=name
            ).cells
            worst[name].append(cell.worst)
            shares = {a: float(cell.by_attack[a].nanmean()) for a in ATTACKS if a in cell.by_attack}
            lines.append(
                {"network": name, "seed": seed, "state": cell.state, "noise": float(cell.noise.nanmean()), **shares,
                 "worst": float(cell.worst.nanmean()), "n": cell.n}
            )  # fmt: skip
    return {name: torch.stack(found) for name, found in worst.items()}, lines
