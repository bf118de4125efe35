"""The certificate of the server, and how this machine asks its own server."""

import os
import ssl
import stat
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from decisioning.errors import Refused
from serving.settings import Workspace


def joined(workspace: Workspace, folder: Path) -> str:
    """Write certificate and key into one file of `folder`, as HAProxy takes them, and return its path.

    Only its owner may read the file. Raises Refused if they cannot be read, do not belong together, if every user may
    read the key, or if the certificate is not valid now.
    """
    settings = workspace.settings.http.tls
    assert settings is not None
    key = workspace.root / settings.key
    content = _read(workspace.root / settings.certificate) + b"\n" + _read(key)
    file = folder / "certificate.pem"
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(workspace.root / settings.certificate, key, password="")
        first = x509.load_pem_x509_certificate(content)
    except (OSError, ValueError) as error:
        raise Refused(f"http.tls: {settings.certificate} and {settings.key} are no certificate and its key") from error
    if key.stat().st_mode & stat.S_IROTH:
        raise Refused(f"http.tls: every user may read {key}; run: chmod o-rwx '{key}'")
    _check_dates(settings.certificate, first, datetime.now(UTC))
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        out.write(content)
    return str(file)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise Refused(f"http.tls: cannot read {file}: {error.strerror}") from error


def _check_dates(name: str, certificate: x509.Certificate, now: datetime) -> None:
    if now >= certificate.not_valid_after_utc:
        raise Refused(f"http.tls: {name} expired on {certificate.not_valid_after_utc:%Y-%m-%d}; get a new certificate")
    if now < certificate.not_valid_before_utc:
        begin = f"{certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
        raise Refused(f"http.tls: {name} is valid from {begin} on; wait for that, or set the clock of this machine")


def unverified() -> ssl.SSLContext:
    """Return the context of a request to this machine's own server, whose certificate bears another name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
