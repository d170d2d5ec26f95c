"""Java programs: Kafka and the schema registry, from Maven."""

import shutil
from pathlib import Path

from install.component import Component, Installed, Workbench
from install.servers import start_and_ask
from runtime.errors import StackError

DEPENDENCY_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"
KAFKA_POM = Path(__file__).with_name("kafka-pom.xml")
KAFKA_VERSION = "4.3.1"
REGISTRY_VERSION = "2.6.13.Final"
REGISTRY_ARTIFACT = f"io.apicurio:apicurio-registry-app:{REGISTRY_VERSION}:tar.gz:all"
MAVEN_MISSING = "Maven is missing: install the Debian package maven"


def copy_artifact(bench: Workbench, component: str, artifact: str, folder: Path) -> Path:
    """The one file of an artifact, without what it depends on."""
    _require_maven()
    folder.mkdir(parents=True, exist_ok=True)
    bench.run(["mvn", "-B", "-ntp", f"{DEPENDENCY_PLUGIN}:copy", f"-Dartifact={artifact}",
               f"-DoutputDirectory={folder}"], component, f"fetching {artifact}", cwd=folder)
    return next(path for path in folder.iterdir() if path.is_file())


def install_kafka(bench: Workbench, target: Path) -> Installed:
    _require_maven()
    if f"<version>{KAFKA_VERSION}</version>" not in KAFKA_POM.read_text():
        raise StackError(f"{KAFKA_POM.name} does not ask for Kafka {KAFKA_VERSION}")
    pom = bench.scratch / "kafka-pom" / "pom.xml"
    pom.parent.mkdir()
    shutil.copy2(KAFKA_POM, pom)
    bench.run(["mvn", "-B", "-ntp", "-f", pom, f"{DEPENDENCY_PLUGIN}:copy-dependencies",
               "-DincludeScope=runtime", f"-DoutputDirectory={target / 'libs'}"],
              "kafka", "fetching the jars", cwd=pom.parent)
    return Installed(KAFKA_VERSION, "Maven")


def install_registry(bench: Workbench, target: Path) -> Installed:
    archive = copy_artifact(bench, "registry", REGISTRY_ARTIFACT, bench.scratch / "registry-archive")
    app = target / "app"
    app.mkdir()
    bench.run(["tar", "-xzf", archive, "-C", app], "registry", "unpacking")
    archive.unlink()
    runner = next(app.glob("*-runner.jar"), None)
    if runner is None:
        raise StackError("registry: the archive holds no runner jar")
    runner.rename(app / "registry.jar")
    return Installed(REGISTRY_VERSION, "Apicurio, Maven")


def _require_maven() -> None:
    if not shutil.which("mvn"):
        raise StackError(MAVEN_MISSING)


KAFKA = Component(
    name="kafka", recipe=f"maven-{KAFKA_VERSION}-1", lane="maven", install=install_kafka,
    self_test=start_and_ask("kafka"),
    remedy=f"Needs Java 17, Maven and the artifact org.apache.kafka:kafka_2.13:{KAFKA_VERSION}. "
           "Check `mvn -v` and the network, then run `make setup` again.")

REGISTRY = Component(
    name="registry", recipe=f"maven-{REGISTRY_VERSION}-1", lane="maven", install=install_registry,
    self_test=start_and_ask("registry"),
    remedy=f"Needs Java 17, Maven and the artifact {REGISTRY_ARTIFACT}. "
           "Check `mvn -v` and the network, then run `make setup` again.")
