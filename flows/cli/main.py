"""The ``linreg`` command: arguments, exit statuses, and the one line that an error is.

Exit status: 0 done; 1 a fault of ours, or a server that does not answer; 2 the caller's input is wrong; 130 stopped by
the user. Logs and progress go to stderr; stdout holds a command's result and nothing else. Each group of commands is
one file beside this one, imported only when it is called, so that look-ups load no prefect.
"""

import argparse
import atexit
import gc
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NoReturn

from flows import interrupts
from flows.cli.pages.columns import plain
from linreg.errors import ServerAway, UserError

Result = tuple[Any, str]  # what --json prints, and what people read
_LOOKUPS = ("lookups", "diff", "promote", "predict")  # files of commands that log no model


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors look like every other error here."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see {self.prog} --help")


def _config_command(commands: Any, name: str, about: str, module: str) -> argparse.ArgumentParser:
    parser = _command(commands, name, about, module)
    parser.add_argument("config", metavar="CONFIG", help="a TOML config, such as configs/crops.toml")
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        dest="settings",
        action="append",
        default=[],
        help="override a key of the config, as in --set train.epochs=200; again for more",
    )
    return parser


def _verified(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--verify",
        dest="settings",
        action="append_const",
        const="engine.verify=true",
        help="hash every file again, also those that look unchanged",
    )


def _command(commands: Any, name: str, about: str, module: str, *, as_json: bool = True) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=about, description=about)
    if as_json:
        parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    parser.set_defaults(module=module, function=name)
    return parser


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="linreg",
        description="Linear regression by gradient descent, as a tracked, gated, scheduled pipeline.",
        epilog="The store is ./mlruns, or the server that MLFLOW_TRACKING_URI names.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)
    _init(commands)
    _verified(_config_command(commands, "run", "train, judge and register once", "run"))
    _config_command(commands, "plan", "what the eigenvalues say before the first epoch", "plan")
    sweep = _config_command(commands, "sweep", "many models in one reading of the data, the best registered", "sweep")
    _verified(sweep)
    sweep.add_argument(
        "--grid",
        metavar="KEY=V1,V2",
        action="append",
        required=True,
        help="a [train] key and its values, as in --grid train.learning_rate=0.1,0.2; again for their product",
    )
    runs = _command(commands, "runs", "runs side by side", "lookups")
    runs.add_argument("experiment", metavar="EXPERIMENT", nargs="?", help="of one experiment; none: of all")
    models = _command(commands, "models", "registered versions, newest first, and the record of promotions", "lookups")
    models.add_argument("name", metavar="NAME", nargs="?", help="of one model; none: of all")
    models.add_argument(
        "--rescore", action="store_true", help="each version on the test rows of the newest, from their record alone"
    )
    show = _command(commands, "show", "a version's coefficients in the data's own units, and its lineage", "lookups")
    show.add_argument("ref", metavar="REF", help="NAME (its champion), NAME@ALIAS or NAME/VERSION")
    diff = _command(commands, "diff", "what moved between two versions, and why", "diff")
    for name in ("before", "after"):
        diff.add_argument(name, metavar="REF", help="NAME (its champion), NAME@ALIAS or NAME/VERSION")
    _predict(commands)
    promote = _command(commands, "promote", "make a version the champion, on the record", "promote")
    promote.add_argument("ref", metavar="NAME/VERSION")
    promote.add_argument("--why", metavar="TEXT", default="promoted by hand", help="kept in the record")
    rollback = _command(commands, "rollback", "go back to the champion before this one, on the record", "promote")
    rollback.add_argument("name", metavar="NAME")
    rollback.add_argument("--why", metavar="TEXT", default="rolled back by hand", help="kept in the record")
    _serve(commands)
    ui = _command(commands, "ui", "MLflow's UI and Prefect's, on this machine's loopback", "ui", as_json=False)
    ui.add_argument("--port", type=int, default=5000, help="of MLflow's UI (%(default)s)")
    ui.add_argument("--prefect-port", type=int, default=4200, help="of Prefect's UI (%(default)s)")
    ui.add_argument("--no-prefect", action="store_true", help="MLflow's UI alone")
    return parser


def _init(commands: Any) -> None:
    init = _command(commands, "init", "look at a table and write a commented config that runs", "init")
    init.add_argument("data", metavar="DATA", help="a file, a glob, a folder or a URI: CSV or Parquet")
    init.add_argument(
        "--target",
        metavar="NAME",
        dest="targets",
        nargs="+",
        action="extend",
        default=[],
        help="the column to predict; several, or again, for more",
    )
    init.add_argument("-o", "--output", metavar="CONFIG", help="the config to write; none: named after the data, here")
    _raw_files(init)


