"""The paper's sets, read from made-up folders in torchvision's layout, and a study on them with networks of ImageNet's
kind; no picture of the real sets and no downloaded weight is here."""

from dataclasses import replace
from functools import partial
from urllib.error import URLError

import pytest
import torch
import torchvision
from made_up import BREEDS, flowers, pets
from PIL import Image

from robustxai.data import NotAvailable
from robustxai.manifold_ig.study import attack_runs, image_sets, map_runs, pets_flowers, recipes
from robustxai.manifold_ig.study.pets_flowers import balanced_order, read_photographs
from robustxai.manifold_ig.study.study import Study
from robustxai.manifold_ig.vae_loss import VAELoss
from robustxai.nets import ConvVAE, HeadedClassifier, pretrained, zoo
from robustxai.nets.recipes import Recipe, run


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Both sets, in the folder that ROBUSTXAI_DATA names."""
    root = flowers(pets(tmp_path / "data"), monkeypatch)
    monkeypatch.setenv("ROBUSTXAI_DATA", str(root))
    return root


@pytest.mark.usefixtures("folder")
def test_pets_with_their_masks():
    x, y, classes, masks = read_photographs("pets", "train", 9)
    assert x.shape == (9, 3, 192, 192) and masks is not None and masks.shape == (9, 192, 192)
    assert classes == ("Abyssinian", "American Bulldog", "Bengal")
    assert ((255 * x).round() == 255 * x).float().mean() > 0.99 and 0 <= x.min() and x.max() <= 1
    inside, outside = masks.bool(), masks == 0
    for image, label, on, off in zip(x, y, inside, outside, strict=True):
        assert image[:, on].mean(1).argmax() == label  # the colour of the class is where the mask is
        assert image[:, off].mean(1).std() < 0.1
    assert set(masks.unique().tolist()) == {0, 1}
    share = masks.mean((1, 2))  # the rim of the trimap is no animal: 20 x 15 of 40 x 30 pixels, not 22 x 17
    torch.testing.assert_close(share, torch.full_like(share, 0.25), atol=0.02, rtol=0)


@pytest.mark.usefixtures("folder")
def test_flowers_have_no_masks():
    x, y, classes, masks = read_photographs("flowers", "test", 6, size=24)
    assert masks is None and x.shape == (6, 3, 24, 24)
    assert len(classes) == 102 and classes[:2] == ("pink primrose", "hard-leaved pocket orchid")
    assert (x[:, :, 8:16, 8:16].mean((2, 3)).argmax(1) == y).all()


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", pets_flowers.SETS)
def test_the_splits_are_disjoint_and_the_first_images_have_all_classes(name):
    found = {split: read_photographs(name, split, 1000, size=40) for split in pets_flowers.SPLITS}
    assert {split: part[1].bincount().tolist() for split, part in found.items()} == {
        "train": [14] * 3, "test": [6] * 3,
    }  # fmt: skip
    images = [{image.numpy().tobytes() for image in part[0]} for part in found.values()]
    assert len(images[0]) == 42 and len(images[1]) == 18 and not images[0] & images[1]
    for _, y, _, _ in found.values():
        assert all(sorted(three.tolist()) == [0, 1, 2] for three in y.split(3))
    again = read_photographs(name, "train", 4, size=40)
    assert torch.equal(again[0], found["train"][0][:4]) and torch.equal(again[1], found["train"][1][:4])


def test_a_class_with_more_images_comes_last():
    labels = torch.tensor([0] * 10 + [1] * 20)
    train = labels[balanced_order(labels, "train")]
    assert train.bincount().tolist() == [7, 14] and (train[14:] == 1).all()
    assert (
        len({tuple(labels[balanced_order(labels, "train")][k : k + 2].tolist()) for k in range(0, 14, 2)})
        == 2
    )


def test_only_as_many_pictures_as_asked_for_are_opened(folder, monkeypatch):
    opened = []
    whole = Image.open
    monkeypatch.setattr(Image, "open", lambda file, *a, **k: opened.append(str(file)) or whole(file, *a, **k))
    read_photographs("pets", "train", 2)
    assert len([file for file in opened if file.endswith(".jpg")]) == 2
    assert len([file for file in opened if file.endswith(".png")]) == 2


def refuse(*arguments, **options):
    raise URLError("no route to host")


@pytest.mark.parametrize("name", pets_flowers.SETS)
def test_without_pictures_and_network_one_sentence_says_so(name, tmp_path, monkeypatch):
    monkeypatch.delenv("ROBUSTXAI_DATA", raising=False)
    monkeypatch.setattr("robustxai.data.fetch.cache", lambda: tmp_path)
    monkeypatch.setattr("urllib.request.urlopen", refuse)
    with pytest.raises(
        NotAvailable, match=rf"is not whole in .*{pets_flowers.SETS[name].folder} and could not"
    ):
        read_photographs(name, "train", 1)


def test_a_folder_that_is_not_whole_is_refused(folder, monkeypatch):
    monkeypatch.setattr("urllib.request.urlopen", refuse)
    (folder / "oxford-iiit-pet" / "annotations" / "test.txt").unlink()
    with pytest.raises(NotAvailable, match=r"^The Oxford-IIIT Pet set is not whole .*FileNotFoundError"):
        read_photographs("pets", "train", 1)
    (folder / "flowers-102" / "setid.mat").write_bytes(b"something else")
    with pytest.raises(NotAvailable, match=r"^Oxford Flowers 102 is not whole .*URLError"):
        read_photographs("flowers", "train", 1)


@pytest.mark.usefixtures("as_shipped")
def test_bad_input():
    with pytest.raises(ValueError, match="name must be one of pets, flowers, got 'birds'"):
        read_photographs("birds", "train", 1)
    with pytest.raises(ValueError, match="split must be one of train, test, got 'val'"):
        read_photographs("pets", "val", 1)
    with pytest.raises(
        ValueError, match=r"architectures must be among .*resnet18.*vgg16.* for pets, got 'vgg'"
    ):
        Study("pets", architectures=("vgg",))


def test_the_sizes_of_the_paper():
    """A latent of 64 x 12 x 12, twelve times fewer numbers than the image. The encoder has the paper's 13.39 million
    parameters; the decoder 12.19, not 13.35: its blocks narrow to half of what goes out, not of what comes in."""
    for name in ("pets", "flowers"):
        task = image_sets.TASKS[name]
        with torch.device("meta"):
            vae = ConvVAE(**task.vae)
        assert vae.factor == 16 and vae.arguments["latent"] * 12 * 12 * 12 == 3 * 192 * 192
        halves = [sum(p.numel() for p in m.parameters()) for m in (vae.encoder, vae.decoder)]
        heads = sum(p.numel() for m in (vae.mean, vae.log_variance) for p in m.parameters())
        assert round((halves[0] + heads) / 1e6, 2) == 13.39 and round(halves[1] / 1e6, 2) == 12.19
        assert tuple(task.classifiers) == ("resnet18", "vgg16", "googlenet") and task.epochs == (10, 7)
        assert Study(name).architectures == tuple(task.classifiers)
        for architecture, options in task.classifiers.items():
            enum = torchvision.models.get_weight(options["weights"])
            assert type(enum) is torchvision.models.get_model_weights(architecture)
        assert {f"manifold_ig-vae-{name}", f"manifold_ig-classifiers-{name}"} <= set(recipes.RECIPES)


def test_large_images_are_decoded_in_smaller_parts():
    for side, first in ((32, 250), (64, 250), (192, 27), (2000, 1)):
        parts = recipes.in_parts(torch.zeros(300, 3, 1, 1).expand(-1, -1, side, side))
        assert len(parts[0]) == first and sum(map(len, parts)) == 300


SMALL = {"widths": (8, 8, 8, 8), "latent": 8, "blocks": 0, "skip_kernel": 3}


def small(name, size=64, **options):
    """A task of the paper with small pictures and networks, random weights, and one epoch of everything."""
    return replace(
        image_sets.TASKS[name], name="few",
        read=lambda s, n: image_sets.Samples(*read_photographs(name, s, n, size=size)),
        vae=SMALL, vae_epochs=1, epochs=(1, 1), judge="labels", pool=18, **options,
    )  # fmt: skip


@pytest.mark.usefixtures("folder")
def test_the_autoencoder_of_photographs_is_judged_by_vgg19(tmp_path, monkeypatch):
    asked, whole = [], recipes.fit
    monkeypatch.setattr(recipes, "paper_loss", lambda device: asked.append(str(device)) or VAELoss(mse=1.0))
    monkeypatch.setattr(recipes, "train_teacher", lambda *a, **k: pytest.fail("a network learns labels"))
    monkeypatch.setattr(recipes, "fit", lambda *a, **k: asked.append(k["lr"]) or whole(*a, **k))
    task = replace(small("pets", size=16), judge="vgg19", n=2)
    recipe = Recipe("a", "", lambda job: recipes.build_vae(job, task), task.file)
    assert run(recipe, out=tmp_path / "nets", progress=False) == ["manifold_ig-vae-few-s0"]
    assert asked == ["cpu", 5e-4]


@pytest.fixture
def study(folder, tmp_path, monkeypatch):
    """The pets with one network that is trained here."""
    task = small("pets", size=32, classifiers={"resnet18": {"hidden": 8}})
    monkeypatch.setitem(image_sets.TASKS, "few", task)
    for kind, build in (
        ("vae", partial(recipes.build_vae, teacher_epochs=1)),
        ("classifiers", recipes.build_classifiers),
    ):
        recipe = Recipe(f"manifold_ig-{kind}-few", "", lambda job, b=build: b(job, task), task.file)
        monkeypatch.setitem(recipes.RECIPES, recipe.name, recipe)
    found = Study("few", seeds=(0,), n_steps=4, evaluations=2, cache=tmp_path / "nets")
    found.__dict__["agreed"] = found.__dict__["found"] = torch.arange(
        6
    )  # whatever the barely trained network says
    return found


def test_a_study_of_photographs(study):
    assert [key[:2] for key in study.each()] == [("resnet18", 0)]
    entries = zoo(study.cache)
    assert {entry.file for entry in entries.values()} == {"manifold_ig-pets.safetensors"}
    assert entries["manifold_ig-vae-few-s0"].dataset.startswith("37 breeds of the Oxford-IIIT Pet set")
    assert "42 images" in entries["manifold_ig-few-s0-resnet18-recon"].dataset
    model = pretrained("manifold_ig-few-s0-resnet18-recon", weights_dir=study.cache)
    assert isinstance(model, HeadedClassifier) and model.head[-1].out_features == len(BREEDS)
    few = study.samples(2)
    torch.testing.assert_close(study.classifier("resnet18", 0)(few.x), model(few.x), rtol=1e-3, atol=1e-4)
    methods = study.methods(study.classifier("resnet18", 0))
    assert set(map_runs.CORE) < set(methods)
    assert all(method(few.x, few.y).isfinite().all() for method in methods.values())


@pytest.mark.slow
def test_the_surveys_of_photographs(study):
    few = study.samples(2)
    runs = map_runs.map_runs(study, few, draws=1, infidelity_draws=2, geometry=True, informed=0)
    rows = runs["resnet18", 0]
    assert {"IG", "IG-recon", "EIG", "MIG"} <= set(rows)
    for method in map_runs.CORE:
        assert all(
            rows[method][q].isfinite().all() for q in ("SENS_max", "energy inside", "gap / TV", "residual")
        )
    attacked = attack_runs.attack_runs(study, attack_runs.Campaign(pairs=1, steps=2, skip=1))["resnet18", 0]
    assert all(attacked["adaptive"][method]["shift"].isfinite().all() for method in map_runs.CORE)
    assert list(map_runs.density_rows(study, few.x, weights=(0.0, 10.0)))[:2] == [
        "none",
        "penalty, weight 10",
    ]


@pytest.mark.slow
@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", pets_flowers.SETS)
def test_both_recipes_with_all_architectures(name, tmp_path):
    """VGG-16 is large: half a gigabyte, and training keeps four of it."""
    task = small(name, classifiers={a: {"hidden": 8} for a in image_sets.IMAGENET}, n=4, n_classifier=4)
    task = replace(task, epochs=(1, 0))
    vae = Recipe("a", "", lambda job: recipes.build_vae(job, task, teacher_epochs=1), task.file)
    nets = Recipe("b", "", lambda job: recipes.build_classifiers(job, task), task.file)
    run(vae, out=tmp_path / "nets", progress=False)
    stored = run(nets, out=tmp_path / "nets", seed=1, progress=False)
    assert stored == [f"manifold_ig-few-s1-{a}-{i}" for i in recipes.INPUTS for a in image_sets.IMAGENET]
    for network in stored:
        assert pretrained(network, weights_dir=tmp_path / "nets")(torch.rand(2, 3, 64, 64)).isfinite().all()
