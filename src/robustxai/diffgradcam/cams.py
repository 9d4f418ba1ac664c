"""The class activation maps of one logit, by name: each a weighting of `weightings.py` under the score 'logit'."""

from robustxai.diffgradcam.contrastive_cams import ContrastiveCAM


class CAM(ContrastiveCAM):
    """CAM (Zhou et al. 2016), for GAP + linear heads.

    >>> import torch
    >>> from robustxai.nets import CompactResNet
    >>> CAM(CompactResNet(classes=4).eval()).attribute(torch.rand(2, 3, 56, 56), 1).shape
    torch.Size([2, 1, 56, 56])
    """

    contrast, weighting = "logit", "cam"


class GradCAM(ContrastiveCAM):
    """GradCAM (Selvaraju et al. 2017). At native size, captum's LayerGradCam(relu_attributions=True).

    >>> import torch
    >>> from robustxai.nets import CompactResNet
    >>> cam = GradCAM(CompactResNet(classes=4).eval(), size="native")
    >>> cam.attribute(torch.rand(2, 3, 56, 56), target=torch.tensor([0, 3])).shape
    torch.Size([2, 1, 7, 7])
    """

    contrast, weighting = "logit", "gradcam"


class GradCAMPlusPlus(ContrastiveCAM):
    """GradCAM++ (Chattopadhay et al. 2018) in its closed form, as pytorch-grad-cam has it.

    >>> import torch
    >>> from robustxai.nets import CompactResNet
    >>> GradCAMPlusPlus(CompactResNet(classes=4).eval()).attribute(torch.rand(2, 3, 56, 56), 1).shape
    torch.Size([2, 1, 56, 56])
    """

    contrast, weighting = "logit", "gradcam++"


class HiResCAM(ContrastiveCAM):
    """HiResCAM (Draelos & Carin 2020); the same map as GradCAM for GAP + linear heads.

    >>> import torch
    >>> from robustxai.nets import CompactResNet
    >>> model, x = CompactResNet(classes=4).eval(), torch.rand(2, 3, 56, 56)
    >>> torch.allclose(HiResCAM(model).attribute(x, 1), GradCAM(model).attribute(x, 1), atol=1e-6)
    True
    """

    contrast, weighting = "logit", "hirescam"


class LayerCAM(ContrastiveCAM):
    """LayerCAM (Jiang et al. 2021).

    >>> import torch
    >>> from robustxai.nets import CompactResNet
    >>> LayerCAM(CompactResNet(classes=4).eval()).attribute(torch.rand(2, 3, 56, 56), 1).shape
    torch.Size([2, 1, 56, 56])
    """

    contrast, weighting = "logit", "layercam"


class XGradCAM(ContrastiveCAM):
    """XGradCAM (Fu et al. 2020).

    >>> import torch
    >>> from robustxai.nets import CompactResNet
    >>> XGradCAM(CompactResNet(classes=4).eval()).attribute(torch.rand(2, 3, 56, 56), 1).shape
    torch.Size([2, 1, 56, 56])
    """

    contrast, weighting = "logit", "xgradcam"
