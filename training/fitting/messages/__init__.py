"""Fits models of messages."""
