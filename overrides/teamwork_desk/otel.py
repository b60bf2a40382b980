"""Spans and metrics."""

raise ImportError
