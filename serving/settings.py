"""A workspace on disk: its files, its secret, and the settings in `brain.yaml`. Independent of Ray."""

import json
import os
import re
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import quote

from pydantic import Field, ValidationError, field_validator, model_validator

from decisioning.catalogue.source import YamlNode, decode, parse
from decisioning.errors import ConfigError, Mistake, Refused
from decisioning.facts.schema import Strict
from decisioning.nearest import nearest
from serving.sign_in_settings import CustomerSignInSettings, SignInSettings

CONFIG_NAME = "brain.yaml"
PORT_VARIABLE = "BRAIN_PORT"
"""Names the port that `brain serve --port` gave to the processes of its run."""
OWN_PATHS = (
    *("-", "desk", "docs", "healthz", "lead", "mcp", "me", "metrics", "openapi.json", "problems", "readyz", "redoc"),
    *("sign-in", "sign-out", "static", "v1"),
)
"""The first segments of the server's own paths."""
SECRET_BYTES = 32
LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]", "::1")
Origin = Annotated[str, Field(pattern=r"^https?://[a-z0-9.-]{1,253}(:[0-9]{1,5})?$")]
HostName = Annotated[str, Field(pattern=r"^[a-z0-9._:\[\]-]{1,253}$")]


class Tls(Strict):
    """The files of a certificate (with those between it and its authority) and of its key, in the PEM format.

    Paths begin in the workspace. The key has no password. New files count from the next start.
    """

    certificate: Annotated[str, Field(min_length=1, max_length=1000)]
    key: Annotated[str, Field(min_length=1, max_length=1000)]


