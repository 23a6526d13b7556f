"""``synthetic_persons`` as a dataset class of the installed torchreid."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from ccafl_plugin.data.datasets import read_market_folder
from ccafl_plugin.options import options
from ccafl_plugin.synthetic.renderer import NAME, ensure


def build_synthetic_persons(torchreid: ModuleType) -> type:
    """Creates the dataset class ``synthetic_persons``.

    Args:
        torchreid: the package that contains torchreid's ``data``.

    Returns:
        A subclass of torchreid's ``ImageDataset``.
    """

    class SyntheticPersons(torchreid.data.ImageDataset):  # type: ignore[name-defined]  # the module is an argument
        """Rendered pedestrians in six or more cameras. They are rendered below the data root at the first use.

        Args:
            root: the data root; created if it does not exist.
            size: "tiny", "small", "medium" or "large"; by default the option ``synthetic_size``.
            seed: seed of the people and places; by default the option ``synthetic_seed``.
            cameras: number of cameras, at least 6; by default the option ``synthetic_cameras``.
        """

        dataset_dir = NAME
        is_made_on_first_use = True

        def __init__(
            self,
            root: str = "",
            size: str | None = None,
            seed: int | None = None,
            cameras: int | None = None,
            **kwargs: Any,
        ) -> None:
            size = options.synthetic_size if size is None else size
            seed = options.synthetic_seed if seed is None else seed
            cameras = options.synthetic_cameras if cameras is None else cameras
            folder = ensure(root, size, seed, cameras=cameras)
            super().__init__(
                read_market_folder(folder / "bounding_box_train", relabel=True),
                read_market_folder(folder / "query"),
                read_market_folder(folder / "bounding_box_test"),
                **kwargs,
            )

    return SyntheticPersons
