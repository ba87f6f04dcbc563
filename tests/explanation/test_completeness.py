"""The rows of a picture add up to its embedding, and are those that judges written apart give."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import checkpoints
import hf_checkpoints
import hf_newer_checkpoints
import judging
import openclip_checkpoints
import openclip_vits
import parts_judge
import unseen
from unseen.explanation.parts import OpenedPicture, PartsEncoder, PictureParts
from unseen.runtimes import reference

TOLERANCE = 1e-5

TOKENS: dict[str, Callable[[Path], Any]] = {
    "clip": checkpoints.clip,
    "altclip": hf_checkpoints.altclip,
    "chinese_clip": hf_checkpoints.chinese_clip,
    "clipseg": hf_checkpoints.clipseg,
    "clipseg odd": lambda folder: hf_checkpoints.clipseg(folder, "odd"),
    "openclip": lambda folder: openclip_checkpoints.openclip(folder, "vit"),
    "openclip quickgelu": lambda folder: openclip_checkpoints.openclip(folder, "quickgelu"),
    "openclip odd": lambda folder: openclip_checkpoints.openclip(folder, "odd"),
    "biomedclip": lambda folder: openclip_checkpoints.openclip(folder, "biomedclip"),
    "eva01": lambda folder: openclip_checkpoints.openclip(folder, openclip_vits.EVA["EVA01-g-14"]),
    "eva02": lambda folder: openclip_checkpoints.openclip(folder, openclip_vits.EVA["EVA02-B-16"]),
    "eva02 336": lambda folder: openclip_checkpoints.openclip(
        folder, openclip_vits.EVA["EVA02-L-14-336"]
    ),
    "eva02 post norm": lambda folder: openclip_checkpoints.openclip(
        folder, openclip_vits.EVA["EVA02-E-14"]
    ),
}


def opened(encoder: unseen.Encoder, image: Image.Image) -> tuple[OpenedPicture, PictureParts]:
    source = PartsEncoder(encoder)
    picture = source.open(image)
    assert isinstance(picture, OpenedPicture)
    (parts,) = source.parts([picture])
    return picture, parts


@pytest.mark.parametrize("family", TOKENS)
def test_class_token_nets_against_numpy(family: str, tmp_path: Path) -> None:
    TOKENS[family](tmp_path)
    encoder = unseen.load(tmp_path).encoder
    image = judging.pictures()[0]
    picture, parts = opened(encoder, image)
    network, config = encoder.model.image_network(), encoder.model.image_tower.config
    judged = parts_judge.vit(network.parameters, config, np.asarray(picture.pixels))
    assert np.abs(judged.rows.sum(0) + judged.rest - judged.embedding).max() < 1e-12
    assert np.abs(parts.embedding - judged.embedding).max() <= TOLERANCE
    assert np.abs(parts.rows - judged.rows).max() <= TOLERANCE
    assert np.abs(parts.rows.sum(0) + judged.rest - parts.embedding).max() <= TOLERANCE
    assert parts.exact
    # and the embedding is that of the plain tower
    assert np.abs(parts.embedding - encoder.encode_images([image])[0]).max() <= TOLERANCE


VITS: dict[str, Callable[[Path], Any]] = {
    "pe core": lambda folder: openclip_checkpoints.openclip(
        folder, openclip_vits.PE_CORE["PE-Core-T-16-384"]
    ),
    "eva01": lambda folder: openclip_checkpoints.openclip(folder, openclip_vits.EVA["EVA01-g-14"]),
    "tips": hf_newer_checkpoints.tips,
    "tips, three registers": lambda folder: hf_newer_checkpoints.tips(folder, "odd"),
    "tips, gated": lambda folder: hf_newer_checkpoints.tips(folder, "g14"),
}


@pytest.mark.parametrize("kind", VITS)
def test_rotary_positions_registers_and_gates_are_in_the_parts(kind: str, tmp_path: Path) -> None:
    """The parts are computed anew, block by block: their total must be the tower's own."""
    VITS[kind](tmp_path)
    encoder = unseen.load(tmp_path).encoder
    image = judging.pictures()[0]
    _, parts = opened(encoder, image)
    assert np.abs(parts.embedding - encoder.encode_images([image])[0]).max() <= TOLERANCE
    assert len(parts.rows) == np.prod(PartsEncoder(encoder).grid)


