"""From the tokens of a transformer to maps (N, K, h, w): ready-made `reshape=` for class activation maps.

Network, layer and `reshape=`:

- torchvision `vit_b_16`: `encoder.layers.encoder_layer_11.ln_1`, "vit"
- torchvision `swin_t`: `norm`, "channels_last"
- timm `vit_*`, `deit_*`: `blocks.11.norm1`, `tokens(model.num_prefix_tokens)`
- timm `swin_*`: `norm`, "channels_last"
- Hugging Face `ViTForImageClassification`: `vit.layers.11.layernorm_before`, "vit"
- Hugging Face `SwinForImageClassification`: `swin.layernorm`, "tokens"

The last block's own output is the wrong layer of a ViT with a class token: only that token goes on from there.
Knows tensors only.
"""

import math
from collections.abc import Callable

from torch import Tensor

from robustxai.checks import check_count

Reshape = Callable[[Tensor], Tensor]


def tokens(prefix: int = 1, grid: tuple[int, int] | None = None) -> Reshape:
    """Tokens (N, prefix + h * w, D) to a map (N, D, h, w).

    prefix: class, distillation and register tokens in front, which have no place in the image. grid: (h, w); None for
    a square. Raises ValueError for a negative prefix, and where the tokens do not fill the grid.

    >>> import torch
    >>> tokens(1)(torch.zeros(2, 1 + 14 * 14, 768)).shape
    torch.Size([2, 768, 14, 14])
    """
    check_count("prefix", prefix, 0)

    def reshape(output: Tensor) -> Tensor:
        if output.ndim != 3:
            raise ValueError(f"layer must give tokens (N, T, D), got shape {tuple(output.shape)}")
        places = output.shape[1] - prefix
        height, width = grid or (math.isqrt(max(places, 0)),) * 2
        if places < 1 or height * width != places:
            raise ValueError(
                f"layer gives {output.shape[1]} tokens, {prefix} of them in front of the grid; the other {places} "
                f"are no {'square' if grid is None else f'grid {height} x {width}'}: pass tokens(prefix, grid)"
            )
        return output[:, prefix:].transpose(1, 2).unflatten(2, (height, width))

    return reshape


def channels_last(output: Tensor) -> Tensor:
    """A map (N, h, w, K), as Swin and ConvNeXt blocks give it, to (N, K, h, w).

    >>> import torch
    >>> channels_last(torch.zeros(2, 7, 7, 768)).shape
    torch.Size([2, 768, 7, 7])
    """
    if output.ndim != 4:
        raise ValueError(f"layer must give a map (N, h, w, K), got shape {tuple(output.shape)}")
    return output.permute(0, 3, 1, 2)


RESHAPES: dict[str, Reshape] = {"vit": tokens(1), "tokens": tokens(0), "channels_last": channels_last}


def find_reshape(reshape: Reshape | str | None) -> Reshape | None:
    """A function, one of `RESHAPES` by name, or None. Raises ValueError for another name.

    >>> find_reshape("channels_last") is channels_last
    True
    """
    if reshape is None or (callable(reshape) and not isinstance(reshape, str)):
        return reshape
    if reshape not in tuple(RESHAPES):
        raise ValueError(f"reshape must be one of {', '.join(RESHAPES)}, a function or None, got {reshape!r}")
    return RESHAPES[reshape]
