"""Hostile streams: bytes become what a guest says, and a link must end in one of its own errors."""
