"""How well a classifier does on a set: accuracy and the area under the ROC curve."""

import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from robustxai.metrics.predictions import accuracy
from robustxai.models import Network, logits_of
from robustxai.scores.explained import two_columns


def performance(model: Network, x: Tensor, y: Tensor) -> tuple[float, float]:
    """Accuracy and AUC on samples x (n, ...) with classes y (n,)."""
    with torch.no_grad():
        logits = torch.cat([logits_of(model, part) for part in x.split(1024)])
    return accuracy(logits, y), auc(logits, y)


def auc(logits: Tensor, y: Tensor) -> float:
    """Area under the ROC curve; for more than two classes the mean of one against the rest.

    >>> auc(torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 2.0]]), torch.tensor([0, 1, 1]))
    1.0
    """
    p = two_columns(logits).cpu().double().softmax(1).numpy()
    return float(roc_auc_score(y.cpu().numpy(), p[:, 1] if p.shape[1] == 2 else p, multi_class="ovr"))
