"""The Feast repository of a workspace, generated from its feature schema."""
