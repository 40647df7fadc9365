"""Containment: a test behind every sentence of docs/containment.md."""
