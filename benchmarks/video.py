"""Videos: events against the rules that others use, decoding against all frames, and throughput.

    python benchmarks/video.py events        # F1, edges, streams; about two minutes, then cached
    python benchmarks/video.py photographs   # the same of photographs, by the built-in model
    python benchmarks/video.py files         # exact times, still scenes, decoding
    python benchmarks/video.py throughput    # 1080p, against PyAV + transformers on every frame
    python benchmarks/video.py long          # memory of files of one and of ten hours
    python benchmarks/video.py day           # a day of samples, and a network ten times too slow

The videos of `events` are drawn: 600 samples of 10 labels, 22 events of 5 to 40 samples, and in 60
of 100 samples grain, mostly of level 75. Labels with a star were looked at while constants were
chosen. An event counts as right where it meets a true one of its label with an intersection over
union of at least one half (F1 at tIoU 0.5); intervals are 2.5 and 97.5 percentiles of the draws.
Two columns are of rules that know more than any rule can: which samples are clear (`clear known`),
and where events begin and end, but not of what (`edges known`).
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from side_by_side import b32  # noqa: E402 - first: it hides torchvision from transformers

import films  # noqa: E402
import shapes  # noqa: E402
import unseen  # noqa: E402
from unseen.monitoring.readers import Reading  # noqa: E402
from unseen.monitoring.watching import Watch, WatchOptions  # noqa: E402
from unseen.prediction.score import single_label  # noqa: E402
from unseen.sources.packets import Sampling  # noqa: E402
from unseen.sources.video import VideoFrames  # noqa: E402
from unseen.video.events import EventStream, States, find_events  # noqa: E402
from unseen.video.paths import best_path, competing, price_of  # noqa: E402

FRAMES, EVENTS, SHORTEST, LONGEST = 600, 22, 5, 40
GRAINS, SPOILED = (75, 100, 130), 0.6  # levels, and how many of the samples
POOL = 40  # pictures of a label, clear and spoiled
DRAWS = 40
STREAMED = 4  # of so many draws one is read as a stream, too, which takes longest
CACHE = Path(tempfile.gettempdir()) / "unseen-benchmark-video.npz"
Runs = list[tuple[int, int, int]]  # label, first sample, the one after the last


# events


def grainy(image: Image.Image, rng: np.random.Generator, level: float) -> Image.Image:
    noisy = np.asarray(image) + rng.normal(0, level, (64, 64, 3))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def pool() -> tuple[dict[str, np.ndarray], unseen.Classifier]:
    """The embeddings of pictures of every label, (80, POOL, d): clear, and by level of grain."""
    classifier = unseen.load(ROOT / "tests" / "fixtures" / "shapes-clip")
    if CACHE.exists():
        return dict(np.load(CACHE)), classifier
    rng = np.random.default_rng(0)
    rows: dict[str, list[np.ndarray]] = {}
    for label in shapes.labels():
        pictures = [shapes.draw(shapes.scene(label), 50_000 + i) for i in range(POOL)]
        kinds = {"clear": pictures}
        kinds |= {str(level): [grainy(p, rng, level) for p in pictures] for level in GRAINS}
        for kind, images in kinds.items():
            rows.setdefault(kind, []).append(classifier.encoder.encode_images(images))
    arrays = {kind: np.stack(embeddings) for kind, embeddings in rows.items()}
    np.savez(CACHE, **arrays)
    return arrays, classifier


def drawn(rng: np.random.Generator, count: int) -> np.ndarray:
    """The label of each sample: events one after another, no two alike in a row."""
    while True:
        lengths = rng.integers(SHORTEST, LONGEST + 1, EVENTS)
        lengths = np.maximum(np.round(lengths * FRAMES / lengths.sum()), SHORTEST).astype(int)
        lengths[-1] += FRAMES - lengths.sum()
        if lengths[-1] >= SHORTEST:
            break
    labels: list[int] = []
    for _ in range(EVENTS):
        choice = int(rng.integers(count))
        while labels and choice == labels[-1]:
            choice = int(rng.integers(count))
        labels.append(choice)
    return np.repeat(labels, lengths)


def runs(states: np.ndarray) -> Runs:
    edges = [0, *(np.flatnonzero(np.diff(states)) + 1).tolist(), len(states)]
    return [(int(states[a]), a, b) for a, b in itertools.pairwise(edges)]


def three_in_a_row(best: np.ndarray) -> np.ndarray:
    """The label changes when another has been the best three times running (as in Frigate)."""
    states = best.copy()
    now = best[0]
    for t in range(len(best)):
        if t >= 2 and best[t] == best[t - 1] == best[t - 2]:
            now = best[t]
        states[t] = now
    return states


def majority(best: np.ndarray, width: int = 5) -> np.ndarray:
    half = width // 2
    padded = np.pad(best, half, mode="edge")
    return np.array([np.bincount(padded[t : t + width]).argmax() for t in range(len(best))])


def score(
    found: list[tuple[int, int, int]], truth: list[tuple[int, int, int]]
) -> tuple[float, float]:
    """F1 at tIoU 0.5, and the part of the edges of matched events that are within a sample."""
    left, right, edges = list(truth), 0, []
    for label, start, end in found:
        for other in left:
            overlap = min(end, other[2]) - max(start, other[1])
            union = max(end, other[2]) - min(start, other[1])
            if other[0] == label and overlap / union >= 0.5:
                left.remove(other)
                right += 1
                edges += [abs(start - other[1]) <= 1, abs(end - other[2]) <= 1]
                break
    f1 = 2 * right / (len(found) + len(truth))
    return f1, float(np.mean(edges)) if edges else 0.0


def cases(rng: np.random.Generator) -> Iterator[tuple[str, np.ndarray, int]]:
    """A name, the labels, and the level of grain."""
    for level in GRAINS:
        yield f"every 8th label *, grain {level}", np.arange(0, 80, 8), level
    for start in (1, 6):
        for level in GRAINS:
            yield f"every 8th from no. {start}, grain {level}", np.arange(start, 80, 8), level
    for number in range(4):
        star = "" if number == 2 else " *"
        name = f"10 drawn labels ({number + 1}){star}"
        yield name, np.sort(rng.choice(80, 10, replace=False)), 75
    yield "20 drawn labels", np.sort(rng.choice(80, 20, replace=False)), 75
    rng = np.random.default_rng(11)
    for number in range(4):
        level = GRAINS[number % 2]
        name = f"10 more drawn labels ({number + 1}), grain {level}"
        yield name, np.sort(rng.choice(80, 10, replace=False)), level


def events() -> None:
    arrays, classifier = pool()
    texts = classifier.compile(shapes.labels()).matrix
    print(f"{DRAWS} draws of each; F1 at tIoU 0.5, mean (interval); edges within a sample")
    head = f"{'labels':35} {'right':>6} {'best':>6} {'3 in a row':>18} {'majority':>9}"
    print(
        f"{head} {'unseen':>20} {'error':>7} {'edges':>7} {'stream = file':>14} {'stream':>7} "
        f"{'without':>9} {'clear known':>12} {'edges known':>12}"
    )
    for name, chosen, level in cases(np.random.default_rng(7)):
        figures: list[list[float]] = []
        for draw in range(DRAWS):
            rng = np.random.default_rng([draw, len(name)])
            truth = drawn(rng, len(chosen))
            bad = rng.random(FRAMES) < SPOILED
            picture = rng.integers(0, POOL, FRAMES)
            rows = np.where(
                bad[:, None],
                arrays[str(level)][chosen[truth], picture],
                arrays["clear"][chosen[truth], picture],
            )
            cosines = rows @ texts[chosen].T
            p = single_label(cosines, classifier.model.score)
            fits = classifier.model.score.scale * cosines.max(1)
            figures.append(one_video(p, fits, truth, bad, stream=draw % STREAMED == 0))
        table = np.array(figures)
        mean = np.nanmean(table, 0)
        low, high = np.nanpercentile(table, [2.5, 97.5], axis=0)
        error = (1 - mean[4]) / max(1 - mean[2], 1e-9)
        print(
            f"{name:35} {mean[0]:6.1%} {mean[1]:6.3f} {mean[2]:6.3f} ({low[2]:.2f}-{high[2]:.2f})"
            f" {mean[3]:9.3f} {mean[4]:8.3f} ({low[4]:.3f}-{high[4]:.3f}) {error:6.0%}"
            f" {mean[5]:7.1%} {mean[6]:13.1%} {mean[7]:8.3f} {mean[8]:9.3f} {mean[9]:12.3f}"
            f" {mean[10]:12.3f}",
            flush=True,
        )


def one_video(
    p: np.ndarray, fits: np.ndarray, truth: np.ndarray, bad: np.ndarray, *, stream: bool
) -> list[float]:
    best = p.argmax(1)
    true_runs = runs(truth)
    file = events_of(p, fits)
    f1, edges = score(file, true_runs)
    evidence = competing(p)
    price = price_of(float(SHORTEST), evidence)
    alone = best_path(evidence, price)[:, 0]
    clear = best_path(evidence * ~bad[:, None, None], price)[:, 0]
    known = np.concatenate([[evidence[a:b, 0].sum(0).argmax()] * (b - a) for _, a, b in true_runs])
    live = as_they_come(p, fits) if stream else []
    same = float((sampled(file) == sampled(live)).mean()) if stream else float("nan")
    return [
        float((best == truth).mean()),
        score(runs(best), true_runs)[0],
        score(runs(three_in_a_row(best)), true_runs)[0],
        score(runs(majority(best)), true_runs)[0],
        f1,
        edges,
        same,
        score(live, true_runs)[0] if stream else float("nan"),
        score(runs(alone), true_runs)[0],
        score(runs(clear), true_runs)[0],
        score(runs(known), true_runs)[0],
    ]


def as_they_come(p: np.ndarray, fits: np.ndarray) -> Runs:
    """The events of the samples as a stream."""
    states = States(tuple(map(str, range(p.shape[1]))))
    stream = EventStream("x", states, every=1.0, min_seconds=float(SHORTEST))
    changes = [c for t, row in enumerate(p) for c in stream.add(float(t), row, fit=fits[t])]
    changes += stream.finish(float(len(p)))
    ended = [change.event for change in changes if change.type == "end"]
    return [(int(e.label), int(e.start), int(e.end)) for e in ended]


def sampled(events: Runs) -> np.ndarray:
    """The label of each sample, -1 for none."""
    labels = np.full(FRAMES, -1)
    for label, start, end in events:
        labels[start:end] = label
    return labels


# photographs

PHOTOGRAPHS = 3  # of a label, at least
KINDS: dict[str, Callable[[Image.Image, np.random.Generator], Image.Image]] = {
    "clear": lambda image, rng: image,
    "grain": lambda image, rng: Image.fromarray(
        (np.asarray(image) + rng.normal(0, 90, np.asarray(image).shape))
        .clip(0, 255)
        .astype(np.uint8)
    ),
    "blurred": lambda image, rng: image.filter(ImageFilter.GaussianBlur(14)),
    "dark": lambda image, rng: ImageEnhance.Brightness(image).enhance(0.12),
    "covered": lambda image, rng: covered(image, rng),
}


def covered(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    pixels = np.array(image)
    pixels[:, : int(0.75 * pixels.shape[1])] = rng.integers(0, 255, 3)
    return Image.fromarray(pixels)


def photographs() -> None:
    """Of labels that fit their pictures very differently well."""
    root, rng = ROOT / "tests" / "photographs", np.random.default_rng(0)
    folders = [f for f in sorted(root.iterdir()) if len([*f.glob("*.jpg")]) >= PHOTOGRAPHS]
    truth = np.concatenate([[k] * len([*f.glob("*.jpg")]) for k, f in enumerate(folders)])
    classifier = unseen.load()
    labels = classifier.compile([folder.name.replace("_", " ") for folder in folders])
    rows = {}
    for kind, spoil in KINDS.items():
        pictures = []
        for path in [path for folder in folders for path in sorted(folder.glob("*.jpg"))]:
            image = Image.open(path).convert("RGB")
            image.thumbnail((480, 480))
            pictures.append(spoil(image, rng))
        rows[kind] = classifier.encoder.encode_images(pictures)
    best = (rows["clear"] @ labels.matrix.T).argmax(1)
    good = [k for k in range(len(folders)) if (best[truth == k] == k).mean() > 0.5]
    for name, chosen in (("all", np.arange(len(folders))), ("mostly right when clear", good)):
        print(
            f"{len(chosen)} labels, {name}: F1 by probabilities alone, and with how well they fit"
        )
        for kind in KINDS:
            table = np.array(
                [
                    one_of_photographs(rows, kind, truth, np.array(chosen), labels, draw)
                    for draw in range(DRAWS)
                ]
            )
            low, high = np.percentile(table, [2.5, 97.5], axis=0)
            cells = [
                f"{m:.3f} ({a:.2f}-{z:.2f})"
                for m, a, z in zip(table.mean(0), low, high, strict=True)
            ]
            print(f"  {kind:10} {table[:, 0].mean():.0%}  {cells[1]}  {cells[2]}", flush=True)


def one_of_photographs(
    rows: dict[str, np.ndarray],
    kind: str,
    labels_of: np.ndarray,
    chosen: np.ndarray,
    labels: unseen.CompiledLabels,
    draw: int,
) -> list[float]:
    rng = np.random.default_rng([draw, 2026])
    truth = drawn(rng, len(chosen))
    bad = rng.random(FRAMES) < (0.0 if kind == "clear" else SPOILED)
    picture = np.array([rng.choice(np.flatnonzero(labels_of == chosen[t])) for t in truth])
    shown = np.where(bad[:, None], rows[kind][picture], rows["clear"][picture])
    cosines = shown @ labels.matrix[chosen].T
    p, fits = single_label(cosines, labels.score), labels.score.scale * cosines.max(1)
    figures = [float((p.argmax(1) == truth).mean())]
    return figures + [score(events_of(p, some), runs(truth))[0] for some in (None, fits)]


def events_of(p: np.ndarray, fits: np.ndarray | None) -> Runs:
    """A sample a second."""
    found = find_events(
        "x",
        States(tuple(map(str, range(p.shape[1])))),
        np.arange(len(p), dtype=float),
        float(len(p)),
        p,
        np.arange(len(p)),
        min_seconds=float(SHORTEST),
        fits=fits,
    )
    return [(int(e.label), int(e.start), int(e.end)) for e in found]


# files


def cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def timed(work: Callable[[], object]) -> tuple[float, float, object]:
    """Seconds, CPU seconds, and what came of it."""
    began, spent = time.perf_counter(), cpu()
    result = work()
    return time.perf_counter() - began, cpu() - spent, result


def moving(count: int, height: int, width: int) -> Iterator[np.ndarray]:
    """A textured ground that moves, with grain: what codecs find hard, and nets do not."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (height // 8 + 64, width // 8 + 64, 3)).astype(np.uint8)
    large = np.asarray(
        Image.fromarray(small).resize((small.shape[1] * 8, small.shape[0] * 8), 3), np.int16
    )
    grain = rng.normal(0, 6, (height, width, 1)).astype(np.int16)
    for number in range(count):
        y, x = (3 * number) % 480, (5 * number) % 480
        yield np.clip(large[y : y + height, x : x + width] + grain, 0, 255).astype(np.uint8)


