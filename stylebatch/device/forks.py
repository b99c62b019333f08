"""Processes that were forked after torch was loaded, as PyTorch's DataLoader forks its workers."""

import os

import torch

from stylebatch.errors import UserError

_LOADED_BY = os.getpid()


class ForkError(UserError):
    """A device that a forked process can't use."""


def settle_after_fork(device: str) -> None:
    """Let this process use a device if it was forked; call it before anything is computed.

    OpenMP's threads are not forked, and whoever waits for them waits for ever: such a process goes
    on with one thread, which gives the same bits.

    Raises:
        ForkError: a GPU that the process above has used, which CUDA does not share.
    """
    if os.getpid() == _LOADED_BY:
        return
    if device.startswith("cuda") and torch.cuda._is_in_bad_fork():
        found = "this process was forked from one that uses the GPU already"
        allowed = "CUDA works in processes that are spawned"
        todo = "DataLoader: multiprocessing_context='spawn', or num_workers=0; or device='cpu'"
        raise ForkError(device, found, allowed, todo)
    torch.set_num_threads(1)
