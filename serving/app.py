"""The application under the path that deployment files (`serve.yaml`) in existing workspaces name."""

from serving.http.app import build

__all__ = ["build"]
