"""Digging: a shell in a copy of a frozen box, for who judges its step.

`screen` keeps what a terminal shows, `cast` records it, `session` joins the two with a shell, and
`digs` says who may have one, for how long, and sees to it that it ends.
"""
