"""The small extensions: docstrings as plain sentences, data cards of every data set."""

import datacards
import docstrings

from robustxai.data import catalog


def test_signs_are_escaped_outside_code():
    assert (
        docstrings.escape("a * b and |x| but `c * d` and ``|y|``")
        == "a \\* b and \\|x\\| but `c * d` and ``|y|``"
    )
    assert docstrings.escape("the value_ here, snake_case stays") == "the value\\_ here, snake_case stays"


def test_doctests_and_indented_blocks_are_left_alone():
    lines = ["Sum of *x*.", "", ">>> f(*x)", "|1|", "", "    a * b", "after * all"]
    out = docstrings.escape_docstring(lines)
    assert out[2:4] == lines[2:4]
    assert out[5] == lines[5]
    assert out[0] == "Sum of \\*x\\*."


def test_shapes_read_as_in_the_source():
    shown = docstrings.readable("(x: ~jaxtyping.Float[Tensor, 'batch channel'], n: int) -> None")
    assert shown == '(x: Float[Tensor, "batch channel"], n: int) -> None'


def test_every_data_set_has_a_card_with_its_licence_and_sums():
    entries = list(catalog())
    text = datacards.render(entries)
    for entry in entries:
        assert f'`load("{entry.name}")`' in text
        for accepted in entry.sha256.values():
            assert all(digest in text for digest in accepted)
    assert text.count("**Licence.**") == len(entries)


def test_sizes_read_as_people_say_them():
    assert [datacards.size(n) for n in (0, 1_500_000, 2_340_000_000)] == ["–", "1.5\u00a0MB", "2.3\u00a0GB"]
