"""What the tests need to know of a Dockerfile: its stages."""

import json
import shlex
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Stage:
    name: str
    base: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def of(self, word: str) -> list[str]:
        return [rest for instruction, rest in self.instructions if instruction == word]

    def ports(self) -> set[int]:
        return {int(port) for rest in self.of("EXPOSE") for port in rest.split()}

    def entrypoint(self) -> str:
        return json.loads(self.of("ENTRYPOINT")[-1])[0]

    def copied_programs(self) -> set[str]:
        """Names of the files that it takes from the stage `build`."""
        words = [shlex.split(rest) for rest in self.of("COPY")]
        return {Path(word).name for line in words if line[0] == "--from=build" for word in line[1:-1]}

    def installed_packages(self) -> set[str]:
        packages = set()
        for command in self._commands():
            if command[:2] == ["apt-get", "install"]:
                packages |= {word for word in command[2:] if not word.startswith("-")}
        return packages

    def _commands(self) -> list[list[str]]:
        return [shlex.split(command) for rest in self.of("RUN") for command in rest.split("&&")]


def stages(path: Path) -> dict[str, Stage]:
    found: dict[str, Stage] = {}
    current = None
    for instruction, rest in _instructions(path.read_text()):
        if instruction == "FROM":
            base, _, name = rest.partition(" AS ")
            current = found[name] = Stage(name, base)
        else:
            current.instructions.append((instruction, rest))
    return found


def lineage(found: dict[str, Stage], name: str) -> list[Stage]:
    """A stage and those that it is built on, itself first."""
    stage = found[name]
    return [stage, *(lineage(found, stage.base) if stage.base in found else [])]


def _instructions(text: str):
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        word, _, rest = line.strip().partition(" ")
        yield word, rest.strip()