class Http(Strict):
    """How requests come in.

    `root_path` is the path under which a reverse proxy serves the brain, as in `/brain`; the proxy may take it away
    from the requests that it passes on, or leave it. `request_timeout_s` is the longest a request may take once it is
    admitted. Decisions, what customers have a right to (withdrawals, objections, restrictions, erasures) and all other
    requests have a room each, in which at most `max_ongoing_requests` run and `max_queued_requests` wait, by default
    about a second of work; further requests are answered 503 with Retry-After at once. Open streams have a room of
    their own, for at most `max_streams`. Decisions are refused earlier,
    once half of `max_ongoing_requests` have been in the making for 150 ms without a break, or for less where others
    were refused just before. `hosts` are the names, beside `host` and those of this machine, by which callers address
    the server. `keys: off` asks for no key; it is for development on loopback only. A key that sends more than
    `max_key_requests_per_s` is answered 429, except for what customers have a right to. `origins` are the sites whose
    pages may call the server, as in `https://www.example.com`; /mcp refuses pages of all others. `frame_origins` are
    the sites that may show the desk inside their own pages, as a desktop of agents does. No other site may show any
    page, and browsers send the session's cookie only if both are of one site, such as example.com. A `host` beyond this
    machine needs `tls`, or `behind_proxy: true`, which states that a proxy ends TLS in front of the server, takes no
    other requests, and names the caller in `X-Forwarded-For`.
    """

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 8000
    root_path: Annotated[str, Field(pattern=r"^(/[A-Za-z0-9._~-]+)*$", max_length=200)] = ""
    request_timeout_s: Annotated[float, Field(gt=0, le=60)] = 2.0
    max_ongoing_requests: Annotated[int, Field(ge=1, le=1000)] = 16
    max_queued_requests: Annotated[int, Field(ge=0, le=10_000)] = 200
    max_streams: Annotated[int, Field(ge=1, le=10_000)] = 256
    hosts: tuple[HostName, ...] = ()
    keys: Literal["on", "off"] = "on"
    max_key_requests_per_s: Annotated[int, Field(ge=1, le=1_000_000)] = 2_000
    origins: tuple[Origin, ...] = ()
    frame_origins: tuple[Origin, ...] = ()
    tls: Tls | None = None
    behind_proxy: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The names by which callers may address the server in the header Host."""
        return (*LOCAL_HOSTS, self.host.lower(), *self.hosts)

    @field_validator("root_path")
    @classmethod
    def _no_path_of_ours(cls, text: str) -> str:
        if text.startswith(tuple(f"/{name}/" for name in OWN_PATHS)) or text.removeprefix("/") in OWN_PATHS:
            raise ValueError(f"it cannot begin like a path of the brain itself: {', '.join(OWN_PATHS)}")
        return text


class DatabaseSettings(Strict):
    """Where the ledger is stored; `url` null is the SQLite file in the workspace."""

    url: str | None = None


class OnlineStore(Strict):
    """Where Feast keeps the latest features; `redis` null is the SQLite file in the workspace.

    `redis` is host:port with further options of its client, as in "localhost:6379,db=0,password=${REDIS_PASSWORD}". A
    change takes effect at the next `brain release`.
    """

    redis: str | None = None

    @field_validator("redis")
    @classmethod
    def _an_address(cls, text: str | None) -> str | None:
        if text is not None and not re.fullmatch(r"[^\s,:=]+:\d+(,\w+=[^\s,]+)*", text):
            raise ValueError("it is host:port, and options after a comma: localhost:6379,db=0")
        return text


class Webhooks(Strict):
    """Where moments are delivered; with `webhook` null they are kept. A delivery is tried `attempts` times."""

    webhook: Annotated[str, Field(pattern=r"^https?://[^\s]+$", max_length=2000)] | None = None
    attempts: Annotated[int, Field(ge=1, le=20)] = 8


class Erasure(Strict):
    """Within `within_s` after an erasure, the data is gone from every file of the workspace, even after a crash.

    An erasure itself removes everything; this limit is for what a crash, or a file being written meanwhile, left over.
    """

    within_s: Annotated[float, Field(ge=1, le=30 * 86_400)] = 600.0


class CheckpointSettings(Strict):
    """`mirror` is a file outside the workspace, best on another disk, that holds the last checkpoint of the ledger.

    With it, `brain verify` tells of a workspace that was put back to an earlier day as a whole.
    """

    mirror: Annotated[str, Field(min_length=1, max_length=1000)] | None = None


class Retrain(Strict):
    """How often `brain serve` retrains; with `every_h` null it never does, and `brain retrain` is run by hand.

    With `promote: rule` a challenger makes `share` of decisions, and then serves, once it is shown to be better and to
    do no harm; with `ask` this is only reported. A challenger that does harm is rolled back either way, whoever began
    its trial; this is checked every `guard_every_min`, also for a while after it was promoted.

    A challenger is better if its decisions earn more euros of commercial offers (`reward: value_eur`) or lead to more
    of their positive outcomes (`outcome`). A trial ends once a gain of `worthwhile_gain`, a share of what the champion
    brings, is ruled out, or when nothing is shown of the decisions of `longest_days` and their windows have closed.
    """

    every_h: Annotated[float, Field(ge=0.1, le=24 * 365)] | None = None
    promote: Literal["ask", "rule"] = "ask"
    share: Annotated[float, Field(gt=0, le=0.9)] = 0.5
    guard_every_min: Annotated[float, Field(ge=1, le=24 * 60)] = 10.0
    reward: Literal["value_eur", "outcome"] = "value_eur"
    worthwhile_gain: Annotated[float, Field(gt=0, le=10)] = 0.05
    longest_days: Annotated[float, Field(ge=1, le=800)] = 60.0


class ReportSettings(Strict):
    """How often `brain serve` makes a report, whose figures the lead's view shows; null: `brain report` by hand."""

    every_h: Annotated[float, Field(ge=0.1, le=24 * 365)] | None = None


