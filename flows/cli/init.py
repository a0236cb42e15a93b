"""``linreg init``: a look at a table, and a commented config that runs as it stands."""

import argparse
import sys
import tomllib
from dataclasses import asdict
from pathlib import Path

from flows.cli.pages.init import listing, page
from linreg import config_file
from linreg.errors import UserError
from linreg.files.paths import label
from linreg.files.sample import sample
from linreg.profile.commented import commented, looked_at, model_name
from linreg.profile.proposal import look, propose


def init(args: argparse.Namespace) -> tuple[object, str]:
    """Write the config, never over a file that is there."""
    output = Path(args.output or f"{model_name(args.data)}.toml")
    rows = sample(args.data, raw_files=args.raw_files, tell=_say)
    if not args.targets:
        what = "name the column that is to be predicted: --target NAME"
        raise UserError(f"{label(args.data)}: {what}", details=listing(look(rows)))
    _check_free(output)
    proposal = propose(rows, args.targets)
    text = commented(proposal, rows, args.data, raw_files=args.raw_files)
    document = tomllib.loads(text)
    config_file.from_dict(document)  # it runs as it stands
    _write(output, text)
    roles = [asdict(column) for column in proposal.columns]
    return {"config": document, "columns": roles}, page(proposal, looked_at(rows), output)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _check_free(output: Path) -> None:
    if output.exists() or output.is_symlink():
        raise UserError(
            f"{output} is there already, and is not overwritten: name another file with -o, or move it away"
        )


def _write(output: Path, text: str) -> None:
    try:
        with output.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        _check_free(output)
        raise
    except OSError as e:
        raise UserError(f"config {output} cannot be written ({e.strerror}): choose another place with -o") from e
