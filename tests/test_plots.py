"""plots: numbers behind figures, the PNG itself, charts, maps, tables, and the slider's HTML."""

import base64
import io
import struct
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from PIL import Image

from robustxai import plots
from robustxai.plots import output
from robustxai.plots.style import CARD, PALETTE, picture, png


@pytest.fixture
def shown(monkeypatch):
    """What the helpers hand to the notebook: a list of (bundle, metadata)."""
    caught = []
    monkeypatch.setattr(output, "display", lambda bundle, metadata: caught.append((bundle, metadata)))
    monkeypatch.setattr("robustxai.plots.interactive.display", output.display)
    return caught


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def chunks(data):
    """Names of the chunks of a PNG."""
    names, at = [], 8
    while at < len(data):
        length, name = struct.unpack(">I4s", data[at : at + 8])
        names.append(name.decode())
        at += 12 + length
    return names


def test_digest_of_known_data():
    assert plots.digest(np.array([[0.0, 1.0], [0.5, 0.5]])) == "2x2, min 0.00, max 1.00, mean 0.500"
    assert plots.digest(torch.arange(4)) == "4, min 0, max 3, mean 1.50"
    assert plots.digest([1.0, float("nan"), 3.0]) == "3, min 1.00, max 3.00, mean 2.00, 1 not finite"
    half = torch.ones(2, dtype=torch.bfloat16, requires_grad=True)
    assert plots.digest(half) == "2, min 1.00, max 1.00, mean 1.00"
    assert plots.digest(0.25) == "0.250"
    assert plots.digest([float("inf")]) == "1, no finite value"
    with pytest.raises(ValueError, match="values must be numbers, got an array of <U1"):
        plots.digest(["a"])


def test_digest_sees_a_change_and_forgives_dust(generator):
    maps = torch.rand(8, 7, 7, generator=generator)
    assert plots.digest(maps) == plots.digest(maps + 1e-7)
    assert plots.digest(maps) != plots.digest(1 - maps) and plots.digest(maps) != plots.digest(maps[:7])


def test_show_prints_the_digest_and_a_clean_png(shown, capsys):
    with plots.style():
        figure, axis = plt.subplots(figsize=(5, 2))
    axis.plot([0, 1], [0, 1])
    plots.show(figure, data={"x": [0, 1], "y": torch.tensor([0.0, 1.0])}, label="a line")
    assert capsys.readouterr().out == (
        "data behind a line: x 2, min 0, max 1, mean 0.500; y 2, min 0.00, max 1.00, mean 0.500\n"
    )
    (bundle, metadata) = shown[0]
    data = base64.b64decode(bundle["image/png"])
    assert set(chunks(data)) == {"IHDR", "IDAT", "IEND"}, "no date, software or resolution inside"
    assert metadata == {"image/png": {"width": 480}} and Image.open(io.BytesIO(data)).width == 750
    assert bundle["text/plain"] == "Figure: a line"
    assert not plt.get_fignums(), "the figure is closed"


def test_show_wants_a_label():
    with pytest.raises(ValueError, match="label must name the figure in a few words, got none"):
        plots.show(plt.figure(), data=1, label=" ")
    plt.close("all")


def test_nothing_is_shown_outside_a_notebook(capsys):
    plots.show(plots.lines([0, 1], {"a": [0, 1]}, xlabel="x", ylabel="y"), data=1.0, label="a line")
    assert capsys.readouterr().out == "data behind a line: 1.00\n"


def test_the_same_figure_gives_the_same_bytes():
    def draw():
        return png(picture(plots.lines([1, 2], {"a": [1, 2], "b": [2, 1]}, xlabel="x", ylabel="y")))

    assert draw() == draw()


def test_a_large_picture_is_made_to_fit():
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), dtype=np.uint8)
    data = png(Image.fromarray(noise), max_bytes=60_000)
    assert len(data) <= 60_000 and Image.open(io.BytesIO(data)).width < 400


def test_the_style_ends_with_its_block():
    before = plt.rcParams["figure.facecolor"]
    with plots.style():
        assert plt.rcParams["figure.facecolor"] == CARD
    assert plt.rcParams["figure.facecolor"] == before


def luminance(colour):
    channels = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(a, b):
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_ink_reads_well_on_the_card():
    assert contrast(plots.PALETTE[-1], CARD) > 7
    assert all(contrast(colour, CARD) > 1.9 for colour in PALETTE), "marks stand out; dashes and hatches help"


