"""A pair's part of a file of annotations that is about all images, and whose names they are."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeVar

from stylebatch.annotations.findings import MalformedError, Problem
from stylebatch.annotations.report import Kind, Report
from stylebatch.annotations.results import Result
from stylebatch.annotations.sources import ImageNames, Sources
from stylebatch.system import files
from stylebatch.system.words import counted

T = TypeVar("T")


class Part(NamedTuple):
    """A pair's results, with where their annotations come from."""

    kind: Kind
    sources: Sources
    results: list[Result]

    @property
    def file(self) -> str:
        """The file that they stand in."""
        return self.sources.place(self.kind.name)

    def tell(self, report: Report, problems: Iterable[Problem], content: str | None = None) -> None:
        """Note what is wrong with it."""
        strict = self.sources.is_strict
        report.tell(self.kind, self.file, problems, content=content, is_failure=strict)

    def read(self, report: Report, parse: Callable[[bytes], T]) -> T | None:
        """Return the file parsed; where it can't be read or parsed, note that and return None."""
        try:
            return parse(files.read_bytes(self.sources.root / self.file))
        except OSError as error:
            self.tell(report, [Problem(None, f"can't be read ({error.strerror})")])
        except MalformedError as error:
            self.tell(report, [error.problem])
        return None


def names_of(part: Part) -> ImageNames:
    """Return what a part's photographs are called by."""
    done = (result.path for result in part.results)
    return ImageNames(part.sources.content, {*part.sources.photographs, *done})


class Strangers:
    """Names in a file that mean no photograph, or several."""

    def __init__(self) -> None:
        self.unknown: list[str] = []
        self.ambiguous: list[tuple[int, str]] = []

    def problems(self, content: str) -> Iterator[Problem]:
        """Yield what is wrong with them; `content` is the content folder."""
        if self.unknown:
            names = counted(len(self.unknown), "name")
            reason = f"{names} of no image in {content} (such as {self.unknown[0]})"
            yield Problem(None, reason)
        for line, name in self.ambiguous:
            yield Problem(line, f"'{name}' may be several images; write the path below {content}")
