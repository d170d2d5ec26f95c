"""What makes servers a Headgate installation: tables, topics, schemas, a partner's key."""

import json
import os
import secrets
import subprocess

import building
from runtime import envfile
from runtime.errors import StackError
from runtime.layout import RunDir
from runtime.process import server_environment
from services import SERVER_ADDRESSES, SETTING

BOOTSTRAP_SECONDS = 180
TOKEN_BYTES = 32
API_KEY = "HEADGATE_API_KEY"
OPERATOR_TOKEN = "HEADGATE_OPERATOR_TOKEN"


def bootstrap(run: RunDir) -> None:
    """Safe to repeat: the key and the token that the env file has stay."""
    known = envfile.read(run.env_file)
    ready = _headgate_bootstrap(known)
    envfile.update(run.env_file, {
        API_KEY: ready["api_key"],
        OPERATOR_TOKEN: known.get(OPERATOR_TOKEN) or secrets.token_hex(TOKEN_BYTES)})


def _headgate_bootstrap(known: dict[str, str]) -> dict:
    settings = {key: value for key, value in os.environ.items() if SETTING.fullmatch(key)}
    given = {key: known[key] for key in (*SERVER_ADDRESSES, API_KEY) if key in known}
    command = [str(building.program("headgate")), "--output", "json", "bootstrap"]
    try:
        done = subprocess.run(command, env=server_environment({**settings, **given}),
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=BOOTSTRAP_SECONDS)
    except FileNotFoundError:
        raise StackError(f"{command[0]} is missing: build it with `{' '.join(building.BUILD)}`") from None
    except subprocess.TimeoutExpired:
        raise StackError(f"`headgate bootstrap` was not done within {BOOTSTRAP_SECONDS} s") from None
    if done.returncode != 0:
        raise StackError(f"`headgate bootstrap` failed with exit code {done.returncode}", done.stderr)
    return json.loads(done.stdout)
