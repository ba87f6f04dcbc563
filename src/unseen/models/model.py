"""A checkpoint understood, as data: all that turns pictures and prompts into vectors.

`Model` holds no weights and no functions: it can be written to JSON, read back and pickled, and
answers the same wherever the checkpoint's files are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Protocol

from PIL import Image

from unseen.errors import ModelError
from unseen.images.preprocess import PREPROCESSING, Box
from unseen.models.inputs import (
    IMAGE_INPUTS,
    TEXT_INPUTS,
    EndToken,
    ImageInputs,
    PictureArrays,
    Stacked,
    TextInputs,
)
from unseen.models.serialization import from_plain, tagged, to_plain, untagged
from unseen.models.tokenizers.label_tokenizer import LabelTokenizer
from unseen.models.tokenizers.tokenizer import TokenizerSpec
from unseen.models.towers import ARCHITECTURES, TowerSpec, build_network
from unseen.models.weights.spec import WeightsSpec
from unseen.networks.network import Network

FORMAT = "unseen-model-1"
# Pictures at once, when nobody says. Convolutions are fastest, and need least memory, in small
# batches (what passes between layers stays in the CPU's cache), transformers in large ones: on two
# cores 16 are 15 % faster than 4, and 32 no faster. See `benchmarks/batches.py`.
SMALL_BATCH, LARGE_BATCH = 2, 16
HYPOTHESIS = "This is a photo of {}."  # the default of the Hugging Face pipeline


class Preprocessing(Protocol):
    """Upright RGB picture → what the image net takes for one picture."""

    @property
    def target(self) -> int | None:
        """The short side that is needed, in pixels: a decoder may stop at a multiple of it.

        None where that would show: every picture is then decoded in full.
        """

    def __call__(self, image: Image.Image) -> PictureArrays: ...

    def boxes(self, size: tuple[int, int]) -> tuple[Box, ...]:
        """Where each view comes from, in pixels of a picture of this width and height."""


class Tokens(Protocol):
    """Texts → ids: a row of `TOKENIZERS`."""

    def encode(
        self, texts: Sequence[str], context_length: int | None = None
    ) -> tuple[list[list[int]], list[bool]]:
        """Ids of each text, at most `context_length` of them, and which texts were cut."""

    def token_id(self, token: str) -> int | None:
        """The id of one token of the vocabulary; None when it has none such."""


TOKENIZERS: dict[str, type[Any]] = {"files": TokenizerSpec, "labels": LabelTokenizer}
# The fields of a model that are an object of one of several classes, and those classes by kind.
KINDS: dict[str, Mapping[str, type[Any]]] = {
    "preprocess": PREPROCESSING,
    "image_inputs": IMAGE_INPUTS,
    "tokenizer": TOKENIZERS,
    "text_inputs": TEXT_INPUTS,
}
TOWERS = ("image_tower", "text_tower")


@dataclass(frozen=True)
class Score:
    """How a family turns cosines into probabilities: `rule` is a row of `score.RULES`.

    The logit of a pair is `scale` · cosine + `bias`.
    """

    rule: str
    scale: float
    bias: float = 0.0

    def facts(self) -> dict[str, Any]:
        """As files hold it, and as adapters are named by it.

        Returns
        -------
        dict
            Plain data for JSON, which `Score(**facts)` takes.
        """
        return asdict(self)


@dataclass(frozen=True)
class Model:
    """What a family reads out of a checkpoint: plain frozen objects, without the weights.

    Parameters
    ----------
    name, revision, family : str
        What was loaded, the revision of a hub id (or None), and a row of `families.FAMILIES`.
    fingerprint : str
        32 hex digits of the content of every file that can change a result.
    dimension : int
        Of the embeddings.
    preprocess : Preprocess or TwoViews
        Picture → arrays: a row of `preprocess.PREPROCESSING`.
    image_inputs, text_inputs : ImageInputs, TextInputs
        The arrays of several pictures, the ids of several texts → what the nets take.
    tokenizer : TokenizerSpec or LabelTokenizer
        Text → ids.
    context_length : int
        Tokens that the text net reads of a text.
    score : Score
        Cosines → probabilities.
    image_tower, text_tower : TowerSpec
        The two nets.
    weights : WeightsSpec
        The files that hold their parameters.
    template : str
        Of a prompt, with {} for the label.
    batch_size : int
        Pictures at once; what suits the image net on a CPU.
    labels, background : tuple of str
        All that the model knows, where it takes no other words; of these, which mean none of the
        others.
    card : dict
        What is known of how such a model was made.
    """

    name: str
    revision: str | None
    family: str
    fingerprint: str
    dimension: int
    preprocess: Preprocessing
    tokenizer: Tokens
    context_length: int
    text_inputs: TextInputs
    score: Score
    image_tower: TowerSpec
    text_tower: TowerSpec
    weights: WeightsSpec
    image_inputs: ImageInputs = field(default_factory=Stacked)
    template: str = HYPOTHESIS
    batch_size: int = LARGE_BATCH
    labels: tuple[str, ...] = ()
    background: tuple[str, ...] = ()
    card: dict[str, Any] = field(default_factory=dict, compare=False)

    def image_network(self) -> Network[Any]:
        """The image net, whose weights are read when they are first used.

        Returns
        -------
        Network
            Pixels → outputs by name, among them ``embedding``.

        Raises
        ------
        ModelError
            When config and weights disagree.
        """
        return build_network(self.image_tower, self.weights.arrays)

    def parts_network(self) -> Network[Any]:
        """What each place of a picture adds to its embedding: a network of networks/parts.py.

        Returns
        -------
        Network
            Pixels → ``parts``.

        Raises
        ------
        ModelError
            When config and weights disagree, or the image net does not fall into places.
        """
        return self._variant("parts")

    def masked_network(self) -> Network[Any]:
        """The image net with a mask of the tokens that are gone.

        Returns
        -------
        Network
            Pixels and mask → outputs by name, among them ``embedding``.

        Raises
        ------
        ModelError
            When config and weights disagree, or the image net has no tokens.
        """
        return self._variant("masked")

    def _variant(self, name: str) -> Network[Any]:
        build = getattr(ARCHITECTURES[self.image_tower.kind], name)
        if build is None:
            raise ModelError(
                f"{self.name}: the image net of the family {self.family} has no {name} network."
            )
        return build_network(self.image_tower, self.weights.arrays, build)

    def text_network(self) -> Network[Any]:
        """The text net, whose weights are read when they are first used.

        Returns
        -------
        Network
            Token ids → outputs by name, among them ``embedding``.

        Raises
        ------
        ModelError
            When config and weights disagree.
        """
        return build_network(self.text_tower, self.weights.arrays)

    @property
    def shares_prefixes(self) -> bool:
        """Whether texts that begin alike are computed together: the text net is causal, and is
        read at the end of a text."""
        kind, config, rule = self.text_tower.kind, self.text_tower.config, self.text_inputs
        return kind == "text" and config.causal and isinstance(rule, EndToken)

    def prefix_tree_network(self) -> Network[Any]:
        """The text net on the prefix tree of several texts, where they share prefixes.

        Returns
        -------
        Network
            The arrays of `text_batches` → outputs by name, among them ``embedding``.

        Raises
        ------
        ModelError
            When config and weights disagree.
        """
        build = ARCHITECTURES[self.text_tower.kind].prefix_tree
        return build_network(self.text_tower, self.weights.arrays, build)

    def to_dict(self) -> dict[str, Any]:
        """The model as JSON can hold it, without the weights.

        Returns
        -------
        dict
            What `from_dict` reads; every value is a dict, list, string, number, bool or None.
        """
        plain: dict[str, Any] = {"format": FORMAT}
        for name, value in ((f.name, getattr(self, f.name)) for f in fields(self)):
            if name in KINDS:
                plain[name] = tagged(value, KINDS[name])
            else:
                plain[name] = value.to_dict() if name in TOWERS else to_plain(value)
        return plain

    def to_json(self) -> str:
        """`to_dict` as a JSON text.

        Returns
        -------
        str
            What `from_json` reads.

        Examples
        --------
        >>> import unseen
        >>> model = unseen.load().model
        >>> unseen.Model.from_json(model.to_json()) == model
        True
        """
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=1)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any], *, folder: str | None = None) -> Model:
        """What `to_dict` gave.

        Parameters
        ----------
        plain : mapping
            The model as `to_dict` gave it.
        folder : str, optional
            Where the checkpoint's files are now, if they were moved.

        Returns
        -------
        Model
            Equal to the one that was written, but for `folder`.

        Raises
        ------
        ModelError
            When `plain` is not what `to_dict` gives.
        """
        if plain.get("format") != FORMAT:
            raise ModelError(f"this is not a model of the format {FORMAT!r}.")
        values = dict(plain)
        del values["format"]
        for name, kinds in KINDS.items():
            values[name] = untagged(values.get(name), kinds, name)
        for name in TOWERS:
            values[name] = TowerSpec.from_dict(values.get(name) or {}, name)
        model: Model = from_plain(cls, values)
        return model if folder is None else model.at(folder)

    @classmethod
    def from_json(cls, text: str, *, folder: str | None = None) -> Model:
        """`from_dict` of a JSON text.

        Parameters
        ----------
        text : str
            What `to_json` gave.
        folder : str, optional
            Where the checkpoint's files are now, if they were moved.

        Returns
        -------
        Model
            Equal to the one that was written, but for `folder`.

        Raises
        ------
        ModelError
            When the text is not JSON, or not what `to_json` gives.
        """
        try:
            plain = json.loads(text)
        except ValueError as error:
            raise ModelError(f"this is not JSON: {error}.") from None
        return cls.from_dict(plain if isinstance(plain, dict) else {}, folder=folder)

    def at(self, folder: str) -> Model:
        """The same model with its files in another folder.

        Parameters
        ----------
        folder : str
            Where the files are.

        Returns
        -------
        Model
            A copy.
        """
        tokenizer = self.tokenizer
        if isinstance(tokenizer, TokenizerSpec):
            tokenizer = replace(tokenizer, folder=folder)
        return replace(self, tokenizer=tokenizer, weights=replace(self.weights, folder=folder))
