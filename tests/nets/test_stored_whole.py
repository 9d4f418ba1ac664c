"""Files are whole or as they were: a full disk, an altered file of weights, a broken one."""

import errno
import resource
import signal
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from helpers import data, same, tiny
from safetensors import SafetensorError
from torchvision.models import SqueezeNet1_1_Weights

from robustxai.nets import (
    MLP,
    TorchvisionClassifier,
    WeightsError,
    adapters,
    checkpoint,
    fit,
    pretrained,
    remote,
    round_weights,
    save_weights,
)
from robustxai.nets.recipes import Net, publish


@contextmanager
def full_disk(size: int):
    """No file may grow past this many bytes: what a full disk does, by the kernel itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file() and p.name != ".lock"}


def big(seed: int) -> MLP:
    return MLP(64, widths=(256,), generator=torch.Generator().manual_seed(seed))


def store(out: Path, seed: int) -> None:
    publish([Net("a", big(seed), "noise")], file="a.safetensors", out=out, command="", seed=0)


def test_a_full_disk_leaves_a_weights_folder_as_it_was(tmp_path):
    store(tmp_path, 0)
    before = files(tmp_path)
    with (
        full_disk(2000),
        pytest.raises(OSError, match=r"a\.safetensors could not be written, and is as it was: ") as e,
    ):
        store(tmp_path, 1)
    assert "\n" not in str(e.value) and files(tmp_path) == before
    assert same(pretrained("a", weights_dir=tmp_path), round_weights(big(0)))


def test_a_manifest_that_cannot_be_written_leaves_the_weights_as_they_were(tmp_path, monkeypatch):
    store(tmp_path, 0)
    before = files(tmp_path)
    real = Path.write_bytes

    def full(self, content):
        if "manifest" in self.name:
            real(self, content[:10])
            raise OSError(errno.ENOSPC, "No space left on device", str(self))
        return real(self, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(
        OSError, match=r"manifest\.json could not be written, and is as it was: No space left on device$"
    ):
        store(tmp_path, 1)
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    "error", [SafetensorError("Error while serializing: I/O error"), KeyboardInterrupt()]
)
def test_nothing_half_written_is_left_behind(error, tmp_path, monkeypatch):
    def broken(tensors, path, metadata):
        Path(path).write_bytes(b"half")
        raise error

    monkeypatch.setattr(checkpoint, "save_file", broken)
    with pytest.raises(OSError if isinstance(error, SafetensorError) else KeyboardInterrupt):
        save_weights(tmp_path / "w.safetensors", {"a": tiny()})
    assert files(tmp_path) == {}


def test_a_full_disk_while_training_is_one_sentence_and_keeps_the_checkpoint(tmp_path):
    path = tmp_path / "run.safetensors"
    fit(tiny(), *data(16), epochs=1, checkpoint=path)
    before = files(tmp_path)
    with (
        full_disk(2000),
        pytest.raises(OSError, match=r"run\.safetensors could not be written, and is as it was"),
    ):
        path.rename(tmp_path / "old")
        fit(tiny(), *data(16), epochs=1, checkpoint=path)
    assert list(files(tmp_path).values()) == list(before.values())


def test_files_are_put_in_place_together(tmp_path):
    written = checkpoint.Written()
    for name in ("a", "b"):
        written.add(tmp_path / name, lambda to: to.write_text("new"))
    assert not (tmp_path / "a").exists() and len(files(tmp_path)) == 2
    written.commit()
    assert files(tmp_path) == {"a": b"new", "b": b"new"}


@pytest.fixture
def squeezed(tmp_path, monkeypatch):
    """A file of SqueezeNet's weights in the folder of ROBUSTXAI_DATA, whose checksum is the one that is known."""
    state = TorchvisionClassifier("squeezenet1_1").state_dict()
    path = tmp_path / "imagenet_weights" / "squeezenet1_1_fp16.pth"
    path.parent.mkdir()
    torch.save({name: t.half() for name, t in state.items()}, path)
    stat = path.stat()
    digest = adapters.sha256_of(path, mtime_ns=stat.st_mtime_ns, size=stat.st_size)
    monkeypatch.setenv("ROBUSTXAI_DATA", str(tmp_path))
    monkeypatch.setitem(remote.FILES, path.name, digest)
    return path


def test_weights_in_the_data_folder_are_checked_before_they_are_read(squeezed):
    assert remote.squeezenet_weights() == squeezed
    TorchvisionClassifier("squeezenet1_1", weights=squeezed)
    content = bytearray(squeezed.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4000] = bytes(b ^ 1 for b in content[middle : middle + 4000])
    squeezed.write_bytes(content)
    with pytest.raises(WeightsError, match=r"squeezenet1_1_fp16\.pth is altered"):
        remote.squeezenet_weights()


def test_every_file_of_the_data_folder_has_a_checksum_of_the_right_length():
    assert remote.FILES and all(len(digest) == 64 for digest in remote.FILES.values())


def test_without_the_file_torchvisions_weights_are_asked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("ROBUSTXAI_DATA", str(tmp_path))
    assert remote.squeezenet_weights() is SqueezeNet1_1_Weights.DEFAULT


def test_a_download_of_before_is_checked_against_the_hash_of_its_name(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    weights = SqueezeNet1_1_Weights.DEFAULT
    adapters.check_download(weights)  # nothing there yet
    path = tmp_path / "checkpoints" / Path(weights.url).name
    path.parent.mkdir()
    path.write_bytes(b"altered")
    with pytest.raises(WeightsError, match=r"weight file .*squeezenet1_1.* is altered"):
        TorchvisionClassifier("squeezenet1_1", weights=weights)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half a zip", b"text", None])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_of_weights_that_cannot_be_read_is_one_sentence(content, suffix, tmp_path):
    path = tmp_path / f"w{suffix}"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"w\.(pth|safetensors)") as caught:
        TorchvisionClassifier("resnet18", weights=path)
    assert "\n" not in str(caught.value)


def test_a_file_that_holds_something_else_is_one_sentence(tmp_path):
    torch.save([1, 2], tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="must hold a state dict of tensors, got list"):
        TorchvisionClassifier("resnet18", weights=tmp_path / "w.pth")