def _raw_files(command: Any) -> None:
    command.add_argument(
        "--raw-files", action="store_true", help="read the files of a Delta, Iceberg or Hudi table as they lie"
    )


def _predict(commands: Any) -> None:
    predict = _command(commands, "predict", "score CSV or Parquet files of any size", "predict")
    predict.add_argument("ref", metavar="REF", help="NAME (its champion), NAME@ALIAS or NAME/VERSION")
    predict.add_argument("input", metavar="INPUT", help="a file, a glob, a folder or a URI, with the model's features")
    predict.add_argument(
        "-o",
        "--output",
        metavar="OUTPUT",
        required=True,
        help="the inputs, then predicted_TARGET, the rows in their order; written whole, or not at all",
    )
    predict.add_argument(
        "--interval",
        choices=("prediction", "confidence"),
        help="add low_TARGET and high_TARGET: of a new observation, or of the mean of such rows",
    )
    _raw_files(predict)
    predict.add_argument("--level", type=float, help="of the intervals (0.95)")
    predict.add_argument("--strict", action="store_true", help="a missing value is an error, and not a null prediction")


def _serve(commands: Any) -> None:
    serve = _config_command(commands, "serve", "run on a schedule, until stopped", "serve")
    _verified(serve)
    when = serve.add_mutually_exclusive_group(required=True)
    when.add_argument("--cron", metavar="EXPRESSION", help='such as "0 6 * * *": every day at six')
    when.add_argument("--interval", metavar="SECONDS", type=float, help="seconds from one start to the next")
    serve.add_argument("--timezone", metavar="ZONE", default="UTC", help="of the cron expression (%(default)s)")
    serve.add_argument("--name", default="scheduled", help="of the deployment (%(default)s)")


def _collect_rarely() -> None:
    """Look for garbage a seventieth as often: what a command loads is thousands of modules, which stay."""
    gc.set_threshold(50_000)
    atexit.register(gc.freeze)  # nor when the process ends


def _call(args: argparse.Namespace) -> int:
    function: Callable[[argparse.Namespace], Result | None]
    as_json = getattr(args, "json", False)
    with _stdout_apart() as out:
        function = getattr(import_module(f"flows.cli.{args.module}"), args.function)
        result = function(args)
        if result is not None:
            document, text = result
            out.write(json.dumps(document, allow_nan=False, ensure_ascii=False) if as_json else text)
            out.write("\n")
    return 0


@contextmanager
def _stdout_apart() -> Iterator[Any]:
    """Send what anything prints meanwhile to stderr, and give the real stdout.

    A process that is started meanwhile inherits file descriptor 1 and must not hold the caller's pipe open.
    """
    sys.stdout.flush()
    real = os.dup(1)  # not inherited by children
    if os.isatty(real):
        os.environ.setdefault("COLUMNS", str(os.get_terminal_size(real).columns))  # for the pages
    os.dup2(2, 1)
    try:
        with os.fdopen(os.dup(real), "w", encoding="utf-8") as out:
            yield out
    finally:
        sys.stdout.flush()
        os.dup2(real, 1)
        os.close(real)


def _say(error: BaseException) -> None:
    sys.stderr.write(f"error: {plain(' '.join(str(error).split()))}\n")
    for line in getattr(error, "details", ()):
        sys.stderr.write(f"  {plain(line)}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; without ``argv``, the one that this process was started for."""
    interrupts.listen()
    try:
        args = _parser().parse_args(argv)
        if argv is None:
            _collect_rarely()
            if args.module in _LOOKUPS:  # what they have no use for takes two of three seconds to import
                import_module("flows.tracking.stores.mlflow_internals").import_without_data()
        return _call(args)
    except UserError as e:
        _say(e)
        return 2
    except ServerAway as e:
        _say(e)
        return 1
    except KeyboardInterrupt:
        return _stopped()
    except BrokenPipeError:  # the reader went away: `linreg models | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except Exception as e:  # noqa: BLE001 - the last resort: a fault of ours is told as one, with all that helps
        if interrupts.stop_requested():  # what a library made of being interrupted
            return _stopped()
        traceback.print_exc()
        _say(RuntimeError(f"a fault in linreg, {type(e).__name__}: {e}; please report it with the lines above"))
        return 1


def _stopped() -> int:
    sys.stderr.write("stopped\n")
    return 130


if __name__ == "__main__":
    sys.exit(main())
