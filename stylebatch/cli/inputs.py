"""Words for inputs that can't be reached, are gone, or were passed over."""

from collections import Counter
from collections.abc import Iterator, Mapping

from stylebatch.system.reach import EMPTY
from stylebatch.system.words import counted

_MAX_SHOWN = 3


def unreachable_text(unreachable: Mapping[str, str]) -> str:
    """Name what can't be reached, and why: `1 place can't be reached (a: Permission denied)`."""
    shown = [f"{path}: {reason}" for path, reason in list(unreachable.items())[:_MAX_SHOWN]]
    if (more := len(unreachable) - len(shown)) > 0:
        shown.append(f"and {more:,} more")
    return f"{counted(len(unreachable), 'place')} can't be reached ({'; '.join(shown)})"


def staying(
    unreachable: Mapping[str, str], kept: int, withheld: int, most: int | str
) -> Iterator[str]:
    """Say what can't be reached, and which images stay for it.

    Args:
        kept: images that stay as their input can't be reached.
        withheld: images that stay as the inputs of more than `most` are gone.
    """
    if unreachable:
        text = unreachable_text(unreachable)
        if kept:
            stays = counted(kept, "image", "of what was there stays", "of what was there stay")
            text += f": {stays}"
        if EMPTY in unreachable.values():
            text += "; what somebody has emptied --allow-removals sets aside"
        yield text
    if withheld:
        images = counted(withheld, "image", "stays", "stay")
        whose = "its photograph or style is" if withheld == 1 else "their photographs or styles are"
        yield (
            f"{images} though {whose} gone: more than run.max_removals ({most}); if that is meant, "
            "--allow-removals sets them aside"
        )


def passed_over_text(passed_over: Mapping[str, int]) -> str:
    """Say which files are no images that are read, most first: `2 × .heic, 1 × .txt`."""
    named = ((count, suffix or "no suffix") for suffix, count in passed_over.items())
    most_first = sorted(named, key=lambda one: -one[0])
    return ", ".join(f"{count:,} × {suffix}" for count, suffix in most_first)


def all_passed_over(passed_over: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    """Say how many files of all pairs were passed over, if any: `3 files passed over (…)`."""
    counts = sum((Counter(of_pair) for of_pair in passed_over.values()), Counter[str]())
    if counts:
        yield f"{counted(counts.total(), 'file')} passed over ({passed_over_text(counts)})"
