"""Styles drawn evenly: in each class every style as often as its weight says, rounded.

How often each style is drawn in each class is settled first (`quotas`), then which image draws
which (`match`): a stable matching of images to styles, so that an image more or a style more
changes the draw of a few others only.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from stylebatch.plan.hashes import Hashes, hashes_of, mix

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
# Of some rows: what each style costs each of them; inf where it may not have it.
Costs = Callable[[Ints], Floats]

NOTHING = -1
_MAX_COSTS = 1 << 18


class Styles:
    """The styles of a draw: what they are hashed to, and how often an image draws each."""

    def __init__(self, keys: Sequence[str], weights: Sequence[float], count: int) -> None:
        """Work out the shares.

        Args:
            keys: of the style entries; their order decides nothing.
            weights: above 0; only their proportions count.
            count: distinct styles for each image, at most as many as there are.
        """
        self.count = count
        self.hashes = hashes_of("", keys)
        self.shares = _shares(weights, count)
        self._are_equal = len(set(weights)) <= 1
        # One that every image draws comes first, whatever is hashed.
        self._rates = np.array([float(share) for share in self.shares])

    def costs(self, hashes: Hashes, rates: Floats | None = None) -> Floats:
        """Return what each style costs each of some rows: the least is what it draws first.

        Args:
            hashes: (N,) of the rows.
            rates: (N, S) how likely each draws each, 0 for never; None: by the shares.

        Returns:
            (N, S). With equal rates the order is that of the hashes; else the least of -log(u) /
            rate is each style's in proportion to its rate (Efraimidis & Spirakis 2006, "Weighted
            random sampling with a reservoir").
        """
        scores = mix(hashes[:, None] ^ self.hashes[None, :])
        draws = ((scores >> np.uint64(11)).astype(np.float64) + 0.5) / 2**53
        if self._are_equal and rates is None:
            return 1 - draws
        rates = self._rates[None, :] if rates is None else rates
        with np.errstate(divide="ignore"):
            costs = -np.log(draws) / rates
        return np.where(rates >= 1, -1.0, costs)


def _shares(weights: Sequence[float], count: int) -> list[Fraction]:
    """Return how often an image draws each style: by weight, once at most, `count` in all."""
    exact = [Fraction(repr(float(weight))) for weight in weights]
    shares = [Fraction(0)] * len(exact)
    left, open_ = Fraction(count), list(range(len(exact)))
    while open_:
        total = sum(exact[index] for index in open_)
        full = [index for index in open_ if exact[index] * left >= total]
        if not full:
            for index in open_:
                shares[index] = exact[index] * left / total
            break
        for index in full:
            shares[index] = Fraction(1)
        left -= len(full)
        open_ = [index for index in open_ if index not in full]
    return shares


def quotas(seed: int, sizes: Mapping[str, int], styles: Styles) -> Ints:
    """Return how many images of each class draw each style.

    In each class a style's share of its images is rounded down or up, and so it is over all
    classes together where that can be (with equal weights it always can). Which classes round up
    is a stable matching too: of classes to styles, by a hash of both.

    Args:
        sizes: how many images each class has.

    Returns:
        (C, S) in the order of `sizes`; a class's sum to its images × `styles.count`.
    """
    common = math.lcm(*(share.denominator for share in styles.shares))
    parts = np.array([int(share * common) for share in styles.shares], dtype=object)
    exact = np.array(list(sizes.values()), dtype=object)[:, None] * parts[None, :]
    found: Ints = (exact // common).astype(np.int64)
    rests = exact % common
    seats = (rests.sum(axis=1) // common).astype(np.int64)
    hashes = hashes_of(f"{seed}\0class\0", list(sizes))
    rates = (rests / common).astype(np.float64)

    def costs(rows: Ints) -> Floats:
        return styles.costs(hashes[rows], rates[rows])

    most = _largest_rests(rests.sum(axis=0), common, seed, styles)
    order = np.argsort(hashes, kind="stable")
    up = np.empty((len(seats), int(seats.max(initial=0))), dtype=np.int64)
    up[order] = match(lambda rows: costs(order[rows]), seats[order], most[None, :])
    for row in np.flatnonzero((up != NOTHING).sum(axis=1) < seats):
        # Weights may leave no way in which all classes' sums agree: then the class's own does.
        own = costs(np.array([row]))[0]
        own[up[row][up[row] != NOTHING]] = np.inf
        gaps = np.flatnonzero(up[row, : seats[row]] == NOTHING)
        up[row, gaps] = np.argsort(own, kind="stable")[: len(gaps)]
    rows, places = np.nonzero(up != NOTHING)
    found[rows, up[rows, places]] += 1
    return found


def _largest_rests(sums: NDArray[np.object_], common: int, seed: int, styles: Styles) -> Ints:
    """Round numbers (in units of 1 / common) to their sum: up where most is left, ties by hash."""
    floors: Ints = (sums // common).astype(np.int64)
    missing = int(sums.sum()) // common - int(floors.sum())
    ties = mix(hashes_of(f"{seed}\0all\0", [""]) ^ styles.hashes)
    order = sorted(range(len(sums)), key=lambda index: (-(sums[index] % common), ties[index]))
    floors[order[:missing]] += 1
    return floors


def draw(hashes: Hashes, groups: Ints, quota: Ints, styles: Styles) -> Ints:
    """Let each image draw its styles.

    Args:
        hashes: (N,) of the images, ascending in each class: the order of listing decides nothing.
        groups: (N,) the number of each one's class, ascending.
        quota: (C, S) how many images of each class draw each style.

    Returns:
        (N, K) indices of styles.
    """
    seats = np.full(len(hashes), styles.count, dtype=np.int64)
    return match(lambda rows: styles.costs(hashes[rows]), seats, quota, groups)


def match(costs: Costs, seats: Ints, capacities: Ints, groups: Ints | None = None) -> Ints:
    """Match rows to columns: each row so many distinct ones, each column at most so many rows.

    Every row asks for the columns that cost it least; a column with too many keeps those whom it
    costs least, and what it costs the last of them is from then on the most it takes, until nobody
    is turned away (deferred acceptance: Gale & Shapley 1962, "College admissions and the stability
    of marriage"; as bounds: Azevedo & Leshno 2016, "A supply and demand framework for two-sided
    matching markets"). As both sides go by the same costs, what comes out is the only stable
    matching. Where it leaves seats empty, as a row would have to have a column twice, others swap.

    Args:
        seats: (N,) how many columns each row has.
        capacities: (G, S) of the columns, of each group its own.
        groups: (N,) which group each row is of, ascending; None: all of one.

    Returns:
        (N, most seats) columns; `NOTHING` past a row's seats, and in those that stay empty.
    """
    num_rows, width = len(seats), int(seats.max(initial=0))
    groups = np.zeros(num_rows, dtype=np.int64) if groups is None else groups
    held = np.full((num_rows, width), NOTHING, dtype=np.int64)
    if not width:
        return held
    paid = np.full((num_rows, width), np.inf)
    bounds = np.where(capacities > 0, np.inf, -np.inf)
    asking = np.flatnonzero(seats)
    while len(asking):
        _ask(costs, asking, seats, bounds[groups[asking]], held, paid)
        asking = _turn_away(held, paid, groups, capacities, bounds)
    short = np.flatnonzero((held != NOTHING).sum(axis=1) < seats)
    for group in np.unique(groups[short]):
        first, end = np.searchsorted(groups, (group, group + 1))
        members = slice(int(first), int(end))
        _fill(costs, seats[members], capacities[group], held[members], int(first))
    return held


def _ask(costs: Costs, asking: Ints, seats: Ints, bounds: Floats, held: Ints, paid: Floats) -> None:
    """Let rows have the columns within their bounds that cost them least."""
    width, columns = held.shape[1], bounds.shape[1]
    step = max(1, _MAX_COSTS // columns)
    for start in range(0, len(asking), step):
        rows = asking[start : start + step]
        of_rows = costs(rows)
        of_rows[of_rows > bounds[start : start + step]] = np.inf
        if width < columns:
            chosen = np.argpartition(of_rows, width - 1, axis=1)[:, :width]
        else:
            chosen = np.tile(np.arange(width), (len(rows), 1))
        price = np.take_along_axis(of_rows, chosen, axis=1)
        order = np.argsort(price, axis=1)
        chosen = np.take_along_axis(chosen, order, axis=1)
        price = np.take_along_axis(price, order, axis=1)
        is_none = (np.arange(width) >= seats[rows, None]) | np.isinf(price)
        held[rows] = np.where(is_none, NOTHING, chosen)
        paid[rows] = np.where(is_none, np.inf, price)


def _turn_away(held: Ints, paid: Floats, groups: Ints, capacities: Ints, bounds: Floats) -> Ints:
    """Lower the bounds of columns with too many rows; return the rows that lose one by it."""
    rows, places = np.nonzero(held != NOTHING)
    # A column of a group has one number.
    columns = groups[rows] * capacities.shape[1] + held[rows, places]
    prices = paid[rows, places]
    over = np.bincount(columns, minlength=capacities.size) > capacities.ravel()
    is_over = over[columns]
    rows, columns, prices = rows[is_over], columns[is_over], prices[is_over]
    order = np.lexsort((prices, columns))
    crowded = np.flatnonzero(over)
    last = np.searchsorted(columns[order], crowded) + capacities.ravel()[crowded] - 1
    bounds.ravel()[crowded] = prices[order[last]]
    return np.unique(rows[prices > bounds.ravel()[columns]])


def _fill(costs: Costs, seats: Ints, capacities: Ints, held: Ints, first: int) -> None:
    """Fill what is empty: with a column that has room, else by a swap with a row that can take it.

    For rows of one number of seats there always is such a swap. Deterministic: the least costs win.

    Args:
        seats, held: of the rows of one group, the first of which has this number.
    """
    room = capacities - np.bincount(held[held != NOTHING], minlength=len(capacities))
    wanting = (held != NOTHING).sum(axis=1)
    for row in np.flatnonzero(wanting < seats):
        for seat in range(wanting[row], seats[row]):
            own = costs(np.array([first + row]))[0]
            own[held[row, :seat]] = np.inf
            free = np.where(room > 0, own, np.inf)
            best = int(np.argmin(free))
            if np.isinf(free[best]):
                best = _swap(costs, own, np.flatnonzero(room > 0), held, room, first)
                if best == NOTHING:
                    break
            else:
                room[best] -= 1
            held[row, seat] = best


def _swap(costs: Costs, own: Floats, free: Ints, held: Ints, room: Ints, first: int) -> int:
    """Let another row give up a column, for one that has room, that some row can have.

    Returns:
        the column; `NOTHING` where no row can.
    """
    allowed = np.append(np.isfinite(own), False)  # the last is `NOTHING`'s
    step = max(1, _MAX_COSTS // len(own))
    # A block at a time: the first nearly always has one, and a class may have a million rows.
    for start in range(0, len(held), step):
        block = held[start : start + step]
        rows = np.flatnonzero(allowed[block].any(axis=1))
        if not len(rows):
            continue
        prices = costs(first + start + rows)[:, free]
        prices[(block[rows][:, :, None] == free).any(axis=1)] = np.inf
        at, column = np.unravel_index(int(np.argmin(prices)), prices.shape)
        if np.isinf(prices[at, column]):
            continue
        given = block[rows[at]]
        gift = int(min(given[allowed[given]], key=lambda each: own[each]))
        given[given == gift] = free[column]
        block[rows[at]] = given
        room[free[column]] -= 1
        return gift
    return NOTHING
