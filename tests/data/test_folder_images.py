"""A folder of image files: order, what is left out, transparency, EXIF, 16 bits, broken files."""

import warnings

import jaxtyping
import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from robustxai.data import from_folder, image_files, read_images
from robustxai.data.folder_images import opened, subfolders


@pytest.fixture
def as_shipped():
    """Run without the runtime shape checks, as a user does: the library's own sentences must come out."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


RED, BLUE = (255, 0, 0), (0, 0, 255)


def flat(colour, size=(40, 30), mode="RGB"):
    return Image.new(mode, size, colour)


def test_images_come_in_the_order_of_their_names_at_one_size(tmp_path):
    for i in (3, 1, 2, 10):
        flat((10 * i, 0, 0), size=(40 + i, 30)).save(tmp_path / f"{i:02}.png")
    x = from_folder(tmp_path, size=16)
    assert x.shape == (4, 3, 16, 16) and x.dtype == torch.float32
    assert (255 * x[:, 0, 0, 0]).round().tolist() == [10, 20, 30, 100]
    assert torch.equal(x, from_folder(str(tmp_path), size=16))
    assert torch.equal(from_folder(tmp_path, size=16, limit=2), x[:2])
    assert torch.equal(read_images(image_files(tmp_path)[::-1], size=16), x.flip(0))


def test_a_photograph_is_scaled_and_cropped_as_torchvision_does(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    usual = v2.Compose([v2.Resize(37, antialias=True), v2.CenterCrop(32), v2.PILToTensor()])
    assert torch.equal(from_folder(tmp_path, size=32)[0], usual(Image.fromarray(pixels)).float() / 255)
    squashed = v2.Compose([v2.Resize((32, 32), antialias=True), v2.PILToTensor()])
    assert torch.equal(
        from_folder(tmp_path, size=32, fit="squash")[0], squashed(Image.fromarray(pixels)).float() / 255
    )


def test_hidden_files_folders_and_other_kinds_are_left_out(tmp_path):
    flat(RED).save(tmp_path / "B.JPG", "JPEG")
    (tmp_path / "._B.JPG").write_bytes(b"a resource fork")
    (tmp_path / ".DS_Store").write_bytes(b"x")
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "folder.png").mkdir()
    for name in (".ipynb_checkpoints", "more"):
        (tmp_path / name).mkdir()
        flat(BLUE).save(tmp_path / name / "B-checkpoint.png")
    assert [f.name for f in image_files(tmp_path)] == ["B.JPG"]
    assert [f.name for f in subfolders(tmp_path)] == ["folder.png", "more"]
    assert len(from_folder(tmp_path, size=8)) == 1


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "RGB"])
def test_what_is_transparent_is_white_whatever_colour_it_hides(tmp_path, mode):
    """The left half is transparent and hides a dark colour; the right half is opaque black."""
    alpha = Image.fromarray(np.repeat(np.array([[0] * 10 + [255] * 10], dtype=np.uint8), 20, 0))
    file = tmp_path / "a.png"
    if mode in ("RGBA", "LA"):
        image = flat((40, 0, 90) if mode == "RGBA" else 40, (20, 20), "RGB" if mode == "RGBA" else "L")
        image.paste(0, (10, 0, 20, 20))
        image.putalpha(alpha)
        image.save(file)
    else:
        base = Image.fromarray(np.where(np.asarray(alpha) > 0, 0, 40).astype(np.uint8))
        image = base if mode == "L" else base.convert("RGB") if mode == "RGB" else base.quantize(2)
        hidden = {"L": 40, "RGB": (40, 40, 40)}.get(mode, image.getpixel((0, 0)))
        image.save(file, transparency=hidden)
    pixels = np.asarray(opened(file))
    assert (pixels[:, :10] == 255).all() and (pixels[:, 10:] == 0).all()


def test_half_transparent_pixels_are_mixed_with_white(tmp_path):
    flat((0, 0, 0, 128), mode="RGBA").save(tmp_path / "a.png")
    assert abs(float(from_folder(tmp_path, size=8).mean()) - 127 / 255) < 2 / 255


@pytest.mark.parametrize("turn", range(1, 9))
def test_photographs_are_turned_as_their_camera_says(tmp_path, turn):
    pixels = np.zeros((16, 16, 3), dtype=np.uint8)
    pixels[:8, :8] = RED
    pixels[:8, 8:] = BLUE
    exif = Image.Exif()
    exif[0x0112] = turn
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    upright = {
        1: pixels, 2: pixels[:, ::-1], 3: pixels[::-1, ::-1], 4: pixels[::-1], 5: pixels.swapaxes(0, 1),
        6: np.rot90(pixels, -1), 7: pixels[::-1, ::-1].swapaxes(0, 1), 8: np.rot90(pixels, 1),
    }  # fmt: skip
    assert np.array_equal(np.asarray(opened(tmp_path / "a.png")), upright[turn])


def test_sixteen_bits_keep_their_greys(tmp_path):
    levels = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    Image.fromarray(levels).save(tmp_path / "a.png")
    seen = np.asarray(opened(tmp_path / "a.png")).astype(int)
    assert np.abs(seen[..., 0] - levels / 257).max() <= 0.5 and (seen[..., 0] == seen[..., 2]).all()


@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "tif", "bmp", "ppm"])
def test_a_broken_file_is_one_sentence(tmp_path, kind):
    """Cut or altered anywhere: an image, or one ValueError that names the file."""
    file = tmp_path / f"a.{kind}"
    noise = np.random.default_rng(1).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file)
    whole, rng, refused = file.read_bytes(), np.random.default_rng(2), 0
    for trial in range(40):
        data = bytearray(whole)
        if trial % 2:
            data = data[: rng.integers(0, len(data))]
        else:
            for place in rng.integers(0, min(len(data), 200), 8):
                data[place] = rng.integers(0, 256)
        file.write_bytes(bytes(data))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # PIL's, of odd TIFF tags
                opened(file)
        except ValueError as error:
            refused += 1
            assert f"a.{kind}, which cannot be read" in str(error)
    assert refused > 10


def test_bad_input(tmp_path, as_shipped):
    flat(RED).save(tmp_path / "a.png")
    empty, nested = tmp_path / "empty", tmp_path / "nested"
    (nested / "stripes").mkdir(parents=True)
    empty.mkdir()
    flat(RED).save(nested / "stripes" / "a.png")
    Image.fromarray(np.zeros((4, 4), dtype=np.float32)).save(tmp_path / "f.tif")
    assert read_images([tmp_path / "a.png"], size=np.int64(4)).shape == (1, 3, 4, 4)
    for call, message in (
        (lambda: from_folder(tmp_path / "none"), "path must be a folder of images, got .*none"),
        (lambda: from_folder(tmp_path / "a.png"), "path must be a folder of images, got .*a.png"),
        (lambda: from_folder(None), "path must be a folder of images, got None"),
        (lambda: from_folder(empty), r"path must hold images \(.jpg.*\), got .* which has none"),
        (lambda: from_folder(nested), "its subfolders have some, such as 'stripes'"),
        (lambda: from_folder(tmp_path, size=0), "size must be an integer >= 1, got 0"),
        (lambda: from_folder(tmp_path, fit="pad"), "fit must be one of crop, squash, got 'pad'"),
        (lambda: from_folder(tmp_path, limit=0), "limit must be an integer >= 1, got 0"),
        (lambda: read_images([], size=4), "files must be one image file or more, got none"),
        (
            lambda: read_images([tmp_path / "none.png"], size=4),
            r"file must be a whole image .*, got .*none.png, which cannot be read",
        ),
        (lambda: from_folder(tmp_path), r"got .*f.tif, which cannot be read.*floating-point pixels"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