def test_pictures_with_places_of_their_own_are_refused(tmp_path: Path) -> None:
    hf_newer_checkpoints.naflex(tmp_path)
    with pytest.raises(unseen.ModelError, match=r"explained by place\. Its pictures keep"):
        PartsEncoder(unseen.load(tmp_path).encoder)


CONVOLUTIONS = ["convnext", "convnext, mlp", "convnext, its own head", "mobileclip"]
CONVOLUTIONS += ["mobileclip, layer norms"]


@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_mean_of_pixels_against_timm(kind: str, tmp_path: Path) -> None:
    """The rows from what timm's own last stage gives; where a layer is not linear, its slope."""
    openclip_checkpoints.openclip(tmp_path, kind)
    encoder = unseen.load(tmp_path).encoder
    picture, parts = opened(encoder, judging.pictures()[0])
    visual = _open_clip(tmp_path).double().visual
    scale, shift = encoder.model.preprocess.normalisation()
    pixels = np.asarray(picture.pixels) * np.array(scale) + np.array(shift)
    with torch.no_grad():
        state = visual.trunk.forward_features(torch.tensor(pixels).permute(2, 0, 1)[None])
    assert parts.geometry.grid == tuple(state.shape[2:])
    places = state[0].flatten(1).T / state[0, 0].numel()  # (places, channels)

    def through(pooled: torch.Tensor) -> torch.Tensor:
        x = visual.head(visual.trunk.forward_head(pooled[None, :, None, None]))[0]
        return x / x.norm()

    pooled = places.sum(0)
    with torch.no_grad():
        embedding = through(pooled)
    assert np.abs(parts.embedding - embedding.numpy()).max() <= TOLERANCE
    assert parts.exact == (kind != "convnext, mlp")
    if parts.exact:  # linear but for what is held: of the rest, what no place gave
        held = _held_head(visual, pooled)
        rows = torch.stack([held(row) for row in places]).detach().numpy()
        rest = embedding.numpy() - rows.sum(0)
        assert np.abs(parts.rows - rows).max() <= TOLERANCE
        assert np.abs(parts.rows.sum(0) + rest - parts.embedding).max() <= TOLERANCE
    else:
        moved = torch.autograd.functional.jacobian(through, pooled)
        rows = (places @ moved.T).numpy()
        assert np.abs(parts.rows - rows).max() <= TOLERANCE * max(1, np.abs(rows).max())


