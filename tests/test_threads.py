"""Eight threads, two hundred calls each, on one shared network: every result equals the single-threaded one."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from contract_models import kinds

from robustxai.concepts import TCAV
from robustxai.diffgradcam import FullGrad, GradCAM
from robustxai.manifold_ig import IntegratedGradients

THREADS, CALLS = 8, 200


@pytest.fixture
def _one_thread_each():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_one_thread_each")
def test_one_network_from_eight_threads():
    kind = kinds()["two-layer head"]()
    net, inputs = kind.net, [kind.images(2, seed) for seed in range(6)]
    sets = [kind.images(6, 100 + seed) for seed in range(4)]

    def concept(x: torch.Tensor) -> torch.Tensor:
        found = TCAV(net, ["body"]).score(x, 1, {"bright": sets[0]}, sets[1:], permutations=9)
        return torch.tensor([cell.mean for cell in found.cells])

    methods = (
        lambda x: GradCAM(net, "body").attribute(x, 1),
        lambda x: FullGrad(net).attribute(x, 1),
        lambda x: IntegratedGradients(net, n_steps=4).attribute(x, 1),
        concept,
    )
    alone = [[method(x) for x in inputs] for method in methods]

    def thread(i: int) -> int:
        wrong = 0
        for call in range(CALLS):
            m, n = (call + i) % len(methods), (call * 7 + i) % len(inputs)
            wrong += not torch.equal(methods[m](inputs[n]), alone[m][n])
        return wrong

    with ThreadPoolExecutor(THREADS) as pool:
        assert list(pool.map(thread, range(THREADS))) == [0] * THREADS
