"""Marked-up pages as text: what a reader needs is there, what acts is not, and none takes long."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monastery.runtime.web.pages import decoded, excerpt, spellings
from monastery.runtime.web.readable import readable
from tests.web.conftest import TIDE

TEXT = """# Tide

The moon pulls the sea; see the Moon and elsewhere.

- spring tide
- neap tide

hour | height
1 | 2.5

a  b
 c"""


def test_a_page_becomes_the_text_that_a_person_would_read() -> None:
    """Headings, lists, tables and preformatted text stay; scripts, styles and pictures go."""
    assert readable(TIDE, "wiki/Tide.html") == ("Tide", TEXT)


def test_links_are_written_when_asked_for_and_only_those_that_lead_somewhere() -> None:
    """A link to another page of this web can be asked for as it stands; one to elsewhere cannot."""
    _, text = readable(TIDE, "wiki/Tide.html", links=True)
    assert "see [the Moon](wiki/Moon.html) and elsewhere." in text
    _, text = readable(
        '<a href="../../../../x y%2e">up</a><a href="//h/p">out</a>', "a/b", links=True
    )
    assert text == "[up](x y.)out"


@pytest.mark.parametrize(
    "markup",
    [
        "<p>kept</p><script>gone",
        "<p>kept</p><script>gone</script>",
        "<svg><svg>gone</svg>gone</svg><p>kept</p>",
        "<p>kept</p><template><p>gone</p>",
        "<p onclick='gone()'>kept</p><!-- gone -->",
        "<style>gone</style>kept<iframe src=gone></iframe>",
    ],
)
def test_what_acts_or_hides_is_no_text(markup: str) -> None:
    """However it is closed, or not."""
    assert readable(markup, "x")[1] == "kept"


@given(st.text(alphabet="<>/!-=\"' apresvg&;#x0\n", max_size=300))
def test_any_markup_has_a_text(markup: str) -> None:
    """Nothing that is written breaks the reader."""
    readable(markup, "a/b", links=True)


@pytest.mark.parametrize(
    "piece", ["<a href=x>", "<svg>", "<pre>", "<li>", "<a ", "<!--", "&", "</a>"]
)
def test_a_page_made_to_be_slow_is_read(piece: str) -> None:
    """A hundred thousand of anything come to an end, in memory that is bounded."""
    title, text = readable(piece * 100_000, "a", links=True)
    assert title == ""
    assert len(text) <= 4_000_000


def test_names_under_which_a_page_is_called() -> None:
    """Its address, with percent signs, a fragment or a query, and the index of a folder."""
    names = list(spellings("https://Example.org/wiki/Sea%20water?x=1#top"))
    assert names[0] == "Example.org/wiki/Sea%20water?x=1"
    assert {"Example.org/wiki/Sea water", "Example.org/wiki/Sea water.html"} <= set(names)
    assert "a/index.html" in list(spellings("a/"))
    assert "index.html" in list(spellings("/"))


def test_text_is_read_in_the_encoding_that_it_declares() -> None:
    """UTF-8 where it is that; else what the page says; else nothing is lost."""
    assert decoded("\ufeffé".encode()) == "é"
    assert decoded(b'<meta charset="latin-1">\xe9') == '<meta charset="latin-1">é'
    assert decoded(b'<meta charset="no-such">\xe9') == '<meta charset="no-such">é'
    assert decoded(b"\xe9!") == "\ufffd!"


def test_an_excerpt_is_what_lies_around_the_words() -> None:
    """In one line, and marked where it is cut."""
    assert excerpt("short  text\n", ["none"]) == "short text"
    cut = excerpt("a " * 500 + "tide " + "b " * 500, ["TIDE"])
    assert cut.startswith("…a ")
    assert "tide b" in cut
    assert cut.endswith("…")
