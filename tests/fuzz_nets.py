"""Rows of the fuzz registry: networks and their training."""

from fuzz_rows import NET, ROWS_Y, TABLE, TRAINS, Row, T, X, cls, dice, fn

import robustxai.nets as N

ACT = {"activation.type": "a number is the beta of a softplus"}
BETA = ACT | {"mean.negative": "a mean has any sign"}

ROWS: dict[str, Row] = {
    "nets.MLP": cls(N.MLP, "__call__", dict(inputs=6, classes=3, widths=(4,), generator=dice()), x=TABLE),
    "nets.CompactResNet": cls(
        N.CompactResNet, "__call__", dict(classes=3, widths=(4, 4, 4, 4), generator=dice()), BETA, x=X
    ),
    "nets.CompactVGG": cls(
        N.CompactVGG, "__call__", dict(classes=3, widths=(4, 4, 4, 4), hidden=4, generator=dice()), ACT, x=X
    ),
    "nets.CompactInception": cls(
        N.CompactInception, "__call__", dict(classes=3, widths=(8, 8, 8, 8), generator=dice()), ACT, x=X
    ),
    "nets.CompactViT": cls(
        N.CompactViT,
        "__call__",
        dict(classes=3, size=16, patch=4, depth=1, width=8, heads=2, generator=dice()),
        x=X,
    ),
    "nets.ConvVAE": cls(
        N.ConvVAE, "__call__", dict(widths=(4, 4), latent=2, blocks=1, generator=dice()), x=X
    ),
    "nets.MiniInception": cls(
        N.MiniInception, "__call__", dict(classes=3, widths=(8, 8, 8, 8, 8), generator=dice()), x=X
    ),
    "nets.PlainConvNet": cls(
        N.PlainConvNet, "__call__", dict(classes=3, widths=(4, 4, 4, 4, 4), generator=dice()), x=X
    ),
    "nets.RandomShift": cls(N.RandomShift, "__call__", dict(pixels=2), x=X, generator=dice()),
    "nets.ResNet9": cls(N.ResNet9, "__call__", dict(classes=3, widths=(4, 4, 4, 4), generator=dice()), x=X),
    "nets.SmallConvNet": cls(
        N.SmallConvNet,
        "__call__",
        dict(classes=3, in_channels=3, size=16, widths=(4, 4), hidden=4, generator=dice()),
        x=X,
    ),
    "nets.Training": fn(N.Training, epochs=1),
    "nets.cross_entropy": fn(N.cross_entropy, TRAINS, model=NET, x=X, y=T),
    "nets.fit": fn(N.fit, model=N.MLP(6, 3, widths=(4,)), x=TABLE, y=ROWS_Y, epochs=1, progress=False),
    "nets.folded": fn(N.folded, model=NET),
    "nets.round_weights": fn(N.round_weights, module=N.MLP(6, 3).eval()),
}
