"""IMAGES, masks, boxes and labels of `robustxai audit`: what is read, what is skipped, and the same crop for all."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from robustxai.arena.auditing.objects import labels_from_csv, masks_from_boxes, masks_from_folder
from robustxai.arena.auditing.pictures import class_indices, load_pictures


def picture(path: Path, size=(40, 30), colour=(255, 0, 0)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def test_sub_folders_are_labels_and_what_cannot_be_read_is_counted(tmp_path: Path):
    for name in ("cat/a.png", "cat/b.jpg", "dog/c.webp"):
        picture(tmp_path / name)
    (tmp_path / "dog" / "d.png").write_bytes(b"no picture")
    (tmp_path / "dog" / "notes.txt").write_text("x")
    found = load_pictures(tmp_path, n=8, size=16)
    assert found.names == ("cat/a.png", "cat/b.jpg", "dog/c.webp") and found.labels == ("cat", "cat", "dog")
    assert found.x.shape == (3, 3, 16, 16) and found.x[0, 0].min() > 0.95
    assert dict(found.skipped)["dog/notes.txt"] == "is no image file"
    assert "cannot be read" in dict(found.skipped)["dog/d.png"]


def test_the_draw_comes_from_the_seed_and_skips_broken_files(tmp_path: Path):
    for i in range(12):
        picture(tmp_path / f"{i:02}.png", colour=(20 * i, 0, 0))
    first, again, other = (load_pictures(tmp_path, n=5, size=8, seed=s) for s in (0, 0, 1))
    assert first.names == again.names != other.names and first.labels is None
    assert list(first.names) == sorted(first.names) and len(first.x) == 5
    (tmp_path / first.names[0]).write_bytes(b"broken")
    assert len(load_pictures(tmp_path, n=5, size=8).x) == 5


def test_a_picture_is_turned_as_its_exif_says(tmp_path: Path):
    image = Image.new("RGB", (32, 32), (0, 0, 0))
    image.paste((255, 255, 255), (0, 0, 32, 16))  # bright above
    exif = Image.Exif()
    exif[274] = 3  # upside down
    image.save(tmp_path / "a.png", exif=exif)
    x = load_pictures(tmp_path, size=16).x[0, 0]
    assert x[:4].mean() < 0.1 < 0.9 < x[-4:].mean()


def test_arrays_of_bytes_channels_last_with_labels_and_masks(tmp_path: Path):
    images = np.zeros((4, 6, 6, 3), np.uint8)
    images[2] = 255
    masks = np.zeros((4, 6, 6), bool)
    np.savez(tmp_path / "x.npz", images=images, labels=[0, 1, 2, 3], masks=masks)
    found = load_pictures(tmp_path / "x.npz", n=2, seed=3)
    assert found.x.shape == (2, 3, 6, 6) and len(found.labels) == 2 and found.masks.shape == (2, 1, 6, 6)
    whole = load_pictures(tmp_path / "x.npz", n=9)
    assert whole.x[2].min() == 1 and whole.labels == (0, 1, 2, 3)
    torch.save(torch.rand(3, 1, 5, 5), tmp_path / "x.pt")
    assert load_pictures(str(tmp_path / "x.pt")).x.shape == (3, 1, 5, 5)


def save(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (lambda p: p, "must hold image files"),
        (lambda p: p / "nowhere", "is not there"),
        (lambda p: save(p / "a.npz", other=np.zeros(3)), "must hold images under one of"),
        (lambda p: save(p / "b.npz", images=np.zeros((2, 3, 4, 4)), labels=[1]), "one label an image"),
        (lambda p: save(p / "c.npz", images=np.full((2, 3, 4, 4), 2.0)), r"must be images in \[0, 1\]"),
        (lambda p: save(p / "d.npz", images=np.array([{"a": 1}], dtype=object)), "cannot be read"),
        (
            lambda p: save(p / "e.npz", images=np.zeros((2, 3, 4, 4)), masks=np.zeros((2, 5, 5))),
            "size of the images",
        ),
        (lambda p: torch.full((2, 3, 4, 4), float("nan")), "finite"),
        (lambda p: torch.full((2, 3, 4, 4), -0.5), r"images in \[0, 1\]"),
        (lambda p: torch.zeros(3, 4), "must be images"),
        (lambda p: "x.txt", "is not there"),
    ],
)
def test_what_are_no_images_gets_one_sentence(tmp_path: Path, images, words: str):
    with pytest.raises(ValueError, match=words) as error:
        load_pictures(images(tmp_path))
    assert "\n" not in str(error.value)


def test_no_readable_image(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(b"no")
    with pytest.raises(ValueError, match=r"must hold images that can be read.*a\.png cannot be read"):
        load_pictures(tmp_path)


@pytest.fixture
def half(tmp_path: Path) -> Path:
    """Two pictures, red in their left half, and where that is."""
    for name in ("images/a.png", "images/b.jpg"):
        picture(tmp_path / name, (64, 48), (0, 0, 0))
        image = Image.open(tmp_path / name)
        image.paste((255, 0, 0), (0, 0, 32, 48))
        image.save(tmp_path / name)
    (tmp_path / "masks").mkdir()
    mask = Image.new("L", (64, 48), 0)
    mask.paste(255, (0, 0, 32, 48))
    for name in "ab":
        mask.save(tmp_path / "masks" / f"{name}.png")
    return tmp_path


def test_masks_and_boxes_lie_where_the_object_is(half: Path):
    found = load_pictures(half / "images", size=32)
    red = found.x[:, :1] > 0.5
    assert (masks_from_folder(half / "masks", found, 32) == red).float().mean() > 0.96
    (half / "boxes.json").write_text(
        json.dumps({"a.png": [0, 0, 32, 48], "b": [[0, 0, 32, 24], [0, 24, 32, 48]]})
    )
    assert (masks_from_boxes(half / "boxes.json", found, 32) == red).float().mean() > 0.96


def test_masks_and_boxes_that_do_not_fit(half: Path):
    found = load_pictures(half / "images", size=32)
    Image.new("L", (48, 48)).save(half / "masks" / "a.png")
    with pytest.raises(
        ValueError, match=r"a\.png must be of the size of its image, \(64, 48\), got \(48, 48\)"
    ):
        masks_from_folder(half / "masks", found, 32)
    (half / "masks" / "b.png").unlink()
    (half / "masks" / "a.png").unlink()
    with pytest.raises(ValueError, match=r"none for 2 of 2, such as a\.png"):
        masks_from_folder(half / "masks", found, 32)
    for box, words in (
        ([5, 5, 2, 9], "x0 < x1"),
        ([70, 0, 80, 9], "must lie in the image"),
        ("x", "x0 < x1"),
    ):
        (half / "boxes.json").write_text(json.dumps({"a": box, "b": box}))
        with pytest.raises(ValueError, match=words):
            masks_from_boxes(half / "boxes.json", found, 32)


def test_labels_of_a_file_and_names_as_indices(half: Path):
    found = load_pictures(half / "images", size=32)
    (half / "l.csv").write_text("image,label\na.png,dog\nb,1\n")
    labels = labels_from_csv(half / "l.csv", found)
    assert labels == ("dog", "1") and class_indices(labels, ("cat", "dog"), 2).tolist() == [1, 1]
    assert (
        class_indices(("holiday", "cat"), ("cat", "dog"), 2) is None and class_indices(("7",), (), 2) is None
    )
    (half / "l.csv").write_text("a.png,dog\n")
    with pytest.raises(ValueError, match=r"none for b\.jpg"):
        labels_from_csv(half / "l.csv", found)
