"""The benchmark's case of GPUs: it runs on the CPU as it would on one, and says so where there is none."""

from bench import gpu
from bench.__main__ import CASES


def test_all_contenders_run_here_on_the_cpu():
    results = gpu.run(size=1 << 20, rounds=1, device="cpu")
    assert [r.case for r in results] == [f"gpu {what} F={f}" for f in gpu.FEATURES for what in ("record", "epoch")]
    for result in results:
        assert set(result.against) == {gpu.READ, gpu.COPY, gpu.PINNED}
        assert result.unit == "GB/s"
        assert result.target == {}


def test_that_there_is_no_gpu_is_said_in_a_line(machine, capsys):
    machine()
    assert CASES["gpu"]() == []
    assert capsys.readouterr().err == "gpu: skipped, no NVIDIA GPU on this machine\n"
