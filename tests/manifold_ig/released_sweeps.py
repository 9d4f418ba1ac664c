"""What 300 released sweeps reach on the shipped autoencoder, computed once: about two minutes an image on one core.

`python tests/manifold_ig/released_sweeps.py` writes `released_sweeps.json` beside this file; `test_shipped.py` makes
the first sweeps again and compares the solver with the last one.
"""

import json
from pathlib import Path

import torch
from torch import Tensor

from robustxai.manifold_ig import largest_eigenvalue, released_geodesic_reference
from robustxai.manifold_ig.released_solver import NODES, SWEEPS, released_line
from robustxai.manifold_ig.study.study import Study
from robustxai.nets import ConvVAE

RECORD = Path(__file__).with_name("released_sweeps.json")
IMAGES = 4
KEPT = (0, 1, 2, 3, 10, 30, 100, 200, 300)


def setting() -> tuple[ConvVAE, Tensor, Tensor]:
    """The shipped autoencoder, and the codes of black and of the first faces of the test part."""
    study = Study("portraits", seeds=(0,), architectures=("resnet",))
    x = study.pool.x[:IMAGES]
    with torch.no_grad():
        return study.vae, study.vae.encode(torch.zeros_like(x)), study.vae.encode(x)


def stable_step(vae: ConvVAE, z0: Tensor, z1: Tensor) -> float:
    """0.9 of the largest stable step at the start (spec 9.2)."""
    start = released_line(z0, z1, NODES)
    top = torch.stack([largest_eigenvalue(vae.decode, z, iterations=20) for z in start[::5]]).amax()
    return 0.9 / (2 * NODES * float(top))


def main() -> None:
    vae, z0, z1 = setting()
    step = stable_step(vae, z0, z1)
    trace = released_geodesic_reference(vae.decode, z0, z1, step=step, epsilon=0, sweeps=SWEEPS).trace
    record = dict(step=step, energy={i: [round(v, 1) for v in trace[i].tolist()] for i in KEPT})
    rises = (trace.diff(dim=0) > 0).sum(0).tolist()
    RECORD.write_text(json.dumps(record | dict(sweeps_that_raised_the_energy=rises), indent=1) + "\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
