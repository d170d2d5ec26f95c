"""Nothing in the repository names a machine: neither its folders nor where it gets packages from."""

import re
import subprocess
import unittest

from runtime.layout import REPOSITORY

# Somebody's own folders; `/tmp` and the folders of containers are everybody's.
FOLDER = re.compile(r"(?<![\w.$}>)/-])/(?:root|work|mnt|Users)/\w|(?<![\w.$}>)/-])/home/(?!headgate\b)\w")
# Package clients know their sources; a lock file or a script that names a host ties it to one.
PACKAGE_HOST = re.compile(
    r"\b(?:registry|index|static|files|proxy|deb|ftp|security|archive|mirrors?|repo\d?|packages|"
    r"nexus|artifactory|pypi|crates|cdn|dl)\.(?:[a-z0-9-]+\.)+(?:org|io|com|net|dev|cn|internal|local|lan|corp)\b"
    r"|\bpypi\.org\b")
LOCKED_SOURCE = re.compile(r'^source = "(.*)"$', re.MULTILINE)
CRATES_IO = "registry+https://github.com/rust-lang/crates.io-index"


def texts():
    names = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, check=True).stdout
    for name in names.decode().split("\0"):
        path = REPOSITORY / name
        if name and path.is_file():
            try:
                yield name, path.read_text()
            except UnicodeDecodeError:
                continue


class Repository(unittest.TestCase):
    def found(self, pattern: re.Pattern) -> list[str]:
        return [f"{name}:{text.count(chr(10), 0, hit.start()) + 1}: {hit[0]}"
                for name, text in texts() for hit in pattern.finditer(text)]

    def test_no_folder_of_a_machine(self):
        self.assertEqual(self.found(FOLDER), [])

    def test_no_host_of_packages(self):
        self.assertEqual(self.found(PACKAGE_HOST), [])

    def test_locked_crates_come_from_crates_io(self):
        sources = set(LOCKED_SOURCE.findall((REPOSITORY / "Cargo.lock").read_text()))
        self.assertEqual(sources, {CRATES_IO})

    def test_the_patterns_find_what_they_are_for(self):
        for folder in ("root", "work", "home"):
            self.assertRegex(f"see /{folder}/somebody", FOLDER)
        self.assertRegex("registry" + ".example.org", PACKAGE_HOST)
        for harmless in ("GET /v1/homes", "./work/x", "registry.url", "https://docs.rs/x", "a/root/b"):
            self.assertNotRegex(harmless, FOLDER)
            self.assertNotRegex(harmless, PACKAGE_HOST)
