"""ACE from end to end: acceptance tests 13 and 15, fast mode, memory, interrupts, bad input."""

import pytest
import torch
from toys import Classifier, filtered, images

from robustxai.ace import ACE, CW, PGD, Chunks, Fast, class_gradient
from robustxai.metrics.predictions import predicted

SHORT = dict(steps=8, step=4 / 255, dilation=3)


def ace(net=None, f=None, **options):
    return ACE(net or Classifier(), f or filtered(), **(SHORT | options))


@pytest.mark.parametrize("checkpoint", [False, True])
def test_strict_mode_asks_exactly_so_often(checkpoint):
    f, k, tau = filtered(3, checkpoint=checkpoint), 5, 3
    found = ace(f=f, steps=k).explain(images(1))
    forwards = (2 if checkpoint else 1) * k * tau + tau
    assert (f.calls.forward_calls, f.calls.backward_calls) == (forwards, k * tau)
    assert (int(found.unet_forwards), int(found.unet_backwards)) == (forwards, k * tau)


def test_strict_mode_is_the_last_iterate_refined():
    x, net, f = images(5), Classifier(), filtered()
    found = ace(net, f).explain(x, generators=3)
    pre = PGD(steps=8, step=4 / 255).perturb(net, x, filter=f, generators=3)
    torch.testing.assert_close(found.pre, pre)
    assert torch.equal(found.image[~found.mask.expand_as(x)], x[~found.mask.expand_as(x)])
    with torch.no_grad():
        p = net(found.image).softmax(1)
    assert torch.equal(found.target, 1 - found.prediction) and torch.equal(found.x, x)
    torch.testing.assert_close(found.after, p.gather(1, found.target[:, None])[:, 0])
    assert torch.equal(found.flipped, predicted(net(found.image)) == found.target)
    assert found.steps.tolist() == [8] * 5 and bool(found.finished.all())
    assert bool((found.between > found.before).all()) and found.flip_rate == 1
    assert "5 of 5 counterfactuals reach their target" in found.report()
    assert len(found[found.flipped]) == 5 and torch.equal(found[1:3].image, found.image[1:3])


@pytest.mark.parametrize("mode", ["strict", "fast"])
@pytest.mark.parametrize("attack", ["pgd", "gd", "cw"])
def test_an_image_is_independent_of_its_batch(mode, attack):
    x, net, f = images(5, dtype=torch.float64), Classifier().double(), filtered(double=True)
    step = 4 / 255 if attack == "pgd" else 0.1
    whole = ace(net, f, attack=attack, step=step).explain(x, mode=mode)
    in_twos = ace(net, f, attack=attack, step=step, batch_size=2).explain(x, mode=mode)
    alone = ace(net, f, attack=attack, step=step).explain(x[3:4], mode=mode)
    for other, rows in ((in_twos, slice(None)), (alone, slice(3, 4))):
        part = whole[rows]
        torch.testing.assert_close(other.image, part.image, rtol=0, atol=1e-9)
        torch.testing.assert_close(other.pre, part.pre, rtol=0, atol=1e-9)
        assert torch.equal(other.steps, part.steps) and torch.equal(other.unet_forwards, part.unet_forwards)


def test_fast_mode_stops_early_and_counts_what_it_asked():
    x, f = images(7), filtered(4)
    strict = ace(f=f, steps=60).explain(x)
    before = f.calls.forwards, f.calls.backwards
    found = ace(f=f, steps=60, batch_size=3).explain(x, mode="fast")
    assert int(found.unet_forwards.sum()) == f.calls.forwards - before[0]
    assert int(found.unet_backwards.sum()) == f.calls.backwards - before[1]
    assert found.flip_rate == strict.flip_rate == 1 and bool((found.steps < 60).all())
    assert int(found.unet_forwards.sum()) * 5 < int(strict.unet_forwards.sum())


def test_fast_mode_with_nothing_to_stop_is_strict_mode_with_its_filter():
    x, net, f = images(3), Classifier(), filtered(3)
    never = Fast(tau=3, patience=1000)
    a, b = ace(net, f, fast=never).explain(x, mode="fast"), ace(net, f).explain(x)
    assert torch.equal(a.image, b.image) and torch.equal(a.unet_forwards, b.unet_forwards)


