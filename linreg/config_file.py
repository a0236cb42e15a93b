"""A config from TOML and ``--set``, and back to TOML.

Unknown keys and wrong types are errors that name the key, and the nearest known one. What the values must be is in
``config``; this file only turns text into those records.
"""

import tomllib
import types
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import tomli_w

from linreg.config import Config
from linreg.errors import UserError, nearest

_TABLES = ("gate", "drift")  # sections with limits that are a number or a table
_NAMES = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


def load(path: str | Path, settings: Iterable[str] = ()) -> Config:
    """Read a TOML config and apply ``a.b=v`` settings over it.

    Raises:
        UserError: the file is missing or not TOML, or a key or value is wrong; the line names the file and the key.

    >>> import linreg
    >>> linreg.load_config("configs/crops.toml", ["train.epochs=20"]).train.epochs
    20
    """
    try:
        raw = tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise UserError(f"config {path} does not exist: name a TOML file") from None
    except OSError as e:
        raise UserError(f"config {path} cannot be read ({e.strerror}): name a TOML file") from None
    except UnicodeDecodeError as e:
        raise UserError(f"config {path} is not UTF-8 text ({e.reason} at byte {e.start}): save it as UTF-8") from None
    except tomllib.TOMLDecodeError as e:
        raise UserError(f"config {path} is not TOML: {e}") from None
    except RecursionError:
        raise UserError(f"config {path} nests its brackets too deep: no key needs more than two") from None
    try:
        for setting in settings:
            _apply(raw, setting)
        return from_dict(raw)
    except UserError as e:
        raise UserError(f"config {path}: {e}") from None


def typed(key: str, value: Any = None) -> Any:
    """A value of the type that a dotted key has: of text read as ``--set`` reads it, of others checked.

    Args:
        value: None only asks whether there is such a key.

    Raises:
        UserError: there is no such key, with the nearest; or the value is not of its type.
    """
    wanted = _type_of(key.split("."))
    if value is None:
        return None
    return _value(_parse(value, wanted, key) if isinstance(value, str) else value, wanted, key)


def from_dict(raw: Mapping[str, Any]) -> Config:
    """Build the config from nested tables, as TOML gives them."""
    config: Config = _record(Config, raw, "")
    return config


def to_dict(config: Config) -> dict[str, Any]:
    """The config as nested plain tables, without what is None; ``from_dict`` takes it back."""

    def plain(value: Any) -> Any:
        if is_dataclass(value):
            table = {f.name: plain(getattr(value, f.name)) for f in fields(value)}
            return {k: v for k, v in table.items() if v is not None}
        return list(value) if isinstance(value, tuple) else value

    table: dict[str, Any] = plain(config)
    return table


def to_toml(config: Config) -> str:
    """The whole config as TOML, every default written out; ``load`` takes it back."""
    return tomli_w.dumps(to_dict(config))


def _apply(raw: dict[str, Any], setting: str) -> None:
    """Put one ``a.b=v`` into the nested tables; ``v`` is read by the type of key ``a.b``."""
    key, equals, text = setting.partition("=")
    path = key.strip().split(".")
    if not equals or not all(path):
        raise UserError(f"--set '{setting}' is not of the form section.key=value")
    wanted = _type_of(path)
    section = path[0]
    if section in _TABLES and isinstance(raw.get(section), dict):
        raw[section] = _join_quoted(raw[section])  # else a quoted limit of the file would win over the setting
    table = raw
    for i, part in enumerate(path[:-1]):
        inner = table.get(part, {})
        if not isinstance(inner, dict):  # a limit for all, joined by one of a target's or a measure's own
            inner = {"*": inner} if i else {}
        table[part] = inner
        table = inner
    if section in _TABLES and len(path) == 2 and isinstance(table.get(path[1]), dict):
        table, path = table[path[1]], [*path, "*"]
    table[path[-1]] = _parse(text.strip(), wanted, key)


def _type_of(path: list[str]) -> Any:
    """The annotated type of a dotted key; a target's or a measure's own limit is a number."""
    record: Any = Config
    for i, part in enumerate(path):
        hints = get_type_hints(record) if is_dataclass(record) else {}
        known = [f.name for f in fields(record)] if is_dataclass(record) else []
        if part not in known:
            dotted = ".".join(path[: i + 1])
            raise UserError(f"unknown key '{dotted}'{nearest(part, known)}")
        record = hints[part]
        if not is_dataclass(record) and i < len(path) - 1:
            if get_origin(record) is dict:
                path[i + 1 :] = [".".join(path[i + 1 :])]  # a column's name may hold dots
                return get_args(record)[1]
            if path[0] in _TABLES and dict in [get_origin(t) for t in get_args(record)]:
                path[i + 1 :] = [".".join(path[i + 1 :])]  # a target's name may hold dots
                return float
            raise UserError(f"unknown key '{'.'.join(path)}': '{'.'.join(path[: i + 1])}' holds no further keys")
    if is_dataclass(record):
        known = [f.name for f in fields(record)]
        raise UserError(f"'{'.'.join(path)}' is a section: set one of its keys ({', '.join(known)})")
    return record


