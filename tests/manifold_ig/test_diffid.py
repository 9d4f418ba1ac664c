"""DiffID: by hand, against its definition written out, invariances, bad input."""

import pytest
import torch
from curved import generator

from robustxai.manifold_ig.diffid import MOVED_SHARES, diff_id


class Bright(torch.nn.Module):
    """Class 0 where the top left quarter is brighter than the rest."""

    def forward(self, x):
        whole, corner = x.mean((1, 2, 3)), x[:, :, :2, :2].mean((1, 2, 3))
        return torch.stack((corner, whole + 0.05), 1)


@pytest.fixture
def case():
    x = torch.zeros(2, 1, 4, 4)
    x[:, :, :2, :2] = 1
    return Bright().eval(), x, x[:, 0] + 0.1 * torch.rand(2, 4, 4, generator=generator(0))


def test_the_right_map_is_better_than_the_wrong_one(case):
    model, x, maps = case
    good, bad = diff_id(model, x, maps, 0), diff_id(model, x, 2 - maps, 0)
    assert (good > 0.3).all() and (bad < 0).all() and good.abs().max() <= 1


def test_it_is_the_definition():
    model, x = Bright().eval(), torch.rand(3, 1, 4, 4, generator=generator(1))
    maps = torch.rand(3, 4, 4, generator=generator(2))
    found = diff_id(model, x, maps, 0)
    for i in range(3):
        total = 0.0
        order = maps[i].flatten().argsort(descending=True)
        for share in MOVED_SHARES:
            count = round(share * 16)
            for sign, gone in ((-1, order[:count]), (1, order[16 - count :])):
                flat = x[i].flatten().clone()
                left = torch.ones(16, dtype=torch.bool)
                left[gone] = False
                flat[gone] = flat[left].mean()
                total += sign * float(model(flat.view(1, 1, 4, 4)).argmax(1) == 0)
        assert float(found[i]) == pytest.approx(total / len(MOVED_SHARES), abs=1e-6)


def test_chunks_and_the_scale_of_maps_change_nothing_and_a_constant_map_has_no_value(case):
    model, x, maps = case
    assert torch.equal(diff_id(model, x, maps, 0), diff_id(model, x, 7 * maps, 0, batch_size=1))
    assert torch.equal(diff_id(model, x, maps), diff_id(model, x, maps, model(x).argmax(1)))
    maps[1] = 1
    assert diff_id(model, x, maps, 0).isnan().tolist() == [False, True]


def test_bad_input_is_refused(case):
    model, x, maps = case
    with pytest.raises(ValueError, match=r"shares must be a number in \(0, 1\), got 1\.0"):
        diff_id(model, x, maps, shares=[1.0])
    with pytest.raises(ValueError, match="maps must hold one map for each of the 2 images, got 1"):
        diff_id(model, x, maps[:1])
    with pytest.raises(ValueError, match="training mode"):
        diff_id(torch.nn.Sequential(model, torch.nn.Dropout(0.5)).train(), x, maps)
