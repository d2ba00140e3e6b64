"""Dockerfile and docker-compose.yml, which nothing here can run: linted, and held to the config and to the commands."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from io import BytesIO
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import httpx
import pytest
import yaml
from compose_spec import PyCompose
from dockerfile_parse import DockerfileParser

from ragkit.config import load_config
from ragkit.config.schema import Config
from tests.serve.serving import key, process, service, settings_in

ROOT = Path(__file__).parents[1]
CONFIGS = "/etc/ragkit"


@pytest.fixture(scope="module")
def dockerfile() -> list[dict[str, str]]:
    """The instructions of the last stage."""
    file: Any = BytesIO((ROOT / "Dockerfile").read_bytes())
    lines = cast("list[dict[str, str]]", DockerfileParser(fileobj=file).structure)
    last = max(number for number, line in enumerate(lines) if line["instruction"] == "FROM")
    return lines[last:]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))


def value(lines: list[dict[str, str]], instruction: str) -> str:
    [found] = [line["value"] for line in lines if line["instruction"] == instruction]
    return found


def test_the_linter_has_nothing_to_say() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([str(hadolint), "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_is_built_in_stages_and_runs_as_nobody_special(dockerfile: list[dict[str, str]]) -> None:
    whole = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert len(re.findall(r"^FROM \S+:\S+", whole, re.MULTILINE)) == 2, "every base has a version"
    assert value(dockerfile, "USER") == "10001"
    after = [line["instruction"] for line in dockerfile]
    assert "RUN" not in after[after.index("USER") :]
    assert "pip" not in " ".join(line["value"] for line in dockerfile if line["instruction"] == "RUN")


def test_the_extras_that_are_installed_exist() -> None:
    [extras] = re.findall(r'"\.\[([\w,-]+)\]"', (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(extras.split(",")) <= project["optional-dependencies"].keys()
    assert {"serve", "local", "redis", "postgres"} <= set(extras.split(",")), "and what compose can start"


def test_what_the_build_copies_is_there_and_let_through() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for line in re.findall(
        r"^COPY (?!--from)(.*) \S+$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE
    ):
        for source in line.split():
            assert (ROOT / source).exists()
            assert f"!{source}" in ignored


def command_of(arguments: list[str], **environ: str) -> tuple[Config, dict[str, str]]:
    """The config that a start command makes, and its other options."""
    assert arguments[0] == "serve"
    options = list(zip(arguments[1::2], arguments[2::2], strict=True))
    [path] = [given for option, given in options if option == "-c"]
    sets = [given.replace("$$", "$") for option, given in options if option == "--set"]
    local = ROOT / "configs" / Path(path).relative_to(CONFIGS)
    return load_config(local, sets, environ=environ).config, {k: v for k, v in options if k not in ("-c", "--set")}


def test_the_image_starts_what_it_exposes_and_asks_for_its_health(dockerfile: list[dict[str, str]]) -> None:
    assert json.loads(value(dockerfile, "ENTRYPOINT")) == ["ragkit"]
    config, options = command_of(json.loads(value(dockerfile, "CMD")))
    assert options == {"--host": "0.0.0.0", "--port": value(dockerfile, "EXPOSE")}
    assert f":{options['--port']}/ready" in value(dockerfile, "HEALTHCHECK")
    kept = (config.serve.folder, config.ingestion.store.path)
    assert not any(path.is_absolute() for path in kept), "below the working directory, which is the volume"
    assert value(dockerfile, "WORKDIR") == value(dockerfile, "VOLUME")


def test_compose_is_of_the_specification(compose: dict[str, Any]) -> None:
    parsed = PyCompose.from_yaml((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    parsed.validate()
    assert set(parsed.service_names()) == {"ragkit", "qdrant", "redis", "postgres", "vllm"}
    assert set(compose["volumes"]) == {
        mount.split(":")[0] for one in compose["services"].values() for mount in one.get("volumes", [])
    }


def test_compose_opens_nothing_to_other_machines_and_pins_what_it_runs(compose: dict[str, Any]) -> None:
    for name, one in compose["services"].items():
        assert all(port.startswith("127.0.0.1:") for port in one["ports"])
        if name != "ragkit":
            assert re.search(r":v?\d+\.\d+|:\d+-", one["image"]), "a version"
            assert one["healthcheck"]["test"]
    assert compose["services"]["vllm"]["profiles"] == ["gpu"]


def test_compose_starts_ragkit_on_its_own_services(compose: dict[str, Any], dockerfile: list[dict[str, str]]) -> None:
    served = compose["services"]["ragkit"]
    config, options = command_of(served["command"])
    store = config.ingestion.store
    assert store.backend == "qdrant"
    address = urlsplit(store.url or "")
    assert address.hostname in served["depends_on"]
    assert compose["services"][address.hostname]["ports"] == [f"127.0.0.1:{address.port}:{address.port}"]
    assert served["ports"] == [f"127.0.0.1:{options['--port']}:{value(dockerfile, 'EXPOSE')}"]
    assert served["volumes"] == [f"ragkit:{value(dockerfile, 'VOLUME')}"]
    assert float(served["stop_grace_period"].removesuffix("s")) > 10 > config.serve.stop_s
    assert "user" not in served
    assert served["read_only"]


def test_compose_keeps_answers_on_its_own_redis(compose: dict[str, Any]) -> None:
    config, _ = command_of(compose["services"]["ragkit"]["command"])
    assert config.cache.store == "redis"
    address, redis = urlsplit(config.cache.url or ""), compose["services"]["redis"]
    assert (address.hostname, redis["ports"]) == ("redis", [f"127.0.0.1:{address.port}:{address.port}"])
    # Redis throws out answers, which end by themselves, and not what counts them; and has room for all of them.
    command = redis["command"][-1]
    assert "--maxmemory-policy volatile-lru" in command
    assert config.cache.ttl_s is not None
    [megabytes] = re.findall(r"--maxmemory (\d+)mb", command)
    assert float(megabytes) > config.cache.max_mb
    # One variable is the password of both.
    password = compose["services"]["ragkit"]["environment"]["REDIS_PASSWORD"]
    assert redis["environment"] == {"REDIS_PASSWORD": password, "REDISCLI_AUTH": password}
    assert '--requirepass "$$REDIS_PASSWORD"' in command
    assert "cache.password=$${REDIS_PASSWORD:-}" in compose["services"]["ragkit"]["command"]


def test_compose_keeps_costs_in_a_file_or_on_its_own_postgres(compose: dict[str, Any]) -> None:
    served, postgres = compose["services"]["ragkit"], compose["services"]["postgres"]
    config, _ = command_of(served["command"])
    assert config.costs.ledger == Path(".ragkit/ledger.sqlite"), "below the working directory, which is the volume"
    assert served["environment"]["RAGKIT_LEDGER"] == "${RAGKIT_LEDGER:-.ragkit/ledger.sqlite}"
    # As its comment says.
    [told] = re.findall(r"RAGKIT_LEDGER=(\S+)", (ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    config, _ = command_of(served["command"], RAGKIT_LEDGER=told, POSTGRES_PASSWORD="pw")
    address, variables = urlsplit(str(config.costs.ledger)), postgres["environment"]
    assert (address.hostname, postgres["ports"]) == ("postgres", [f"127.0.0.1:{address.port}:{address.port}"])
    assert (address.username, address.path) == (variables["POSTGRES_USER"], f"/{variables['POSTGRES_DB']}")
    assert config.costs.ledger_password is not None
    assert config.costs.ledger_password.get_secret_value() == "pw"
    assert variables["POSTGRES_PASSWORD"] == served["environment"]["POSTGRES_PASSWORD"], "one variable for both"


def test_the_addresses_that_compose_sets_are_read_by_the_configs(compose: dict[str, Any]) -> None:
    environ = {
        name: re.sub(r"\$\{\w+:-\}", "x", text) for name, text in compose["services"]["ragkit"]["environment"].items()
    }
    vllm = load_config(ROOT / "configs" / "vllm.yaml", environ=environ).config
    address = urlsplit(vllm.generation.base_url or "")
    assert compose["services"][address.hostname]["ports"] == [f"127.0.0.1:{address.port}:{address.port}"]
    assert vllm.generation.model in compose["services"]["vllm"]["command"]
    production = load_config(ROOT / "configs" / "production.yaml", environ=environ).config
    assert production.ingestion.store.url == environ["QDRANT_URL"]


@pytest.mark.integration
def test_the_start_command_of_the_image_serves(tmp_path: Path, dockerfile: list[dict[str, str]]) -> None:
    """The same command in an empty working directory, on a free port: first refused, as there is no key."""
    _, host, *_ = (part for part in json.loads(value(dockerfile, "CMD")) if part in ("--host", "0.0.0.0"))
    with service() as (url, _):
        settings = settings_in(tmp_path, url)
        settings["serve"] = {"folder": ".ragkit/serve"}
        settings["ingestion"]["store"] = {"path": ".ragkit/index"}
        (tmp_path / "ragkit.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
        command = [sys.executable, "-m", "ragkit.cli.main", "serve", "-c", "ragkit.yaml", "--host", host, "--port", "0"]
        refused = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert refused.returncode == 2
        assert "ragkit keys create" in refused.stderr
        headers = key(tmp_path / ".ragkit", "admin", role="admin")
        with process(tmp_path, "--host", host) as (_, address):
            here = address.replace(host, "127.0.0.1")
            assert httpx.get(f"{here}/v1/documents", headers=headers).json() == {"documents": [], "next": None}
            script = json.loads(value(dockerfile, "HEALTHCHECK").split("CMD", 1)[1])[2]
            check = script.replace("http://127.0.0.1:8080", here)
            for _ in range(100):
                if subprocess.run([sys.executable, "-c", check], capture_output=True, check=False).returncode == 0:
                    break
            else:
                raise AssertionError("never healthy")
