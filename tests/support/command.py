"""The command line in this process: the status of a command and what it printed, its document, its error line."""

import json
import os
import signal
import tempfile
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from types import SimpleNamespace

import tomli_w

from flows.cli.main import main
from tests.support.flows import crops_table

RUN_KEYS = {"status", "decision", "reason", "run_id", "experiment", "flow_run_id", "model", "trainer", "device"}
RUN_KEYS |= {"epochs", "seconds", "metrics", "data"}


@contextmanager
def _redirected(number, redirect, file):
    """File descriptor ``number`` with its Python stream, sent to a file: what a shell's redirection does."""
    kept = os.dup(number)
    os.dup2(file.fileno(), number)
    stream = open(number, "w", closefd=False)  # noqa: SIM115 - stays open: Prefect's log goes on writing to it
    try:
        with redirect(stream):
            yield
    finally:
        stream.flush()
        os.dup2(kept, number)
        os.close(kept)


def linreg(*args):
    """Run a command; its status, stdout and stderr."""
    term = signal.getsignal(signal.SIGTERM)
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        with _redirected(1, redirect_stdout, out), _redirected(2, redirect_stderr, err):
            try:
                status = main([str(a) for a in args])
            finally:
                signal.signal(signal.SIGTERM, term)
        out.seek(0)
        err.seek(0)
        return SimpleNamespace(status=status, out=out.read(), err=err.read())


def strict_json(text):
    """The document that a text is; NaN and infinities are none of JSON's."""

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def document(*args):
    """The one strict JSON document that a command prints."""
    result = linreg(*args, "--json")
    assert result.status == 0, result.err
    return strict_json(result.out)


def error(*args, status=2):
    """The one line that a command gives for an error."""
    result = linreg(*args)
    assert (result.status, result.out) == (status, ""), result.err
    assert "Traceback" not in result.err
    (line,) = [x for x in result.err.splitlines() if x.startswith("error: ")]
    assert len(line) > len("error: ") + 10
    return line


def write_config(name="crops.toml", **sections):
    """A config on the tutorial's rows in the working directory; its name."""
    Path(name).write_text(tomli_w.dumps(crops_table(**sections)))
    return name
