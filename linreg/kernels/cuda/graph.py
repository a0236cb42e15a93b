"""Work on a card that is recorded once and replayed: no Python between its kernels."""

from collections.abc import Callable

import torch


def replayed(work: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """The work as a CUDA graph; on another device the work itself, so that tests can run it there.

    It is run once beforehand, since nothing may be compiled or loaded while it is recorded: what it changes has to be
    put in place afterwards.
    """
    if device.type != "cuda":
        work()
        return work
    aside, here = torch.cuda.Stream(device), torch.cuda.current_stream(device)
    aside.wait_stream(here)
    with torch.cuda.stream(aside):
        work()
    here.wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay
