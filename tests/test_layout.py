"""The layout is what ARCHITECTURE.md says: who imports whom, how wide a folder and how long a module is."""

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.support.processes import ROOT

PRODUCT = ("linreg", "flows")
GROUND = "ground"  # the modules of linreg/ itself
FACE = "face"  # linreg/__init__.py, which imports nothing until it is asked for a name
MOST_MODULES = 15  # of a folder
MOST_LINES = 320  # of a module
MOST_FLOORS = 11  # of packages that stand on each other, linreg's and flows as one
FILES = [path for top in PRODUCT for path in sorted((ROOT / top).rglob("*.py"))]


def package(name: str) -> str:
    """The row that a module belongs to: ``files`` of linreg.files.paths, ``tracking`` of flows.tracking.run."""
    top, *rest = name.split(".")
    if top not in PRODUCT:
        return top
    row = rest[0] if rest else FACE if top == "linreg" else top
    if row == FACE:
        return FACE
    return GROUND if top == "linreg" and not (ROOT / top / row).is_dir() else row


def module(path: Path) -> str:
    """What a file is imported as."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported(path: Path) -> Iterator[str]:
    """Every module that a file names in an import, wherever it stands in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None
            assert node.level == 0, f"{path}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def arrows() -> dict[str, set[str]]:
    """What each package imports: packages of ours by their row's name, others by theirs."""
    targets = defaultdict(set)
    for path in FILES:
        own = package(module(path))
        targets[own] |= {package(name) for name in imported(path)} - {own} - set(sys.stdlib_module_names)
    del targets[FACE]
    return dict(targets)


def table() -> dict[str, set[str]]:
    """The rows of ARCHITECTURE.md's table: what each package may import."""
    rows = re.findall(
        r"^\| (`(?:linreg|flows)/.+?) \| (.+?) \| (.+?) \|$", (ROOT / "ARCHITECTURE.md").read_text(), re.M
    )
    allowed = {}
    for names, ours, others in rows:
        may = set(re.findall(r"\w+", f"{ours} {others}"))
        for name in re.findall(r"`(?:linreg|flows)/([\w*]+)", names):
            allowed[GROUND if name == "*" else name] = may
    return allowed


@pytest.mark.parametrize("name", sorted(table()))
def test_a_package_imports_what_its_row_allows(name: str) -> None:
    may = table()[name]
    if "linreg" in may:
        may |= {GROUND, *(path.name for path in (ROOT / "linreg").iterdir() if path.is_dir())}
    if "flows" in may:
        may |= {path.stem for path in (ROOT / "flows").iterdir()}
    assert arrows()[name] - may == set()


def test_every_package_has_a_row() -> None:
    small = {"flows", "interrupts", "progress"}  # they import nothing of ours
    assert set(arrows()) - small - set(table()) == set()


def test_packages_stand_on_each_other_without_a_circle_and_not_too_high() -> None:
    ours = {name: {other for other in others if other in arrows()} for name, others in arrows().items()}
    library = {name: others for name, others in ours.items() if (ROOT / "linreg" / name).is_dir() or name == GROUND}
    print(*(f"{floor:2} {name}" for name, floor in sorted(floors(ours).items(), key=lambda item: item[1])), sep="\n")
    assert max(floors(library).values()) + 1 <= MOST_FLOORS


def test_modules_stand_on_each_other_without_a_circle_not_of_types_either() -> None:
    paths = {module(path): path for path in FILES}
    below = {}
    for name, path in paths.items():
        named = {part for part in imported(path) if part.startswith(PRODUCT)}
        below[name] = {other if other in paths else other.rpartition(".")[0] for other in named} & set(paths)
    assert len(floors(below)) == len(paths)


def floors(below: dict[str, set[str]]) -> dict[str, int]:
    """The floor of each, counted from 1; a circle has none."""
    height: dict[str, int] = {}
    while len(height) < len(below):
        ready = {name for name, others in below.items() if name not in height and others <= set(height)}
        assert ready, f"a circle among {sorted(set(below) - set(height))}"
        height |= {name: 1 + max((height[other] for other in below[name]), default=0) for name in ready}
    return height


@pytest.mark.parametrize("folder", sorted({path.parent for path in FILES}), ids=lambda f: str(f.relative_to(ROOT)))
def test_a_folder_can_be_taken_in_at_a_glance(folder: Path) -> None:
    modules = [path.name for path in folder.glob("*.py") if path.name != "__init__.py"]
    assert len(modules) <= MOST_MODULES, modules


def test_a_module_can_be_read_in_one_go() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in FILES}
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES} == {}
