"""docker-compose.yml and the Dockerfile say what the services' own defaults say.

No container engine is needed, and none is used: this compares texts.
"""

import re
import tomllib
import unittest
from pathlib import Path

import yaml

from install.maven import KAFKA_VERSION, REGISTRY_VERSION
from install.system_deps import BUILD_PACKAGES
from runtime.layout import REPOSITORY
from servers import kafka, mysql
from services import DEFINITIONS, READY_PATH
from tests.dockerfile import lineage, stages

COMPOSE = REPOSITORY / "docker-compose.yml"
DOCKERFILE = "deploy/docker/Dockerfile"
CRATES = {"api": "api", "relay": "outbox-relay", "consumers": "consumers", "operator": "operator"}
LOOPBACK = "127.0.0.1"
SETTING = re.compile(r"HEADGATE_([A-Z]+)__([A-Z_]+)")


def read(path: str) -> str:
    return (REPOSITORY / path).read_text()


def defaults(service: str) -> dict:
    return tomllib.loads(read(f"{CRATES[service]}/config.default.toml"))


def well_known() -> dict[str, str]:
    """Variable -> the setting that it stands for, as the configuration reads them."""
    table = re.search(r"WELL_KNOWN.*?= &\[(.*?)\];", read("runtime/src/config.rs"), re.DOTALL)[1]
    return dict(re.findall(r'\("(\w+)", "([\w.]+)"\)', table))


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


def published(service: dict) -> dict[int, int]:
    """Port on this machine -> port in the container; nothing beyond the loopback interface."""
    ports = {}
    for text in service.get("ports", []):
        interface, outside, inside = text.split(":")
        assert interface == LOOPBACK, f"{text} is open to the network"
        ports[int(outside)] = int(inside)
    return ports