def test_a_refined_image_that_does_not_flip_goes_on(monkeypatch):
    from robustxai.ace import ace as explain

    x, tries = images(1), []

    def useless(x, pre, mask, filter, noise, known):
        tries.append(1)
        return x

    monkeypatch.setattr(explain, "refine", useless)
    found = ace(steps=30).explain(x, mode="fast")
    assert len(tries) > 2 and int(found.steps) == 30 and not bool(found.flipped)
    assert int(found.unet_forwards) == 30 + 3 * len(tries)
    tries.clear()
    found = ace(steps=60, fast=Fast(tries=2)).explain(x, mode="fast")
    assert len(tries) == 2 and int(found.steps) < 30 and not bool(found.flipped) and bool(found.finished)
    tries.clear()
    found = ace(steps=30, fast=Fast(confirm=None)).explain(x, mode="fast")
    assert len(tries) == 1 and int(found.steps) < 30


def test_the_best_try_is_kept_at_the_whole_cost(monkeypatch):
    from robustxai.ace import ace as explain

    x, tries = images(1), []
    real = explain.refine

    def once(*arguments):
        tries.append(real(*arguments) if not tries else arguments[0])
        return tries[-1]

    monkeypatch.setattr(explain, "refine", once)
    found = ace(steps=30, fast=Fast(confirm=1 - 1e-9)).explain(x, mode="fast")
    assert torch.equal(found.image, tries[0]) and bool(found.flipped) and int(found.steps) < 30
    assert int(found.unet_forwards) == 30 + 3 * len(tries)


def test_fast_mode_may_have_an_attack_of_its_own():
    x, net, f = images(3), Classifier(), filtered(3)
    own = PGD(steps=4, step=8 / 255, lam=0.01)
    a = ace(net, f, fast=Fast(tau=3, patience=1000, attack=own)).explain(x, mode="fast")
    b = ACE(net, f, attack=own, dilation=3).explain(x)
    assert torch.equal(a.image, b.image) and a.steps.tolist() == [4] * 3


def test_fast_bf16_flips_too():
    found = ace(steps=20, fast=Fast(bf16=True)).explain(images(3), mode="fast")
    assert found.flip_rate == 1 and found.image.dtype == torch.float32


def test_without_a_filter_it_is_the_plain_attack():
    x, net = images(), Classifier()
    found = ACE(net, None, **SHORT).explain(x)
    assert torch.equal(found.image, PGD(steps=8, step=4 / 255).perturb(net, x))
    assert torch.equal(found.image, found.pre) and int(found.unet_forwards.sum()) == 0
    found = ACE(net, None, **(SHORT | {"steps": 30})).explain(x, mode="fast")
    assert found.flip_rate == 1 and bool((found.steps < 30).all())


def test_no_steps_and_no_noise():
    x = images()
    for mode in ("strict", "fast"):
        found = ace(steps=0).explain(x, mode=mode)
        assert torch.equal(found.image, x) and not found.mask.any() and found.flip_rate == 0
    found = ace(f=filtered(0)).explain(x)
    assert found.flip_rate == 1 and int(found.unet_forwards.sum()) == 0


def test_everything_is_left_as_it_was():
    net, f, x = Classifier(), filtered(), images().requires_grad_()
    state = {k: v.clone() for m in (net, f.unet) for k, v in m.state_dict().items()}
    random = torch.get_rng_state()
    ace(net, f).explain(x, mode="strict")
    ace(net, f).explain(x, mode="fast", progress=True)
    assert all(torch.equal(v, state[k]) for m in (net, f.unet) for k, v in m.state_dict().items())
    assert all(p.grad is None and p.requires_grad for m in (net, f.unet) for p in m.parameters())
    assert torch.equal(torch.get_rng_state(), random) and x.grad is None


def test_watching_the_way():
    x, seen = images(3), []
    ace(batch_size=2).explain(
        x, watch=lambda i, k, image: seen.extend(zip(i.tolist(), k.tolist(), strict=True))
    )
    assert sorted(seen) == [(i, k) for i in range(3) for k in range(9)]


