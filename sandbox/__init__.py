"""The sandbox: boxes for agents to think in. Only this room knows that Docker exists.

`box` makes boxes, `hardening` says what makes a container one, `guest` is what runs first in it;
`inside/` holds the files that agents find there.
"""
