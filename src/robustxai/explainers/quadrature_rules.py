"""Quadrature along a path: at which points gradients are taken, and with which weights they are added.

Form A is the paper's integral ("midpoint", "trapezoid", "left"), form B what the released code computes
("released").
"""

import numpy as np
import torch
from torch import Tensor

from robustxai.checks import check_count, check_name
from robustxai.explainers.path_checks import check_curve
from robustxai.shapes import Nodes, Path

RULES = ("midpoint", "trapezoid", "left", "released")


def quadrature(images: Path, rule: str = "midpoint") -> tuple[Nodes, Nodes]:
    """Points and weights of a rule on the path `images` y_0 ... y_N, with delta_i = y_{i+1} - y_i.

    midpoint: grad F((y_i + y_{i+1})/2) * delta_i. trapezoid: (grad F(y_i) + grad F(y_{i+1}))/2 * delta_i.
    left: grad F(y_i) * delta_i. released (form B): (y_N - y_0) * mean_i grad F(y_i), which is an integral
    only for straight paths of constant speed (spec 3.6). Raises ValueError for another rule or one point.
    """
    check_curve("images", images, kind="paths")
    delta = images.diff(dim=0)
    if rule == "midpoint":
        return (images[1:] + images[:-1]) / 2, delta
    if rule == "left":
        return images[:-1], delta
    if rule == "trapezoid":
        edge = torch.zeros_like(delta[:1])
        return images, (torch.cat((edge, delta)) + torch.cat((delta, edge))) / 2
    if rule == "released":
        return images, ((images[-1:] - images[:1]) / len(images)).expand_as(images)
    raise ValueError(f"rule must be one of {', '.join(RULES)}, got {rule!r}")


def nodes(n_steps: int, rule: str) -> tuple[Tensor, Tensor]:
    """Times in [0, 1] and weights of sum 1 of a rule for straight paths, float64, on the CPU.

    rule: "midpoint", "left", "right", "released" (as left), "trapezoid" (n_steps + 1 points) or "gausslegendre".
    """
    n_steps = check_count("n_steps", n_steps)
    if rule == "gausslegendre":
        t, w = np.polynomial.legendre.leggauss(n_steps)
        return torch.from_numpy((t + 1) / 2), torch.from_numpy(w / 2)
    even = torch.full((n_steps + 1,), 1 / n_steps, dtype=torch.float64, device="cpu")
    i = torch.arange(n_steps + 1, dtype=torch.float64, device="cpu")
    if rule == "trapezoid":
        even[[0, -1]] /= 2
        return i / n_steps, even
    shifts = {"midpoint": 0.5, "left": 0.0, "released": 0.0, "right": 1.0}
    check_name("rule", rule, (*shifts, "trapezoid", "gausslegendre"))
    return (i[:-1] + shifts[rule]) / n_steps, even[:-1]
