"""Every public function and class that a user calls, with one good and cheap call: what `test_fuzz.py` spoils.

Rows of a room stand in `fuzz_<room>.py`, their form and what they share in `fuzz_rows.py`. A row is
`fn(function, argument=value, ...)`, or `cls(Class, "method", dict(of the constructor), argument=value, ...)`.
Arguments that are not given keep their defaults, and are spoiled all the same. `free` names what looks bad and is
documented as fine: {"argument" or "argument.label": why}; labels are those of `fuzz_values.bad_values`. `kinds` says
what an argument is where its annotation says too little. `LEFT_OUT` names public names without a row, and why.
"""

from typing import Any

import fuzz_ace
import fuzz_concepts
import fuzz_diffgradcam
import fuzz_manifold_ig
import fuzz_nets
import fuzz_ranking
from contract_registry import EXPLAINERS, OTHERS
from fuzz_rows import KIND, NET, Row, T, X, fn
from test_numbers import ROWS as NUMBERS

import robustxai.ace as A
import robustxai.claims as L
import robustxai.concepts as C
import robustxai.diffgradcam as D
import robustxai.manifold_ig as M
import robustxai.metrics as S
import robustxai.nets as N
import robustxai.ranking as R

ROOMS = {
    "ace": A, "claims": L, "concepts": C, "diffgradcam": D, "manifold_ig": M, "metrics": S, "nets": N, "ranking": R,
}  # fmt: skip
INTEGERS = {
    f"{a}.integers": "whole numbers are numbers"
    for a in ("maps", "a", "b", "mask", "boxes", "logits", "attribution")
}
INTEGERS_OF_MAPS = {"maps.integers": "whole numbers are numbers"}
LEFT_OUT_AND_COUNTED = {"values.nan": "nan is left out, and counted"}
MEASURES: dict[str, dict[str, str]] = {
    "metrics.mean_ignoring_nan": LEFT_OUT_AND_COUNTED,
    "metrics.t_interval": LEFT_OUT_AND_COUNTED,
    "metrics.bootstrap_interval": LEFT_OUT_AND_COUNTED,
    "metrics.deletion": INTEGERS_OF_MAPS | {"baseline.type": "a number is a grey"},
    "metrics.insertion": INTEGERS_OF_MAPS | {"baseline.type": "a number is a grey"},
    "metrics.max_sensitivity": {"target.range": "the explainer judges its target", "target.rank": "likewise"},
    "metrics.optimised_sensitivity": {
        "target.range": "the explainer judges its target",
        "target.rank": "likewise",
    },
    "claims.judge": {
        "value.negative": "a measured value has any sign",
        "interval.nan": "bounds that are both nan are no interval",
    },
}


def free_of(name: str, row: Any) -> dict[str, str]:
    """What a measure takes that looks bad."""
    return MEASURES.get(name, {key: why for key, why in INTEGERS.items() if key.split(".")[0] in row.make()})


ROWS: dict[str, Row] = {
    **{name: fn(row.call, free_of(name, row), **row.make()) for name, row in NUMBERS.items()},
    **fuzz_diffgradcam.ROWS,
    **fuzz_ranking.ROWS,
    **fuzz_manifold_ig.ROWS,
    **fuzz_ace.ROWS,
    **fuzz_concepts.ROWS,
    **fuzz_nets.ROWS,
    "claims.ledger": fn(L.ledger),
    "claims.of_chapter": fn(L.of_chapter, chapter="ranking"),
    "claims.results_path": fn(L.results_path, chapter="ranking", profile="quick"),
    "claims.stored": fn(L.stored, chapter="ranking", profile="quick"),
}

ROWS |= {
    name: fn(make(NET, KIND).attribute, x=X, target=T)
    for name, make in EXPLAINERS.items()
    if name not in ROWS
}
"""An explainer of the contract registry without a row of its own here: its images and targets are spoiled."""

LEFT_OUT = {
    "reads, writes or fetches files: the tests of each room": (
        "claims.Run claims.check claims.finish claims.share claims.skip claims.start claims.table claims.benchmarks "
        "claims.coverage nets.pretrained nets.save_weights nets.zoo nets.WeightsError ranking.from_csv "
        "ranking.prepared ranking.load_table nets.TorchvisionClassifier nets.HeadedClassifier"
    ),
    "trains for seconds; made of calls that have rows": (
        "ranking.evaluate_setting ranking.fine_tune ranking.measure ranking.pretrain"
    ),
    "a record that is read and never fed": (
        "claims.Claim claims.Coverage nets.ZooEntry nets.History metrics.Curve metrics.Infidelity metrics.Information "
        "metrics.Interval metrics.Mean metrics.Sensitivity ranking.Setting ranking.Method ace.Schedule ace.Calls "
        + next(names for why, names in OTHERS.items() if why.startswith("a result"))
    ),
    "a base class; its classes have rows": (
        "ace.Attack ranking.GradientAttack ranking.Regulariser manifold_ig.PathExplainer ranking.CachedBatch "
        "diffgradcam.FoolingLoss"
    ),
    "another name of a row": "manifold_ig.released_geodesic_reference",
    "wires other calls together": "ace.Chunks manifold_ig.bpda_guide",
}
