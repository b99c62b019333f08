"""Photographs that are on both sides of a split: what is learnt from one is asked of the other."""

from collections.abc import Iterator

from stylebatch.ledger import Ledger
from stylebatch.verify.differences import Difference

_MOST_NAMED = 4


def look_at_splits(ledger: Ledger) -> Iterator[Difference]:
    """Yield photographs, told by their bytes, of which images are in several splits."""
    for digest, places in ledger.in_several_splits():
        named = [f"{split}: {content}" for split, content in places[:_MOST_NAMED]]
        more = f" and {len(places) - _MOST_NAMED} more" if len(places) > _MOST_NAMED else ""
        yield Difference("split", places[0][1], f"{'; '.join(named)}{more} (digest {digest})")
