"""The names of Hugging Face transformers for zero-shot classification, without torch.

Code of a tutorial runs with its import line changed:

    >>> from unseen.transformers import AutoModel, AutoProcessor
    >>> model = AutoModel.from_pretrained("tests/fixtures/shapes-clip")
    >>> processor = AutoProcessor.from_pretrained("tests/fixtures/shapes-clip")

``unseen help transformers`` says what is covered. Everything else raises, and names what to use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unseen.pipelines import pipeline as pipeline
    from unseen.transformers.modeling import ZeroShotModel
    from unseen.transformers.processing import ImageProcessor, Processor, Tokenizer

    AutoModel = AutoModelForZeroShotImageClassification = ZeroShotModel
    CLIPModel = SiglipModel = Siglip2Model = ZeroShotModel
    AltCLIPModel = ChineseCLIPModel = AlignModel = ZeroShotModel
    AutoProcessor = CLIPProcessor = SiglipProcessor = Siglip2Processor = Processor
    AltCLIPProcessor = ChineseCLIPProcessor = AlignProcessor = Processor
    AutoTokenizer = CLIPTokenizer = CLIPTokenizerFast = SiglipTokenizer = Tokenizer
    XLMRobertaTokenizer = XLMRobertaTokenizerFast = BertTokenizer = BertTokenizerFast = Tokenizer
    AutoImageProcessor = AutoFeatureExtractor = CLIPFeatureExtractor = ImageProcessor
    CLIPImageProcessor = CLIPImageProcessorFast = ImageProcessor
    SiglipImageProcessor = SiglipImageProcessorFast = ImageProcessor
    ChineseCLIPImageProcessor = ChineseCLIPImageProcessorFast = ImageProcessor

# Our class → the names that transformers has for it: which family a checkpoint is of, its own
# config says.
CLASSES = {
    "modeling.ZeroShotModel": (
        "AutoModel AutoModelForZeroShotImageClassification CLIPModel SiglipModel Siglip2Model "
        "AltCLIPModel ChineseCLIPModel AlignModel"
    ),
    "processing.Processor": (
        "AutoProcessor CLIPProcessor SiglipProcessor Siglip2Processor AltCLIPProcessor "
        "ChineseCLIPProcessor AlignProcessor"
    ),
    "processing.Tokenizer": (
        "AutoTokenizer CLIPTokenizer CLIPTokenizerFast SiglipTokenizer XLMRobertaTokenizer "
        "XLMRobertaTokenizerFast BertTokenizer BertTokenizerFast"
    ),
    "processing.ImageProcessor": (
        "AutoImageProcessor AutoFeatureExtractor CLIPImageProcessor CLIPImageProcessorFast "
        "CLIPFeatureExtractor SiglipImageProcessor SiglipImageProcessorFast "
        "ChineseCLIPImageProcessor ChineseCLIPImageProcessorFast"
    ),
}
_MODULES = {name: target for target, names in CLASSES.items() for name in names.split()}

__all__ = sorted([*_MODULES, "pipeline"])


def __getattr__(name: str) -> Any:
    if name == "pipeline":
        return import_module("unseen.pipelines").pipeline
    if name in _MODULES:
        module, class_name = _MODULES[name].split(".")
        value = getattr(import_module(f"{__name__}.{module}"), class_name)
        globals()[name] = value
        return value
    if name[:1].isupper():  # an AttributeError would become "cannot import name", without a reason
        raise ImportError(
            f"{name} is not covered by unseen.transformers, which has {', '.join(__all__)}. Labels "
            "in, scores out is unseen.load; for the rest use transformers itself."
        )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
