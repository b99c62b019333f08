"""Named sets: whether they are there, and their download by torch.hub, as torchvision does it."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from urllib.error import HTTPError

from stylebatch.extractors.weights.names import NAMED_WEIGHTS, NamedWeights, hub_folder
from stylebatch.extractors.weights.weight_set import WeightsError, WeightSet
from stylebatch.system.files import make_folder, sha256_file

# A server that sends nothing for so long has gone; torch.hub alone would wait for ever.
SILENCE_S = 60.0
# What else to do, of a command's options and of a manifest's section.
WITHOUT_MANIFEST = "take `--arch slim`, which comes with stylebatch, or `--weights PATH` of a file"
IN_MANIFEST = (
    "write `arch: slim`, which comes with stylebatch, or `weights: PATH` of a .safetensors or "
    ".pth file under extractor"
)
_SMALL = " (`stylebatch weights convert` makes a small one where there is a network)"


class DownloadError(WeightsError):
    """Named weights that could not be downloaded."""

    def of_manifest(self) -> "DownloadError":
        """Return the same with what to write into a manifest."""
        todo = self.todo.replace(WITHOUT_MANIFEST, IN_MANIFEST)
        return DownloadError(self.where, self.found, self.allowed, todo)


def find_named(text: str) -> tuple[str, str]:
    """Return (architecture, name) for `vgg19/imagenet`, or for `vgg19` where it has one set only.

    Raises:
        WeightsError: no such set, or several; with those that there are.
    """
    known = {f"{arch}/{name}": (arch, name) for arch, name in NAMED_WEIGHTS}
    meant = [key for key in known if text in (key, known[key][0])]
    if len(meant) == 1:
        return known[meant[0]]
    found = f"means any of {', '.join(meant)}" if meant else "no such named weights"
    raise WeightsError(text, found, f"one of {', '.join(known)}")


def find_named_set(weights: WeightSet) -> NamedWeights | None:
    """Return the named set that weights are of torchvision's; None of a file or random ones."""
    return NAMED_WEIGHTS.get((weights.arch, weights.source)) if weights.path is None else None


def find_download(weights: WeightSet) -> NamedWeights | None:
    """Return the named set that has to be downloaded; None if there is nothing to do."""
    named = find_named_set(weights)
    return None if named is None or named.place.exists() else named


def is_fetched(named: NamedWeights) -> bool:
    """Tell whether a named set is there; reads all of it.

    Raises:
        WeightsError: another file is in its place, or one that can't be read.
    """
    try:
        digest = sha256_file(named.place)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        found, todo = f"can't be read ({error.strerror})", "let yourself read it, or remove it"
        raise WeightsError(str(named.place), found, "", todo) from error
    if not digest.startswith(named.sha256_start):
        raise WeightsError(
            str(named.place),
            f"is not {named.identifier}: its sha256 starts with {digest[:8]}",
            named.sha256_start,
            "delete it, and it will be downloaded again",
        )
    return True


def fetch(named: NamedWeights, *, progress: bool = False) -> bool:
    """Download a named set unless it is there; return whether it had to be downloaded.

    The file gets its name when it is whole and its sha256 is right, so that whoever else downloads
    it, or reads it, never meets half of one.

    Args:
        progress: show a bar on stderr.

    Raises:
        DownloadError: no download, with where to put a copy.
        WeightsError: as `is_fetched`.
    """
    if is_fetched(named):
        return False
    from torch.hub import download_url_to_file

    try:
        make_folder(named.place.parent)
        with _impatience():
            download_url_to_file(named.url, str(named.place), named.sha256_start, progress)
    except (OSError, RuntimeError, HTTPException) as error:
        if isinstance(error, HTTPError):
            error.close()  # it is also the answer, with its connection
        raise DownloadError(
            named.identifier,
            f"could not be downloaded from {named.url} ({_reason(error)})",
            f"a copy of {named.file_name} (sha256 {named.sha256_start}…) in {hub_folder()}",
            f"put it there, or {WITHOUT_MANIFEST}{_SMALL}",
        ) from error
    return True


def _reason(error: Exception) -> str:
    text = str(error) or type(error).__name__
    # So torch.hub says it, whether the connection was cut or a proxy sent a page of its own.
    return f"cut short, or another file: {text}" if text.startswith("invalid hash") else text


@contextmanager
def _impatience() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SILENCE_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
