"""The drawn classes and example sets: balanced, on the uint8 grid, disjoint, decided by their streams."""

import pytest
import torch

from robustxai.concepts.exemplars import (
    CONCEPTS,
    concept_sets,
    random_sets,
    scored_images,
    stream,
)
from robustxai.concepts.rendered_classes import CLASSES, NAMES, class_images, labelled, rounded_to_grid
from robustxai.data.scenes import render_swatches, swatches
from robustxai.data.scenes.swatches import FACTOR_NAMES
from robustxai.data.scenes.textures import TEXTURES


def different(a, b):
    """No image of a is an image of b."""
    return bool((a.flatten(1)[:, None] != b.flatten(1)).any(2).all())


@pytest.mark.parametrize("name", NAMES)
def test_class_images_are_stored_pictures_and_repeatable(name):
    x = class_images(name, 3, size=32, generator=stream("a", name))
    assert x.shape == (3, 3, 32, 32) and torch.equal(x, rounded_to_grid(x)) and 0 <= x.min() and x.max() <= 1
    assert torch.equal(x, class_images(name, 3, size=32, generator=stream("a", name)))
    assert different(x, class_images(name, 3, size=32, generator=stream("b", name)))


def test_the_truth_by_construction():
    shape = {name: CLASSES[name].animal for name in ("horse", "zebra", "appaloosa")}
    assert set(shape.values()) == {"horse"} and CLASSES["zebra"].textures == ("striped",)
    assert CLASSES["cat"].animal == CLASSES["patterned cat"].animal
    assert len({(k.animal, k.textures) for k in CLASSES.values()}) == len(NAMES)


def test_labels_are_balanced_and_mixed():
    x, y = labelled(4, size=16)
    assert len(x) == 4 * len(NAMES) and torch.equal(y.bincount(), torch.full((len(NAMES),), 4))
    assert not torch.equal(y, y.sort().values)


def test_example_sets_are_disjoint():
    sets = random_sets(3, n=8, size=16)
    assert [len(s) for s in sets] == [8] * 3
    assert all(different(a, b) for i, a in enumerate(sets) for b in sets[:i])
    shown, other = concept_sets(n=4, size=16), concept_sets(n=4, size=16, split="third")
    assert tuple(shown) == CONCEPTS and all(different(shown[k], other[k]) for k in CONCEPTS)
    assert different(scored_images("zebra", 4, size=16), scored_images("zebra", 4, size=16, split="attack"))
    every = torch.cat((*shown.values(), *sets))
    assert torch.equal(every, rounded_to_grid(every))


def test_a_class_can_be_left_out_of_the_random_pictures():
    with pytest.raises(ValueError, match="0 classes"):
        random_sets(1, n=4, size=8, without=NAMES)
    assert different(random_sets(1, n=8, size=16)[0], random_sets(1, n=8, size=16, without=("zebra",))[0])


def test_swatches_show_their_texture_at_any_resolution():
    s = swatches(10, size=64, generator=stream("swatch"))
    assert s.classes == TEXTURES[1:] and torch.equal(s.labels.bincount(), torch.full((5,), 2))
    share = s.mask("texture").mean((1, 2))
    assert (share > 0.1).all() and (share < 0.9).all()
    small = render_swatches(s.factors, 32)[0]
    assert (torch.nn.functional.avg_pool2d(s.images, 2) - small).abs().mean() < 0.06
    period = s.factors.clone().requires_grad_()
    render_swatches(period, 16)[0].square().sum().backward()
    gradient = period.grad[:, FACTOR_NAMES.index("period")]
    assert gradient.isfinite().all() and gradient.abs().max() > 0


def test_bad_arguments_give_one_sentence(as_shipped):
    for call, message in (
        (lambda: class_images("unicorn", 2, generator=stream("a")), "unicorn"),
        (lambda: concept_sets(["tartan"], n=2, size=8), "tartan"),
        (lambda: swatches(2, textures=("tartan",)), "tartan"),
        (lambda: swatches(2, textures=()), "textures"),
        (lambda: swatches(0), "n and size"),
        (lambda: random_sets(0), "sets must be an integer >= 1, got 0"),
        (lambda: random_sets(2, n=0), "n must be an integer >= 1, got 0"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