def test_overlay_is_brightest_where_the_map_is(generator):
    images = torch.full((2, 3, 32, 32), 0.5)
    maps = torch.zeros(2, 4, 4)
    maps[0, 0, 0], maps[1, 3, 3] = 1.0, 5.0
    drawn = plots.overlay(images, maps)
    assert drawn.shape[0] == 2 and drawn.shape[3] == 3 and drawn.min() >= 0 and drawn.max() <= 1
    assert np.ptp(drawn[0, :8, :8]) > 0.3 and np.ptp(drawn[0, -60:, -60:]) < 1e-3, "zero is clear"
    np.testing.assert_allclose(drawn[0], drawn[1, ::-1, ::-1], atol=5e-3)  # own scale
    shared = plots.overlay(images, maps, top=5.0)
    assert np.ptp(shared[0]) < np.ptp(drawn[0])
    np.testing.assert_array_equal(plots.overlay(images, -maps), plots.overlay(images, 0 * maps))


@pytest.mark.parametrize("shared", [False, True])
def test_maps_grid_has_a_cell_per_image_and_method(generator, shared):
    images, maps = torch.rand(3, 1, 20, 24, generator=generator), torch.rand(3, 1, 5, 6, generator=generator)
    masks = torch.zeros(3, 20, 24)
    masks[:, 5:15, 5:15] = 1
    grid = plots.maps_grid(
        images, {"A": maps, "B": maps[:, 0]}, titles=["a", "b", "c"], outlines=masks, shared=shared
    )
    titles = [axis.get_title() for axis in grid.axes]
    assert titles.count("image") == titles.count("A") == titles.count("B") == 1
    assert len(grid.axes) == 3 * 3 + 1, "and the colour bar"
    assert [axis.get_ylabel() for axis in grid.axes[:9:3]] == ["a", "b", "c"]
    assert 600 < picture(grid).width < 1125


def test_maps_row_with_and_without_maps(generator):
    images, maps = torch.rand(4, 3, 16, 16, generator=generator), torch.rand(4, 4, 4, generator=generator)
    assert len(plots.maps_row(images, maps, titles=list("abcd")).axes) == 5
    assert len(plots.maps_row(images.numpy()).axes) == 4


def test_strips_have_a_row_for_each_path_and_a_note_below_each_picture(generator):
    rows = {name: torch.rand(4, 3, 8, 8, generator=generator) for name in ("straight", "curved")}
    figure = plots.strips(rows, titles=["0", "1/3", "2/3", "1"], notes={"curved": ["a", "b", "c", "d"]})
    axes = figure.axes
    assert len(axes) == 8 and [a.get_ylabel() for a in (axes[0], axes[4])] == ["straight", "curved"]
    assert axes[3].get_title() == "1" and axes[5].get_xlabel() == "b" and axes[1].get_xlabel() == ""
    with pytest.raises(
        ValueError, match=r"^rows, titles and notes must have one number of pictures for all, got \[3, 4\]"
    ):
        plots.strips(rows, titles=["0", "1/2", "1"])


def test_maps_say_what_is_wrong():
    images = torch.zeros(2, 3, 8, 8)
    with pytest.raises(
        ValueError, match=r"images must be \(n, 3, h, w\) or \(n, 1, h, w\), got shape \(3, 8, 8\)"
    ):
        plots.maps_row(images[0])
    with pytest.raises(
        ValueError, match=r"maps of 'A' must be \(2, h, w\) or \(2, 1, h, w\), got shape \(3, 1, 4, 4\)"
    ):
        plots.maps_grid(images, {"A": torch.zeros(3, 4, 4)})


def test_bars_draw_values_and_whiskers():
    chart = plots.bars(
        {"clean": {"A": (0.9, 0.8, 1.0), "B": 0.5}, "fooled": {"A": (0.1, (0.0, 0.2))}},
        ylabel="score",
        line=0.7,
        line_label="ceiling",
    )
    axis = chart.axes[0]
    heights = [bar.get_height() for bar in axis.patches]
    assert heights == [0.9, 0.5, 0.1] and [t.get_text() for t in axis.get_xticklabels()] == ["A", "B"]
    ends = [np.array(s)[:, 1] for c in axis.collections for s in c.get_segments() if np.ndim(s) == 2]
    assert [tuple(e) for e in ends if np.isfinite(e).all()] == [(0.8, 1.0), (0.0, 0.2)]