def every_frame_by_hand(path: Path) -> int:
    """All frames decoded by PyAV, and nothing done with them."""
    with films.av.open(str(path)) as container:
        container.streams.video[0].thread_type = "AUTO"
        return sum(1 for _ in container.decode(video=0))


def files() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        exact_times(root)
        still(root)
        decoding(root)


def exact_times(root: Path) -> None:
    rng = np.random.default_rng(0)
    stamps = np.cumsum([0, *rng.integers(20, 900, 99)]).tolist()
    path = films.encode(root / "vfr.mp4", films.counting(100), times=stamps)
    films.turned(path)
    read = [frame.time for frame in VideoFrames(path, Sampling(every=0))]
    by_hand = np.array(stamps) / 1000
    average = np.arange(100) * by_hand[-1] / 99  # frame number / average rate
    print(
        f"times of a variable rate, turned: off by {np.abs(read - by_hand).max() * 1000:.3f} ms at "
        f"most; frame number / rate by {np.abs(average - by_hand).max() * 1000:.0f} ms"
    )


def still(root: Path) -> None:
    ground = next(moving(1, 240, 320)).astype(np.int16)
    rng = np.random.default_rng(1)
    shifts = [rng.normal(0, 4, ground.shape) for _ in range(16)]
    pictures = (np.clip(ground + shifts[i % 16], 0, 255).astype(np.uint8) for i in range(3000))
    path = films.encode(root / "still.mp4", pictures, rate=5, gop=50)
    frames = [*VideoFrames(path)]
    embedded = sum(frame.pixels is not None for frame in frames)
    print(
        f"ten still minutes with grain: {embedded} of {len(frames)} samples embedded, "
        f"{embedded / len(frames):.2%}"
    )


