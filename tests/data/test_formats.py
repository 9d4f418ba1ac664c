"""Parsers on bytes made here, with known content."""

import gzip
import io
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import center_crop, pil_to_tensor, resize

from robustxai.data import fetch, load
from robustxai.data.formats import JpegPack, central_square, cifar_binary, idx, png_grid, to_unit

RNG = np.random.default_rng(0)


def picture(h: int, w: int) -> Image.Image:
    return Image.fromarray(RNG.integers(0, 256, (h, w, 3), dtype=np.uint8))


def test_idx_round_trip_and_wrong_magic():
    a = RNG.integers(0, 256, (3, 4, 5), dtype=np.uint8)
    data = gzip.compress(bytes([0, 0, 8, 3]) + np.array(a.shape, ">u4").tobytes() + a.tobytes())
    assert torch.equal(idx(data), torch.from_numpy(a))
    with pytest.raises(ValueError, match=r"^data does not begin with the magic number of an IDX file"):
        idx(gzip.compress(b"\x00\x00\x0d\x01" + bytes(8)))


def test_to_unit_keeps_the_ends():
    assert to_unit(torch.tensor([0, 51, 255], dtype=torch.uint8)).tolist() == pytest.approx([0, 0.2, 1])


@pytest.mark.parametrize("shared_header", [False, True])
def test_a_pack_decodes_only_and_exactly_what_is_asked(shared_header):
    pieces, expected = [], []
    for _ in range(4):
        buffer = io.BytesIO()
        picture(16, 16).save(buffer, "JPEG", quality=90)
        pieces.append(buffer.getvalue())
        expected.append(pil_to_tensor(Image.open(buffer).convert("RGB")))
    extra = {}
    if shared_header:
        n = 100
        assert len({p[:n] for p in pieces}) == 1
        extra["header"] = np.frombuffer(pieces[0][:n], np.uint8)
        pieces = [p[n:] for p in pieces]
    pieces[1] = b"\x00" * len(pieces[1])  # cannot be decoded: must not be touched
    out = io.BytesIO()
    data, length = np.frombuffer(b"".join(pieces), np.uint8), np.array([len(p) for p in pieces], np.uint16)
    np.savez(out, data=data, length=length, classes=np.array(["a", "b"]), **extra)
    pack = JpegPack.read(out.getvalue())
    assert len(pack) == 4 and pack.strings("classes") == ("a", "b")
    assert torch.equal(pack.images(torch.tensor([3, 0])), torch.stack([expected[3], expected[0]]))


@pytest.mark.parametrize(("h", "w"), [(256, 384), (300, 256), (213, 160), (256, 256), (257, 331)])
@pytest.mark.parametrize("size", [224, 64])
def test_the_crop_is_torchvisions(h, w, size):
    image = picture(h, w)
    expected = center_crop(resize(image, [round(size * 256 / 224)]), [size, size])
    assert np.array_equal(np.asarray(central_square(image, size)), np.asarray(expected))


def cifar_archive(images: np.ndarray, labels: np.ndarray) -> bytes:
    """Six files of equal length, as upstream packs them."""
    records = np.concatenate((labels[:, None], images.reshape(len(images), -1)), 1).astype(np.uint8)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        names = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
        for name, part in zip(names, np.split(records, 6), strict=True):
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = part.nbytes
            tar.addfile(info, io.BytesIO(part.tobytes()))
    return out.getvalue()


def test_cifar_binary():
    images, labels = (
        RNG.integers(0, 256, (12, 3, 32, 32), dtype=np.uint8),
        RNG.integers(0, 10, 12, dtype=np.uint8),
    )
    data = cifar_archive(images, labels)
    for split, part in (("train", slice(0, 10)), ("test", slice(10, 12))):
        x, y = cifar_binary(data, split)
        assert torch.equal(x, torch.from_numpy(images[part])) and torch.equal(
            y, torch.from_numpy(labels[part])
        )


def test_the_upstream_archive_is_read_where_there_is_no_pack(monkeypatch, tmp_path):
    """The archive is a small one, so its checksum is allowed for this test."""
    images, labels = (
        RNG.integers(0, 256, (12, 3, 32, 32), dtype=np.uint8),
        RNG.integers(0, 10, 12, dtype=np.uint8),
    )
    (tmp_path / "cifar10").mkdir()
    (tmp_path / "cifar10" / "cifar-10-binary.tar.gz").write_bytes(cifar_archive(images, labels))
    monkeypatch.setattr(fetch, "verified", lambda data, file, where: data)
    d = load("cifar10", "test", root=tmp_path)
    assert d.note == "" and torch.equal(d.x, to_unit(torch.from_numpy(images[10:]))) and len(d.classes) == 10


def test_png_grid():
    a = RNG.integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(a.reshape(5, 1024, 3)).save(out, "PNG")
    assert torch.equal(png_grid(out.getvalue()), torch.from_numpy(a).permute(0, 3, 1, 2))
