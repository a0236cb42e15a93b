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
        pytest.param({}, {"home/.prefect/profiles.toml": PROFILE}, NAMED, LOADED, marks=pytest.mark.long),
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
    with pytest.raises(UserError, match=r"is no address of a Prefect server: .* or correct or unset PREFECT_API_URL"):
        is_server_named()


def test_what_is_no_address_in_a_profile_is_the_callers_error_too(at):
    with pytest.raises(UserError, match=r"'hello' is no address .* `prefect config view"):
        at("hello")


def test_the_remedy_is_where_the_address_stands_and_a_login_in_it_is_not_told(at, monkeypatch):
    url = "http://me:secret@127.0.0.1:9/api"
    line = r"server http://\*\*\*@127.0.0.1:9/api does not answer .*: start it, or "
    with pytest.raises(ServerAway, match=line + ".* `prefect config view"):
        at(url)
    monkeypatch.setenv("PREFECT_API_URL", url)
    with pytest.raises(ServerAway, match=line + "correct or unset PREFECT_API_URL"):
        at(url)


LINE = """
import sys
from flows.orchestration.address import check_server, is_server_named
from linreg.errors import ServerAway
assert is_server_named() and "prefect" in sys.modules
try:
    check_server()
except ServerAway as error:
    print(error)
"""
PROFILES = "home/.prefect/profiles.toml"
PLACES = {  # of the address: variables, files, and what the line says of it
    "profile": ({}, {PROFILES: PROFILE}, "of the profile 'p' in {home}/.prefect/profiles.toml: `prefect --profile p"),
    "PREFECT_PROFILE": (
        {"PREFECT_PROFILE": "a b"},
        {PROFILES: PROFILE.replace("[profiles.p]", '[profiles."a b"]')},
        "of the profile 'a b', which PREFECT_PROFILE chooses, in {home}/.prefect/profiles.toml",
    ),
    ".env": ({}, {PROFILES: PROFILE, ".env": f"export PREFECT_API_URL = {URL}\n"}, "PREFECT_API_URL of {here}/.env"),
    "prefect.toml": ({}, {"prefect.toml": f'[api]\nurl = "{URL}"\n'}, "url in [api] of {here}/prefect.toml"),
    "pyproject.toml": (
        {},
        {"pyproject.toml": f'[tool.prefect.api]\nurl = "{URL}"\n'},
        "url in [tool.prefect.api] of {here}/pyproject.toml",
    ),
}


@pytest.mark.parametrize("place", [pytest.param(p, marks=pytest.mark.long if p != "profile" else ()) for p in PLACES])
def test_the_line_names_the_place_where_the_address_stands(tmp_path, place):
    variables, files, words = PLACES[place]
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    env = environment(tmp_path / "home", **variables)
    line = run([sys.executable, "-c", LINE], env=env, cwd=tmp_path, check=True).stdout
    assert f"{URL} does not answer (ConnectError): start it, or correct " in line
    assert words.format(home=tmp_path / "home", here=tmp_path) in line


@pytest.mark.parametrize("name", ["prefect.toml", "pyproject.toml", "home/profiles.toml"])
def test_a_file_of_settings_that_is_no_toml_is_named_before_prefect_is_imported(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PREFECT_HOME", "home")
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    (tmp_path / "home").mkdir()
    (tmp_path / name).write_text("active = [")
    with pytest.raises(
        UserError, match=rf"settings from {name}, which is not TOML \(Invalid value .*: correct the file"
    ):
        is_server_named()


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "nonsense://p", "http://host:port"])
def test_a_proxy_that_cannot_be_used_is_named(at, monkeypatch, proxy):
    monkeypatch.setenv("http_proxy", proxy)
    with pytest.raises(UserError, match="the proxy that http_proxy names"):
        at("http://prefect.example/api")
