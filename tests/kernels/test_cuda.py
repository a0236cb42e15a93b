"""Cards: their kernels in Triton's interpreter or on the card, what they need, and where the rest of the library asks.

The checks themselves are ``tests/cards/``: a process of their own, since the interpreter has to be chosen before Triton
is imported, and one where only torch, numpy, pyarrow and Triton can be.
"""

import sys

import numpy as np
import pyarrow as pa
import pytest
import torch

from flows.steps import ingest
from linreg.config import Config, DataConfig, TrainConfig
from linreg.errors import UserError
from linreg.kernels.cuda import descent, graph, record
from linreg.kernels.cuda import reduction as sums
from linreg.kernels.cuda import transfer as feed
from linreg.moments.from_rows import LONG, UNLIKE
from linreg.moments.moments import Moments
from linreg.moments.training_record import gapped_by
from linreg.rows import rows
from linreg.training.choose import TRAINERS, choose
from linreg.training.prepare import prepare
from tests.support import processes
from tests.support.processes import ROOT, environment

HERE = ROOT / "tests" / "kernels" / "cuda"
ALONE = """
import sys
from importlib.machinery import PathFinder
GONE = {"numba", "scipy", "pandas", "threadpoolctl", "safetensors", "xxhash", "matplotlib", "sklearn"}
GONE |= {"prefect", "mlflow", "flows", "hypothesis"}
class Rest:  # as if they were not installed: torch looks for some of them
    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in GONE else PathFinder.find_spec(name, path, target)
sys.meta_path[sys.meta_path.index(PathFinder)] = Rest()
"""


