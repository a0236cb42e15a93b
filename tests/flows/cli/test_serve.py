"""Schedules: a real Prefect server, a served deployment, and the runs that it starts by itself."""

import re
import signal
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.deploy import serve
from flows.orchestration.cron import announcement, next_starts
from flows.tracking import registry
from linreg.errors import UserError
from tests.support.command import write_config
from tests.support.flows import WEAK, crops
from tests.support.processes import BIN, PATIENCE, run, started, wait_for
from tests.support.servers import asked, reaching


@pytest.mark.long  # a server and a serving process of its own: a minute
def test_a_schedule_fires_and_its_run_lands_in_mlflow(store, tmp_path, server):
    log = tmp_path / "serve.log"
    command = [BIN / "linreg", "serve", write_config(train=WEAK), "--interval", "10"]
    with started(command, env=server, log=log) as serving:

        def landed():
            return [r for r in registry.runs(store) if r["status"] == "FINISHED"]

        first = wait_for(landed, serving, log)[-1]
        url = f"{server['PREFECT_API_URL']}/flow_runs/{flow_run_id(store, first)}"
        wait_for(lambda: asked(url)["state_type"] == "COMPLETED", serving, log)
        serving.send_signal(signal.SIGINT)
        assert serving.wait(PATIENCE) == 130
    assert first["decision"] == "promoted"
    assert "Traceback" not in log.read_text()
    (version,) = registry.versions(store)
    assert "champion" in version.aliases
    assert (version.run_id, version.flow_run_id) == (first["run_id"], flow_run_id(store, first))
    flow_run = asked(url)
    assert flow_run["auto_scheduled"] is True
    assert flow_run["deployment_id"]
    assert flow_run["parameters"]["train"]["epochs"] == WEAK["epochs"]


def flow_run_id(store, run):
    return store.client.get_run(run["run_id"]).data.tags["flow_run_id"]


WRONG = {
    "no server is named": (["--interval", "5"], None, 2, "prefect server start"),
    "server away": (["--interval", "5"], "http://127.0.0.1:9/api", 1, "http://127.0.0.1:9/api"),
    "cron": (["--cron", "at six"], "http://127.0.0.1:9/api", 2, "at six"),
    "zone": (["--cron", "0 6 * * *", "--timezone", "Moon/Crater"], "http://127.0.0.1:9/api", 2, "Moon/Crater"),
    "interval": (["--interval", "-5"], "http://127.0.0.1:9/api", 2, "-5"),
    "endless interval": (["--interval", "1e300"], "http://127.0.0.1:9/api", 2, "1e+300"),
    "key": (["--interval", "5", "--set", "train.epoch=3"], None, 2, "epochs"),
}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"name": "a/b"}, "--name 'a/b' cannot be"),
        ({"name": " "}, "--name ' ' cannot be"),
        ({"name": "a\nb"}, r"--name 'a\\nb' cannot be"),
        ({"timezone": ""}, "--timezone '' is no IANA time zone"),
        ({"interval": float("nan")}, "--interval nan cannot be"),
        ({"interval": 0.0}, "--interval 0 cannot be"),
        *(({"cron": text}, f"--cron '{re.escape(text)}' is not five fields") for text in ("", "@daily", "0 6 * *")),
        ({"cron": "*/5 * * * * *"}, "is not five fields"),  # Prefect would take the sixth for seconds
        *(({"cron": text}, "cannot be read: write minute") for text in ("61 6 * * *", "H 6 * * *", "0 6 * * x")),
        *(({"cron": text}, "names a day that never comes") for text in ("0 0 31 2 *", "0 0 31 4,6 *")),
        *(({"cron": text}, "every minute: write '0 6") for text in ("* 6 * * *", "0-59 6 * * *", "*/1 6 * * *")),
        ({"cron": "0 0 29 2 *"}, "less than once a year, 20..-02-29 and then 20..-02-29"),
    ],
)
def test_what_a_schedule_cannot_be_is_told_by_its_option(wrong, words):
    """No server is named, so that one which is let through is refused in other words instead of served for ever."""
    with temporary_settings({PREFECT_API_URL: None}), pytest.raises(UserError, match=words):
        serve(crops(), **{"name": "nightly", "interval": None if "cron" in wrong else 5.0, **wrong})


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Asia/Kolkata"])
def test_the_next_three_starts_are_told_in_the_schedules_own_time_zone(zone):
    line = announcement(next_starts("30 6 * * *", zone), zone)
    here = datetime.now(ZoneInfo(zone))
    first = here.date() + timedelta(days=(here.hour, here.minute) >= (6, 30))
    days = [first + timedelta(days=n) for n in range(3)]
    starts = [datetime(day.year, day.month, day.day, 6, 30, tzinfo=ZoneInfo(zone)) for day in days]
    assert line == f"next starts: {', '.join(f'{s:%a %Y-%m-%d %H:%M %Z}' for s in starts)} ({zone})"


@pytest.mark.long  # each takes the seconds that importing prefect takes
@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_served_is_one_line(folder, tmp_path, case):
    options, url, status, words = WRONG[case]
    process = run([BIN / "linreg", "serve", write_config(), *options], env=reaching(tmp_path / "home", url))
    assert (process.returncode, process.stdout) == (status, ""), process.stderr
    (line,) = [x for x in process.stderr.splitlines() if x.startswith("error: ")]
    assert words in line
    assert "Traceback" not in process.stderr
    assert not (folder / "mlruns").exists()


@pytest.mark.long
@pytest.mark.usefixtures("folder")
def test_the_next_starts_are_printed_before_a_server_is_asked(tmp_path):
    command = [BIN / "linreg", "serve", write_config(), "--cron", "0 6 * * *", "--timezone", "Asia/Kolkata"]
    process = run(command, env=reaching(tmp_path / "home", None))
    starts, error = process.stderr.splitlines()
    assert re.fullmatch(r"next starts: (\w{3} [\d-]{10} 06:00 IST(, )?){3} \(Asia/Kolkata\)", starts)
    assert (process.returncode, error.startswith("error: no Prefect server is named")) == (2, True)
