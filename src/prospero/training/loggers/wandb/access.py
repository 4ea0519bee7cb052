"""Whether W&B can be reached from here, and under which id: nobody is asked, and no key is read."""

import configparser
import netrc
import os
import secrets
import socket
from enum import Enum
from pathlib import Path
from urllib.parse import urlparse

from prospero.paths import write_text
from prospero.runs.folder import RunFolder

_DEFAULT_HOST = "https://api.wandb.ai"


class Mode(Enum):
    """Where the run is logged."""

    auto = "auto"
    online = "online"
    offline = "offline"
    disabled = "disabled"


def check_server(seconds: float = 5.0) -> None:
    """Raise OSError when nobody answers at W&B's address within `seconds`: W&B itself would try for 90 s.

    Behind a proxy nothing is checked: the address need not be reachable from here.
    """
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY")):
        return
    url = urlparse(os.environ.get("WANDB_BASE_URL", _DEFAULT_HOST))
    port = url.port or (80 if url.scheme == "http" else 443)
    socket.create_connection((url.hostname or "", port), timeout=seconds).close()


def run_id(folder: Path) -> str:
    """Return the W&B run id kept in the run `folder`; without one the id that a sweep's agent gave, else a new one."""
    file = RunFolder(folder).wandb_run_id
    if file.is_file():
        return file.read_text(encoding="utf-8").strip()
    given = os.environ.get("WANDB_RUN_ID", "") if os.environ.get("WANDB_SWEEP_ID") else ""
    new = given or secrets.token_hex(4)
    write_text(file, new + "\n")
    return new


def resolve_mode(asked: Mode) -> Mode:
    """Return the mode; auto follows WANDB_MODE, else is online where a key is found and offline where none is."""
    if asked is not Mode.auto:
        return asked
    from_environment = os.environ.get("WANDB_MODE", "")
    if from_environment in Mode.__members__ and from_environment != "auto":
        return Mode[from_environment]
    return Mode.online if has_key() else Mode.offline


def has_key() -> bool:
    """Whether a key for W&B is in the environment, in netrc, or in W&B's settings; looks only, asks nobody."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", _DEFAULT_HOST)).hostname or ""
    for candidate in (os.environ.get("NETRC", ""), "~/.netrc", "~/_netrc"):
        path = Path(candidate).expanduser()
        try:
            if candidate and path.is_file() and netrc.netrc(str(path)).authenticators(host):
                return True
        except (OSError, netrc.NetrcParseError):
            continue
    folder = Path(os.environ.get("WANDB_CONFIG_DIR", "~/.config/wandb")).expanduser()
    settings = configparser.ConfigParser()
    try:
        settings.read(folder / "settings", encoding="utf-8")
    except configparser.Error:
        return False
    return any(section.get("api_key") for section in settings.values())
