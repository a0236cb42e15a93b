"""Which Prefect server is named, and whether it answers.

    is_server_named()             # in the environment, a profile or a file of settings
    change_settings({...})        # of this process, whether or not it has loaded them
    check_server()                # a sign of life, or the error that says what to do

Prefect's settings take a second to load: ``is_server_named`` loads them only where something hints at an address.
"""

import os
import re
import shlex
import sys
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from linreg.errors import ServerAway, UserError


def is_server_named() -> bool:
    """Whether Prefect's settings name a server.

    Raises:
        UserError: the environment does, by what is no address, or a file of settings cannot be read; Prefect may not
            even be imported with it.
    """
    if url := os.environ.get("PREFECT_API_URL"):
        _check_address(url)
        return True
    check_files()
    if "prefect" not in sys.modules and not any(_holds(path, word) for path, word in _settings_files().items()):
        return False
    return bool(_api_url())


def check_files() -> None:
    """Refuse a file of Prefect's settings that is not TOML: Prefect cannot even be imported with it.

    Raises:
        UserError: naming the file.
    """
    for path in _settings_files():
        try:
            if path.suffix == ".toml" and path.is_file():
                tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError:
            continue
        except ValueError as e:
            raise UserError(f"Prefect reads its settings from {path}, which is not TOML ({e}): correct the file") from e


def _settings_files() -> dict[Path, str]:
    """Where Prefect looks beside the environment, and a word without which a file cannot lead to an address."""
    profiles = Path(os.environ.get("PREFECT_PROFILES_PATH") or prefect_home() / "profiles.toml").expanduser()
    words = {".env": "prefect", "prefect.toml": "", "pyproject.toml": "tool.prefect"}
    return {Path(name): word for name, word in words.items()} | {profiles: "api_url"}


def prefect_home() -> Path:
    """Prefect's folder, unless a file of settings names another one."""
    return Path(os.environ.get("PREFECT_HOME") or "~/.prefect").expanduser()


def _holds(path: Path, word: str) -> bool:
    with suppress(OSError):
        return word in path.read_text(encoding="utf-8", errors="replace").lower()
    return False


def _api_url() -> str | None:
    from prefect.settings import get_current_settings

    return get_current_settings().api.url


def change_settings(variables: Mapping[str, str | None]) -> None:
    """Set variables of the environment, or remove those that are None, and have Prefect look there again."""
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    if "prefect.context" in sys.modules:
        from prefect.context import refresh_global_settings_context

        refresh_global_settings_context()


def check_server() -> None:
    """Ask the Prefect server that is named, if any, for a sign of life.

    Raises:
        ServerAway: it does not answer.
        UserError: its address, or that of a proxy, cannot be one.
    """
    import httpx
    from prefect.client.orchestration import get_client

    url = _api_url()
    if not url:
        return
    _check_address(url)
    try:
        with get_client(sync_client=True) as client:
            failure = client.api_healthcheck()
    except (httpx.HTTPError, OSError) as e:
        failure = e
    except (ImportError, ValueError, httpx.InvalidURL) as e:  # a proxy of a kind that httpx cannot use, or no address
        names = ", ".join(sorted(name for name in os.environ if name.lower().endswith("_proxy") and os.environ[name]))
        raise UserError(f"Prefect cannot use the proxy that {names} names ({e}): correct or unset it") from e
    if failure is not None:
        raise ServerAway(
            f"the Prefect server {_without_login(url)} does not answer ({type(failure).__name__}): start it, "
            f"or {_remedy()}"
        )


def _check_address(url: str) -> None:
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise UserError(
            f"'{_without_login(url)}' is no address of a Prefect server: write one such as "
            f"http://127.0.0.1:4200/api, or {_remedy()}"
        )


def _without_login(url: str) -> str:
    return re.sub(r"(?<=//).*@", "***@", url)


def _remedy() -> str:
    """What corrects the address where it stands: Prefect takes the first of these places."""
    if os.environ.get("PREFECT_API_URL"):
        return "correct or unset PREFECT_API_URL"
    if _dotenv_names_address():
        return f"correct or remove the line PREFECT_API_URL of {Path('.env').absolute()}"
    for name, keys in (("prefect.toml", ("api", "url")), ("pyproject.toml", ("tool", "prefect", "api", "url"))):
        if _toml_value(Path(name), keys):
            return f"correct or remove url in [{'.'.join(keys[:-1])}] of {Path(name).absolute()}"
    return _profile_remedy()


def _dotenv_names_address() -> bool:
    with suppress(OSError):
        text = Path(".env").read_text(encoding="utf-8", errors="replace")
        return bool(re.search(r"^\s*(export\s+)?PREFECT_API_URL\s*=\s*\S", text, re.M | re.I))
    return False


def _toml_value(path: Path, keys: Sequence[str]) -> object:
    with suppress(OSError, ValueError, TypeError, KeyError):
        value: Any = tomllib.loads(path.read_text(encoding="utf-8"))
        for key in keys:
            value = value[key]
        return value
    return None


def _profile_remedy() -> str:
    """Of the profile in use, by its name and file; where it names no address, how to find who does."""
    from prefect.context import get_settings_context
    from prefect.settings import get_current_settings

    profile = get_settings_context().profile
    if not any(setting.name == "PREFECT_API_URL" for setting in profile.settings):
        return "correct the address in Prefect's settings: `prefect config view --show-sources` says where it stands"
    chosen = ", which PREFECT_PROFILE chooses," if os.environ.get("PREFECT_PROFILE") else ""
    command = f"prefect --profile {shlex.quote(profile.name)} config"
    return (
        f"correct the address of the profile '{profile.name}'{chosen} in {get_current_settings().profiles_path}: "
        f"`{command} set PREFECT_API_URL=http://HOST:PORT/api`, or `{command} unset PREFECT_API_URL`"
    )
