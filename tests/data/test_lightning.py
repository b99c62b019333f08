"""Lightning trains with `StylisedDataset` as docs/training.md says; where it is installed."""

from pathlib import Path
from typing import Any

import pytest
import torch
from support.runs import small_project
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from stylebatch.data import StylisedDataset

pytestmark = pytest.mark.slow


@pytest.mark.filterwarnings("ignore")
def test_lightning_trains_and_tells_it_the_epochs(tmp_path: Path) -> None:
    lightning: Any = pytest.importorskip("lightning")
    small = small_project(tmp_path)
    small.pair["originals"] = "copy"
    assert small.run().code == 0
    as_numbers = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
    train = StylisedDataset(small.out, probability=0.5, transform=as_numbers, seed=1)
    seen: list[tuple[int, bytes]] = []

    class Model(lightning.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = torch.nn.Linear(3 * 16 * 16, len(train.classes))

        def on_train_epoch_start(self) -> None:
            train.set_epoch(self.current_epoch)

        def training_step(self, batch: Any, _: int) -> Any:
            images, labels = batch
            seen.append((self.current_epoch, images.numpy().tobytes()))
            return torch.nn.functional.cross_entropy(self.model(images.flatten(1)), labels)

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.01)

    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = lightning.Trainer(max_epochs=4, accelerator="cpu", default_root_dir=tmp_path, **quiet)
    trainer.fit(Model(), DataLoader(train, batch_size=1))
    wanted = []
    for epoch in range(4):
        train.set_epoch(epoch)
        wanted += [(epoch, train[index][0].numpy().tobytes()) for index in range(len(train))]
    assert seen == wanted
    assert len({data for _, data in seen}) > len(train)
