"""The tasks that the benchmarks measure: data, queries, and what the paper reports."""

from dataclasses import dataclass
from pathlib import Path

from retq_hub.dataset import Dataset
from retq_hub.datasets import open_dataset


@dataclass(frozen=True, kw_only=True)
class Task:
    """A task of the paper.

    Attributes:
        name: What the tables call it.
        dataset: The published data set.
        folder: Where it lies below the data folder.
        target: What is marked.
        basis: What the one-pass query reads.
        query: The one-pass query of the registry.
        fine: The best query of the registry.
        paper: AUC, Dice at 0.5, and Dice at a better threshold where the paper gives one.
    """

    name: str
    dataset: str
    folder: str
    target: str
    basis: str
    query: str
    fine: str
    paper: tuple[float, float, float | None]

    def split(self, data: Path, split: str) -> Dataset:
        """Open a split."""
        return open_dataset(self.dataset, data / self.folder, target=self.target, split=split)


TASKS = (
    Task(
        name="disc",
        dataset="idrid",
        folder="IDRiD",
        target="disc",
        basis="7",
        query="idrid-disc",
        fine="idrid-disc-fine",
        paper=(0.9995, 0.9072, None),
    ),
    Task(
        name="lesions",
        dataset="idrid",
        folder="IDRiD",
        target="lesions",
        basis="1,3,5",
        query="idrid-lesions",
        fine="idrid-lesions-fine",
        paper=(0.9159, 0.1173, 0.3680),
    ),
    Task(
        name="ridge",
        dataset="hvdropdb",
        folder="HVDROPDB-RIDGE",
        target="ridge",
        basis="1,3,5,7",
        query="rop-ridge",
        fine="rop-ridge-fine",
        paper=(0.9847, 0.5699, None),
    ),
)
"""Source of the paper's figures: RETQuerySeg, sections 3.1 to 3.3, with RETFound-Green."""