def test_lines_check_their_shapes():
    chart = plots.lines([1, 10], {"a": ([1, 2], [0, 1], [2, 3])}, xlabel="x", ylabel="y", log=True, line=1.0)
    assert chart.axes[0].get_xscale() == "log" and len(chart.axes[0].collections) == 1
    with pytest.raises(ValueError, match=r"series 'a' must have the shape of x, \(2,\), got shape \(3,\)"):
        plots.lines([1, 2], {"a": [1, 2, 3]}, xlabel="x", ylabel="y")


def test_table_in_html_and_text(shown):
    rows = [{"method": "A<b>", "score": (0.8234, 0.78, 0.861), "n": 500}, {"method": "B", "score": 0.5}]
    rows[1]["ok"] = True
    plots.show_table(rows, caption="Two methods")
    bundle, _ = shown[0]
    markup = bundle["text/html"]
    assert "A&lt;b&gt;" in markup and '<th scope="row">' in markup
    assert "<caption>Two methods</caption>" in markup
    assert bundle["text/plain"].splitlines() == [
        "Two methods",
        "method  score                 n    ok",
        "A<b>    0.823 [0.780, 0.861]  500  –",
        "B       0.500                 –    yes",
    ]
    with pytest.raises(ValueError, match="rows must hold at least one row, got none"):
        plots.show_table([])
    with pytest.raises(ValueError, match=r"a cell must be a value or \(value, low, high\), got 4 numbers"):
        plots.show_table([{"a": (1, 2, 3, 4)}])


@pytest.mark.parametrize("bound", [float("nan"), None])  # measured, and as a stored result holds it
def test_a_value_without_an_interval_stands_alone(shown, bound):
    plots.show_table([{"score": (0.5, bound, bound)}])
    assert shown[0][0]["text/plain"].splitlines() == ["score", "0.500"]


class Slider(HTMLParser):
    """Collects what a slider's HTML holds."""

    def __init__(self, markup):
        super().__init__()
        self.tags = []
        self.feed(markup)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def all(self, name):
        return [attributes for tag, attributes in self.tags if tag == name]


ALT = "A grey square that becomes brighter from left to right"


def frames(n, size=24):
    return [np.full((size, size, 3), 10 * k, np.uint8) for k in range(n)]


@pytest.mark.parametrize(
    ("text", "numeric"),
    [("0.82 [0.78, 0.86]", True), ("0.10 / 0.90", True), ("1.2e-07", True), ("–", True), ("nan", True),
     ("-3", True), ("28 of 49", False), ("the same", False), ("", False), ("2 cores", False)],
)  # fmt: skip
def test_only_cells_of_numbers_are_set_to_the_right(text, numeric):
    assert output._numeric(text) is numeric


def test_slider_html_works_alone():
    captions = [f'step "{k}"' for k in range(5)]
    values = [0, 0.5, 1.0, 2.0, 4.0]
    markup = plots.slider_html(
        frames(5), values=values, label="Shift λ & more", alt=ALT, unit="px", captions=captions
    )
    page = Slider(markup)
    images, (control,), (readout,) = page.all("img"), page.all("input"), page.all("output")
    assert len(images) == 5 and all(image["src"].startswith("data:image/webp;base64,") for image in images)
    decoded = Image.open(io.BytesIO(base64.b64decode(images[3]["src"].partition(",")[2])))
    assert decoded.size == (24, 24) and abs(int(np.asarray(decoded)[0, 0, 0]) - 30) <= 3
    assert images[3]["alt"] == f"{ALT} (2.00 px)"
    assert control["type"] == "range" and control["max"] == "4" and control["id"] == readout["for"]
    assert page.all("label")[0]["for"] == control["id"] and page.all("figure")[0]["id"] == "rx-shift-more"
    assert page.all("button")[0]["aria-label"] == "Play"
    blocks = [attributes for attributes in page.all("div") if "data-value" in attributes]
    kept = [k for k, block in enumerate(blocks) if "hidden" not in block]
    assert kept == [0, 2, 4], "first, middle and last stand without JavaScript"
    assert blocks[1]["data-caption"] == 'step "1"'
    assert "http" not in markup and "url(" not in markup, "nothing is fetched"


def test_slider_is_deterministic_and_named_by_its_label():
    def make(label):
        return plots.slider_html(frames(3), values=list("abc"), label=label, alt=ALT)

    assert make("One") == make("One")
    ids = [set(a["id"] for _, a in Slider(make(label)).tags if "id" in a) for label in ("One", "Two")]
    assert not ids[0] & ids[1]