class BrainSettings(Strict):
    """The settings in `brain.yaml`; an empty file is a development workspace on this machine.

    `controller` is who is responsible for the data, as consent receipts name it; null is the name of the folder
    in which the workspace was made. `environments` are the folders of the workspaces to which `brain release --to`
    takes a release from this one.
    """

    environment: Literal["dev", "test", "prod"] = "dev"
    environments: dict[Literal["dev", "test", "prod"], Annotated[str, Field(min_length=1, max_length=1000)]] = Field(
        default_factory=dict
    )
    controller: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    http: Http = Http()
    database: DatabaseSettings = DatabaseSettings()
    online_store: OnlineStore = OnlineStore()
    moments: Webhooks = Webhooks()
    erasure: Erasure = Erasure()
    checkpoints: CheckpointSettings = CheckpointSettings()
    retrain: Retrain = Retrain()
    report: ReportSettings = ReportSettings()
    sign_in: SignInSettings = SignInSettings()
    customer_sign_in: CustomerSignInSettings = CustomerSignInSettings()

    @model_validator(mode="after")
    def _asks_for_keys(self) -> Self:
        if self.http.keys == "off" and (self.environment == "prod" or self.http.host not in LOCAL_HOSTS):
            raise ValueError("http.keys: `off` is for development on loopback only")
        return self

    @model_validator(mode="after")
    def _is_encrypted(self) -> Self:
        if self.http.host not in LOCAL_HOSTS and self.http.tls is None and not self.http.behind_proxy:
            raise ValueError(
                "http.host: keys would go over the network as they are: set http.tls {certificate, key}, or state "
                "`behind_proxy: true` where a proxy in front of the server ends TLS"
            )
        return self

    @model_validator(mode="after")
    def _says_where_it_is(self) -> Self:
        signs_in = self.sign_in.issuer or self.customer_sign_in.issuer
        if signs_in and self.sign_in.address is None and self.http.host not in LOCAL_HOSTS:
            raise ValueError("sign_in.address: say where browsers reach the brain, as in https://brain.example.com")
        return self

    @property
    def address(self) -> str:
        """Where browsers reach the brain, without a slash at the end."""
        scheme = "http" if self.http.tls is None else "https"
        return self.sign_in.address or f"{scheme}://localhost:{self.http.port}{self.http.root_path}"


@dataclass(frozen=True, slots=True)
class Place:
    """The folder of a workspace, the device and inode of its `data`, and its name, which it keeps for good."""

    name: str
    folder: str
    device: int
    inode: int


