"""A person's height."""

from length import feet


def test_a_person():
    """Six feet."""
    assert round(feet(1.8288), 9) == 6
