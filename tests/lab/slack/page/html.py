"""Reading the page's HTML as a browser would, to see what hostile text became of."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

TAGS = frozenset(
    {
        *(
            "a",
            "b",
            "blockquote",
            "br",
            "code",
            "details",
            "div",
            "em",
            "figcaption",
            "figure",
            "hr",
            "i",
            "img",
            "li",
            "ol",
        ),
        *("h1", "h2", "h3", "h4", "h5", "h6", "p", "pre", "s", "small", "span", "strong", "summary", "time", "u", "ul"),
        *("table", "tbody", "td", "th", "thead", "tr"),
    }
)
ATTRIBUTES = frozenset(
    {
        *("alt", "aria-label", "class", "href", "loading", "rel", "role", "src", "start", "style", "target", "title"),
    }
)


@dataclass
class Seen(HTMLParser):
    """The tags, attributes and addresses of a piece of HTML, and its text."""

    tags: set[str] = field(default_factory=set[str])
    attributes: set[str] = field(default_factory=set[str])
    addresses: set[str] = field(default_factory=set[str])
    text: str = ""

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.addresses |= {value or "" for name, value in attrs if name in {"href", "src"}}

    def handle_data(self, data: str) -> None:
        self.text += data


def seen(html: str) -> Seen:
    parser = Seen()
    parser.feed(html)
    parser.close()
    return parser


def assert_harmless(html: str) -> Seen:
    """Nothing but the page's own tags, attributes and kinds of addresses."""
    found = seen(html)
    assert found.tags <= TAGS, found.tags - TAGS
    assert found.attributes <= ATTRIBUTES, found.attributes - ATTRIBUTES
    for address in found.addresses:
        assert address.startswith(("http://", "https://", "mailto:", "tel:", "/files/")), address
    return found