def run(code: str, **env: str) -> str:
    done = processes.run([sys.executable, "-c", code], env=environment(**env), cwd=ROOT)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def checks(*files: str) -> str:
    """The tests of some files in a process that finds torch, numpy, pyarrow, Triton and pytest, and little else."""
    options = ["-q", "-p", "no:cacheprovider", f"--confcutdir={HERE}", *(str(HERE / f) for f in files)]
    code = f"{ALONE}\nimport pytest\nraise SystemExit(pytest.main({options!r}))"
    return run(code, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")


@pytest.mark.long  # kernels in Triton's interpreter, or compiled
@pytest.mark.parametrize("file", ["records.py", "descents.py"])
def test_the_checks_pass_with_nothing_but_torch_numpy_pyarrow_and_triton(file: str) -> None:
    assert " passed" in checks(file)


@pytest.mark.gpu
@pytest.mark.parametrize("file", ["records.py", "descents.py"])
def test_the_checks_pass_on_the_card(file: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", f"--confcutdir={HERE}", str(HERE / file)]
    done = processes.run(command, cwd=ROOT)
    assert done.returncode == 0, done.stdout[-4000:]


KERNELS = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from linreg.kernels.cuda import gram_kernels as products, descent_kernels as steps, tiles

def compiled(kernel, kind, **constants):
    constants.pop("num_warps", None)
    pointers = dict.fromkeys(("root_ptr", "shift_ptr", "how_ptr"), "*fp64") | {"clock_ptr": "*i64"}
    pointers |= dict.fromkeys(("order_ptr", "keys_ptr", "tail_ptr"), "*i32")
    if kernel in (products._tiled, products._narrow):
        pointers["out_ptr"] = "*fp64"
    names = kernel.arg_names
    other = {n: f"*{kind}" if n.endswith("_ptr") else "i32" for n in names}
    sign = {n: "constexpr" if n in constants else pointers.get(n, other[n]) for n in names}
    source = ASTSource(kernel, sign, {(names.index(n),): v for n, v in constants.items()})
    return triton.compile(source, target=GPUTarget("cuda", 90, 32)).asm["ptx"]

tiled = compiled(products._tiled, "fp64", WA=32, TWO=False, WE=8, BN=32, SPAN=8192, WEIGHTED=True)
assert "mma.sync" in tiled and ".f64.f64.f64.f64" in tiled, "no matrix instructions"
compiled(products._narrow, "fp32", PP=4, BN=256, SPAN=8192, WEIGHTED=False)
order = dict(BITS=10, SHUFFLED=True, WEIGHTED=True)
sgd = dict(MOMENTUM=True, NESTEROV=True)
compiled(steps.walk, "fp32", **tiles.tile(3, 2, 5), **order, **sgd)
compiled(steps.part, "fp32", **tiles.tile(32, 1, 128), **order)
compiled(steps.finish, "fp32", **tiles.finish_tile(32, 2048), **sgd)
print("compiled")
"""


@pytest.mark.long  # kernels in Triton's interpreter, or compiled
def test_the_kernels_compile_for_a_card_that_is_not_here(tmp_path) -> None:
    """For compute capability 9.0, all the way: Triton brings the assembler."""
    pytest.importorskip("triton", reason="Triton is not installed")
    assert run(KERNELS, TRITON_CACHE_DIR=str(tmp_path)).strip() == "compiled"


FUSED = """
import os
os.environ["TRITON_INTERPRET"] = "1"
import sys
sys.path[:0] = ["."]
from dataclasses import replace
import numpy as np
from tests.training.trainers.test_fused import apart, config_of, rows_of
from linreg.training.fit import fit
from linreg.training.trainers import fused

ran = []
real = fused.Fused._on_card
fused.Fused.step = lambda self, problem, state: ran.append(1) or real(self, problem, state, int(state["epoch"]) + 1)
for batch, weighted, how in ((100, False, {}), (5, True, {"momentum": 0.9, "weight_decay": 0.1}), (0, True, {}),
                             (60, False, {"schedule": "cosine", "shuffle": False})):
    rows = rows_of(120, 3, 2, weighted=weighted)
    config = config_of("fused", batch, dtype="float64", **how)
    ours, theirs = (fit(rows, replace(config, trainer=t)) for t in ("fused", "builtin"))
    np.testing.assert_allclose(ours.train_loss, theirs.train_loss, rtol=1e-11)
    assert apart(ours.model.weight_OF, theirs.model.weight_OF) < 1e-11
print(len(ran))
"""


@pytest.mark.long  # kernels in Triton's interpreter, or compiled
def test_the_trainer_fused_hands_an_epoch_over_and_has_builtin_s_numbers() -> None:
    pytest.importorskip("triton", reason="Triton is not installed")
    assert run(FUSED).strip() == "12"


def test_importing_the_library_and_training_on_the_cpu_load_no_triton() -> None:
    run(
        "import sys, linreg.training.fit, linreg.moments.training_record\n"
        "assert not {'triton', 'linreg.kernels.cuda'} & set(sys.modules)"
    )


def test_leaves_and_limits_are_those_of_the_cpu_s_records() -> None:
    assert (sums.LEAF, record.LONG, record.UNLIKE) == (rows.LEAF, LONG, UNLIKE)


def test_rows_make_the_moments_of_the_cpu() -> None:
    """By torch's products: the same record to rounding, of any mix of types, with weights and chosen rows."""
    rng = np.random.default_rng(0)
    n = 150_000
    a, b = rng.normal(size=n).astype(np.float32), rng.normal(size=n)
    y, w = a - 2 * b + rng.normal(size=n), rng.uniform(0, 2, n)
    w[::7] = 0
    table = pa.table({"a": a, "b": b, "c": rng.integers(0, 9, n), "y": y, "w": w})
    chosen = [np.flatnonzero(rng.uniform(size=n) < 0.7).astype(np.uint32)]
    for how in ({}, {"weight": "w"}, {"weight": "w", "chosen": chosen}):
        part = rows.Rows([table], ("a", "b", "c"), ("y",), **how)
        (ours, way), theirs = record.moments(part, torch.device("cpu")), record_of(part)
        assert way == "whitened"
        assert gapped_by(part, torch.device("cpu"))[0].moments.root_KK.tobytes() == ours.root_KK.tobytes()
        assert (ours.rows, ours.features, ours.targets) == (theirs.rows, theirs.features, theirs.targets)
        for name in ("weight", "log_weight", "square_weight"):
            assert getattr(ours, name) == pytest.approx(getattr(theirs, name), rel=1e-12)
        np.testing.assert_allclose(ours.mean_P, theirs.mean_P, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(ours.solve().weight_OF, theirs.solve().weight_OF, rtol=1e-12)
        np.testing.assert_allclose(ours.solve().residual_O, theirs.solve().residual_O, rtol=1e-12)


def record_of(part: rows.Rows):
    return Moments.of(part.blocks(), part.features, part.targets, weights=part.block_weights())


def test_few_rows_and_rows_with_gaps_are_left_to_the_cpu() -> None:
    few = pa.table({"a": [1.0, 2.0, 4.0], "y": [1.0, 2.0, 3.0]})
    assert record.moments(rows.Rows([few], ("a",), ("y",)), torch.device("cpu")) is None
    assert gapped_by(rows.Rows([few], ("a",), ("y",)), torch.device("cpu"))[1] == "numpy"
    many = pa.table({"a": [None, *range(70_000)], "y": [0.0, *range(70_000)]})
    gappy = rows.Rows([many], ("a",), ("y",), gaps=True)
    assert gapped_by(gappy, torch.device("cpu"))[0].missing == 1


def prepared(device: str, trainer: str = "auto") -> tuple[str, str]:
    choice = prepare(TrainConfig(trainer=trainer, batch_size=5, device=device), validation=None, start=None)
    return choice.trainer.name, str(choice.device)


def test_fused_runs_on_an_nvidia_card_that_is_named_and_seeks_none(machine) -> None:
    machine(cards=2)
    assert prepared("cuda") == ("fused", "cuda:0")
    assert prepared("cuda:1") == ("fused", "cuda:1")
    assert prepared("auto") == prepared("cpu") == ("fused", "cpu")
    assert prepared("auto", "builtin") == ("builtin", "cuda:0")


def test_records_go_to_a_card_that_is_named_alone(machine) -> None:
    machine(cards=2)

    def card(device: str) -> torch.device | None:
        data = DataConfig(path="x.csv", features=("a",), targets=("y",))
        return ingest._card(Config(model="m", data=data, train=TrainConfig(device=device)))

    assert card("cuda:1") == torch.device("cuda:1")
    assert card("auto") is None
    assert card("cpu") is None


def test_on_mps_auto_takes_builtin_where_it_is_named_and_the_cpu_where_it_is_found(machine) -> None:
    machine(mps=True)
    assert prepared("mps") == ("builtin", "mps")
    assert prepared("auto") == ("fused", "cpu")
    with pytest.raises(UserError, match=r"'fused' does not run on mps: leave .*, or choose manual, builtin$"):
        choose(TrainConfig(trainer="fused", batch_size=5, device="mps"))


def test_a_card_that_is_not_there_is_told_as_such(machine) -> None:
    machine()
    with pytest.raises(UserError, match=r"'cuda' is not on this machine"):
        prepared("cuda", "fused")
    with pytest.raises(UserError, match=r"'tpu' is not on this machine"):
        prepared("tpu", "fused")


def test_a_trainer_names_the_cards_it_runs_on() -> None:
    assert {name: t.cards for name, t in TRAINERS.items() if t.cards} == {
        "manual": ("cuda", "mps"),
        "builtin": ("cuda", "mps"),
        "fused": ("cuda",),
    }


def test_the_bench_runs_all_contenders_here_by_torch(monkeypatch) -> None:
    from bench import card

    monkeypatch.setattr(descent, "has_triton", lambda: False)
    found = card.run(size=1 << 20, rounds=1, device="cpu")
    names = [f"card {what} F={f}" for f in card.FEATURES for what in ("sums", "record", "epochs")]
    assert [r.case for r in found] == [*names, "card from host F=32"]
    for r in found[:-1]:
        assert set(r.against) == {card.READ, card.COPY}
        assert r.target == ({} if "record" in r.case else {card.READ: 0.8})
    assert set(found[-1].against) == {card.PINNED}


def test_the_bench_says_in_a_line_that_there_is_no_card(machine, capsys) -> None:
    from bench import card

    machine()
    assert card.run() == []
    assert capsys.readouterr().err == "card: skipped, no NVIDIA card on this machine\n"


def test_the_bench_needs_torch_numpy_pyarrow_and_triton_alone() -> None:
    run(f"{ALONE}\nimport bench.card, sys\nassert not GONE & set(sys.modules)")


def test_without_a_card_recorded_work_is_the_work_itself() -> None:
    ran = []
    replay = graph.replayed(lambda: ran.append(1), torch.device("cpu"))
    replay()
    assert len(ran) == 2  # once beforehand


def test_without_triton_an_epoch_goes_by_torch(monkeypatch) -> None:
    monkeypatch.setattr(descent, "has_triton", lambda: False)
    shape = descent.Shape(10, 2, 1, 5, 0, False, False, False, torch.float32, torch.device("cpu"))
    assert not descent.kernels(shape)


def test_a_leaf_is_as_long_as_its_rows_that_count() -> None:
    column = np.arange(5.0)
    assert len(feed.Leaf([column])) == 5
    assert len(feed.Leaf([column], np.array([0, 4], np.uint32))) == 2
    assert feed.Leaf([column], np.array([0, 4], np.uint32)).column(0).tolist() == [0.0, 4.0]
