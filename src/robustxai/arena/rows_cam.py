"""Class activation maps as rows: they need a layer, and move with the image through its activations.

HiResCAM and XGradCAM are GradCAM for a head of average pooling and one linear layer after a ReLU, and are no rows.
"""

from robustxai.arena.registry import explainer
from robustxai.diffgradcam import (
    DiffGradCAM,
    DiffGradCAMPlusPlus,
    GradCAM,
    GradCAMPlusPlus,
    LayerCAM,
    ScoreCAM,
)
from robustxai.diffgradcam.contrastive_cams import ContrastiveCAM

CAMS: dict[str, tuple[type[ContrastiveCAM], str]] = {
    "GradCAM": (GradCAM, "Selvaraju et al. 2017"),
    "GradCAM++": (GradCAMPlusPlus, "Chattopadhay et al. 2018"),
    "LayerCAM": (LayerCAM, "Jiang et al. 2021"),
}
for name, (kind, paper) in CAMS.items():
    explainer(name, family="cam", needs=("layer",), paper=paper)(kind)


@explainer("DiffGradCAM (lse)", family="cam", needs=("layer",), paper="Piland, Sweet & Czajka 2025")
def diffgradcam_lse(model, layer):
    """The contrast with the log-sum-exp of the other logits: the log-odds of the decision."""
    return DiffGradCAM(model, layer, "lse")


@explainer("DiffGradCAM (mean)", family="cam", needs=("layer",), paper="Piland, Sweet & Czajka 2025")
def diffgradcam_mean(model, layer):
    """The contrast with the mean of the other logits; GradCAM of a centred head times classes / (classes - 1)."""
    return DiffGradCAM(model, layer, "mean")


@explainer("DiffGradCAM++ (lse)", family="cam", needs=("layer",), paper="Piland, Sweet & Czajka 2025")
def diffgradcam_plusplus(model, layer):
    """GradCAM++'s weights of the log-odds."""
    return DiffGradCAMPlusPlus(model, layer, "lse")


@explainer("Score-CAM", family="forward-only", needs=("layer",), paper="Wang et al. 2020", cost=50)
def score_cam(model, layer):
    """Each channel masks the image: no gradient in the map, one for the attacker through the masks."""
    return ScoreCAM(model, layer)
