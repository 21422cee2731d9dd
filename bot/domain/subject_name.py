"""How reports and alerts write what they are about, read back in one place: "pod shop/a", "pair node-1>node-2"."""

from typing import NamedTuple, Self


class SubjectName(NamedTuple):
    """Kind and name of one thing."""

    kind: str
    """"pod", "node", "service", "pair", "cluster"; of alerts "namespace", "deployment" and others, too."""
    name: str
    """With its namespace, where it has one; "" for the cluster."""

    @classmethod
    def read(cls, text: str) -> Self:
        """From its written form."""
        kind, _, name = text.partition(" ")
        return cls(kind, name)

    @property
    def namespace(self) -> str:
        """Of what is in none: ""."""
        return self.name.rpartition("/")[0]

    @property
    def short(self) -> str:
        """The name without its namespace."""
        return self.name.rpartition("/")[2]

    @property
    def ends(self) -> tuple[str, str]:
        """The nodes of a pair: from the first to the second."""
        source, _, target = self.name.partition(">")
        return source, target
