"""The house is described as it is: the trees in CONTRIBUTING.md and README.md, the page of the book and its picture."""

import ast
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import house
import pytest
from layered import layers_of, reduced, spread
from test_arrows import CHAPTERS
from test_project import read, tracked

ROOT = Path(__file__).resolve().parents[1]
ROOMS = {
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "src" / "robustxai").iterdir()
    if (path.suffix == ".py" and path.stem != "__init__") or (path / "__init__.py").is_file()
}


def tree(text: str) -> dict[str, str]:
    """Each path in the first block of plain text, with what is said of it; two spaces are one folder deeper."""
    block = re.search(r"^```text\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    assert block
    found, above = {}, [""]
    for line in block[1].splitlines():
        match = re.fullmatch(r"((?:  )*)(\S+)(?: +(.*))?", line)
        assert match, line
        depth = len(match[1]) // 2
        above = [*above[: depth + 1], above[depth] + match[2]]
        assert above[-1] not in found, "said twice"
        found[above[-1].rstrip("/")] = match[3] or ""
    return found


def test_the_tree_has_every_room_and_every_folder() -> None:
    folders = {path.relative_to(ROOT).parts[0] for path in tracked() if path.parent != ROOT}
    said = tree(read("CONTRIBUTING.md"))
    assert not ROOMS - set(said), "rooms that CONTRIBUTING.md does not name"
    assert not folders - {name.split("/")[0] for name in said}, "folders that CONTRIBUTING.md does not name"
    assert {f"src/robustxai/{chapter}/study" for chapter in CHAPTERS} <= set(said)


@pytest.mark.parametrize("path", tree(read("CONTRIBUTING.md")))
def test_the_tree_has_only_what_exists_and_a_line_for_it(path: str) -> None:
    assert (ROOT / path).exists()
    assert tree(read("CONTRIBUTING.md"))[path] or path == "src/robustxai"


def test_a_tree_is_read() -> None:
    assert tree("```text\na/\n  b/   words here\n    c  more\nd  last\n```\n") == {
        "a": "",
        "a/b": "words here",
        "a/b/c": "more",
        "d": "last",
    }


def test_the_short_tree_of_the_readme_exists() -> None:
    block = re.search(r"^```text\n(.*?)^```", read("README.md"), flags=re.DOTALL | re.MULTILINE)
    assert block
    names = [name for line in block[1].splitlines() for name in re.split(r" {2,}", line)[:-1]]
    assert len(names) > 10
    missing = [n for n in names for c in CHAPTERS if not (ROOT / n.replace("<chapter>", c)).exists()]
    assert not missing


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "book/house.md"])
def test_what_a_page_names_exists(page: str) -> None:
    code = re.findall(r"`([^`\n]+)`", read(page))
    names = [name for name in code if re.fullmatch(r"robustxai(\.\w+)+", name)]
    files = [name for name in code if re.fullmatch(r"[\w./]+\.(?:py|yml|json|md)", name) and "/" in name]
    inside = [ROOT / "src" / "robustxai" / name for name in files if not (ROOT / name).exists()]
    assert not [path for path in inside if not path.exists()]
    for name in names:
        pkgutil.resolve_name(name)
    assert names or files


def test_the_page_has_every_room() -> None:
    said = set(re.findall(r"^\| \[?`(\w+)`", read("book/house.md"), flags=re.MULTILINE))
    assert said == {Path(room).stem for room in ROOMS} - {"_cli"}


def test_the_stored_picture_is_a_fresh_one() -> None:
    fresh = house.picture(house.imports_of_rooms(), house.chapters())
    assert fresh == read("book/_static/house.svg"), "run: python workflow/house.py book/_static/house.svg"


def boxes(svg: str) -> list[tuple[float, float, float, float]]:
    """The boxes of the picture: left, top, right, bottom."""
    found = re.findall(r'<rect x="([\d.-]+)" y="([\d.-]+)" width="([\d.]+)" height="([\d.]+)"', svg)
    return [(float(x), float(y), float(x) + float(w), float(y) + float(h)) for x, y, w, h in found]


