"""EvenPathIG: the line of codes at constant speed, what is left of a geodesic whose path must not bend.

The latent line is dark for most of its time and then draws a face all at once; energy punishes that. Moving its points
to equal distances of their images finds no new path, and takes most of the energy that a geodesic takes: so this is
what a geodesic has to be compared with.
"""

from typing import Any

from torch import Tensor, nn

from robustxai.checks import check_count
from robustxai.explainers.decoder import Decoder
from robustxai.manifold_ig.geodesic import Geodesic, at_constant_speed
from robustxai.manifold_ig.geodesic_path import ManifoldIG


class EvenPathIG(ManifoldIG):
    """`LatentPathIG` with its points moved along the decoded curve to equal steps; other arguments as there.

    rounds: of moving the points, each decodes them once. Raises ValueError for fewer than 1.

    >>> import torch
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(12, 2)).eval()
    >>> encode, decode = (lambda x: x.flatten(1)[:, :4]), (lambda z: z.repeat(1, 3).sinh().unflatten(1, (3, 2, 2)))
    >>> found = EvenPathIG(net, encode, decode, n_steps=4).explain(torch.rand(1, 3, 2, 2), target=1)
    >>> bool(found.geodesic.speed_variation < 0.1)
    True
    """

    def __init__(
        self, model: nn.Module, encoder: Decoder, decoder: Decoder, *, rounds: int = 6, **options: Any
    ):
        if "evaluations" in options:
            raise TypeError("evaluations is not an option of EvenPathIG, which searches no path; rounds is")
        super().__init__(model, encoder, decoder, evaluations=0, **options)
        self.rounds = check_count("rounds", rounds)

    def geodesic(self, x: Tensor, start: Tensor, *, warm: Tensor | Geodesic | None = None) -> Geodesic:
        """The latent lines between the codes of `start` and of `x` at constant speed; `warm` is not used."""
        line = super().geodesic(x, start)

        def find() -> Geodesic:
            assert self.decoder is not None
            return at_constant_speed(self.decoder, line, rounds=self.rounds, batch_size=self.batch_size)

        return self._recalled(f"even {self.n_steps} {self.rounds}", find, line.latents)
