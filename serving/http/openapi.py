"""What the OpenAPI document says of keys: the scheme, and per operation the scopes that reach it."""

from typing import Any

from fastapi import FastAPI

from serving.access.table import ADMIN, TABLE

_SCHEME = {"type": "http", "scheme": "bearer", "description": "A key: `brn_` and 48 letters and digits"}


def describe_keys(app: FastAPI) -> None:
    """Let the application's OpenAPI document tell which operations need a key, and of which scopes."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        """Return the document, which is made once."""
        if app.openapi_schema is not None:
            return app.openapi_schema
        document = made()
        document.setdefault("components", {})["securitySchemes"] = {"key": _SCHEME}
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                _describe(operation, f"{method.upper()} {path}")
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI documents it


def _describe(operation: dict[str, Any], route: str) -> None:
    scopes = TABLE.routes.get(route)
    if scopes is not None:
        operation["security"] = [{"key": []}]
        operation["description"] = f"{operation.get('description', '')}\n\nScopes: {', '.join((*scopes, ADMIN))}."
