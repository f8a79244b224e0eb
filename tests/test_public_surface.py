"""What is public is listed, in order, documented and annotated."""

import inspect
import pkgutil
from collections.abc import Callable, Iterator
from importlib import import_module
from types import ModuleType

import pytest

import retq_hub

NAMES = ["retq_hub"] + [
    one.name
    for one in pkgutil.walk_packages(retq_hub.__path__, "retq_hub.")
    if not one.name.endswith("__main__")
]


@pytest.fixture(params=NAMES)
def module(request: pytest.FixtureRequest) -> ModuleType:
    return import_module(request.param)


def public(module: ModuleType) -> Iterator[tuple[str, object]]:
    """Give the functions and classes of a module's ``__all__``."""
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            yield name, value


def functions(name: str, value: object) -> Iterator[tuple[str, Callable[..., object]]]:
    """Give a function, or the public methods and properties that a class defines itself."""
    if inspect.isfunction(value):
        yield name, value
        return
    for member, raw in vars(value).items():
        function = getattr(raw, "fget", None) or getattr(raw, "func", None)
        function = function or getattr(raw, "__func__", raw)
        if inspect.isfunction(function) and (member == "__init__" or not member.startswith("_")):
            yield f"{name}.{member}", function


def is_generated(function: Callable[..., object]) -> bool:
    """Whether a data class or protocol wrote it."""
    return (
        function.__code__.co_filename == "<string>"
        or function.__name__ == "_no_init_or_replace_init"
    )


def kind_and_name(name: str) -> tuple[bool, bool, str]:
    """Constants come first, then classes, then functions, each by name (ruff's order)."""
    return not name.isupper(), not name[0].isupper(), name


def test_all_is_there_sorted_and_without_repeats(module):
    assert module.__all__ == sorted(set(module.__all__), key=kind_and_name)
    missing = [name for name in module.__all__ if not hasattr(module, name)]
    assert missing == []


def test_a_module_says_what_it_owns(module):
    assert module.__doc__
    assert module.__doc__.splitlines()[0].endswith((".", "?"))


def test_every_public_name_is_documented(module):
    silent = [name for name, value in public(module) if not (value.__doc__ or "").strip()]
    silent += [
        name
        for holder, value in public(module)
        for name, function in functions(holder, value)
        if not name.endswith("__init__") and not function.__doc__
    ]
    assert silent == []


def test_every_public_function_is_annotated(module):
    bare = []
    for holder, value in public(module):
        for name, function in functions(holder, value):
            parameters = inspect.signature(function).parameters
            wanted = {one for one in parameters if one not in ("self", "cls")} | {"return"}
            if not is_generated(function) and wanted - function.__annotations__.keys():
                bare.append(name)
    assert bare == []


def test_an_unknown_public_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'absent'"):
        _ = retq_hub.absent