def test_no_boxes_of_the_picture_overlap_and_its_letters_can_be_read() -> None:
    svg = read("book/_static/house.svg")
    found = boxes(svg)
    width, height = map(int, re.findall(r'viewBox="0 0 (\d+) (\d+)"', svg)[0])
    assert len(found) == len(house.imports_of_rooms())
    assert width <= 700, "letters would be below 13 pixels in a column of 700"
    for i, (left, top, right, bottom) in enumerate(found):
        assert 0 < left < right < width and 0 < top < bottom < height
        assert not [b for b in found[:i] if b[0] < right and left < b[2] and b[1] < bottom and top < b[3]]


def test_arrows_of_the_picture_cross_no_box() -> None:
    svg = read("book/_static/house.svg")
    for path in re.findall(r'<path d="(M[^"]+)" marker-end', svg):
        x, _ = map(float, re.findall(r"M([\d.]+),([\d.]+)", path)[0])
        for bend, straight in re.findall(r"C([^V]+)(?:V([\d.]+))?", path):
            x, y = map(float, bend.split()[-1].split(","))
            if straight:
                assert not [
                    b for b in boxes(svg) if b[0] <= x <= b[2] and b[1] < float(straight) and y < b[3]
                ]


def test_every_arrow_points_down_and_none_follows_from_others() -> None:
    graph = house.imports_of_rooms()
    layer = layers_of(graph)
    arrows = reduced(graph)
    assert all(layer[a] > layer[b] for a in graph for b in graph[a])
    assert "checks" in graph["nets"] and "checks" not in arrows["nets"]
    assert graph["checks"] == set() and "notebooks" in graph


