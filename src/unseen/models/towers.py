"""A tower of a model as data, and the table that turns it into a network.

A tower is the image net or the text net. Its spec says which architecture it is, with what
configuration, and how each parameter is found among the checkpoint's weights; no weight is in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from numpy.typing import NDArray

from unseen.errors import ModelError
from unseen.models.serialization import from_plain, to_plain
from unseen.models.weights.files import Weights
from unseen.models.weights.names import Names, Renamed, names_from_plain, names_to_plain
from unseen.networks.network import Network

Array = NDArray[Any]


Builder = Callable[[Any, Mapping[str, Array]], Network[Any]]


class Architecture:
    """A row of `ARCHITECTURES`. Each thing is named as `module.name` of networks/, and imported
    when it is first needed: to import all of them takes longer than to read a model.

    Parameters
    ----------
    config : str
        The class of its configuration.
    network : str
        Configuration and parameters → the network.
    parts : str, optional
        → what each place of a picture adds: a network of networks/parts.py.
    grid : str, optional
        → rows and columns of those places, of one view.
    masked : str, optional
        → the network with a mask of the tokens that are gone.
    prefix_tree : str, optional
        → the causal network on a prefix tree of several texts.
    """

    def __init__(
        self,
        config: str,
        network: str,
        parts: str | None = None,
        grid: str | None = None,
        masked: str | None = None,
        prefix_tree: str | None = None,
    ) -> None:
        self._config = config
        self._network = network
        self._parts, self._grid, self._masked = parts, grid, masked
        self._prefix_tree = prefix_tree

    @property
    def config(self) -> type[Any]:
        """The class."""
        kind: type[Any] = _named(self._config)
        return kind

    @property
    def network(self) -> Builder:
        """The function."""
        builder: Builder = _named(self._network)
        return builder

    @property
    def parts(self) -> Builder | None:
        """The function, if there is one."""
        builder: Builder | None = _named(self._parts)
        return builder

    @property
    def grid(self) -> Callable[[Any, Mapping[str, Array]], tuple[int, int]] | None:
        """The function, if there is one."""
        grid: Callable[[Any, Mapping[str, Array]], tuple[int, int]] | None = _named(self._grid)
        return grid

    @property
    def masked(self) -> Builder | None:
        """The function, if there is one."""
        builder: Builder | None = _named(self._masked)
        return builder

    @property
    def prefix_tree(self) -> Builder | None:
        """The function, if there is one."""
        builder: Builder | None = _named(self._prefix_tree)
        return builder


def _named(name: str | None) -> Any:
    if name is None:
        return None
    module, _, attribute = name.partition(".")
    return getattr(import_module(f"unseen.networks.{module}"), attribute)


ARCHITECTURES: dict[str, Architecture] = {
    "vit": Architecture(
        "vit.VisionConfig",
        "vit.network",
        "parts.vision_network",
        "parts.vision_grid",
        "vit.masked_network",
    ),
    "resnet": Architecture(
        "resnet.ResNetConfig", "resnet.network", "parts.resnet_network", "parts.resnet_grid"
    ),
    "efficientnet": Architecture(
        "efficientnet.EfficientNetConfig",
        "efficientnet.network",
        "parts.efficientnet_network",
        "efficientnet.grid",
    ),
    "naflex": Architecture("vit.NaFlexConfig", "vit.naflex_network"),
    "convnext": Architecture(
        "convnext.ConvNeXtConfig", "convnext.network", "parts.convnext_network", "convnext.grid"
    ),
    "fastvit": Architecture(
        "fastvit.FastViTConfig", "fastvit.network", "parts.fastvit_network", "fastvit.grid"
    ),
    "hybrid": Architecture(
        "hybrid.HybridConfig", "hybrid.network", "parts.hybrid_network", "hybrid.grid"
    ),
    "text": Architecture("text.TextConfig", "text.network", prefix_tree="prefix_tree.network"),
    "bert": Architecture("bert.TextConfig", "bert.network"),
    "builtin_image": Architecture(
        "builtin.ImageConfig",
        "builtin.image_network",
        "parts.builtin_network",
        "parts.builtin_grid",
    ),
    "builtin_text": Architecture("builtin.TextConfig", "builtin.text_network"),
    "distilled_image": Architecture(
        "distilled.ImageConfig",
        "distilled.image_network",
        "parts.distilled_network",
        "parts.distilled_grid",
    ),
    "distilled_text": Architecture("distilled.TextConfig", "distilled.text_network"),
}


@dataclass(frozen=True)
class TowerSpec:
    """One tower of a model.

    Parameters
    ----------
    kind : str
        A row of `ARCHITECTURES`.
    config : dataclass
        The configuration of that row's class.
    names : mapping
        Our name of each parameter → its name in the checkpoint, or a rule of
        `models/weights/rules.py` that computes it.
    shapes : mapping
        Names in the checkpoint → the shapes that its config implies; checked when the network is
        built, because a folder may hold files of two checkpoints.
    """

    kind: str
    config: Any
    names: Names = field(repr=False, hash=False)
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict, repr=False, hash=False)

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it; `from_dict` reads it back."""
        return {
            "kind": self.kind,
            "config": to_plain(self.config),
            "names": names_to_plain(self.names),
            "shapes": to_plain(self.shapes),
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any], where: str = "tower") -> TowerSpec:
        """What `to_dict` gave. Raises ModelError for anything else."""
        whole = from_plain(dict[str, Any], plain, where)
        if set(whole) != {"kind", "config", "names", "shapes"}:
            raise ModelError(f"{where} must have kind, config, names and shapes.")
        if whole["kind"] not in ARCHITECTURES:
            raise ModelError(
                f"{where}: unknown kind {whole['kind']!r}; choose one of: "
                f"{', '.join(ARCHITECTURES)}."
            )
        return cls(
            whole["kind"],
            from_plain(ARCHITECTURES[whole["kind"]].config, whole["config"], f"{where}.config"),
            names_from_plain(whole["names"], f"{where}.names"),
            from_plain(dict[str, tuple[int, ...]], whole["shapes"], f"{where}.shapes"),
        )


def build_network(
    tower: TowerSpec, weights: Mapping[str, Array], build: Builder | None = None
) -> Network[Any]:
    """The network of a tower with its parameters. Reads weights only when they are used.

    Parameters
    ----------
    tower : TowerSpec
        What to build.
    weights : mapping
        The checkpoint's arrays by their stored names, as `WeightsSpec.arrays` gives them.
    build : callable, optional
        What builds it; by default the `network` of the architecture.

    Raises
    ------
    ModelError
        When a weight is missing or has another shape than the checkpoint's config implies.
    """
    for name, expected in tower.shapes.items():
        shape = weights.shape(name) if isinstance(weights, Weights) else weights[name].shape
        if shape != expected:
            raise ModelError(
                f"the config and the weights disagree: {name} has the shape {shape}, the config "
                f"says {expected}. The folder may hold files of two checkpoints."
            )
    build = build or ARCHITECTURES[tower.kind].network
    return build(tower.config, Renamed(weights, tower.names))
