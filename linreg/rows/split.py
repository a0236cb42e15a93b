"""Which row trains, validates or tests, and its fold: decided by its key and the seed, never by what else is there.

The key is the text of the columns in ``data.key``, else the partition's name (extension aside) and the row's number
in it. So added files, appended rows and other features move no row, and CSV and Parquet of one name agree.
It reads no file. Salts are apart, so the validation share never moves a test row, and a fold hangs on neither.

The generator is splitmix64 (Steele, Lea, Flood, OOPSLA 2014): integers only, the same on every machine.
"""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from linreg.errors import UserError
from linreg.rows.splitmix import GOLDEN, mix
from linreg.threads import in_threads

TRAIN, VALIDATION, TEST = 0, 1, 2
_PIECE = 1 << 15
_PACKED = r"\.(gz|bz2|zst)$"
_U64 = npt.NDArray[np.uint64]

# What different writers make of one value: 5.0 and 5, True and true, T and space, +00:00 and Z, midnight or none.
_DECIMAL = r"^[+-]?(\d+\.\d*|\.\d+|\d+[eE][+-]?\d+|\d+\.\d*[eE][+-]?\d+|\.\d+[eE][+-]?\d+)$"
_WORDS = {r"^(?:True|TRUE)$": "true", r"^(?:False|FALSE)$": "false", r"^[+-]?(?:nan|NaN|NAN)$": ""}
_TIME = r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}"
_TIMES = {
    r"^(.{10})T": r"\1 ",
    r"([+-]\d{2}):(\d{2})$": r"\1\2",
    r"[+-]0000$": "Z",
    r"(\.\d*?)0+(Z|[+-]\d{4})?$": r"\1\2",
    r"\.(Z|[+-]\d{4})?$": r"\1",
    r" 00:00:00$": "",
}


def roles(
    name: str,
    rows: int,
    keys: Sequence[pa.ChunkedArray] = (),
    *,
    test_fraction: float,
    validation_fraction: float = 0.0,
    seed: int = 0,
    start: int = 0,
) -> npt.NDArray[np.int8]:
    """The role of each row of one partition, or of some rows one after the other.

    Args:
        name: the partition's name.
        rows: N, how many rows there are.
        keys: the key columns, N long each; none: partition and row number.
        test_fraction: expected share of test rows.
        validation_fraction: expected share of validation rows among the others.
        start: the number of the first of these rows in the partition.

    Returns:
        int8 of shape (N,): ``TRAIN`` 0, ``VALIDATION`` 1, ``TEST`` 2.

    Raises:
        UserError: a key column's type cannot identify a row.
    """
    role_N = np.full(rows, TRAIN, np.int8)
    for role, salt, fraction in ((VALIDATION, "validation", validation_fraction), (TEST, "test", test_fraction)):
        if fraction > 0:
            role_N[unit_hash(name, rows, keys, seed=seed, salt=salt, start=start) < fraction] = role
    return role_N


def folds(
    name: str, rows: int, keys: Sequence[pa.ChunkedArray] = (), *, count: int, seed: int = 0, start: int = 0
) -> npt.NDArray[np.int16]:
    """The fold of each row of one partition, or of some rows, for k-fold validation; rows of one key share theirs.

    Args:
        name: the partition's name.
        rows: N, how many rows it has.
        keys: the key columns, N long each; none: partition and row number.
        count: K, how many folds there are.
        seed: of the folds; ``data.split_seed`` for a run.
        start: as for ``roles``.

    Returns:
        int16 of shape (N,), each in ``range(count)``.

    Raises:
        UserError: a key column's type cannot identify a row, or the count is not in 2 to 32767.
    """
    if not 2 <= count <= np.iinfo(np.int16).max:
        raise UserError(f"{count} folds are not possible: ask for 2 to {np.iinfo(np.int16).max}")
    # the largest hash, 1 - 2^-53, times the count is rounded to just below the count: no row falls past the last fold
    return (unit_hash(name, rows, keys, seed=seed, salt="fold", start=start) * count).astype(np.int16)


def unit_hash(
    name: str, rows: int, keys: Sequence[pa.ChunkedArray] = (), *, seed: int, salt: str, start: int = 0
) -> npt.NDArray[np.float64]:
    """A number in [0, 1) for each row, uniform over rows and independent between salts and seeds.

    Returns:
        float64 of shape (N,), from the upper 53 bits of a 64-bit hash.
    """
    where = "" if keys else PurePosixPath(re.sub(_PACKED, "", name)).with_suffix("").as_posix()
    text = f"{seed}\0{salt}\0{where}".encode("utf-8", "surrogateescape")
    state = np.uint64(xxhash.xxh3_64_intdigest(text))
    hashed = _hash_keys(state, rows, keys) if keys else _hash_numbers(state, rows, start)
    return np.asarray((hashed >> np.uint64(11)) * 2.0**-53, np.float64)


