"""Trains models of messages."""
