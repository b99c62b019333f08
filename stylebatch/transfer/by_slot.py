"""State by slot: named tensors whose first dimension is the slot."""

from collections.abc import Mapping

from torch import Tensor

# Of one slot, without that dimension.
SlotState = Mapping[str, Tensor]


def copy_slot(states: Mapping[str, Tensor], source: int, target: int) -> None:
    """Copy one slot's state into another slot."""
    for state in states.values():
        state[target] = state[source]


def read_slot(states: Mapping[str, Tensor], slot: int) -> dict[str, Tensor]:
    """Return copies of one slot's state, on the CPU."""
    return {name: state[slot].detach().cpu().clone() for name, state in states.items()}


def write_slot(states: Mapping[str, Tensor], slot: int, given: SlotState) -> None:
    """Put what `read_slot` has returned into a slot, of these or of others like them."""
    for name, state in states.items():
        state[slot] = given[name].to(state.device)


def named(prefix: str, given: SlotState) -> dict[str, Tensor]:
    """Return a part's state under names that tell it from other parts'."""
    return {f"{prefix}.{name}": value for name, value in given.items()}


def part(prefix: str, given: SlotState) -> dict[str, Tensor]:
    """Return what `named` has named so, by its own names."""
    dotted = f"{prefix}."
    return {
        name.removeprefix(dotted): value for name, value in given.items() if name.startswith(dotted)
    }
