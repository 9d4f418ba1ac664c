"""Options of a function as one frozen object, and as plain keywords: whichever a caller likes better.

A function with many options takes a dataclass `how` and `**options`, the fields of that dataclass by name. Knows
dataclasses and signatures; knows nothing about what an option means.
"""

import difflib
import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, Field, fields, replace
from typing import Any, TypeVar

from robustxai.checks import shown

_Options = TypeVar("_Options")
_Function = TypeVar("_Function", bound=Callable[..., Any])


def merged(kind: type[_Options], how: _Options | None, options: Mapping[str, Any]) -> _Options:
    """`how` with `options` in place of its fields; without `how`, an object of `options`. `kind` is a dataclass.

    Raises ValueError for a name that is no field, for what is no `kind`, and for values that `kind` refuses.

    >>> from dataclasses import dataclass
    >>> Steps = dataclass(frozen=True)(type("Steps", (), {"__annotations__": {"n": int}, "n": 3}))
    >>> merged(Steps, None, {}).n, merged(Steps, Steps(4), {"n": 5}).n
    (3, 5)
    """
    known = [field.name for field in fields(kind)]  # pyright: ignore[reportArgumentType]
    for name in options:
        if name not in known:
            near = ", ".join(difflib.get_close_matches(name, known, n=3, cutoff=0.4)) or "none"
            raise ValueError(f"options must be fields of {kind.__name__}, got {name!r}; near: {near}")
    if how is None:
        return kind(**options)
    if not isinstance(how, kind):
        raise ValueError(f"how must be a {kind.__name__} or None, got {shown(how)}")
    return replace(how, **options)  # pyright: ignore[reportArgumentType, reportCallIssue]


def says_options(
    kind: type, defaults: object = None, *, without: Collection[str] = ()
) -> Callable[[_Function], _Function]:
    """A decorator: the signature says every field of `kind` in place of `**options`, for help, editors and pages.

    defaults: an object whose values are the defaults, in place of those of `kind`. without: fields that the function
    sets itself.
    """

    def say(function: _Function) -> _Function:
        signature = inspect.signature(function)
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        said = [_parameter(field, defaults) for field in fields(kind) if field.name not in without]
        function.__signature__ = signature.replace(parameters=[*own, *said])  # pyright: ignore[reportFunctionMemberAccess]
        return function

    return say


def _parameter(field: "Field[Any]", defaults: object) -> inspect.Parameter:
    value = field.default if defaults is None else getattr(defaults, field.name)
    default = inspect.Parameter.empty if value is MISSING else value
    return inspect.Parameter(
        field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=field.type
    )
