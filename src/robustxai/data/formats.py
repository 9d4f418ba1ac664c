"""Three file formats to arrays: IDX (MNIST), packs of JPEG files, CIFAR-10's binary archive.

Everything is parsed from bytes that were verified before; nothing is unpickled and nothing is written to
disk.
"""

import gzip
import io
import tarfile
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor
from torch.nn import functional as F


def idx(data: bytes) -> UInt8[Tensor, "..."]:
    """The array of a gzipped IDX file of unsigned bytes: two zero bytes, type 8, rank, then the shape
    (big-endian).
    """
    raw = gzip.decompress(data)
    if raw[:3] != b"\x00\x00\x08":
        raise ValueError("data does not begin with the magic number of an IDX file of unsigned bytes.")
    shape = np.frombuffer(raw, ">u4", count=raw[3], offset=4).astype(int)
    return torch.from_numpy(np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape).copy())


def to_unit(images: UInt8[Tensor, "..."]) -> Float[Tensor, "..."]:
    """0..255 to [0, 1] in float32."""
    return images.float().div_(255)


def scaled(images: UInt8[Tensor, "n 3 height width"], size: int) -> UInt8[Tensor, "n 3 size size"]:
    """Square images at another resolution: bilinear with anti-aliasing, rounded to 256 levels."""
    if images.shape[2:] == (size, size):
        return images
    small = F.interpolate(images.float(), (size, size), mode="bilinear", antialias=True)
    return small.round().clamp(0, 255).to(torch.uint8)


def central_square(image: Image.Image, size: int) -> Image.Image:
    """Shorter side to size * 256 / 224 pixels (bilinear), then the central size x size pixels."""
    short, (w, h) = round(size * 256 / 224), image.size
    width, height = (short, int(short * h / w)) if w <= h else (int(short * w / h), short)
    left, top = round((width - size) / 2), round((height - size) / 2)
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    return resized.crop((left, top, left + size, top + size))


@dataclass(frozen=True)
class JpegPack:
    """JPEG files laid end to end in one .npz (`data`, `length`), other arrays beside them; decoded one by
    one on demand.
    """

    arrays: dict[str, np.ndarray]

    @classmethod
    def read(cls, data: bytes) -> "JpegPack":
        """Open a pack from the bytes of its .npz file."""
        with np.load(io.BytesIO(data), allow_pickle=False) as z:
            return cls({k: z[k] for k in z.files})

    def __len__(self) -> int:
        return len(self.arrays["length"])

    def images(self, which: Tensor, size: int | None = None) -> UInt8[Tensor, "m 3 height width"]:
        """The images at these positions, uint8; `size` crops them by `central_square`."""
        ends = np.cumsum(self.arrays["length"], dtype=np.int64)
        head = self.arrays["header"].tobytes() if "header" in self.arrays else b""
        decoded = []
        for i in which.tolist():
            start = ends[i] - self.arrays["length"][i]
            image = Image.open(io.BytesIO(head + self.arrays["data"][start : ends[i]].tobytes())).convert(
                "RGB"
            )
            if size is not None:
                image = central_square(image, size)
            decoded.append(torch.from_numpy(np.asarray(image).copy()))
        if not decoded:
            raise ValueError("which must hold one position or more, got none")
        return torch.stack(decoded).permute(0, 3, 1, 2).contiguous()

    def strings(self, key: str) -> tuple[str, ...]:
        """An array of names as a tuple."""
        return tuple(str(s) for s in self.arrays[key])


def cifar_binary(data: bytes, split: str) -> tuple[UInt8[Tensor, "n 3 32 32"], UInt8[Tensor, " n"]]:
    """Images and labels of CIFAR-10's binary archive: records of one label byte and 3 x 1024 pixel bytes."""
    files = [f"data_batch_{i}.bin" for i in range(1, 6)] if split == "train" else ["test_batch.bin"]
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as tar:
        members = [tar.extractfile(f"cifar-10-batches-bin/{name}") for name in files]
        raw = b"".join(m.read() for m in members if m is not None)
    records = torch.from_numpy(np.frombuffer(raw, np.uint8).reshape(-1, 3073).copy())
    return records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0]


def png_grid(data: bytes) -> UInt8[Tensor, "n 3 32 32"]:
    """Images of 32 x 32 pixels stored one per row of a PNG, each row 1024 pixels long."""
    pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    return torch.from_numpy(pixels.reshape(-1, 32, 32, 3).copy()).permute(0, 3, 1, 2).contiguous()