class Compose(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.services = yaml.safe_load(COMPOSE.read_text())["services"]
        cls.stages = stages(REPOSITORY / DOCKERFILE)
        cls.ours = {name: cls.services[name] for name in CRATES}


class Services(Compose):
    def test_there_is_one_for_each_service_of_the_local_stack(self):
        self.assertEqual(set(CRATES), {definition.name for definition in DEFINITIONS})
        built = {name for name, service in self.services.items() if "build" in service}
        self.assertEqual(built, {*CRATES, "bootstrap"})

    def test_every_variable_is_a_setting_that_the_service_has(self):
        token = re.search(r'TOKEN_VARIABLE: &str = "(\w+)"', read("operator/src/config.rs"))[1]
        for name, service in self.ours.items():
            sections = defaults(name)
            for variable in service["environment"]:
                setting = SETTING.fullmatch(variable)
                if setting:
                    section, key = setting[1].lower(), setting[2].lower()
                    self.assertIn(key, sections.get(section, {}), f"{name}: {variable}")
                elif variable in well_known():
                    self.assertIn(well_known()[variable].partition(".")[0], sections, f"{name}: {variable}")
                else:
                    self.assertEqual((name, variable), ("operator", token))

    def test_every_server_is_found_in_its_container(self):
        """A default that names the loopback interface would lead nowhere."""
        sections = {"MYSQL_URL": "mysql", "REDIS_URL": "redis", "KAFKA_BOOTSTRAP": "kafka",
                    "SCHEMA_REGISTRY_URL": "registry"}
        for name in (*self.ours, "bootstrap"):
            environment = self.services[name]["environment"]
            for variable, server in sections.items():
                host, port = re.search(r"(?:@|//|^)([\w.]+):(\d+)(?:/|$)", environment[variable]).groups()
                self.assertEqual(host, server, f"{name}: {variable}")
                self.assertIn(int(port), self._ports_inside(server), f"{name}: {variable}")

    def _ports_inside(self, server: str) -> set[int]:
        listeners = self.services[server].get("environment", {}).get("KAFKA_LISTENERS", "")
        return {*published(self.services[server]).values(),
                *(port_of(listener) for listener in listeners.split(",") if listener)}

    def test_ports_are_the_defaults_and_reach_the_machine(self):
        for name, service in self.ours.items():
            sections = defaults(name)
            listening = {port_of(sections[section]["listen"])
                         for section in ("http", "health") if section in sections}
            self.assertEqual(published(service), {port: port for port in listening}, name)
            self.assertEqual(self.stages[name].ports(), listening, name)
            for section in ("http", "health"):
                variable = f"HEADGATE_{section.upper()}__LISTEN"
                self.assertEqual(section in sections, variable in service["environment"], name)
                if section in sections:
                    expected = f"0.0.0.0:{port_of(sections[section]['listen'])}"
                    self.assertEqual(service["environment"][variable], expected, name)

    def test_no_two_take_the_same_port_of_the_machine(self):
        ports = [port for service in self.services.values() for port in published(service)]
        self.assertEqual(len(ports), len(set(ports)))

    def test_health_commands_ask_the_health_listener(self):
        self.assertIn(f'"{READY_PATH}"', read("runtime/src/health.rs"))
        for name, service in self.ours.items():
            verb, program, *_, url = service["healthcheck"]["test"]
            self.assertEqual(verb, "CMD")
            health = port_of(defaults(name)["health"]["listen"])
            self.assertEqual(url, f"http://{LOOPBACK}:{health}{READY_PATH}", name)
            installed = set().union(*(stage.installed_packages() for stage in lineage(self.stages, name)))
            self.assertIn(program, installed, name)

    def test_services_start_after_the_bootstrap_and_it_after_the_servers(self):
        for name, service in self.ours.items():
            self.assertEqual(service["depends_on"],
                             {"bootstrap": {"condition": "service_completed_successfully"}}, name)
        servers = {name for name, service in self.services.items() if "image" in service}
        waits = self.services["bootstrap"]["depends_on"]
        self.assertEqual(waits, {name: {"condition": "service_healthy"} for name in servers})
        for name in servers:
            self.assertIn("healthcheck", self.services[name], name)

    def test_the_bootstrap_is_a_command_of_the_command_line(self):
        self.assertEqual(self.services["bootstrap"]["command"], ["bootstrap"])
        self.assertTrue((REPOSITORY / "operator/src/cli/bootstrap.rs").exists())


class Images(Compose):
    def test_each_service_has_its_stage_and_its_program(self):
        binaries = {definition.name: definition.binary for definition in DEFINITIONS}
        for name, service in self.ours.items():
            self.assertEqual(service["build"]["dockerfile"], DOCKERFILE)
            stage = self.stages[service["build"]["target"]]
            self.assertEqual(stage.entrypoint(), binaries[name])
            self.assertEqual(stage.copied_programs(), {binaries[name]})
        bootstrap = self.stages[self.services["bootstrap"]["build"]["target"]]
        self.assertEqual(bootstrap.entrypoint(), "headgate")

    def test_what_a_stage_takes_the_build_leaves(self):
        left = re.findall(r"target/release/([\w-]+)", " ".join(self.stages["build"].of("RUN")))
        for name in (*CRATES, "headgate"):
            self.assertLessEqual(self.stages[name].copied_programs(), set(left))

    def test_nothing_runs_as_root(self):
        for name in (*CRATES, "headgate"):
            users = [user for stage in reversed(lineage(self.stages, name)) for user in stage.of("USER")]
            self.assertNotIn(users[-1:], [[], ["root"], ["0"]], name)

    def test_the_build_has_what_the_local_build_needs(self):
        self.assertEqual(self.stages["build"].installed_packages(), set(BUILD_PACKAGES))

    def test_rust_is_the_one_that_the_workspace_asks_for(self):
        wanted = tomllib.loads(read("Cargo.toml"))["workspace"]["package"]["rust-version"]
        self.assertEqual(self.stages["build"].base, f"rust:{wanted}-bookworm")

    def test_the_context_holds_every_crate_and_no_more(self):
        members = tomllib.loads(read("Cargo.toml"))["workspace"]["members"]
        listed = {line[1:] for line in read(f"{DOCKERFILE}.dockerignore").splitlines() if line.startswith("!")}
        self.assertEqual(listed, {*members, "Cargo.toml", "Cargo.lock", ".sqlx", "docs/errors"})
        for name in listed:
            self.assertTrue((REPOSITORY / name).exists(), name)

    def test_images_are_pinned(self):
        images = [service["image"] for service in self.services.values() if "image" in service]
        bases = [stage.base for stage in self.stages.values() if stage.base not in self.stages]
        for image in (*images, *bases):
            self.assertRegex(image, r"^[a-z/-]+:\d[\w.-]*$")


class Servers(Compose):
    """The same servers as without containers, with the same settings."""

    def test_versions(self):
        self.assertEqual(self.services["kafka"]["image"], f"apache/kafka:{KAFKA_VERSION}")
        self.assertTrue(self.services["registry"]["image"].endswith(f":{REGISTRY_VERSION}"))

    def test_mysql(self):
        local = self._settings(mysql.CONFIGURATION.partition("[mysqld]")[2])
        for option in self.services["mysql"]["command"]:
            key, _, value = option.removeprefix("--").partition("=")
            self.assertEqual(local.get(key), value, key)
        account = self.services["mysql"]["environment"]
        self.assertEqual((account["MYSQL_USER"], account["MYSQL_PASSWORD"], account["MYSQL_DATABASE"]),
                         (mysql.APP_USER, mysql.APP_PASSWORD, mysql.DATABASE))

    def test_kafka(self):
        local = self._settings(kafka.CONFIGURATION)
        compared = 0
        for variable, value in self.services["kafka"]["environment"].items():
            key = variable.removeprefix("KAFKA_").replace("_", ".").lower()
            if key in local and "{" not in local[key] and "listener" not in key:
                self.assertEqual(str(value), local[key], key)
                compared += 1
        self.assertGreaterEqual(compared, 10)

    def test_what_is_durable_is_kept_in_a_volume(self):
        kept = {name: Path(volume.partition(":")[2]) for name, service in self.services.items()
                for volume in service.get("volumes", [])}
        self.assertEqual(set(kept), {"mysql", "redis", "kafka"})
        self.assertEqual(str(kept["kafka"]), self.services["kafka"]["environment"]["KAFKA_LOG_DIRS"])
        for option in ("--appendonly yes", "--appendfsync everysec", "--maxmemory-policy noeviction"):
            self.assertIn(option, " ".join(self.services["redis"]["command"]))

    def _settings(self, text: str) -> dict[str, str]:
        lines = (line.strip() for line in text.splitlines())
        return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


if __name__ == "__main__":
    unittest.main()