def _held_head(visual: Any, pooled: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """The head of timm's net, whose deviation and length are those of one picture: its bias left
    out, as no place gives it."""
    norm = getattr(visual.trunk.head, "norm", None)
    layers = (*visual.trunk.head.modules(), *visual.head.modules())
    last = [m for m in layers if isinstance(m, torch.nn.Linear)]

    def linear(x: torch.Tensor, bias: bool) -> torch.Tensor:
        if isinstance(norm, torch.nn.Module) and hasattr(norm, "eps"):
            deviation = (pooled.var(unbiased=False) + norm.eps).sqrt()
            x = (x - x.mean()) / deviation * norm.weight + (norm.bias if bias else 0)
        for layer in last:
            x = layer.weight @ x + (layer.bias if bias and layer.bias is not None else 0)
        return x

    length = linear(pooled, True).norm()
    return lambda x: linear(x, False) / length


@pytest.mark.parametrize("kind", ["mobileclip-b", "vitamin", "vitamin, no positions"])
def test_patches_of_convolutions_add_up(kind: str, tmp_path: Path) -> None:
    """Computed anew, block by block: the total is the tower's own, the rows sum to what is read."""
    openclip_checkpoints.openclip(tmp_path, kind)
    encoder = unseen.load(tmp_path).encoder
    image = judging.pictures()[0]
    picture, parts = opened(encoder, image)
    assert np.abs(parts.embedding - encoder.encode_images([image])[0]).max() <= TOLERANCE
    assert parts.exact and len(parts.rows) == np.prod(parts.geometry.grid)
    (output,) = reference.run(
        encoder.model.parts_network(), *encoder.model.image_inputs([picture.pixels])
    )
    missing = np.abs(output[:-1].sum(0) - output[-1]).max() / np.abs(output[-1]).max()
    # The class token has more than what its attention gave; a mean has nothing else.
    assert (missing > TOLERANCE) == ("class_token" in encoder.model.parts_network().parameters)


def test_coca_against_open_clip(tmp_path: Path) -> None:
    """What its first query receives from each token, by open_clip's own pool and blocks; exact."""
    openclip_checkpoints.openclip(tmp_path, openclip_vits.COCA)
    encoder = unseen.load(tmp_path).encoder
    picture, parts = opened(encoder, judging.pictures()[0])
    visual = _open_clip(tmp_path).double().visual
    before, tokens = [], []
    for block in visual.transformer.resblocks:
        block.ln_1.register_forward_hook(lambda _, __, y: before.append(y[0]))
    visual.attn_pool.register_forward_pre_hook(lambda _, args: tokens.append(args[0]))
    scale, shift = encoder.model.preprocess.normalisation()
    pixels = np.asarray(picture.pixels) * np.array(scale) + np.array(shift)
    with torch.no_grad():
        projected, _ = visual(torch.tensor(pixels).permute(2, 0, 1)[None])
        spread = torch.eye(len(before[0]), dtype=torch.float64)
        for block, h in zip(visual.transformer.resblocks, before, strict=True):
            q, k, _ = _affine_of(block.attn.in_proj_weight, block.attn.in_proj_bias, h).chunk(3, -1)
            mean = _weights(q, k, block.attn.num_heads).mean(0)
            spread = 0.5 * mean @ spread + 0.5 * spread
        pool, attn = visual.attn_pool, visual.attn_pool.attn
        x = pool.ln_k(tokens[0])[0]
        biases = attn.in_proj_bias.chunk(3)
        own = (attn.q_proj_weight, attn.k_proj_weight, attn.v_proj_weight)  # of another width
        of_q, of_k, of_v = own if attn.in_proj_weight is None else attn.in_proj_weight.chunk(3)
        q = _affine_of(of_q, biases[0], pool.ln_q(pool.query[:1]))
        k = _affine_of(of_k, biases[1], x)
        v = _affine_of(of_v, biases[2], x).reshape(len(x), attn.num_heads, -1)
        alpha = _weights(q, k, attn.num_heads)[:, 0].T  # (tokens, heads)
        each = (alpha[..., None] * v).flatten(1) @ attn.out_proj.weight.T
        pooled, norm = each.sum(0) + attn.out_proj.bias, visual.ln_post
        deviation = (pooled.var(unbiased=False) + norm.eps).sqrt()

        def linear(y: torch.Tensor) -> torch.Tensor:
            return ((y - y.mean(-1, keepdim=True)) / deviation * norm.weight) @ visual.proj

        rows = linear(spread.T @ each)
        rest = linear(attn.out_proj.bias) + norm.bias @ visual.proj + rows[0]
        rows, rest = ((y / projected.norm()).numpy() for y in (rows[1:], rest))
    embedding = (projected[0] / projected.norm()).numpy()
    assert np.abs(rows.sum(0) + rest - embedding).max() < 1e-12
    assert np.abs(parts.rows - rows).max() <= TOLERANCE
    assert np.abs(parts.rows.sum(0) + rest - parts.embedding).max() <= TOLERANCE
    assert parts.exact


def _affine_of(weight: torch.Tensor, bias: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return x @ weight.T + bias


def _weights(q: torch.Tensor, k: torch.Tensor, heads: int) -> torch.Tensor:
    """(heads, queries, keys)."""
    q, k = (t.reshape(len(t), heads, -1) for t in (q, k))
    return (torch.einsum("qhd,khd->hqk", q, k) / q.shape[-1] ** 0.5).softmax(-1)


def test_clip_against_transformers(tmp_path: Path) -> None:
    """From the attentions and values of transformers' own layers, and what else they added."""
    from transformers import CLIPModel

    checkpoints.clip(tmp_path)
    encoder = unseen.load(tmp_path).encoder
    picture, parts = opened(encoder, judging.pictures()[1])
    model = CLIPModel.from_pretrained(tmp_path, dtype=torch.float64, attn_implementation="eager")
    vision, projection = model.vision_model.eval(), model.visual_projection
    values: list[torch.Tensor] = []
    others: list[torch.Tensor] = []  # what came to the class token from no attention
    vision.pre_layrnorm.register_forward_hook(lambda _, __, y: others.append(y[0, 0]))
    for layer in vision.encoder.layers:
        layer.self_attn.v_proj.register_forward_hook(lambda _, __, y: values.append(y[0]))
        layer.mlp.register_forward_hook(lambda _, __, y: others.append(y[0, 0]))
        others.append(layer.self_attn.out_proj.bias)
    scale, shift = encoder.model.preprocess.normalisation()
    pixels = torch.tensor(np.asarray(picture.pixels) * np.array(scale) + np.array(shift))
    with torch.no_grad():
        state = vision(pixels.permute(2, 0, 1)[None], output_attentions=True)
        last, norm = state.last_hidden_state[0, 0], vision.post_layernorm
        received = torch.zeros_like(values[0])
        spread = torch.eye(len(received), dtype=torch.float64)
        for layer, attention, value in zip(
            vision.encoder.layers, state.attentions, values, strict=True
        ):
            heads = attention.shape[1]
            by_head = value.reshape(len(value), heads, -1) * attention[0, :, 0].T[..., None]
            received += spread.T @ (by_head.flatten(1) @ layer.self_attn.out_proj.weight.T)
            spread = (attention[0].mean(0) @ spread + spread) / 2
        deviation = (last.var(unbiased=False) + norm.eps).sqrt()

        def linear(y: torch.Tensor) -> torch.Tensor:
            return projection((y - y.mean(-1, keepdim=True)) / deviation * norm.weight)

        whole = projection(norm(last))
        rows = (linear(received[1:]) / whole.norm()).numpy()
        rest = linear(torch.stack(others).sum(0)) + linear(received[0])
        rest = ((rest + projection(norm.bias)) / whole.norm()).numpy()
    assert np.abs(parts.rows - rows).max() <= TOLERANCE
    embedding = (whole / whole.norm()).numpy()
    assert np.abs(parts.rows.sum(0) + rest - embedding).max() <= TOLERANCE


@pytest.mark.parametrize("kind", ["resnet", "resnet, odd"])
def test_attention_pool_of_a_resnet_against_open_clip(kind: str, tmp_path: Path) -> None:
    """From the places that open_clip's own net has before its attention pool."""
    openclip_checkpoints.openclip(tmp_path, kind)
    encoder = unseen.load(tmp_path).encoder
    picture, parts = opened(encoder, judging.pictures()[0])
    visual = _open_clip(tmp_path).visual
    pool, places = visual.attnpool, []
    pool.register_forward_pre_hook(lambda _, args: places.append(args[0]))
    scale, shift = encoder.model.preprocess.normalisation()
    pixels = np.asarray(picture.pixels) * np.array(scale) + np.array(shift)
    with torch.no_grad():
        embedding = visual(torch.tensor(pixels).permute(2, 0, 1)[None].float())[0].double()
        x = places[0][0].flatten(1).T.double()  # (n, channels)
        positions = pool.positional_embedding.double()
        tokens = torch.cat([x.mean(0, keepdim=True), x]) + positions
        q, k = (_affine(layer, tokens) for layer in (pool.q_proj, pool.k_proj))
        heads, weight = pool.num_heads, pool.v_proj.weight.double()
        q, k = (t.reshape(len(t), heads, -1) for t in (q[:1], k))
        logits = torch.einsum("qhd,khd->hk", q, k) / q.shape[-1] ** 0.5
        alpha = logits.softmax(-1)  # (heads, 1 + n)
        own = _affine(pool.v_proj, tokens[1:]).reshape(len(x), heads, -1)
        mean = (x @ weight.T).reshape(len(x), heads, -1)
        rows = own * alpha[:, 1:].T[..., None] + mean * (alpha[:, 0] / len(x))[None, :, None]
        rows = rows.flatten(1) @ pool.c_proj.weight.double().T
        first = (positions[:1] @ weight.T + pool.v_proj.bias.double()).reshape(heads, -1)
        rest = _affine(pool.c_proj, (first * alpha[:, :1]).flatten()[None])[0]
        length = embedding.norm()
    assert np.abs(parts.rows - (rows / length).numpy()).max() <= TOLERANCE
    total = parts.rows.sum(0) + (rest / length).numpy()
    assert np.abs(total - (embedding / length).numpy()).max() <= TOLERANCE
    assert parts.exact


@pytest.mark.parametrize("shape", ["b7", "odd"])
def test_mean_of_places_against_transformers(shape: str, tmp_path: Path) -> None:
    from transformers import AlignModel

    hf_checkpoints.align(tmp_path, shape)
    encoder = unseen.load(tmp_path).encoder
    picture, parts = opened(encoder, judging.pictures()[0])
    scale, shift = encoder.model.preprocess.normalisation()
    pixels = np.asarray(picture.pixels) * np.array(scale) + np.array(shift)
    vision = AlignModel.from_pretrained(tmp_path, dtype=torch.float32).vision_model.eval()
    with torch.no_grad():
        state = vision(torch.tensor(pixels).permute(2, 0, 1)[None].float()).last_hidden_state[0]
    mean = state.mean((1, 2))
    rows = state.flatten(1).T / (state[0].numel() * mean.norm())
    assert parts.geometry.grid == tuple(state.shape[1:])
    assert np.abs(parts.rows - rows.numpy()).max() <= TOLERANCE
    assert np.abs(parts.rows.sum(0) - (mean / mean.norm()).numpy()).max() <= TOLERANCE
    assert parts.exact


@pytest.mark.parametrize("kind", ["clipa", "siglip, mean"])
def test_mean_of_patches_adds_up(kind: str, tmp_path: Path) -> None:
    """Without a class token, which is no place, the rows sum to the mean that the head is given."""
    openclip_checkpoints.openclip(tmp_path, kind)
    encoder = unseen.load(tmp_path).encoder
    picture, parts = opened(encoder, judging.pictures()[0])
    (embedding,) = encoder.encode_images([judging.pictures()[0]])
    assert parts.exact and np.abs(parts.embedding - embedding).max() <= TOLERANCE
    network = encoder.model.parts_network()
    (output,) = reference.run(network, *encoder.model.image_inputs([picture.pixels]))
    missing = np.abs(output[:-1].sum(0) - output[-1]).max() / np.abs(output[-1]).max()
    assert (missing > TOLERANCE) == ("class_token" in network.parameters), missing


@pytest.mark.parametrize("family", ["siglip", "siglip odd", "builtin"])
def test_first_order_against_finite_differences(family: str, tmp_path: Path) -> None:
    """A row is how the embedding moves when the pooled vector moves along its part."""
    if family.startswith("siglip"):
        hf_checkpoints.siglip(tmp_path, "odd" if "odd" in family else "base-patch16-224")
    encoder = unseen.load(tmp_path if family.startswith("siglip") else "builtin").encoder
    model = encoder.model
    picture, parts = opened(encoder, judging.pictures()[0])
    (output,) = reference.run(model.parts_network(), *model.image_inputs([picture.pixels]))
    head = _siglip_head(tmp_path) if family.startswith("siglip") else _builtin_head(model)
    pooled = output[-1].astype(np.float64)
    assert np.abs(head(pooled) - parts.embedding).max() <= TOLERANCE
    chosen = np.argsort(-np.abs(output[:-1]).sum(1))[:6]
    for cell in chosen:
        along = output[cell].astype(np.float64)
        step = 1e-4 * np.linalg.norm(pooled) / np.linalg.norm(along)
        moved = (head(pooled + step * along) - head(pooled - step * along)) / (2 * step)
        assert np.abs(parts.rows[cell] - moved).max() <= 1e-4 * max(1, np.abs(moved).max())
    assert not parts.exact


def _siglip_head(folder: Path) -> Callable[[Any], Any]:
    from transformers import SiglipModel

    vision = SiglipModel.from_pretrained(folder, dtype=torch.float64).vision_model.eval()
    head = vision.head

    @torch.no_grad()
    def run(pooled: Any) -> Any:
        x = torch.tensor(pooled)
        x = x + head.mlp(head.layernorm(x))
        return (x / x.norm()).numpy()

    return run


def _builtin_head(model: unseen.Model) -> Callable[[Any], Any]:
    config, p = model.image_tower.config, model.image_network().parameters
    weight, bias, looks = (
        np.asarray(p[n], dtype=np.float64)
        for n in ("classifier.weight", "classifier.bias", "looks")
    )

    def run(pooled: Any) -> Any:
        logits = (weight @ pooled + bias) / config.temperature
        root = np.sqrt(np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum())
        root[np.argsort(-root)[config.top_classes :]] = 0
        look = looks @ pooled
        share = config.meaning_share
        return np.concatenate(
            [
                share * root / np.linalg.norm(root),
                np.sqrt(1 - share**2) * look / np.linalg.norm(look),
            ]
        )

    return run


def _open_clip(folder: Path) -> Any:
    import open_clip

    config = json.loads((folder / "open_clip_config.json").read_text())["model_cfg"]
    model = openclip_checkpoints.random_model(config, folder)
    files = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
    path = next(folder / name for name in files if (folder / name).is_file())
    open_clip.load_checkpoint(model, str(path), strict=True)
    return model.eval()


def _affine(layer: torch.nn.Linear, x: torch.Tensor) -> torch.Tensor:
    return x @ layer.weight.double().T + layer.bias.double()


@pytest.mark.parametrize("hidden", [None, 24], ids=["linear", "relu"])
def test_a_student_against_its_own_logits(hidden: int | None, tmp_path: Path) -> None:
    """Linear head: rows and bias give the logit. Relu: the same with its open units held."""
    folder = student(tmp_path, hidden)
    encoder = unseen.load(folder).encoder
    picture, parts = opened(encoder, judging.pictures()[0])
    network, config = encoder.model.image_network(), encoder.model.image_tower.config
    p = {name: np.asarray(network.parameters[name], np.float64) for name in network.parameters}
    inputs = encoder.model.image_inputs([picture.pixels])
    features = reference.run_outputs(network, *inputs, outputs=["features"])["features"][0]
    through, constant = p["output.weight"], p["output.bias"]
    if hidden is not None:
        units = p["hidden.weight"] @ features + p["hidden.bias"] > 0
        constant = constant + through[:, units] @ p["hidden.bias"][units]
        through = through[:, units] @ p["hidden.weight"][units]
    logits = through @ features + constant
    length = max(1.0, float(np.linalg.norm(logits)) / config.radius)
    count = config.labels
    total = parts.rows[:, :count].sum(0) + constant / config.radius / length
    assert np.abs(total - logits / config.radius / length).max() <= TOLERANCE
    assert np.abs(parts.embedding[:count] - logits / config.radius / length).max() <= TOLERANCE
    assert np.abs(parts.embedding - encoder.encode_pixels([picture.pixels])[0]).max() <= TOLERANCE
    assert parts.exact
    explanation = unseen.load(folder).explain(judging.pictures()[0], method="parts")
    assert explanation.words == () and explanation.concepts == ()  # it knows no other words
    assert explanation.map is not None


def student(folder: Path, hidden: int | None) -> Path:
    """A classifier as `unseen distil` writes it: the built-in model's image net, a random head."""
    from unseen.models.families import distilled
    from unseen.networks.efficientnet import lite2_shapes

    rng = np.random.default_rng(4)
    net = unseen.load().model.image_network().parameters
    parameters = {name: np.asarray(net[name], np.float32) for name in lite2_shapes()}
    for name, shape in distilled.shapes(6, hidden, 16).items():
        if name not in parameters:
            scale = 1 / np.sqrt(shape[-1])
            parameters[name] = (rng.normal(size=shape) * scale).astype(np.float32)
    labels = ("cat", "dog", "castle", "bird", "car", "tree")
    path = folder / "student.onnx"
    made = distilled.Student(labels, (), 160, 4.0, {})
    path.write_bytes(distilled.to_bytes(made, parameters))
    return path


FAMILIES: dict[str, Callable[[Path], Any]] = {
    "siglip": hf_checkpoints.siglip,
    "align": hf_checkpoints.align,
    "resnet": lambda folder: openclip_checkpoints.openclip(folder, "resnet"),
    "clipa": lambda folder: openclip_checkpoints.openclip(folder, "clipa"),
    "timm siglip": lambda folder: openclip_checkpoints.openclip(folder, "siglip"),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_explained_to_the_end(family: str, tmp_path: Path) -> None:
    """Masks, words and trust as well; what is left out of the sum is what no place gave."""
    FAMILIES[family](tmp_path)
    clf = unseen.load(tmp_path)
    labels = ["cat", "dog", "castle", "bird", "car"]
    picture = judging.pictures()[0]
    explanation = clf.explain(picture, labels, method="parts")
    assert explanation.map is not None and explanation.map.shape == picture.size[::-1]
    assert explanation.without is not None and explanation.only is not None
    source = clf.explainer().parts_encoder
    opened_picture, parts = opened(clf.encoder, picture)
    whole = np.ones((1, opened_picture.geometry.cells), dtype=bool)
    (masked,) = clf.explainer().masking.embeddings(opened_picture.pixels, whole)
    assert np.abs(masked - parts.embedding).max() <= TOLERANCE
    assert np.abs(parts.embedding - clf.encode_images([picture])[0]).max() <= 2e-5
    assert source.exact == ("siglip" not in family)
