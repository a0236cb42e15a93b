"""``python -m docs.build`` (or ``make notebook``): run ``docs/tutorial.py`` as a notebook and keep what it shows.

Writes ``docs/tutorial.ipynb``, output included, and ``docs/parabolas.png``, the picture in it. Execution times, kernel
versions and random cell ids are left out, so the same page on the same machine gives the same bytes. It needs the
``dev`` extra (jupytext, nbclient, ipykernel).
"""

import base64
import sys
import tempfile
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

HERE = Path(__file__).parent


def notebook() -> NotebookNode:
    """The page as a notebook, run from its first cell to its last in a fresh kernel.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell fails; the message holds its traceback.
    """
    page = jupytext.read(HERE / "tutorial.py")
    for number, cell in enumerate(page.cells):
        cell.id = f"cell-{number}"
    client = NotebookClient(page, kernel_name="python3", record_timing=False, coalesce_streams=True, timeout=300)
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


def main() -> None:
    """Write both files beside the page."""
    page = notebook()
    (HERE / "tutorial.ipynb").write_text(nbformat.writes(page) + "\n", encoding="utf-8")
    (HERE / "parabolas.png").write_bytes(first_picture(page))
    sys.stderr.write("wrote docs/tutorial.ipynb and docs/parabolas.png\n")


if __name__ == "__main__":
    main()