def test_arrows_that_follow_from_others_are_left_out_and_circles_refused() -> None:
    assert reduced({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == {"a": {"b"}, "b": {"c"}, "c": set()}
    with pytest.raises(ValueError, match=r"^graph must have no circles, got one through a, b$"):
        reduced({"a": {"b"}, "b": {"a"}})


def test_places_keep_their_distance_and_move_no_more_than_they_must() -> None:
    assert spread([0, 0], [1, 1], [10]) == [-5, 5]
    assert spread([0, 0], [3, 1], [8]) == [-2, 6]
    assert spread([0, 50], [1, 1], [10]) == [0, 50]


def package() -> dict[str, str]:
    """The code of every file of the package, by its path."""
    files = [path for path in tracked() if path.suffix == ".py" and path.is_relative_to(ROOT / "src")]
    return {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in files}


def test_no_file_of_the_package_is_longer_than_250_lines() -> None:
    lines = {path: len(code.splitlines()) for path, code in package().items()}
    assert len(lines) > 200 and not {path: n for path, n in lines.items() if n > 250}, (
        "one idea a file: split it"
    )


MOST_LINES, MOST_PARAMETERS = 60, 8


def functions_of(code: str) -> Iterator[tuple[str, int, int, str]]:
    """(name, lines without the docstring, parameters without self, docstring with that of the class) of functions."""

    def walk(node: ast.AST, path: str, about: str) -> Iterator[tuple[str, int, int, str]]:
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield from walk(child, path, about)
                continue
            name, own = f"{path}{child.name}", ast.get_docstring(child, clean=False) or ""
            if isinstance(child, ast.ClassDef):
                yield from walk(child, f"{name}.", own)
                continue
            a, first = child.args, child.body[0] if own else None
            said = 0 if first is None else (first.end_lineno or 0) - first.lineno + 1
            names = [p.arg for p in (*a.posonlyargs, *a.args, *a.kwonlyargs) if p.arg not in ("self", "cls")]
            lines = (child.end_lineno or 0) - child.lineno + 1 - said
            yield name, lines, len(names), about * (child.name == "__init__") + own
            yield from walk(child, f"{name}.", "")

    yield from walk(ast.parse(code), "", "")


def too_large(code: str) -> list[str]:
    """Functions with more lines, or with more parameters than their docstring says why."""
    return [
        f"{name}: {lines} lines, {n} parameters"
        for name, lines, n, said in functions_of(code)
        if lines > MOST_LINES
        or (n > MOST_PARAMETERS and not re.search(rf"\b{n}\s+parameters,\s+as\s+\w", said))
    ]


def test_no_function_is_longer_than_60_lines_or_has_more_than_8_parameters_without_saying_why() -> None:
    found = {path: too_large(code) for path, code in package().items()}
    assert not {path: large for path, large in found.items() if large}


def test_large_functions_are_seen() -> None:
    nine = ", ".join(f"p{i}" for i in range(9))
    assert too_large(f"def f({nine}): pass") == ["f: 1 lines, 9 parameters"]
    assert too_large(f"class A:\n    def f(self, a, *, {nine[:-4]}): pass") == ["A.f: 1 lines, 9 parameters"]
    assert not too_large(f"class A:\n    def f(self, {nine[:-4]}, **more): pass")
    for says, fine in (("9 parameters, as all differ.", True), ("10 parameters, as all differ.", False)):
        assert (not too_large(f'def f({nine}):\n    """Sum.\n\n    {says}"""')) is fine
        assert (not too_large(f'class A:\n    """{says}"""\n    def __init__(self, {nine}): pass')) is fine
        assert too_large(f'class A:\n    """{says}"""\n    def f(self, {nine}): pass')
    assert too_large("def f():\n" + "    x = 1\n" * 60) == ["f: 61 lines, 0 parameters"]
    assert not too_large('def f():\n    """Long.\n' + "\n" * 90 + '    """\n' + "    x = 1\n" * 59)


WORLDS = {"FACTORS", "FACTOR_NAMES", "PARTS"}
"""What every rendered world of `data/scenes` says of itself."""

SHARED_BY_STUDIES = {
    *{
        "Study",
        "Task",
        "Photographs",
        "Record",
        "Methods",
        "ablation",
        "sweep",
        "faces",
    },  # a study and its tables
    *{"build", "build_classifiers", "zoo_name", "materials"},  # recipes, and sets of images for one study
}
"""What studies name alike because it is the same thing, each for its own chapter."""


def names_of(source: str, *, constants: bool = True) -> list[str]:
    """Public classes, functions, aliases and constants that a module defines; variables of types are none."""
    found = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found.append(node.name)
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        value = ast.unparse(node.value) if isinstance(node, ast.Assign) else ""
        names = [] if value.startswith("TypeVar(") else [t.id for t in targets if isinstance(t, ast.Name)]
        found += [name for name in names if constants or not name.isupper()]
    return [name for name in found if not name.startswith("_")]


def test_names_of_a_module_are_read() -> None:
    source = (
        "import a\nclass A: pass\ndef f(): pass\ndef _g(): pass\nB: int = 1\nAlias = A\nT = TypeVar('T')\n"
    )
    assert names_of(source) == ["A", "f", "B", "Alias"]
    assert names_of(source, constants=False) == ["A", "f", "Alias"]


def test_a_public_name_means_one_thing() -> None:
    """Outside of studies a name is defined once; in them constants are settings of an experiment, and stay local."""
    source = ROOT / "src" / "robustxai"
    found: dict[str, list[Path]] = {}
    for path in sorted(source.rglob("*.py")):
        parts = path.relative_to(source).parts
        if any(part.startswith("_") for part in parts[:-1]) or path.stem == "__init__":
            continue  # commands; rooms only hand on what modules define
        for name in names_of(path.read_text(encoding="utf-8"), constants="study" not in parts):
            found.setdefault(name, []).append(path.relative_to(source))
    worlds = {name for name in WORLDS if all("scenes" in path.parts for path in found[name])}
    studies = {name for name in SHARED_BY_STUDIES if all("study" in path.parts for path in found[name])}
    assert worlds == WORLDS and studies == SHARED_BY_STUDIES
    twice = {name: [str(p) for p in paths] for name, paths in found.items() if len(paths) > 1}
    assert not {name: paths for name, paths in twice.items() if name not in WORLDS | SHARED_BY_STUDIES}
    assert set(twice) == WORLDS | SHARED_BY_STUDIES, "an exception that is none any more"
