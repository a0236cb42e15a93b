"""``linreg predict``: score files of any size with a registered version, with intervals where they are asked for."""

import argparse
import sys
from pathlib import Path

from flows.cli.pages.columns import flowing
from flows.cli.pages.predict import preview
from flows.cli.pages.show import NOT_KEPT
from flows.progress import rows_progress
from flows.tracking import registry
from flows.tracking.registry import Version
from flows.tracking.stores.store import Store, open_store
from linreg.errors import UserError
from linreg.evaluation.score_files import score
from linreg.files.writer import check_output
from linreg.least_squares.inference import HalfWidths
from linreg.model import LinearModel


def predict(args: argparse.Namespace) -> tuple[object, str]:
    """Write the input's features and a column ``predicted_TARGET`` for each target, with its interval if asked for."""
    output = Path(args.output)
    check_output(output)
    store = open_store(create=False)
    version = registry.lookup(store, args.ref)
    model, half_widths = _loaded(store, version, args)
    with rows_progress(_say) as watch:
        options = {"half_widths": half_widths, "strict": args.strict, "raw_files": args.raw_files}
        scored = score(model, args.input, output, **options, watch=watch, tell=_say)
    document = {
        "model": {"name": version.name, "version": version.version},
        "input": args.input,
        "output": args.output,
        "rows": scored.rows,
        **({"null": scored.nulls} if scored.nulls else {}),
    }
    line = f"{scored.rows:,} rows scored with {version.ref}: {args.output}"
    line += f", with {_level(args):.0%} {args.interval} intervals" if half_widths else ""
    lines = [flowing(line, first="")]
    if scored.nulls:
        value = "a value, or the formula has none for it," if model.design and model.design.computed else "a value"
        have = f"row lacks {value} and has" if scored.nulls == 1 else f"rows lack {value} and have"
        lines.append(flowing(f"{scored.nulls:,} {have} no prediction; --strict makes that an error", first=""))
    texts = (*model.design.categories, *model.design.dates) if model.design else ()
    shown = preview(output, model.inputs, model.targets, scored.rows, texts=texts)
    return document, "\n".join([*lines, *shown])


def _loaded(store: Store, version: Version, args: argparse.Namespace) -> tuple[LinearModel, HalfWidths | None]:
    """The model, and what its intervals need where they are asked for; a version that allows none is refused."""
    if args.interval is None:
        if args.level is not None:
            raise UserError("--level is of the intervals: add --interval prediction or --interval confidence")
        return registry.load(store, version), None
    level = _level(args)
    if not 0 < level < 1:
        raise UserError(f"--level {level:g} is no level: give a number between 0 and 1, such as 0.95")
    contents = registry.contents(store, version)
    if contents.inference is None or contents.moments is None:
        raise UserError(f"{version.ref}: no intervals: {NOT_KEPT}")
    if not contents.inference.valid:
        raise UserError(f"{version.ref}: no intervals: {contents.inference.inference}")
    return contents.model, HalfWidths.of(contents.model, contents.moments, kind=args.interval, level=level)


def _level(args: argparse.Namespace) -> float:
    return 0.95 if args.level is None else float(args.level)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
