"""What is tried from the inside of a box: attempts, not readings of its settings.

These modules are sent into the box and run there (Python 3.8 or later, standard library only);
`monastery.sandbox.conformance` sends them and judges what they say.
"""
