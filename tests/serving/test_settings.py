"""`brain.yaml` and the workspace's secret."""

import stat
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decisioning.errors import ConfigError, Refused
from serving.settings import BrainSettings, Http, Workspace, read_settings


def _open(root: Path, text: str) -> Workspace:
    (root / "brain.yaml").write_text(text)
    return Workspace.open(root)


def test_an_empty_file_is_a_development_workspace_on_loopback(tmp_path: Path) -> None:
    workspace = _open(tmp_path, "")
    assert workspace.settings == BrainSettings()
    assert (workspace.settings.environment, workspace.settings.http.host) == ("dev", "127.0.0.1")
    assert workspace.database_url == f"sqlite:///{tmp_path}/data/ledger.db"


def test_what_it_says_is_what_counts(tmp_path: Path) -> None:
    workspace = _open(tmp_path, "environment: prod\nhttp:\n  port: 9000\ndatabase: {url: postgresql+psycopg:///x}\n")
    assert (workspace.settings.environment, workspace.settings.http.port) == ("prod", 9000)
    assert workspace.database_url == "postgresql+psycopg:///x"
    learning = _open(tmp_path, "retrain: {reward: outcome, worthwhile_gain: 0.1, longest_days: 30}\n").settings.retrain
    assert (learning.reward, learning.worthwhile_gain, learning.longest_days) == ("outcome", 0.1, 30.0)
    assert BrainSettings().retrain.reward == "value_eur"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("environmen: dev\n", "brain.yaml:1: environmen: there is no such setting (did you mean `environment`?)"),
        ("\nhttp:\n  prot: 1\n", "brain.yaml:3: http.prot: there is no such setting (did you mean `port`?)"),
        ("http:\n  xyz: 1\n", "brain.yaml:2: http.xyz: there is no such setting (known here: host, port, "),
        ("http:\n\n  port: many\n", "brain.yaml:3: http.port: "),
        ("http: {port: 70000}\n", "brain.yaml:1: http.port: "),
        (
            "\nhttp: {host: 0.0.0.0}\n",
            "brain.yaml:2: http.host: keys would go over the network as they are: set http.tls",
        ),
        ("http: {host: 10.0.0.1, behind_proxy: false}\n", "brain.yaml:1: http.host: keys would go over the network"),
        ("http: {tls: {certificate: cert.pem}}\n", "brain.yaml:1: http.tls.key: "),
        ("http: {keys: off, host: 0.0.0.0, behind_proxy: true}\n", "brain.yaml:1: http.keys: `off` is for development"),
        ("http: {origins: ['*']}\n", "brain.yaml:1: http.origins.0: "),
        ("http: {origins: ['https://shop.example/']}\n", "brain.yaml:1: http.origins.0: "),
        ("checkpoints: {mirror: data/last}\n", "brain.yaml:1: checkpoints.mirror: it is in the workspace"),
        ("environment: production\n", "brain.yaml:1: environment: "),
        ("\nonline_store: {redis: localhost}\n", "brain.yaml:2: online_store.redis: it is host:port, "),
        ("http: 5\n", "brain.yaml:1: http: "),
        ("http: {port: 1, port: 2}\n", "brain.yaml:1: "),
        ("http: [\n", "brain.yaml:"),
        ("- a\n", "brain.yaml:1: "),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        _open(tmp_path, text)
    assert str(raised.value).startswith(message)


@pytest.mark.promise("doors.tls")
def test_a_host_beyond_this_machine_needs_a_certificate_or_a_proxy_that_has_one(tmp_path: Path) -> None:
    for more in ("tls: {certificate: c.pem, key: k.pem}", "behind_proxy: true"):
        assert _open(tmp_path, f"http: {{host: 0.0.0.0, {more}}}\n").settings.http.host == "0.0.0.0"
    for host in ("localhost", "127.0.0.1", "'::1'"):
        assert _open(tmp_path, f"http: {{host: {host}}}\n").settings.http.tls is None


def test_a_folder_without_the_file_is_told_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="brain new DIR"):
        Workspace.open(tmp_path)


@given(st.binary(max_size=200))
def test_no_content_raises_anything_but_a_config_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    file = tmp_path_factory.mktemp("any") / "brain.yaml"
    file.write_bytes(data)
    with suppress(ConfigError):
        assert isinstance(read_settings(file), BrainSettings)


def test_the_secret_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, BrainSettings())
    workspace.create_secret()
    secret = workspace.secret()
    assert len(secret) == 32
    assert stat.S_IMODE(workspace.secret_file.stat().st_mode) == 0o600
    with pytest.raises(Refused, match="never replaced"):
        workspace.create_secret()
    assert workspace.secret() == secret


def test_a_missing_secret_is_not_made_anew(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="restore it"):
        Workspace(tmp_path, BrainSettings()).secret()


@pytest.mark.promise("ledger.secret-is-private")
def test_a_secret_that_others_may_read_is_refused(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, BrainSettings())
    workspace.create_secret()
    workspace.secret_file.chmod(0o644)
    with pytest.raises(Refused, match="chmod 600"):
        workspace.secret()


@pytest.mark.parametrize("text", ["", "abc", "zz" * 32, "ab" * 31])
def test_a_secret_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    workspace = Workspace(tmp_path, BrainSettings())
    workspace.secret_file.write_text(text)
    workspace.secret_file.chmod(0o600)
    with pytest.raises(Refused, match="not 32 bytes"):
        workspace.secret()


def test_limits_of_the_door_are_positive() -> None:
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        Http(max_ongoing_requests=0)
