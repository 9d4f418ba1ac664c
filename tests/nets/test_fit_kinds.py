"""Networks, rows and numbers of all kinds that `fit` is given: it trains them, or says in one sentence why not."""

import numpy as np
import pytest
import torch
from helpers import data, same, tiny
from torch import nn
from torch.nn import functional as F

from robustxai.nets import MLP, CompactResNet, ConvVAE, RandomShift, SmallConvNet, fit


class Viewed(nn.Module):
    """Flattens by `view`, as many networks do, behind a batch norm whose statistics must count each batch once."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm, self.head = (
            nn.Conv2d(3, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.Linear(8 * 256, 3),
        )
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return self.head(self.norm(self.conv(x)).relu().view(len(x), -1))


def formats(net: nn.Module) -> list[bool]:
    return [p.is_contiguous() for p in net.parameters() if p.ndim == 4]


@pytest.mark.parametrize("options", [{}, {"ema": 0.5}, {"optimizer": "sgd"}, {"params": ["head", "norm"]}])
def test_a_network_that_flattens_by_view_is_trained_as_without_channels_last(options):
    with torch.random.fork_rng():
        one, two = Viewed(), Viewed()
    x, y = data(40)
    fit(one, x, y, epochs=2, batch_size=16, **options)
    fit(two, x, y, epochs=2, batch_size=16, channels_last=False, **options)
    assert same(one, two) and all(formats(one)) and one(x).shape == (40, 3)
    assert "ema" in options or int(one.norm.num_batches_tracked) == 6


def test_a_random_loss_sees_the_same_numbers_when_its_first_batch_is_tried_again():
    def noisy(model, x, y):
        return F.cross_entropy(model(x + 0.1 * torch.randn_like(x)), y)

    with torch.random.fork_rng():
        one, two = Viewed(), Viewed()
    fit(one, *data(40), epochs=1, loss=noisy)
    fit(two, *data(40), epochs=1, loss=noisy, channels_last=False)
    assert same(one, two)


def test_training_of_a_viewing_network_goes_on_from_its_checkpoint(tmp_path):
    with torch.random.fork_rng():
        one, two = Viewed(), Viewed()

    class Stop(Exception):
        pass

    def stop(epoch, history):
        if epoch == 0:
            raise Stop

    options = dict(epochs=3, batch_size=16, checkpoint_seconds=0.0)
    with pytest.raises(Stop):
        fit(one, *data(40), checkpoint=tmp_path / "run", on_epoch=stop, **options)
    with torch.random.fork_rng():
        again = Viewed()
    fit(again, *data(40), checkpoint=tmp_path / "run", **options)
    fit(two, *data(40), **options)
    assert same(again, two)


def test_the_memory_is_as_before_whatever_happens():
    def broken(model, x, y):
        model(x)
        raise KeyError("loss")

    wide = CompactResNet(3, widths=(8, 8, 8, 8), generator=torch.Generator().manual_seed(1))
    with pytest.raises(KeyError):
        fit(wide, *data(16), epochs=1, loss=broken)
    assert all(formats(wide)) and not any(m.training for m in wide.modules())
    assert all(p.grad is None for p in wide.parameters())
    last = CompactResNet(3, widths=(8, 8, 8, 8)).to(memory_format=torch.channels_last)
    before = [p.stride() for p in last.parameters()]
    fit(last, *data(16), epochs=1)
    assert [p.stride() for p in last.parameters()] == before


def norm_net(kind: type[nn.Module]) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 8), kind(8), nn.Linear(8, 2))


@pytest.mark.parametrize(("n", "batch"), [(65, 64), (33, 16), (3, 2)])
def test_a_last_row_alone_joins_the_batch_before_it_where_batch_norms_train(n, batch):
    x, y, sizes = torch.randn(n, 4), torch.arange(n) % 2, []

    def counted(model, a, b):
        sizes.append(len(a))
        return F.cross_entropy(model(a), b)

    history = fit(norm_net(nn.BatchNorm1d), x, y, epochs=1, batch_size=batch, loss=counted)
    assert sizes == [batch] * (n // batch - 1) + [batch + 1] and sum(sizes) == n
    assert len(history.loss) == 1
    sizes.clear()
    fit(norm_net(nn.LayerNorm), x, y, epochs=1, batch_size=batch, loss=counted)
    assert sizes == [batch] * (n // batch) + [1]
    sizes.clear()  # nothing learns from the batch: nothing joins
    fit(norm_net(nn.BatchNorm1d), x, y, epochs=1, batch_size=batch, loss=counted, params=["2"])
    assert sizes == [batch] * (n // batch) + [1]


def test_the_bits_of_other_lengths_are_those_of_batches_cut_in_order():
    net, x, y = norm_net(nn.BatchNorm1d), torch.randn(34, 4), torch.arange(34) % 2
    sizes = []
    fit(
        net,
        x,
        y,
        epochs=1,
        batch_size=16,
        loss=lambda m, a, b: sizes.append(len(a)) or F.cross_entropy(m(a), b),
    )
    assert sizes == [16, 16, 2]


@pytest.mark.parametrize("options", [dict(batch_size=1), dict(rows=1)])
def test_a_batch_norm_that_sees_one_row_is_one_sentence(options):
    rows = options.pop("rows", 4)
    with pytest.raises(
        ValueError, match=r"^batch_size must leave two rows or more to a batch for batch norm, got 1$"
    ):
        fit(norm_net(nn.BatchNorm1d), torch.randn(rows, 4), torch.zeros(rows).long(), epochs=1, **options)


class Wrapped(nn.Module):
    def __init__(self, net: nn.Module, kind: str) -> None:
        super().__init__()
        self.net, self.kind = net, kind

    def forward(self, x):
        z = self.net(x)
        return {"dict": {"logits": z}, "tuple": (z, None), "flat": z[:, 0]}[self.kind]


@pytest.mark.parametrize("kind", ["dict", "tuple", "flat"])
def test_the_default_loss_reads_what_any_network_returns(kind):
    torch.manual_seed(0)
    x = torch.randn(64, 4)
    y = (x[:, 0] > 0).long()
    net = MLP(4, 1 if kind == "flat" else 2, generator=torch.Generator().manual_seed(0))
    history = fit(Wrapped(net, kind), x, y, epochs=30, lr=0.02, batch_size=16)
    assert history.loss[-1] < 0.3 * history.loss[0] and history.accuracy[-1] > 0.9


def test_numpy_integers_are_integers_and_give_the_same_bits(as_shipped):
    one, two = tiny(), tiny()
    fit(one, *data(32), epochs=np.int64(1), batch_size=np.int64(16), seed=np.int64(2))
    fit(two, *data(32), epochs=1, batch_size=16, seed=2)
    assert same(one, two)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(lr=float("nan")), "lr must be a finite number > 0, got nan"),
        (dict(lr=-1.0), r"lr must be a finite number > 0, got -1\.0"),
        (dict(weight_decay=-1.0), r"weight_decay must be a finite number >= 0, got -1\.0"),
        (dict(momentum=float("inf")), "momentum must be a finite number >= 0, got inf"),
        (dict(ema=1.0), r"ema must be a number in \(0, 1\), got 1.0"),
        (dict(clip=0.0), r"clip must be a finite number > 0, got 0\.0"),
        (dict(seed=-1), "seed must be an integer >= 0, got -1"),
        (dict(batch_size=0), "epochs and batch_size must be 1 or more"),
        (dict(augment=RandomShift(40)), "pixels must be at most 15 for images of this size, got 40"),
    ],
)
def test_numbers_out_of_range_are_one_sentence(options, message):
    with pytest.raises(ValueError, match=message):
        fit(tiny(), *data(16), **(dict(epochs=1) | options))


MAKERS = {
    "resnet": lambda g: CompactResNet(3, widths=(4, 4, 8, 8), generator=g),
    "mlp": lambda g: MLP(4, generator=g),
    "conv": lambda g: SmallConvNet(generator=g),
    "vae": lambda g: ConvVAE(widths=(8, 8), generator=g),
}


@pytest.mark.parametrize("name", MAKERS)
def test_weights_are_drawn_on_the_generators_device(name, monkeypatch):
    """With another default device, faked by one that holds no numbers, nothing is drawn with a foreign generator."""
    with torch.device("meta"):
        net = MAKERS[name](torch.Generator().manual_seed(0))
    assert all(p.device.type == "meta" for p in net.parameters())


def test_training_draws_on_the_cpu_whatever_the_default_device_is():
    one, two, (x, y) = tiny(), tiny(), data(32)
    fit(one, x, y, epochs=1, augment=RandomShift(1, flip=True))
    with torch.device("meta"):
        fit(two, x, y, epochs=1, augment=RandomShift(1, flip=True))
    assert same(one, two)
