"""What ``import linreg`` gives: about twenty names, loaded when asked for, each with an example that runs."""

import doctest
import sys

import pytest

import linreg
from tests.support.processes import ROOT, environment, run


def examples(name: str) -> list[doctest.DocTest]:
    """The examples in the docstring of a public name (of a class: its methods' too), or of the package."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    module = linreg if name == "linreg" else getattr(linreg, name)
    globals_ = {"linreg": linreg}
    return [test for test in finder.find(module, name, module=False, globs=globals_) if test.examples]


@pytest.mark.parametrize("name", ["linreg", *linreg.__all__])
def test_a_public_name_has_an_example_that_runs(name: str, tmp_path, monkeypatch) -> None:
    for folder in ("data", "configs"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    monkeypatch.chdir(tmp_path)
    tests = examples(name)
    assert tests, f"linreg.{name} shows no example"
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    for test in tests:
        runner.run(test)
    assert runner.failures == 0


def test_every_name_is_listed_once_and_in_order() -> None:
    assert sorted(linreg._HOME) == linreg.__all__ == dir(linreg)
    with pytest.raises(AttributeError, match="no attribute 'regress': it has Config, "):
        _ = linreg.regress


def test_asking_for_a_name_loads_what_it_needs_and_no_more() -> None:
    code = """
import sys, linreg
heavy = {"torch", "pandas", "pyarrow", "scipy", "numba", "matplotlib", "prefect", "mlflow"}
assert not heavy & set(sys.modules)
linreg.LinearModel, linreg.UserError, linreg.TrainConfig
assert not heavy - {"scipy"} & set(sys.modules), heavy & set(sys.modules)
from linreg import *
assert callable(fit) and callable(plan)
assert not {"matplotlib", "prefect", "mlflow"} & set(sys.modules)
"""
    done = run([sys.executable, "-c", code], env=environment())
    assert done.returncode == 0, done.stderr
