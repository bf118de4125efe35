"""Tests of what serves. A package, so that the product of the run stops with its last test."""
