"""Water freezes and boils."""

from temperature import celsius


def test_water():
    """At the degrees that everybody knows."""
    assert (celsius(32), celsius(212)) == (0, 100)