def _parse(text: str, wanted: Any, key: str) -> Any:
    """Read a setting's text as TOML; plain words stand for themselves where a text, or a list of texts, is wanted."""
    try:
        value = tomllib.loads(f"v = {text}")["v"]
    except (tomllib.TOMLDecodeError, RecursionError):
        value = None
    is_text = wanted is str or get_origin(wanted) is Literal
    if is_text:
        return value if isinstance(value, str) else text
    if get_origin(wanted) is tuple and isinstance(value, str):
        return [value]
    if get_origin(wanted) is tuple and not isinstance(value, list):
        return [part.strip() for part in text.split(",") if part.strip()]
    if value is None and text in _words(wanted):
        return text
    if value is None:
        raise UserError(f"{key} must be {_describe(wanted)}, not '{text}'")
    return value


def _record(cls: type, raw: Mapping[str, Any], prefix: str) -> Any:
    if not isinstance(raw, Mapping):
        raise UserError(f"'{prefix.rstrip('.')}' must be a section, not {raw!r}")
    raw = _join_quoted(raw) if prefix.rstrip(".") in _TABLES else raw
    known = {f.name: f for f in fields(cls)}
    hints = get_type_hints(cls)
    for name in raw:
        if name not in known:
            raise UserError(f"unknown key '{prefix}{name}'{nearest(name, known)}")
    for name, f in known.items():
        if f.default is MISSING and f.default_factory is MISSING and name not in raw:
            raise UserError(f"key '{prefix}{name}' is required and missing")
    return cls(**{name: _value(value, hints[name], f"{prefix}{name}") for name, value in raw.items()})


def _join_quoted(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Take ``"max_rmse.apples" = 3`` beside ``max_rmse = 5`` as one table of limits."""
    out: dict[str, Any] = {k: v for k, v in raw.items() if "." not in k}
    for name, value in raw.items():
        limit, dot, target = name.partition(".")
        if dot:
            both = out.get(limit, {})
            out[limit] = {**(both if isinstance(both, dict) else {"*": both}), target: value}
    return out


def _value(value: Any, wanted: Any, key: str) -> Any:
    """Check a TOML value against an annotation, and give it the annotated type."""
    if is_dataclass(wanted):
        return _record(wanted, value, f"{key}.")  # type: ignore[arg-type]
    origin, args = get_origin(wanted), get_args(wanted)
    if origin in (Union, types.UnionType):
        if isinstance(value, dict) and any(get_origin(t) is dict for t in args):
            return {str(k): _value(v, float, f"{key}.{k}") for k, v in value.items()}
        if value in _words(wanted):
            return value
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise UserError(f"{key} must be {_describe(wanted)}, not {value!r}")
        return _value(value, float, key)
    if origin is dict:
        if not isinstance(value, Mapping):
            raise UserError(f"{key} must be a table, with a list of texts for each column, not {value!r}")
        return {str(k): _value(v, args[1], f"{key}.{k}") for k, v in value.items()}
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise UserError(f"{key} must be a list of texts, not {value!r}")
        return tuple(_value(v, args[0], key) for v in value)
    if origin is Literal:
        wanted = str
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return _float(value, key)
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
        raise UserError(f"{key} must be {_describe(wanted)}, not {value!r}")
    return value


def _float(value: int, key: str) -> float:
    try:
        return float(value)
    except OverflowError:
        raise UserError(f"{key} must be a number that float64 holds, not one of {len(str(value))} digits") from None


def _words(wanted: Any) -> tuple[Any, ...]:
    """The words that stand beside a number in an annotation: ``auto``."""
    return tuple(word for t in get_args(wanted) if get_origin(t) is Literal for word in get_args(t))


def _describe(wanted: Any) -> str:
    if get_origin(wanted) is tuple:
        return "a list of texts"
    if get_origin(wanted) is dict:
        return "a table, with a list of texts for each column"
    if words := _words(wanted):
        return " or ".join(["a number", *(f'"{word}"' for word in words)])
    return _NAMES.get(wanted, "a number")
