"""What every benchmark shares: two threads, no runtime shape checks, and ratios from alternating runs.

Times on a shared machine drift by more than the differences that matter. So a contender's rounds alternate with rounds
of its reference, and what is kept is the median of the ratios of neighbouring rounds. Targets are stored beside the
ratios; nothing is asserted about time. On a busy machine `--benchmark-timer=time.process_time` counts processor seconds
of all threads instead of seconds on the clock.
"""

from collections.abc import Callable
from statistics import median, quantiles

import jaxtyping
import pytest
import torch
from pytest_benchmark.utils import load_timer

THREADS = 2


@pytest.fixture(autouse=True)
def _as_a_user_runs_it():
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
    torch.set_num_threads(before)


@pytest.fixture
def against(benchmark, request):
    """against(contender, reference, name=..., target=...): time `contender`, each round after one of `reference`.

    `extra_info` gets the ratio contender / reference: median and quartiles over rounds, n rounds, the target in words.
    """

    def measure(
        contender: Callable[[], object],
        reference: Callable[[], object],
        *,
        name: str,
        target: str | None = None,
        rounds: int,
    ) -> None:
        for warm_up in (contender, reference):
            warm_up()
        base: list[float] = []
        timer = load_timer(request.config.getoption("benchmark_timer"))

        def reference_round():
            start = timer.target()
            reference()
            base.append(timer.target() - start)

        benchmark.pedantic(contender, setup=reference_round, rounds=rounds)
        if benchmark.enabled:
            ratios = [t / b for t, b in zip(benchmark.stats.stats.data, base, strict=False)]
            low, _, high = quantiles(ratios, n=4)
            benchmark.extra_info.update(
                chapter=request.module.CHAPTER, name=name, target=target, n=rounds,
                ratio=median(ratios), low=low, high=high, reference_seconds=median(base),
            )  # fmt: skip

    return measure


def pytest_benchmark_update_machine_info(config, machine_info):
    machine_info["torch"] = {"version": torch.__version__, "threads": THREADS}
    machine_info["timer"] = str(config.getoption("benchmark_timer"))
