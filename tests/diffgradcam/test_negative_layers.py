"""GradCAM++ on a layer before its ReLU: where the closed form has no positive denominator it is clamped."""

import torch
from torch import nn

from robustxai.diffgradcam import GradCAMPlusPlus


class Negative(nn.Module):
    """One channel of minus three times a grey image, average pooling, logits (0, +1) times the mean."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(1, 1, 1, bias=False)
        self.head = nn.Linear(1, 2, bias=False)
        with torch.no_grad():
            self.layer.weight.fill_(-3.0)
            self.head.weight.copy_(torch.tensor([[0.0], [1.0]]))

    def forward(self, x):
        return self.head(self.layer(x).mean((2, 3)))


def test_weights_are_not_negative_where_the_layer_is():
    """A = -3 and dS/dA = 1/4 on 2 x 2 pixels: 2 g^2 + sum(A) g^3 = -1/16, which is clamped at 1e-6."""
    cam = GradCAMPlusPlus(Negative().eval(), "layer", relu=False, size="native")
    found = cam.attribute(torch.ones(1, 1, 2, 2), 1)
    g = 0.25
    weight = 4 * g**2 / 1e-6 * g
    torch.testing.assert_close(found, torch.full((1, 1, 2, 2), -3 * weight))
