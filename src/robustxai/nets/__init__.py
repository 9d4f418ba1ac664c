"""Networks: small real architectures, one training loop, and a zoo of checked weights.

It knows images in, logits out; it knows nothing about explanations.
"""

from robustxai.nets.adapters import TorchvisionClassifier
from robustxai.nets.augment import RandomShift
from robustxai.nets.entry import WeightsError, ZooEntry
from robustxai.nets.fold import folded
from robustxai.nets.headed import HeadedClassifier
from robustxai.nets.miniatures import CompactInception, CompactVGG
from robustxai.nets.mlp import MLP, SmallConvNet
from robustxai.nets.resnet import CompactResNet
from robustxai.nets.resnet9 import ResNet9
from robustxai.nets.select import accuracy_of
from robustxai.nets.staged import MiniInception, PlainConvNet
from robustxai.nets.train import fit
from robustxai.nets.training import History, Training, cross_entropy
from robustxai.nets.vae import ConvVAE
from robustxai.nets.vit import CompactViT
from robustxai.nets.zoo import pretrained, round_weights, save_weights, zoo

__all__ = [
    "MLP",
    "CompactInception",
    "CompactResNet",
    "CompactVGG",
    "CompactViT",
    "ConvVAE",
    "HeadedClassifier",
    "History",
    "MiniInception",
    "PlainConvNet",
    "RandomShift",
    "ResNet9",
    "SmallConvNet",
    "TorchvisionClassifier",
    "Training",
    "WeightsError",
    "ZooEntry",
    "accuracy_of",
    "cross_entropy",
    "fit",
    "folded",
    "pretrained",
    "round_weights",
    "save_weights",
    "zoo",
]
