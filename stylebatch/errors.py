"""The base of the errors that a user can mend."""

from typing import Self

# The exit code of what Ctrl-C or a deadline ended.
INTERRUPTED = 4


class UserError(Exception):
    """Say where something is wrong, what was found, what is allowed and what to do next.

    Subclasses stand beside the code that raises them; `cli/main.py` alone maps them to exit codes.
    """

    exit_code = 2
    # Whether the same again may well go better.
    is_transient = False
    # The path, as a job has it, of an input that is not as it was planned with.
    unexpected_input = ""

    def __init__(self, where: str, found: str, allowed: str = "", todo: str = "") -> None:
        self.where, self.found, self.allowed, self.todo = where, found, allowed, todo
        parts = "; ".join(part for part in (found, allowed, todo) if part)
        super().__init__(f"{where}: {parts}")

    @classmethod
    def unwritable(cls, where: str, reason: str) -> Self:
        """Make the one for a file that can't be written, with the system's reason."""
        allowed = "allowed is a file in a folder that you may write to"
        return cls(where, f"can't be written ({reason})", allowed, "choose another place")

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions pickle by `args`, which here is the joined text: name the fields instead.
        return type(self), (self.where, self.found, self.allowed, self.todo)


class Problems(UserError):  # noqa: N818  (several errors, not one)
    """Several errors that were found together, so that a user mends them in one go."""

    def __init__(self, problems: list[UserError]) -> None:
        self.problems = problems
        Exception.__init__(self, "\n".join(str(problem) for problem in problems))

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.problems,)


class RunError(UserError):
    """A failure that concerns the whole run (disk full, output vanished): stopped, resumable."""

    exit_code = 5

    @classmethod
    def from_text(cls, text: str) -> "RunError":
        """Make one again from its message, as a worker sent it."""
        where, _, found = text.partition(": ")
        return cls(where, found)


def raise_all(problems: list[UserError]) -> None:
    """Raise what was found, if anything: one error as it is, several as `Problems`."""
    flat = [
        each
        for problem in problems
        for each in (problem.problems if isinstance(problem, Problems) else [problem])
    ]
    if flat:
        raise flat[0] if len(flat) == 1 else Problems(flat)
