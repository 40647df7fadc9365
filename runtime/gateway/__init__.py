"""The wall between a box and the model that thinks in it: what of a request may leave.

For each API there is a list of the fields that may be passed on, with their shapes; whatever is not
on it is refused, and the agent is told. `wall` is the way in. Pure: nothing here does anything.
"""
