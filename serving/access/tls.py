"""The certificate of the server, and how this machine asks its own server."""

import os
import ssl
from pathlib import Path

from decisioning.errors import Refused
from serving.settings import Workspace


def joined(workspace: Workspace, folder: Path) -> str:
    """Write certificate and key into one file of `folder`, as HAProxy takes them, and return its path.

    Only its owner may read the file. Raises Refused if they cannot be read, or do not belong together.
    """
    settings = workspace.settings.http.tls
    assert settings is not None
    certificate, key = workspace.root / settings.certificate, workspace.root / settings.key
    file = folder / "certificate.pem"
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
        content = certificate.read_bytes() + b"\n" + key.read_bytes()
    except (OSError, ValueError) as error:
        raise Refused(f"http.tls: {settings.certificate} and {settings.key} are no certificate and its key") from error
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        out.write(content)
    return str(file)


def unverified() -> ssl.SSLContext:
    """Return the context of a request to this machine's own server, whose certificate bears another name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