class Workspace:
    """A user's folder: catalogue, settings, secret and data. Creating the object reads and writes no file."""

    def __init__(self, root: Path, settings: BrainSettings) -> None:
        self.root = root
        self.settings = settings
        self.catalogue = root / "catalogue"
        self.secret_file = root / "secret"
        self.keys = root / "keys"
        self.data = root / "data"
        self.ledger_file = self.data / "ledger.db"
        self.artifacts = self.data / "artifacts"
        self.offline = self.data / "offline"
        self.models = self.data / "models"
        self.run = self.data / "run"
        self.checkpoints_file = self.data / "checkpoints"
        self.written_file = self.data / "written.jsonl"
        self.place_file = self.data / "place"
        self.identity_file = self.data / "identity"

    @classmethod
    def open(cls, root: Path) -> Self:
        """Return the workspace at `root`; raises ConfigError for a missing or wrong `brain.yaml`."""
        root = root.resolve()
        workspace, port = cls(root, read_settings(root / CONFIG_NAME)), os.environ.get(PORT_VARIABLE)
        return workspace.at_port(int(port)) if port else workspace

    def at_port(self, port: int) -> Self:
        """Return the same workspace with another port for requests than that of `brain.yaml`."""
        http = self.settings.http.model_copy(update={"port": port})
        return type(self)(self.root, self.settings.model_copy(update={"http": http}))

    @property
    def name(self) -> str:
        """The name of the folder in which it was opened first; it stays when the folder gets another name."""
        return self.root.name if self.last_place is None else self.last_place.name

    @property
    def place(self) -> "Place":
        """Where the workspace is now; it must have a data folder."""
        data = self.data.stat()
        return Place(self.name, str(self.root), data.st_dev, data.st_ino)

    @property
    def last_place(self) -> "Place | None":
        """Where the workspace was opened last; None for one that was never opened, or by an earlier version only."""
        try:
            return Place(**json.loads(self.place_file.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    @property
    def is_settled(self) -> bool:
        """Tell whether nothing in the workspace names a folder that it is no longer in."""
        return not self.data.is_dir() or self.last_place == self.place

    @property
    def database_url(self) -> str:
        """The SQLAlchemy URL of the ledger; in a URL, `?` and `%` of a folder's name would mean something else."""
        return self.settings.database.url or f"sqlite:///{quote(str(self.ledger_file))}"

    @property
    def checkpoints_mirror(self) -> Path | None:
        """The copy of the last checkpoint elsewhere, if there is one."""
        mirror = self.settings.checkpoints.mirror
        return None if mirror is None else self.root / mirror

    def create_secret(self) -> None:
        """Write a new secret, readable by its owner only; raises Refused if there is one already."""
        try:
            handle = os.open(self.secret_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError as error:
            raise Refused(f"{self.secret_file} exists already; it is never replaced") from error
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(SECRET_BYTES) + "\n")

    def secret(self) -> bytes:
        """Return the 32 bytes that key this workspace's hashes.

        Raises Refused if they are missing, wrong or readable by others. A lost secret is never replaced by a new one:
        every customer's stream would be orphaned.
        """
        try:
            mode = self.secret_file.stat().st_mode
            text = self.secret_file.read_bytes().decode("ascii", "replace").strip()
        except OSError as error:
            raise Refused(
                f"cannot read {self.secret_file}; restore it from your backup (a new workspace gets one)"
            ) from error
        if stat.S_IMODE(mode) & 0o077:
            raise Refused(f"others may read {self.secret_file}; run: chmod 600 '{self.secret_file}'")
        try:
            secret = bytes.fromhex(text)
        except ValueError:
            secret = b""
        if len(secret) != SECRET_BYTES:
            raise Refused(f"{self.secret_file} is not {SECRET_BYTES} bytes in hexadecimal; restore it from your backup")
        return secret


def read_settings(file: Path) -> BrainSettings:
    """Return the settings in `brain.yaml`; raises ConfigError with every mistake, its line and a suggestion."""
    try:
        text = decode(file.name, file.read_bytes())
    except OSError as error:
        problem = Mistake(
            file.name,
            1,
            f"cannot read it in {file.parent}",
            "put it back from your backup; a new workspace is made with: brain new DIR",
        )
        raise ConfigError([problem]) from error
    document = parse(file.name, text)
    if document.root is None or document.problems:
        raise ConfigError(document.problems)
    root = document.root
    try:
        settings = BrainSettings.model_validate(root.value)
    except ValidationError as error:
        raise ConfigError(_problem(file.name, root, e["type"], e["loc"], e["msg"]) for e in error.errors()) from None
    mirror = settings.checkpoints.mirror
    if mirror is not None and (file.parent / mirror).resolve().is_relative_to(file.parent.resolve()):
        message = "checkpoints.mirror: it is in the workspace, with which it would be put back"
        line = root.at(("checkpoints", "mirror")).line
        raise ConfigError([Mistake(file.name, line, message, "name a file in another place")])
    return settings


def _problem(file: str, root: YamlNode, kind: str, path: tuple[int | str, ...], message: str) -> Mistake:
    line, where = root.at(path).line, ".".join(map(str, path))
    if kind != "extra_forbidden":
        return Mistake(file, line, ": ".join(filter(None, (where, message.removeprefix("Value error, ")))))
    known = _settings_at(path[:-1])
    near = nearest(str(path[-1]), known)
    hint = f"did you mean `{near}`?" if near else f"known here: {', '.join(known)}"
    return Mistake(file, line, f"{where}: there is no such setting", hint)


def _settings_at(path: tuple[int | str, ...]) -> list[str]:
    model: Any = BrainSettings
    for part in path:
        model = model.model_fields[part].annotation
    return list(model.model_fields)
