"""What a reader does on the built site, with the network cut: switch the theme, search, read formulas,
move a slider, follow the Colab button.
"""

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
START = "book/intro.html"


def pages_with(site: Path, text: str) -> list[str]:
    """The pages whose source has a text, or a skip that says so."""
    found = [
        p.relative_to(site).as_posix() for p in site.rglob("*.html") if text in p.read_text(encoding="utf-8")
    ]
    if not found:
        pytest.skip(f"no page of the site has {text!r}")
    return sorted(found)


def test_the_switch_changes_the_theme(visit):
    page = visit(START).page
    page.evaluate("localStorage.clear()")
    page.reload()
    seen = set()
    for _ in range(3):
        page.locator("button.theme-switch-button:visible").first.click()
        page.wait_for_timeout(100)
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        seen.add((page.evaluate("document.documentElement.dataset.theme"), ground))
    assert {theme for theme, _ in seen} == {"light", "dark"}
    assert len({ground for _, ground in seen}) == 2


def test_search_finds_a_term_of_the_glossary(visit):
    opened = visit("search.html", "?q=counterfactual")
    opened.page.wait_for_selector("#search-results ul.search li a")
    links = [a.get_attribute("href") for a in opened.page.locator("#search-results ul.search li a").all()]
    assert any("glossary" in link for link in links)
    assert opened.troubles == []


def test_formulas_are_typeset(visit, site: Path):
    for name in pages_with(site, 'class="math'):
        page = visit(name).page
        page.wait_for_function("window.MathJax?.startup?.promise !== undefined")
        page.evaluate("MathJax.startup.promise")
        formulas = page.locator(".math").count()
        assert formulas > 0
        assert page.locator(".math mjx-container svg").count() >= formulas, name
        assert page.locator("mjx-merror, [data-mjx-error]").count() == 0, name


def test_moving_a_slider_changes_its_picture(visit, site: Path):
    for name in pages_with(site, 'class="rx-slider"'):
        opened = visit(name)
        for figure in opened.page.locator("figure.rx-slider").all():
            picture, handle = figure.locator("img:visible"), figure.locator("input[type=range]")
            assert picture.count() == 1
            before, label = picture.get_attribute("src"), figure.locator("output").inner_text()
            handle.focus()
            opened.page.keyboard.press("End")
            if (
                handle.get_attribute("max") == handle.input_value()
                and label == figure.locator("output").inner_text()
            ):
                opened.page.keyboard.press("Home")
            assert picture.get_attribute("src") != before
            assert figure.locator("output").inner_text() != label
        assert opened.troubles == []


def test_every_chapter_opens_in_colab_at_the_public_address(visit, site: Path):
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
    owner_and_name = urls["Repository"].removeprefix("https://github.com/").strip("/")
    sources = [*ROOT.glob("notebooks/*.ipynb"), *ROOT.glob("book/*.ipynb")]
    places = [source.relative_to(ROOT).with_suffix("") for source in sources]
    chapters = [place for place in places if (site / place).with_suffix(".html").is_file()]
    if not chapters:
        pytest.skip("the site has no chapter yet")
    for chapter in chapters:
        source = f"{owner_and_name}/blob/main/{chapter.as_posix()}.ipynb"
        wanted = f"https://colab.research.google.com/github/{source}"
        page = visit(f"{chapter.as_posix()}.html").page
        links = [a.get_attribute("href") for a in page.locator("a[href*='colab.research.google.com']").all()]
        assert wanted in links


def test_the_first_page_leads_to_the_book(visit):
    page = visit("index.html").page
    page.wait_for_function("location.pathname.endsWith('/book/intro.html')")
