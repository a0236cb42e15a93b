"""Which Prefect server is named, and whether it answers.

    is_server_named()             # in the environment, a profile or a file of settings
    change_settings({...})        # of this process, whether or not it has loaded them
    check_server()                # a sign of life, or the error that says what to do

Prefect's settings take a second to load: ``is_server_named`` loads them only where something hints at an address.
"""

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from linreg.errors import ServerAway, UserError


def is_server_named() -> bool:
    """Whether Prefect's settings name a server.

    Raises:
        UserError: the environment does, by what is no address; Prefect may not even be imported with it.
    """
    if url := os.environ.get("PREFECT_API_URL"):
        _check_address(url)
        return True
    if "prefect" not in sys.modules and not any(_holds(path, word) for path, word in _settings_files().items()):
        return False
    return bool(_api_url())


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
            f"the Prefect server {url} does not answer ({type(failure).__name__}): start it, or {_remedy()}"
        )


def _check_address(url: str) -> None:
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise UserError(
            f"{url!r} is no address of a Prefect server: write one such as http://127.0.0.1:4200/api, or {_remedy()}"
        )


def _remedy() -> str:
    if os.environ.get("PREFECT_API_URL"):
        return "correct PREFECT_API_URL"
    return "correct the address in Prefect's settings: `prefect config view --show-sources` says where it stands"
