"""``python -m docs.build`` (or ``make notebook``): run ``docs/tutorial.py`` as a notebook and keep what it shows.

Writes ``docs/tutorial.ipynb``, output included, and ``docs/parabolas.png``, the picture in it. Execution times, kernel
versions and random cell ids are left out, so the same page on the same machine gives the same bytes. It needs the
``dev`` extra (jupytext, nbclient, ipykernel). The other pictures are drawn too: ``two-runs.png``, the losses of the
README's first two runs, and ``ridge-path.png``, by the example in ``docs/validation.md`` that shows it.
"""

import base64
import contextlib
import io
import re
import sys
import tempfile
from pathlib import Path

import jupytext
import nbformat
import numpy as np
from matplotlib.image import imread, imsave
from nbclient import NotebookClient
from nbformat import NotebookNode

from linreg import config_file, plots
from linreg.ingest.dataset import read_dataset
from linreg.training.fit import fit

HERE = Path(__file__).parent
ADVISED = ("train.standardize=true", "train.learning_rate=0.88")  # by the first run of the README


def notebook() -> NotebookNode:
    """The page as a notebook, run from its first cell to its last in a fresh kernel.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell fails; the message holds its traceback.
    """
    page = jupytext.read(HERE / "tutorial.py")
    for number, cell in enumerate(page.cells):
        cell.id = f"cell-{number}"
    client = NotebookClient(
        page, kernel_name="python3", record_timing=False, coalesce_streams=True, timeout=600, startup_timeout=600
    )
    with tempfile.TemporaryDirectory() as sockets:  # files instead of ports: nobody else can reach the kernel
        kernel = client.create_kernel_manager()
        kernel.transport, kernel.ip = "ipc", f"{sockets}/kernel"
        client.execute(cwd=str(HERE))
    page.metadata = {"kernelspec": page.metadata["kernelspec"], "language_info": {"name": "python"}}
    return page


def first_picture(page: NotebookNode) -> bytes:
    """The first PNG among the outputs."""
    outputs = (output for cell in page.cells for output in cell.get("outputs", ()))
    return base64.b64decode(next(o.data["image/png"] for o in outputs if "image/png" in o.get("data", {})))


def two_runs() -> bytes:
    """The loss pictures of the README's first run and of the one that it advises, side by side, as a PNG file."""
    out = io.BytesIO()
    imsave(out, np.hstack([imread(io.BytesIO(_loss_picture(settings))) for settings in ((), ADVISED)]))
    return out.getvalue()


def _loss_picture(settings: tuple[str, ...]) -> bytes:
    path = f"data.path={HERE.parent / 'data' / 'crops-15.csv'}"
    config = config_file.load(HERE.parent / "configs" / "crops.toml", [path, *settings])
    fitted = fit(read_dataset(config.data).train, config.train)
    return plots.png(plots.loss_curve(fitted.train_loss, fitted.objective.optimum_loss))


def ridge_path() -> None:
    """Run the example of ``docs/validation.md``, which writes its picture into the folder where it runs."""
    (example,) = re.findall(r"```python\n(.*?)```", (HERE / "validation.md").read_text(encoding="utf-8"), re.S)
    with contextlib.chdir(HERE), contextlib.redirect_stdout(io.StringIO()):
        exec(example, {})


def main() -> None:
    """Write all of them beside the page."""
    page = notebook()
    (HERE / "tutorial.ipynb").write_text(nbformat.writes(page) + "\n", encoding="utf-8")
    (HERE / "parabolas.png").write_bytes(first_picture(page))
    (HERE / "two-runs.png").write_bytes(two_runs())
    ridge_path()
    sys.stderr.write("wrote docs/tutorial.ipynb and docs/*.png\n")


if __name__ == "__main__":
    main()