def test_slider_takes_figures_and_floats(shown, capsys):
    figures = [plots.lines([0, 1], {"a": [0, k]}, xlabel="x", ylabel="y") for k in range(2)]
    plots.slider(figures, values=[0, 1], label="Slope", alt=ALT, data=[0.0, 1.0])
    (bundle, _) = shown[0]
    assert bundle["text/plain"] == "Interactive figure: Slope (2 frames)" and "<figure" in bundle["text/html"]
    assert capsys.readouterr().out == "data behind Slope: 2, min 0.00, max 1.00, mean 0.500\n"
    bright = plots.slider_html([np.ones((8, 8, 3))] * 2, values=[0, 1], label="x", alt=ALT)
    image = Image.open(io.BytesIO(base64.b64decode(Slider(bright).all("img")[0]["src"].partition(",")[2])))
    assert np.asarray(image).min() > 250


def test_slider_stays_below_its_limit(monkeypatch):
    monkeypatch.setattr("robustxai.plots.interactive.MAX_BYTES", 60_000)
    noise = list(np.random.default_rng(0).integers(0, 256, (4, 96, 96, 3), dtype=np.uint8))
    markup = plots.slider_html(noise, values=list("abcd"), label="noise", alt=ALT)
    assert 30_000 < len(markup) <= 60_000, "quality went down until it fitted"
    with pytest.raises(ValueError, match="must have at most 60000 bytes, got more: use smaller frames"):
        plots.slider_html(noise * 4, values=list(range(16)), label="noise", alt=ALT)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frames": frames(1), "values": [1]}, "frames must be two pictures or more, got 1"),
        ({"values": [1]}, "one entry for each of the 3 frames"),
        ({"captions": ["a"]}, "one entry for each of the 3 frames"),
        ({"start": 3}, r"start must be a frame in \[0, 2\], got 3"),
        ({"alt": "too short"}, "eight words or more"),
        ({"label": "λ"}, "label must have a letter or a digit, got 'λ'"),
        ({"frames": [*frames(2), *frames(1, 9)]}, r"frames must have one size, got \[\(9, 9\), \(24, 24\)\]"),
        (
            {"frames": [np.zeros((4, 4), np.uint8)] * 3},
            r"frames must be \(height, width, 3\), uint8, got \(4, 4\), uint8",
        ),
    ],
)
def test_slider_says_what_is_wrong(change, message):
    arguments = {"frames": frames(3), "values": [1, 2, 3], "label": "x", "alt": ALT} | change
    with pytest.raises(ValueError, match=message):
        plots.slider_html(arguments.pop("frames"), **arguments)


def test_slider_moves_in_a_browser(browser, tmp_path):
    markup = plots.slider_html(
        frames(5), values=list(range(5)), label="Strength", alt=ALT, captions=list("vwxyz"), pace=0.05
    )
    page_file = tmp_path / "page.html"
    page_file.write_text(f"<!doctype html><meta charset=utf-8>{markup}{markup.replace('strength', 'other')}")
    page = browser.new_page()
    page.goto(page_file.as_uri())
    figure = page.locator("#rx-strength")
    visible = figure.locator("img:visible")
    assert visible.count() == 1 and "(0)" in visible.get_attribute("alt")
    figure.locator("input").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert figure.locator("output").inner_text() == "2" and "(2)" in visible.get_attribute("alt")
    assert figure.locator(".rx-caption").inner_text() == "x"
    assert figure.locator("input").get_attribute("aria-valuetext") == "2"
    figure.get_by_role("button", name="Play").click()
    page.wait_for_function("document.querySelector('#rx-strength output').textContent === '4'")
    assert page.locator("#rx-other output").inner_text() == "0", "another slider stays where it is"
    plain = browser.new_context(java_script_enabled=False).new_page()
    plain.goto(page_file.as_uri())
    assert plain.locator("#rx-strength img:visible").count() == 3
    assert not plain.locator("#rx-strength input").is_visible()


def test_a_matrix_hatches_what_is_not_there_and_writes_what_is():
    values = torch.tensor([[0.25, float("nan")], [1.0, 0.5]])
    figure = plots.matrix(values, rows=["a", "b"], columns=["x", "y"], label="Q")
    axis = figure.axes[0]
    assert [t.get_text() for t in axis.texts] == [".25", "1.00", ".50"]
    assert len([p for p in axis.patches if p.get_hatch()]) == 1
    assert axis.get_xlabel() == "hatched: not attacked"
    with pytest.raises(ValueError, match=r"values must have shape \(1, 2\), got \(2, 2\)"):
        plots.matrix(values, rows=["a"], columns=["x", "y"], label="Q")
