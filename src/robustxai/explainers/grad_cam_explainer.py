"""CAMs of pytorch-grad-cam as explainers of ours, by what an object has: the library remains optional."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robustxai.checks import as_target, check_images
from robustxai.eval_mode import check_calm
from robustxai.explainers.base import Explainer
from robustxai.models import logits_of


def from_grad_cam(cam: Any, **call_options: Any) -> Explainer:
    """A pytorch-grad-cam object as an explainer of ours, with maps (n, 1, H, W) in [0, 1].

    cam: a `BaseCAM`; call_options: `aug_smooth` and `eigen_smooth`. Not differentiable: an attack says so, and
    explainers of `robustxai.diffgradcam` are the same maps with a derivative. The library leaves gradients on the
    parameters; here they are put back. Raises ValueError for another kind of object.

    >>> from pytorch_grad_cam import GradCAM
    >>> from robustxai.nets import CompactResNet
    >>> model = CompactResNet(classes=4).eval()
    >>> from_grad_cam(GradCAM(model, [model.body])).attribute(torch.rand(2, 3, 56, 56), 1).shape
    torch.Size([2, 1, 56, 56])
    """
    if not (callable(cam) and hasattr(cam, "target_layers") and hasattr(cam, "activations_and_grads")):
        raise ValueError(
            f"cam must be a pytorch-grad-cam object, with `target_layers`, got {type(cam).__name__}"
        )
    return GradCAMExplainer(cam, call_options)


class GradCAMExplainer(Explainer):
    """What `from_grad_cam` makes.

    >>> from pytorch_grad_cam import LayerCAM
    >>> from robustxai.nets import CompactResNet
    >>> model = CompactResNet(classes=4).eval()
    >>> explain = GradCAMExplainer(LayerCAM(model, [model.body]), {})
    >>> explain(torch.rand(2, 3, 56, 56)).shape, explain.differentiable
    (torch.Size([2, 1, 56, 56]), False)
    """

    differentiable = False

    def __init__(self, cam: Any, options: dict[str, Any]):
        self.cam, self.options, self.model = cam, options, cam.model

    def attribute(self, x: Tensor, target: Any = None) -> Float[Tensor, "n 1 height width"]:
        """The map of class `target`, each scaled to [0, 1] as that library does. Raises ValueError."""
        check_images("x", x, low=None, high=None)
        check_calm("model", self.model)
        kept = [(p, p.grad) for p in self.model.parameters()]
        try:
            with torch.inference_mode(False), torch.enable_grad():
                v = x.detach().clone()
                with torch.no_grad():
                    logits = logits_of(self.model, v)
                wanted = [_Score(int(c), logits.shape[1]) for c in as_target(target, logits)]
                found = self.cam(input_tensor=v, targets=wanted, **self.options)
        finally:
            for parameter, gradient in kept:
                parameter.grad = gradient
        return torch.as_tensor(found).to(x)[:, None]

    def on(self, model: nn.Module) -> "GradCAMExplainer":
        """Its hooks are on its own network: ValueError for another."""
        if model is self.model:
            return self
        raise ValueError(
            "model must be the network of cam, got another: make a pytorch-grad-cam object of it"
        )


class _Score:
    """pytorch-grad-cam's target: from the logits of one sample to the score of a class."""

    def __init__(self, target: int, columns: int):
        self.target, self.columns = target, columns

    def __call__(self, logits: Any) -> Tensor:
        if not isinstance(logits, Tensor) or logits.numel() != self.columns:
            raise ValueError(
                "model must return a tensor of logits for pytorch-grad-cam: wrap it in an nn.Module whose "
                "forward(self, x) returns them"
            )
        if self.columns == 1:
            return logits.reshape(()) if self.target == 1 else -logits.reshape(())
        return logits[self.target]
