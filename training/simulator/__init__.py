"""Worlds whose truth is known: generated streams and a generated telecom operator."""