def decoding(root: Path) -> None:
    path = films.encode(root / "gop.mp4", moving(900, 720, 1280), rate=30, gop=30)
    one = timed(lambda: sum(1 for _ in VideoFrames(path, Sampling(every=1), side=448)))
    keys = timed(lambda: sum(1 for _ in VideoFrames(path, Sampling(keyframes=True), side=448)))
    every = timed(lambda: sum(1 for _ in VideoFrames(path, Sampling(every=0), side=448)))
    by_hand = timed(lambda: every_frame_by_hand(path))
    print("720p, 30 s, 30 frames a second, a keyframe every 30: frames, seconds, CPU seconds")
    rows = (("1 a second", one), ("keyframes", keys), ("every frame", every))
    for name, (seconds, spent, count) in (*rows, ("PyAV alone, every frame", by_hand)):
        print(f"  {name:24} {count!s:>5} {seconds:7.2f} {spent:7.2f}")
    print(
        f"  1 a second is {every[1] / one[1]:.1f} times cheaper than every frame, "
        f"{by_hand[1] / one[1]:.1f} times cheaper than PyAV alone"
    )


# throughput


def throughput(seconds: int) -> None:
    """What people write: every frame of the file to the pipeline of transformers."""
    import transformers
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    labels = ["a dog", "a cat", "a person", "an empty street"]
    with tempfile.TemporaryDirectory() as folder:
        path = films.encode(
            Path(folder) / "hd.mp4", moving(25 * seconds, 1080, 1920), rate=25, gop=25
        )
        classifier = unseen.load(b32())
        compiled = classifier.compile(labels)
        theirs = transformers.pipeline(
            "zero-shot-image-classification",
            model=str(b32()),
            image_processor=CLIPImageProcessorPil.from_pretrained(b32()),
        )

        def plain_loop() -> int:
            count = 0
            with films.av.open(str(path)) as container:
                for frame in container.decode(video=0):
                    theirs(frame.to_image(), candidate_labels=labels)
                    count += 1
            return count

        def ours(sampling: Sampling) -> Callable[[], int]:
            from unseen.video.classification import classify_video

            return lambda: (
                classify_video(
                    classifier.encoder, path, compiled, classifier.decision(), sampling=sampling
                ).samples
            )

        ours(Sampling(every=seconds / 2))()  # compiled, and warm
        rows = {
            "transformers, every frame": timed(plain_loop),
            "unseen, 1 frame a second": timed(ours(Sampling())),
            "unseen, every frame": timed(ours(Sampling(every=0))),
        }
    count = 25 * seconds
    print(f"1080p, {seconds} s, 25 frames a second, B/32 (random weights), {len(labels)} labels")
    head = f"{'':27} {'frames looked at':>17} {'s':>7} {'CPU s':>7}"
    print(f"{head} {'frames of the file a second':>28}")
    for name, (wall, spent, looked) in rows.items():
        print(f"{name:27} {looked!s:>17} {wall:7.1f} {spent:7.1f} {count / wall:28.1f}")


