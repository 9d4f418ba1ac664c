"""book/_ext/offline.py: what counts as remote, what is stripped, where MathJax comes from."""

from types import SimpleNamespace

import offline
import pytest


@pytest.mark.parametrize(
    "html",
    [
        '<script src="https://cdn.example/x.js"></script>',
        "<script async src=//cdn.example/x.js></script>",
        '<link rel="stylesheet" href="https://fonts.example/css?family=A">',
        '<link href="http://cdn.example/a.css" rel="preload stylesheet">',
        '<img src="https://pics.example/a.png" alt="a">',
        '<img srcset="a.png 1x, https://pics.example/b.png 2x" alt="a">',
        '<iframe src="https://video.example/1"></iframe>',
        '<style>@import "https://fonts.example/a.css";</style>',
        '<p style="background: url(https://pics.example/c.png)">x</p>',
    ],
)
def test_a_remote_resource_is_found(html: str):
    assert len(offline.remote_resources(f"<html><body>{html}</body></html>")) == 1


@pytest.mark.parametrize(
    "html",
    [
        '<a href="https://arxiv.org/abs/2506.08514">paper</a>',
        '<link rel="canonical" href="https://book.example/page.html">',
        '<script src="../_static/custom.js"></script>',
        '<img src="data:image/png;base64,AAAA//8=" alt="a">',
        "<pre>&lt;script src='https://cdn.example/x.js'&gt;</pre>",
        "<style>a { color: red; } /* https://example.org */</style>",
        '<meta property="og:url" content="https://book.example">',
    ],
)
def test_links_and_local_files_are_left_alone(html: str):
    assert offline.remote_resources(html) == []
    assert offline.strip_remote_tags(html) == html


def test_remote_tags_are_stripped_and_their_neighbours_stay():
    html = '<p>a</p><script src="https://cdn.example/require.js"></script><script>let x = 1;</script><p>b</p>'
    assert offline.strip_remote_tags(html) == "<p>a</p><script>let x = 1;</script><p>b</p>"


def test_a_page_forgets_remote_scripts_and_the_live_code_loader():
    def entry(name: str | None, body: str | None = None) -> SimpleNamespace:
        return SimpleNamespace(filename=name, attributes={"body": body} if body else {})

    local = entry("_static/custom.js")
    scripts = [entry("https://unpkg.example/lib.js"), entry("_static/sphinx-thebe.js"), local]
    scripts.append(entry(None, 'const THEBE_JS_URL = "https://unpkg.example/thebe.js"; thebe_selector'))
    context = {
        "script_files": scripts,
        "css_files": ["https://fonts.example/a.css", "_static/a.css"],
        "body": "x",
    }
    offline._clean_page(None, "page", "page.html", context, None)
    assert context["script_files"] == [local]
    assert context["css_files"] == ["_static/a.css"]


def test_mathjax_comes_from_an_installed_package_and_carries_its_glyphs():
    bundle = offline.mathjax_folder() / offline.MATHJAX_FILE
    assert bundle.stat().st_size > 1_000_000
    assert "MathJax" in bundle.read_text(encoding="utf-8")[:200_000]


def test_a_build_with_a_remote_picture_fails(tmp_path):
    (tmp_path / "page.html").write_text('<img src="https://pics.example/a.png" alt="a">', encoding="utf-8")
    app = SimpleNamespace(outdir=str(tmp_path), builder=SimpleNamespace(format="html"))
    with pytest.raises(Exception, match=r"page.html loads https://pics.example/a.png"):
        offline._finish(app, None)
    assert (tmp_path / "_static" / "mathjax" / offline.MATHJAX_FILE).is_file()
