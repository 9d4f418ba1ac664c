"""Every page of the built site, read from a folder with the network cut: it loads, it has one title, its
pictures have words, and its text can be read in light and dark.
"""

import re
from pathlib import Path

MAX_BYTES = 3_000_000
MIN_CONTRAST = 4.5

# Walks over all visible text and returns what falls short of the contrast asked for; large text may have 3.
CONTRAST = """
(least) => {
  const parse = (text) => {
    const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number);
    return { r, g, b, a };
  };
  const over = (top, below) => Object.fromEntries(
    ["r", "g", "b"].map((c) => [c, top[c] * top.a + below[c] * (1 - top.a)]).concat([["a", 1]]));
  const grounds = new Map();
  const ground = (element) => {
    if (!element) return { r: 255, g: 255, b: 255, a: 1 };
    if (!grounds.has(element)) {
      const colour = parse(getComputedStyle(element).backgroundColor);
      grounds.set(element, colour.a === 1 ? colour : over(colour, ground(element.parentElement)));
    }
    return grounds.get(element);
  };
  const light = ({ r, g, b }) => [[r, 0.2126], [g, 0.7152], [b, 0.0722]].reduce((sum, [v, weight]) => {
    const c = v / 255;
    return sum + weight * (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  }, 0);
  const poor = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim()) continue;
    if (!element.checkVisibility({ checkVisibilityCSS: true })) continue;
    if (element.closest("script, style, noscript, svg, mjx-container, [aria-hidden=true]")) continue;
    const style = getComputedStyle(element), below = ground(element);
    const [a, b] = [light(over(parse(style.color), below)), light(below)];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    if (ratio < (large ? 3 : least)) {
      const words = walker.currentNode.textContent.trim().slice(0, 40);
      poor.add(`${ratio.toFixed(2)} for "${words}" in ${element.tagName} of class "${element.className}"`);
    }
  }
  return [...poor];
}
"""


def test_the_page_is_small_enough_to_load(site: Path, name: str):
    assert (site / name).stat().st_size <= MAX_BYTES


def test_the_page_loads_from_a_folder_and_reads_well(visit, name: str):
    opened = visit(name)
    page = opened.page
    assert opened.troubles == []
    assert page.locator("h1:visible").count() == 1
    pictures = "pictures => pictures.map(p => [p.getAttribute('alt'), p.outerHTML.slice(0, 120)])"
    for words, picture in page.locator("img").evaluate_all(pictures):
        assert words, f"no words for {picture}"
        assert not re.search(r"\.(png|jpe?g|svg|webp)$|[0-9a-f]{20}", words), f"{words!r} is a file name"
    page.add_style_tag(content="* { transition: none !important; }")  # a colour on its way is neither
    for theme in ("light", "dark"):
        page.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
        assert page.evaluate(CONTRAST, MIN_CONTRAST) == [], f"text that is hard to read in {theme}"


def test_the_page_does_not_scroll_sideways_on_a_telephone(visit, name: str):
    page = visit(name).page
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
