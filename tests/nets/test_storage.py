"""What storage keeps of tensors: eight bits as a difference, and storing again what was stored."""

from pathlib import Path

import pytest
import torch
from helpers import same, tiny
from torch import Tensor

from robustxai.nets import pretrained, round_weights, save_weights, zoo
from robustxai.nets.checkpoint import load_tensors
from robustxai.nets.recipes import Net, publish
from robustxai.nets.storage import BLOCK, STEP, from_disk, to_disk


def state(seed: int, scale: float = 1.0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    weight, bias = (torch.randn(*shape, generator=generator) * scale for shape in ((5, 7, 3, 3), (5,)))
    return {"weight": weight, "bias": bias, "seen": torch.tensor(seed)}


def moved(base: dict[str, Tensor], by: float = 0.01) -> dict[str, Tensor]:
    change = state(9, by)
    return {key: value + (change[key] if value.is_floating_point() else 1) for key, value in base.items()}


def equal(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


@pytest.mark.parametrize("with_base", [True, False])
def test_storing_what_was_stored_as_eight_bits_changes_nothing(with_base: bool) -> None:
    base = from_disk(to_disk(state(1), "fp16")) if with_base else None
    once = to_disk(moved(base or state(1)), "int8", base)
    again = to_disk(from_disk(once, base), "int8", base)
    assert equal(once, again)
    assert equal(from_disk(once, base), from_disk(again, base))


def test_eight_bits_are_within_half_a_step_of_the_largest_of_their_block() -> None:
    base, ours = state(1), moved(state(1))
    kept = from_disk(to_disk(ours, "int8", base), base)["weight"]
    change = (ours["weight"] - base["weight"]).flatten()
    error = (kept - ours["weight"]).flatten().abs()
    for start in range(0, len(change), BLOCK):
        part = slice(start, start + BLOCK)
        assert error[part].max() <= change[part].abs().max() / 127 + 1e-7


def test_a_difference_is_finer_than_the_weights_alone() -> None:
    base, ours = state(1), moved(state(1))
    errors = [
        (from_disk(to_disk(ours, "int8", b), b)["weight"] - ours["weight"]).abs().max() for b in (base, None)
    ]
    assert errors[0] < errors[1] / 20


def test_biases_have_sixteen_bits_and_integers_all_of_theirs() -> None:
    ours = state(3)
    stored = to_disk(ours, "int8")
    assert {key: value.dtype for key, value in stored.items()} == {
        "weight": torch.int8, f"weight{STEP}": torch.int8, "bias": torch.float16, "seen": torch.int64,
    }  # fmt: skip
    assert from_disk(stored)["seen"] == 3


def test_what_equals_the_base_is_left_out_and_zeros_are_zeros() -> None:
    base = from_disk(to_disk(state(1), "fp16"))
    assert to_disk(base, "int8", base) == {} and to_disk(base, "fp16", base) == {}
    zeros = {"weight": torch.zeros(2, 20)}
    assert equal(from_disk(to_disk(zeros, "int8")), zeros)


@pytest.mark.parametrize("wrong", [torch.nan, torch.inf])
def test_weights_that_are_no_numbers_are_refused(wrong: float) -> None:
    ours = state(1)
    ours["weight"][0, 0, 0, 0] = wrong
    with pytest.raises(ValueError, match="must be finite"):
        to_disk(ours, "int8")


def test_a_base_of_other_tensors_is_refused() -> None:
    with pytest.raises(ValueError, match="parent must have the same tensors as the network, got others"):
        to_disk(state(1), "int8", {"weight": torch.zeros(5, 7, 3, 3)})
    with pytest.raises(ValueError, match="parent must have the same tensors"):
        round_weights(tiny(1), dtype="int8", parent=tiny(1, classes=5))


def test_a_network_of_eight_bits_comes_back_as_it_was_rounded(tmp_path: Path) -> None:
    parent, child = round_weights(tiny(1)), tiny(1)
    with torch.no_grad():
        for weight in child.parameters():
            weight += 0.01 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(2))
    round_weights(child, dtype="int8", parent=parent)
    nets = [
        Net("parent", parent, "noise"),
        Net("child", child, "noise", parent="parent", dtype="int8"),
        Net("grandchild", tiny(3), "noise", parent="child", dtype="int8"),
    ]
    for some in (nets, nets[1:2]):  # the second time with its parent in the file alone
        publish(some, file="tiny.safetensors", out=tmp_path, command="a test", seed=0)
        assert same(pretrained("child", weights_dir=tmp_path), child)
        assert zoo(tmp_path)["child"].dtype == "int8"
    tensors = load_tensors(tmp_path / "tiny.safetensors")[0]
    assert tensors["child/head.weight"].dtype == torch.int8
    grandchild = pretrained("grandchild", weights_dir=tmp_path)
    assert same(grandchild, round_weights(tiny(3), dtype="int8", parent=child))


def test_a_line_of_parents_must_end(tmp_path: Path) -> None:
    nets = [Net("a", tiny(1), "noise", parent="b"), Net("b", tiny(2), "noise", parent="a")]
    with pytest.raises(ValueError, match="network 'a' must not descend from itself: a < b < a"):
        publish(nets, file="tiny.safetensors", out=tmp_path, command="a test", seed=0)


def test_eight_bits_without_a_parent_are_read_again(tmp_path: Path) -> None:
    save_weights(tmp_path / "a.safetensors", {"a": tiny(1)}, dtype="int8")
    stored = load_tensors(tmp_path / "a.safetensors")[0]
    kept = from_disk({key.removeprefix("a/"): value for key, value in stored.items()})
    assert equal(kept, dict(round_weights(tiny(1), dtype="int8").state_dict()))


def test_steps_that_do_not_fit_are_refused() -> None:
    stored = to_disk(state(1), "int8")
    stored[f"weight{STEP}"] = stored[f"weight{STEP}"][:-1]
    with pytest.raises(
        ValueError, match="tensor weight of eight bits must have 20 steps and the shape of its base"
    ):
        from_disk(stored)
    with pytest.raises(ValueError, match="the shape of its base"):
        from_disk(to_disk(state(1), "int8"), {"weight": torch.zeros(5, 7)})
