"""Programs of another Debian release, run through the loader and libraries they were built for.

The result is relocatable: small scripts in bin/ find everything beside themselves.
"""

import re
import shutil
from pathlib import Path

from runtime.errors import StackError
from runtime.tools import output_of

# $0 may be a link. `exec` keeps the pid that the caller knows.
WRAPPER = """\
#!/bin/sh
home=$(dirname -- "$(readlink -f -- "$0")")/..
exec "$home/lib/{loader}" --argv0 {name} --library-path "$home/lib" "$home/libexec/{name}" "$@"
"""
EXECUTABLE = 0o755


def install_programs(tree: Path, home: Path, programs: list[str], plugins: list[Path] = (),
                     further_libraries: list[Path] = ()) -> None:
    """Copies `programs` (paths inside the unpacked `tree`) and just the libraries they load.

    `plugins` are shared objects that a program opens by itself; their libraries come along.
    `further_libraries` are folders that are searched before the tree's own.
    """
    loader = _loader(tree)
    folders = [*further_libraries, *_library_folders(tree)]
    libraries: dict[str, Path] = {loader.name: loader}
    for folder in ("bin", "libexec", "lib"):
        (home / folder).mkdir(parents=True, exist_ok=True)
    for program in programs:
        binary = tree / program
        if not binary.exists():
            raise StackError(f"the package holds no {program}: it changed, tell the maintainers")
        libraries.update(_needed(loader, folders, binary))
        shutil.copy2(binary, home / "libexec" / binary.name)
        wrapper = home / "bin" / binary.name
        wrapper.write_text(WRAPPER.format(loader=loader.name, name=binary.name))
        wrapper.chmod(EXECUTABLE)
    for plugin in plugins:
        libraries.update(_needed(loader, folders, plugin))
    for name, source in libraries.items():
        shutil.copy2(source.resolve(), home / "lib" / name)


def _loader(tree: Path) -> Path:
    for folder in ("usr/lib64", "lib64", "usr/lib", "lib"):
        for found in sorted((tree / folder).glob("**/ld-linux*.so.*")):
            if found.resolve().is_file():
                return found.resolve()
    # A link to an absolute path points outside the tree: look for the file itself.
    for found in sorted(tree.glob("**/ld-linux*.so.*")):
        if found.is_file() and not found.is_symlink():
            return found
    raise StackError("the packages hold no program loader")


def _library_folders(tree: Path) -> list[Path]:
    folders = {found.parent for top in ("lib", "usr/lib")
               for found in (tree / top).glob("*-linux-gnu*/*.so*")}
    if not folders:
        raise StackError("the packages hold no libraries")
    return sorted(folders)


def _needed(loader: Path, folders: list[Path], binary: Path) -> dict[str, Path]:
    search = ":".join(str(folder) for folder in folders)
    listing = output_of([loader, "--list", "--library-path", search, binary])
    missing = re.search(r"error while loading shared libraries: (\S+?):", listing)
    if missing:
        raise StackError(f"{binary.name} needs {missing[1]}, which no package brought")
    return {name: Path(path) for name, path in
            re.findall(r"^\s*(\S+) => (/\S.*?) \(0x", listing, re.MULTILINE)
            if not name.startswith("/")}