# memory

HOUR = 3600
LONG_RATE = 2  # frames a second
LONG_HOURS = (1, 10, 20)
SCENE = 120  # seconds that one picture is shown
PEAK = """
import atexit, runpy, sys
from pathlib import Path
status = lambda name: int(Path("/proc/self/status").read_text().partition(name)[2].split()[0])
atexit.register(lambda: print("peak", status("VmHWM:"), file=sys.stderr))
runpy.run_module("unseen", run_name="__main__", alter_sys=True)
"""


def long() -> None:
    """`unseen video` of small files, in a process each, as people start it."""
    model = ROOT / "tests" / "fixtures" / "shapes-clip"
    labels = ",".join(shapes.labels()[::8])
    print(f"{LONG_RATE} frames a second, 96 × 72, another picture every {SCENE} s, 10 labels")
    head = f"{'hours':>6} {'MB':>6} {'samples':>8} {'embedded':>9} {'events':>7}"
    print(f"{head} {'s':>6} {'peak MB':>8}")
    with tempfile.TemporaryDirectory() as folder:
        for hours in LONG_HOURS:
            path = films.encode(
                Path(folder) / f"{hours}.mp4", scenes(hours), rate=LONG_RATE, gop=2 * LONG_RATE
            )
            out = Path(folder) / f"{hours}.jsonl"
            command = [sys.executable, "-c", PEAK, "video", str(path), "-m", str(model)]
            command += ["-l", labels, "-o", str(out)]
            began = time.perf_counter()
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            seconds = time.perf_counter() - began
            peak = int(done.stderr.rpartition("peak ")[2].split()[0]) / 1024
            rows = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
            clip = rows[-1]
            print(
                f"{hours:6} {path.stat().st_size / 1e6:6.0f} {clip['samples']:8,} "
                f"{clip['embedded']:9,} {len(rows) - 1:7} {seconds:6.1f} {peak:8.0f}",
                flush=True,
            )


