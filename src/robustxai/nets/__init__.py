"""Networks: small real architectures, one training loop, and a zoo of checked weights.

It knows images in, logits out; it knows nothing about explanations.
"""

from robustxai.nets.augment import RandomShift
from robustxai.nets.resnet import CompactResNet
from robustxai.nets.select import accuracy
from robustxai.nets.train import History, cross_entropy, fit

__all__ = ["CompactResNet", "History", "RandomShift", "accuracy", "cross_entropy", "fit"]
