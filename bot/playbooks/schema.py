"""The fields of a playbook file, and a playbook as the engine sees it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from bot.domain.facts import SubjectKind
from bot.rules.expression import Expression
from bot.rules.template import Template

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=60)]
Sentence = Annotated[str, StringConstraints(min_length=3, max_length=1_000, strip_whitespace=True)]
Port = Annotated[int, Field(ge=1, le=65_535)]
Protocol = Literal["tcp", "udp"]
Grade = Literal["fail", "warn", "info"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class ExpectFile(_Strict):
    """What should hold of each subject of a kind."""

    about: SubjectKind
    where: str | None = None
    """Only subjects of which this holds."""
    that: str
    otherwise: Sentence
    severity: Grade = "warn"


class StepFile(_Strict):
    """One look: what to read aloud, and the probe that does it."""

    look: Sentence
    probe: str
    expect: tuple[ExpectFile, ...] = ()


class PatternFile(_Strict):
    """A way to recognise pods or Services; all that is given must match."""

    labels: Mapping[str, str] = Field(default_factory=dict[str, str])
    """Label values as glob patterns: {app.kubernetes.io/name: "seldon-*"}."""
    image: str = ""
    """A glob pattern on any container's image, without registry, mirror's path and tag: "seldonio/mlserver*"."""
    name: str = ""
    """A glob pattern on the name."""

    @model_validator(mode="after")
    def _says_something(self) -> "PatternFile":
        if not (self.labels or self.image or self.name):
            msg = "give labels, image or name"
            raise ValueError(msg)
        return self


class ServicePatternFile(_Strict):
    """Which Services: by name, and by labels where names vary."""

    name: str = "*"
    labels: Mapping[str, str] = Field(default_factory=dict[str, str])


Line = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]*$", max_length=120)]
"""What goes into a request as it is: no blanks, no line breaks."""


class HttpFile(_Strict):
    """An HTTP request and the answer that is right."""

    path: Annotated[str, StringConstraints(pattern=r"^/[\x21-\x7e]*$", max_length=120)] = "/"
    tls: Literal["no", "yes", "either"] = "no"
    """Certificates are not verified: this asks whether somebody answers, not who."""
    status: tuple[Annotated[int, Field(ge=100, le=599)], ...] = ()
    """Without any: every one below 500, which says that the application answers for itself."""
    contains: Annotated[str, StringConstraints(max_length=120)] = ""
    """A text in the first 16 KiB, headers included."""


class GrpcFile(_Strict):
    """A gRPC health check."""

    service: Line = ""
    serving: bool = False
    """It must say that it serves; else it is enough that it speaks gRPC, for many servers tell no health."""


class NameFile(_Strict):
    """A name that a DNS server should resolve; the dial's port is 53."""

    name: Annotated[Line, StringConstraints(min_length=1)]
    addresses: tuple[str, ...] = ()
    """IPv4 addresses of which one must be in the answer; without any, one address is enough."""


class AnswerFile(_Strict):
    """What is asked once the connection is there, and what is right: one of these."""

    http: HttpFile | None = None
    grpc: GrpcFile | None = None
    dns: NameFile | None = None

    @model_validator(mode="after")
    def _is_one(self) -> "AnswerFile":
        if sum(each is not None for each in (self.http, self.grpc, self.dns)) != 1:
            msg = "give one of http, grpc, dns"
            raise ValueError(msg)
        return self


class DialFile(_Strict):
    """Pods of the application that connect to one of its Services."""

    source: Annotated[PatternFile | None, Field(alias="from")] = None
    """None: clients elsewhere, or some of its pods; it is tested from any of them, and none is held to need it."""
    to: ServicePatternFile
    port: Port
    protocol: Protocol = "tcp"
    why: Sentence
    optional: bool = False
    """The Service may be missing in some installations."""
    expects: AnswerFile | None = None
    """None: that it connects is enough."""

    @model_validator(mode="after")
    def _fits(self) -> "DialFile":
        if self.expects and (self.expects.dns is not None) != (self.port == 53):
            msg = "names are asked on port 53, and nothing else is"
            raise ValueError(msg)
        return self


class ApplicationFile(_Strict):
    """An application: how its pods are recognised, and who dials whom."""

    name: Annotated[str, StringConstraints(min_length=2, max_length=60)]
    recognise: Annotated[tuple[PatternFile, ...], Field(min_length=1)]
    """A pod belongs to it when any of these matches."""
    dials: tuple[DialFile, ...] = ()
    source_url: str = ""
    """Where the ports are documented."""


class PlaybookFile(_Strict):
    """One playbook."""

    name: Name
    override: bool = False
    title: Sentence
    audience: Annotated[Sentence, Field(alias="for")]
    steps: Annotated[tuple[StepFile, ...], Field(min_length=1)]
    application: ApplicationFile | None = None


@dataclass(frozen=True, slots=True)
class Expectation:
    """What should hold of each subject of a kind."""

    about: SubjectKind
    where: Expression | None
    that: Expression
    otherwise: Template
    severity: Grade


@dataclass(frozen=True, slots=True)
class Step:
    """One look by one probe."""

    look: str
    probe: str
    expectations: tuple[Expectation, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Playbook:
    """An ordered list of looks, and what to expect at each."""

    name: str
    title: str
    audience: str
    steps: tuple[Step, ...]
    application: ApplicationFile | None = None
    file: str = ""
    override: bool = False
    id: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", self.name)