def scenes(hours: int) -> Iterator[np.ndarray]:
    rng, picture = np.random.default_rng(0), None
    for second in range(hours * HOUR):
        if second % SCENE == 0:
            label = shapes.labels()[8 * int(rng.integers(10))]
            drawn = shapes.draw(shapes.scene(label), second, side=96).resize((96, 72))
            picture = np.asarray(drawn)
        assert picture is not None
        for _ in range(LONG_RATE):
            yield picture


DAY = 24 * HOUR  # samples: one a second
FASTER = 960  # than the day, so that it is over in a minute and a half
TOO_SLOW = 10  # times longer the network takes for a picture than one comes
SENDER = """
import socket, sys, time
from pathlib import Path
pieces = [Path(p).read_bytes() for p in sys.argv[1:-2]]
frames, rate = int(sys.argv[-2]), float(sys.argv[-1])
packets = 188
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
connection, _ = server.accept()
began, longest, sent = time.perf_counter(), 0.0, 0
content = b"".join(pieces)
in_a_piece = int(sys.stdin.readline())
size = len(content) // in_a_piece // packets * packets
while sent < frames:
    for start in range(0, len(content), size):
        wait = began + sent / rate - time.perf_counter()
        if wait > 0:
            time.sleep(wait)
        before = time.perf_counter()
        connection.sendall(content[start : start + size])
        longest = max(longest, time.perf_counter() - before)
        sent += 1
print(time.perf_counter() - began, longest, flush=True)
connection.close()
"""