def key_text(column: pa.ChunkedArray) -> pa.LargeStringArray:
    """The text that stands for each key value: the same for a value from CSV and from Parquet; null is empty.

    Raises:
        UserError: the type has no text (lists, structs, raw bytes).
    """
    if pa.types.is_dictionary(column.type):
        column = pc.cast(column, column.type.value_type)
    if pa.types.is_floating(column.type):
        return _plain(_float_text(pc.cast(column, pa.float64())))
    try:
        text = pc.utf8_trim_whitespace(pc.cast(column, pa.large_string()))
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid) as e:
        raise UserError(f"a column of type {column.type} cannot be in data.key: take numbers, text or dates") from e
    exact = pa.types.is_integer(column.type) or pa.types.is_date(column.type) or pa.types.is_boolean(column.type)
    return _plain(text if exact else _agreed(text))


def _agreed(text: pa.ChunkedArray) -> pa.ChunkedArray:
    """One spelling where writers differ."""
    for pattern, plain in _WORDS.items():
        text = pc.replace_substring_regex(text, pattern, plain)
    decimal = pc.match_substring_regex(text, _DECIMAL)
    if pc.any(decimal).as_py():
        values = pc.cast(pc.if_else(decimal, pc.utf8_ltrim(text, "+"), None), pa.float64())
        text = pc.if_else(decimal, _float_text(values), text)
    if pc.any(pc.match_substring_regex(text, _TIME)).as_py():
        for pattern, plain in _TIMES.items():
            text = pc.replace_substring_regex(text, pattern, plain)
    return text


def _float_text(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Whole numbers as integers, the others in their shortest form, NaN as null."""
    values = pc.if_else(pc.is_nan(values), None, values)
    is_integer = pc.and_(pc.equal(values, pc.trunc(values)), pc.less(pc.abs(values), 2.0**53))
    integers = pc.cast(pc.cast(pc.if_else(is_integer, values, None), pa.int64()), pa.large_string())
    return pc.if_else(is_integer, integers, pc.cast(values, pa.large_string()))


def _plain(text: pa.ChunkedArray) -> pa.LargeStringArray:
    filled = pc.fill_null(text, "")
    return filled.combine_chunks() if isinstance(filled, pa.ChunkedArray) else filled


def _hash_numbers(state: np.uint64, rows: int, start: int) -> _U64:
    """Mix the row numbers, a piece that fits the processor's cache at a time."""
    hashed = np.empty(rows, np.uint64)

    def fill(first: int) -> None:
        numbers = np.arange(start + first + 1, start + min(first + _PIECE, rows) + 1, dtype=np.uint64)
        hashed[first : first + _PIECE] = mix(state + numbers * GOLDEN)

    in_threads(fill, range(0, rows, _PIECE), threads=1 if rows <= 4 * _PIECE else 0)
    return hashed


def _hash_keys(state: np.uint64, rows: int, keys: Sequence[pa.ChunkedArray]) -> _U64:
    hashed = np.full(rows, state)
    for column in keys:
        hashed = _hash_text(hashed, key_text(column))
    return hashed


def _hash_text(state: _U64, text: pa.LargeStringArray) -> _U64:
    """Mix each text into its row's state, eight bytes of all rows at a time."""
    offsets, words = _buffers(text)
    begin, length = offsets[:-1], np.diff(offsets)
    state = mix(state + (length.astype(np.uint64) + np.uint64(1)) * GOLDEN)
    for position in range(0, int(length.max(initial=0)), 8):
        live = np.flatnonzero(length > position)
        surplus = np.maximum(8 - (length[live] - position), 0).astype(np.uint64) * np.uint64(8)
        word = (words[begin[live] + position] << surplus) >> surplus
        state[live] = mix((state[live] ^ word) + GOLDEN)
    return state


def _buffers(text: pa.LargeStringArray) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64]]:
    """Offsets, and a view of the bytes in which element i is the eight bytes from i on."""
    _, offsets, data = text.buffers()
    count = len(text) + 1
    ends = np.frombuffer(offsets, np.int64)[text.offset : text.offset + count]
    padded = (data.to_pybytes() if data else b"") + b"\0" * 8
    words = np.ndarray((len(padded) - 7,), np.dtype("<u8"), buffer=padded, strides=(1,))
    return ends, words
