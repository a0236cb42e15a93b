"""Which Prefect server is named, as Prefect itself sees it, and what is told where it is none or does not answer."""

import json
import os
import sys

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.orchestration.address import check_server, is_server_named
from linreg.errors import ServerAway, UserError
from tests.support.processes import environment, run

URL = "http://127.0.0.1:9/api"
PROFILE = f'active = "p"\n[profiles.p]\nPREFECT_API_URL = "{URL}"\n'
ASK = """
import json, sys
from flows.orchestration.address import is_server_named
named, loaded = is_server_named(), "prefect" in sys.modules
from prefect.settings import get_current_settings
print(json.dumps([named, loaded, bool(get_current_settings().api.url)]))
"""
NAMED, LOADED = True, True


@pytest.mark.parametrize(
    ("variables", "files", "named", "loaded"),
    [
        pytest.param({}, {}, not NAMED, not LOADED, marks=pytest.mark.long),
        ({"PREFECT_API_URL": ""}, {"pyproject.toml": "[tool.ruff]\n"}, not NAMED, not LOADED),
        pytest.param({"PREFECT_API_URL": URL}, {}, NAMED, not LOADED, marks=pytest.mark.long),
        ({}, {"home/.prefect/profiles.toml": PROFILE}, NAMED, LOADED),
        pytest.param({"PREFECT_HOME": "p"}, {"p/profiles.toml": PROFILE}, NAMED, LOADED, marks=pytest.mark.long),
        pytest.param({}, {".env": f"PREFECT_API_URL={URL}\n"}, NAMED, LOADED, marks=pytest.mark.long),
        pytest.param({}, {"prefect.toml": f'[api]\nurl = "{URL}"\n'}, NAMED, LOADED, marks=pytest.mark.long),
        pytest.param(
            {}, {"pyproject.toml": f'[tool.prefect.api]\nurl = "{URL}"\n'}, NAMED, LOADED, marks=pytest.mark.long
        ),
        pytest.param({}, {"prefect.toml": "[server]\n"}, not NAMED, LOADED, marks=pytest.mark.long),
    ],
)
def test_a_server_is_named_where_prefect_finds_one(tmp_path, variables, files, named, loaded):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    process = run(
        [sys.executable, "-c", ASK], env=environment(tmp_path / "home", **variables), cwd=tmp_path, check=True
    )
    assert json.loads(process.stdout) == [named, loaded, named]


@pytest.fixture
def at(monkeypatch):
    """Prefect's settings with that address, from the environment or from elsewhere."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)

    def check(url):
        with temporary_settings({PREFECT_API_URL: url}):
            check_server()

    return check


@pytest.mark.parametrize("url", ["hello", "ftp://host/api", "http://", "http://host:port/api", "http://[::1/api"])
def test_what_is_no_address_is_the_callers_error(monkeypatch, url):
    monkeypatch.setenv("PREFECT_API_URL", url)
    with pytest.raises(UserError, match=r"is no address of a Prefect server: .* or correct PREFECT_API_URL"):
        is_server_named()


def test_what_is_no_address_in_a_profile_is_the_callers_error_too(at):
    with pytest.raises(UserError, match=r"'hello' is no address .* `prefect config view"):
        at("hello")


def test_the_remedy_is_where_the_address_stands(at, monkeypatch):
    with pytest.raises(ServerAway, match=f"{URL} does not answer .*: start it, or .* `prefect config view"):
        at(URL)
    monkeypatch.setenv("PREFECT_API_URL", URL)
    with pytest.raises(ServerAway, match="start it, or correct PREFECT_API_URL"):
        at(URL)


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "nonsense://p", "http://host:port"])
def test_a_proxy_that_cannot_be_used_is_named(at, monkeypatch, proxy):
    monkeypatch.setenv("http_proxy", proxy)
    with pytest.raises(UserError, match="the proxy that http_proxy names"):
        at("http://prefect.example/api")