def day() -> None:
    """A camera that sends a day of samples, 960 times as fast, and a network ten times too slow."""
    import cameras

    parts = [(name, 50) for name in ("red", "grey", "green", "blue")]
    count = sum(number for _, number in parts)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.ts"
        cameras.transport_stream(path, parts)
        sender = subprocess.Popen(
            [sys.executable, "-c", SENDER, str(path), str(DAY), str(FASTER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert sender.stdout is not None and sender.stdin is not None
        sender.stdin.write(f"{count}\n")
        sender.stdin.flush()
        port = int(sender.stdout.readline())
        every = 1 / FASTER
        answers = cameras.Colours(seconds=TOO_SLOW * every)
        options = WatchOptions(min_seconds=2 * every, reading=Reading(every=every))
        watch = Watch([f"tcp://127.0.0.1:{port}"], answers, options)
        memory: list[tuple[float, float]] = []
        began = time.perf_counter()

        def look() -> None:
            while not watch.stopped:
                memory.append((time.perf_counter() - began, resident()))
                time.sleep(1)

        threading.Thread(target=look, daemon=True).start()
        news = 0
        for message in watch:
            news += message["type"] == "new"
            if message.get("state") == "lost":
                watch.stop()
        seconds, longest = map(float, sender.stdout.readline().split())
        counts = next(iter(watch.counts.values()))
    settled = [mb for at, mb in memory if at > 10]
    print(f"{DAY:,} frames sent in {seconds:.0f} s; a send took {1000 * longest:.0f} ms at most")
    print(
        f"received {counts.frames:,}; looked at {counts.samples:,} of {counts.due:,} samples "
        f"({counts.shed / counts.due:.0%} left out); {news:,} events"
    )
    print(
        f"memory after 10 s: {settled[0]:.0f} MB; then {min(settled):.0f} to {max(settled):.0f}, "
        f"at the end {settled[-1]:.0f} MB"
    )


def resident() -> float:
    """MB of this process in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


PARTS: dict[str, Callable[[], None]] = {
    "events": events,
    "photographs": photographs,
    "files": files,
    "long": long,
    "day": day,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("part", choices=(*PARTS, "throughput"))
    parser.add_argument("--seconds", type=int, default=12, help="of the video of throughput")
    parser.add_argument("--draws", type=int, default=DRAWS, help="of events and photographs")
    options = parser.parse_args()
    globals()["DRAWS"] = options.draws
    print(f"{len(os.sched_getaffinity(0))} cores")
    if options.part == "throughput":
        throughput(options.seconds)
    else:
        PARTS[options.part]()


if __name__ == "__main__":
    main()
