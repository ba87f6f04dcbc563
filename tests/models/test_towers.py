"""What data/towers.json says of timm's ViTs is what timm makes."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from timm.models.eva import Eva, EvaBlockPostNorm

from unseen.models.families.openclip import settings

KNOWN = settings.towers()["timm_model_name"]


def activation(module: Any) -> str:
    names = {"QuickGELU": "quick_gelu", "SiLU": "silu"}
    if type(module).__name__ in names:
        return names[type(module).__name__]
    tanh = type(module).__name__ == "GELUTanh" or getattr(module, "approximate", "none") == "tanh"
    return "gelu_tanh" if tanh else "gelu"


def of_eva(model: Eva) -> dict[str, Any]:
    """What the rows of EVA's and Perception Encoder's ViTs have besides."""
    more: dict[str, Any] = {}
    if model.attn_pool is not None:
        more["pool_heads"] = model.attn_pool.num_heads
    if model.rope is not None:
        first = {"ij": "row", "xy": "column"}[model.rope.grid_indexing]
        (side, same) = model.rope.ref_feat_shape
        assert side == same and not model.rope_mixed
        more["rotary"] = {"first": first, "start": model.rope.grid_offset, "side": side}
    if isinstance(model.blocks[0], EvaBlockPostNorm):
        more["post_norm"] = True
    return more


@pytest.mark.parametrize("name", [name for name in KNOWN if "network" not in KNOWN[name]])
def test_rows_of_plain_vits(name: str) -> None:
    with torch.device("meta"):  # no weights are made
        model = timm.create_model(name)
    epsilons = {m.eps for m in model.modules() if isinstance(m, torch.nn.LayerNorm)}
    activations = {activation(m) for n, m in model.named_modules() if n.endswith(".act")}
    config = {"heads": model.blocks[0].attn.num_heads}
    (config["activation"],), (config["epsilon"],) = activations, epsilons
    if isinstance(model, Eva):
        config |= of_eva(model)
    assert config == KNOWN[name]
    assert not [n for n, _ in model.named_parameters() if "reg_token" in n]


@pytest.mark.parametrize("name", [name for name in KNOWN if name.startswith("convnext")])
def test_rows_of_convnexts(name: str) -> None:
    with torch.device("meta"):
        model = timm.create_model(name)
    epsilons = {m.eps for m in model.modules() if isinstance(m, torch.nn.LayerNorm)}
    activations = {activation(m) for n, m in model.named_modules() if n.endswith(".act")}
    (epsilon,), (kind,) = epsilons, activations
    assert KNOWN[name] == {"network": "convnext", "activation": kind, "epsilon": epsilon}


OTHERS = [name for name in KNOWN if KNOWN[name].get("network") in ("vitamin", "mobileclip_vit")]


@pytest.mark.parametrize("name", OTHERS)
def test_rows_of_hybrids(name: str) -> None:
    with torch.device("meta"):
        model = timm.create_model(name)
    epsilons = {m.eps for m in model.modules() if isinstance(m, torch.nn.LayerNorm)}
    activations = {activation(m) for n, m in model.blocks.named_modules() if n.endswith(".act")}
    (epsilon,), (kind,) = epsilons, activations
    facts = {"heads": model.blocks[0].attn.num_heads, "activation": kind, "epsilon": epsilon}
    assert KNOWN[name] == {"network": KNOWN[name]["network"], **facts}


def test_every_vit_of_openclips_own_configs_is_known_or_has_another_network() -> None:
    import open_clip

    trunks = {
        open_clip.get_model_config(name)["vision_cfg"].get("timm_model_name")
        for name in open_clip.list_models()
    }
    others = ("vit_base_mci_", "vit_relpos_")
    plain = {t for t in trunks if t and t.startswith(("vit_", "eva")) and not t.startswith(others)}
    assert plain <= set(KNOWN)
