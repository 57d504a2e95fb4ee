"""What a report says, as records that page, JSON and PDF render."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Dict, List, Mapping, Tuple

from .charts.page_figures import DrawnFigure


@dataclass(frozen=True)
class ReportTable:
    """A table: its heading, its columns and, as text, its rows; ``links`` are of the rows' first cells, "" for none."""

    title: str
    columns: List[str]
    rows: List[List[str]]
    links: List[str] = field(default_factory=list)


@dataclass(frozen=True)
class ModelCard:
    """The card of a model that was used: what it was used for, its name, sentences, and everything on it."""

    role: str
    name: str
    words: List[str]
    facts: List[Tuple[str, str]]


@dataclass(frozen=True)
class MethodsText:
    """Sentences for a paper's methods section, and the works that they cite."""

    text: List[str]
    citations: List[str]


@dataclass
class ReportPage:
    """The report of one results folder.

    Attributes:
        title: which map.
        headline: the verdict in one line.
        tone: ``good``, ``bad`` or ``unsure``.
        verdict: sentences about the verdict.
        tables: the numbers.
        methods: sentences for a paper.
        citations: the works that they cite.
        models: cards of the networks.
        warnings: what the engine warned of.
        version: of the program.
        created: when, in ISO 8601.
        results: the JSON files that it is made of.
        figures: what the page shows.
        problems: what is missing or contradictory.
    """

    title: str
    headline: str
    tone: str
    verdict: List[str]
    tables: List[ReportTable]
    methods: List[str]
    citations: List[str]
    models: List[ModelCard]
    warnings: List[str]
    version: str
    created: str
    results: Mapping[str, Any]
    figures: List[DrawnFigure] = field(default_factory=list)
    problems: List[str] = field(default_factory=list)

    def plain(self) -> Dict[str, Any]:
        """For ``report.json``: everything but the drawings."""
        found = asdict(self)
        for figure in found["figures"]:
            del figure["html"]
        return found
