"""Some channels that stand for all: which ones, and the linear map from them to all.

All from second moments of rectified maps, (C + 1, C + 1) in float64, a channel of ones the last.
"""

import torch
from torch import Tensor

# Of a moments' mean diagonal, so that channels that are hardly ever active can be solved for.
RIDGE = 1e-6


def second_moments(maps: Tensor) -> Tensor:
    """Return E[f·fᵀ] of maps (B, C, h, w), with the ones."""
    rows = maps.transpose(0, 1).flatten(1).double()
    rows = torch.cat([rows, rows.new_ones(1, rows.shape[1])])
    return rows @ rows.T / rows.shape[1]


def choose_channels(moments: Tensor, count: int) -> list[int]:
    """Choose the channels that explain most of all of them, one after another, in their order.

    Each is the one whose addition lowers the least-squares error over all channels the most:
    a pivoted Cholesky factorisation with that as its pivot.
    """
    channels = len(moments) - 1
    # What the ones, a head's bias, leave.
    rest = moments - torch.outer(moments[:, channels], moments[channels]) / moments[-1, -1]
    chosen: list[int] = []
    for _ in range(count):
        diagonal = rest.diagonal()[:channels]
        gains = rest[:channels, :channels].square().sum(0) / diagonal.clamp_min(1e-9)
        gains[chosen] = -1
        best = int(gains.argmax())
        chosen.append(best)
        rest = rest - torch.outer(rest[:, best], rest[best]) / rest[best, best].clamp_min(1e-9)
    return sorted(chosen)


def fit_head(moments: Tensor, chosen: list[int]) -> tuple[Tensor, Tensor]:
    """Return weight (C, c) and bias (C,) of the least-squares map from the chosen to all."""
    index = [*chosen, len(moments) - 1]
    square = moments[index][:, index]
    ridge = RIDGE * square.diagonal().mean() * torch.eye(len(index)).to(square)
    matrix = torch.linalg.solve(square + ridge, moments[index][:, :-1]).T
    return matrix[:, :-1].float(), matrix[:, -1].float()
