"""Exports for other trainers.

`rows` says what a row is; `steps`, `replays`, `preferences` and `process_labels` each make one kind
of object; `tally` counts, `notes` tells what would break the boundary there, and `write` puts all
of it into a folder.
"""