def test_an_interrupt_keeps_what_is_finished():
    x = images(5)

    def stop(index, k, image):
        if int(index[0]) == 2 and int(k[0]) == 3:
            raise KeyboardInterrupt

    with pytest.warns(RuntimeWarning, match="interrupted: 2 of 5 images are finished"):
        found = ace(batch_size=2).explain(x, watch=stop)
    assert found.finished.tolist() == [True, True, False, False, False]
    assert torch.equal(found.image[:2], ace(batch_size=2).explain(x[:2]).image)
    assert torch.equal(found.image[2:], x[2:]) and not found.flipped[2:].any()
    assert "3 not finished" in found.report()
    with pytest.raises(KeyboardInterrupt):
        ace().explain(x[2:], watch=lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))


def test_memory_that_runs_out_halves_the_chunk_and_changes_nothing(monkeypatch):
    from robustxai.ace import attacks

    x, net, f = images(5, dtype=torch.float64), Classifier().double(), filtered(double=True)
    expected = ace(net, f).explain(x)

    def hungry(classifier, filter, x, *args, **options):
        if len(x) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return class_gradient(classifier, filter, x, *args, **options)

    monkeypatch.setattr(attacks, "class_gradient", hungry)
    with pytest.warns(RuntimeWarning, match="memory ran out with 5 images at once; going on with 2"):
        found = ace(net, f).explain(x)
    torch.testing.assert_close(found.image, expected.image, rtol=0, atol=1e-9)


def test_memory_that_is_short_for_one_image_checkpoints(monkeypatch):
    from robustxai.ace import attacks

    def hungry(classifier, filter, x, *args, **options):
        if not filter.checkpoint:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory")
        return class_gradient(classifier, filter, x, *args, **options)

    x, f = images(1), filtered()
    expected = ace(f=f).explain(x)
    monkeypatch.setattr(attacks, "class_gradient", hungry)
    with pytest.warns(RuntimeWarning, match="going on with a checkpointed filter"):
        found = ace(f=f).explain(x)
    torch.testing.assert_close(found.image, expected.image)
    assert int(found.unet_forwards) == 2 * 8 * 3 + 3
    with pytest.raises(
        RuntimeError, match="DefaultCPUAllocator"
    ):  # asked for the joint graph: nothing left to give
        ace(f=filtered(checkpoint=False)).explain(x)


def test_other_errors_are_no_matter_of_memory():
    with pytest.raises(RuntimeError, match="else"):
        Chunks(4).run(lambda rows: (_ for _ in ()).throw(RuntimeError("something else")), 4)


def test_bad_input(as_shipped):
    net, f, x = Classifier(), filtered(), images()
    for options, message in [
        (dict(attack="fgsm"), "attack must be one of pgd, gd, cw, got 'fgsm'"),
        (dict(tau=3), "options must be among steps, step, eps.*, got 'tau'"),
        (
            dict(attack=CW(), steps=3),
            "options must go with the name of an attack, got steps beside an Attack",
        ),
        (dict(dilation=4), "dilation must be an odd integer >= 1, got 4"),
        (dict(batch_size=0), "batch_size must be an integer >= 1, got 0"),
        (dict(threshold=-0.1), r"threshold must be a finite number >= 0, got -0\.1"),
    ]:
        with pytest.raises(ValueError, match=message):
            ACE(net, f, **options)
    with pytest.raises(ValueError, match="mode must be one of strict, fast, got 'quick'"):
        ace().explain(x, mode="quick")
    with pytest.raises(ValueError, match="target must not be the predicted class"):
        ace(net).explain(x, predicted(net(x)))
    with pytest.raises(ValueError, match="x must have sides in multiples of 2"):
        ace().explain(images(size=9))
    with pytest.raises(ValueError, match="x must have the 3 channels that unet takes, got 1"):
        ace(Classifier(channels=1)).explain(images(channels=1))
    with pytest.raises(ValueError, match=r"confidence must be a number in \[0, 1\), got 1"):
        Fast(confidence=1)
    with pytest.raises(ValueError, match=r"confirm must be a number in \[0, 1\), got -1"):
        Fast(confirm=-1)
