"""Checks of the letters and the tokens of labels and prompts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np

from unseen.label_lint.context import Subject, percent
from unseen.label_lint.findings import ERROR, NOTE, WARNING, Finding
from unseen.labels import spelling, traps
from unseen.labels.label_set import Label
from unseen.labels.templates import fill

Check: TypeAlias = Callable[[Subject], Iterator[Finding]]

COUNTING_SOURCE = "Paiss et al. 2023, arXiv:2302.12066"
NEGATION_SOURCE = "Alhamoud et al. 2025, arXiv:2501.09425"


def run_checks(subject: Subject) -> list[Finding]:
    """All of these checks."""
    return [finding for check in CHECKS for finding in check(subject)]


# prompts that do not fit


def too_long(subject: Subject) -> Iterator[Finding]:
    context = subject.classifier.model.context_length
    for label, prompts in zip(subject.labels.labels, subject.prompts, strict=True):
        counts = [len(ids) for ids in subject.ids(prompts)]
        if max(counts) <= context:
            continue
        count = max(counts)
        prompt = prompts[counts.index(count)]
        prefix = fitting_prefix(subject, prompt)
        rest = prompt[len(prefix) :].strip()
        start = prompt.find(label.name)
        loses_name = start >= 0 and start + len(label.name) > len(prefix)
        advice, effect, after = _shortened(subject, prompt, prefix, label)
        yield Finding(
            "too-long",
            ERROR if loses_name else WARNING,
            (label.name,),
            f"{count} tokens, and the model reads {context}: {rest!r} is lost"
            + (", and the label's own name with it" if loses_name else ""),
            advice,
            effect,
            {"tokens": count, "context": context, **after},
        )


def fitting_prefix(subject: Subject, prompt: str) -> str:
    """The longest beginning of a prompt that fits the context, in whole words if it has any."""
    context = subject.classifier.model.context_length
    low, high = 0, len(prompt)  # low fits, high does not
    while high - low > 1:
        middle = (low + high) // 2
        if subject.tokens(prompt[:middle]) <= context:
            low = middle
        else:
            high = middle
    inside_a_word = not prompt[low - 1 : low].isspace() and not prompt[low : low + 1].isspace()
    if inside_a_word and " " in prompt[:low]:
        low = prompt.rfind(" ", 0, low)
    return prompt[:low].rstrip()


def _shortened(
    subject: Subject, prompt: str, prefix: str, label: Label
) -> tuple[str, str, dict[str, float]]:
    """The advice, its effect, and the effect in figures."""
    context = subject.classifier.model.context_length
    parts = spelling.pieces(prompt)
    counts = [subject.tokens(part) for part in parts]
    if label.prompts and len(parts) > 1 and max(counts) <= context:
        rows = subject.encode(parts)
        mean = rows.sum(0) / np.linalg.norm(rows.sum(0))
        cosine = float(mean @ subject.encode([prompt])[0])
        return (
            f"give it as {len(parts)} prompts instead of one: they are averaged.",
            f"{', '.join(map(str, counts))} tokens, nothing is lost; the cosine of their average "
            f"to the prompt as it is cut is {cosine:.2f}",
            {"prompts": len(parts), "tokens_after": max(counts), "cosine": cosine},
        )
    short = prefix.rsplit(" ", 1)[0] if " " in prefix.strip() else prefix
    after = subject.tokens(short)
    return (
        f"say it in fewer words, the important ones first, such as {short[-60:]!r} at the end.",
        f"{after} tokens",
        {"tokens_after": after},
    )


def same_tokens(subject: Subject) -> Iterator[Finding]:
    """Labels that the model cannot tell apart, as it reads the same tokens."""
    context = subject.classifier.model.context_length
    groups: defaultdict[tuple[tuple[int, ...], ...], list[str]] = defaultdict(list)
    for name, prompts in zip(subject.names, subject.prompts, strict=True):
        groups[tuple(tuple(ids) for ids in subject.ids(prompts, context))].append(name)
    for names in groups.values():
        if len(names) > 1:
            yield Finding(
                "same-tokens",
                ERROR,
                tuple(names),
                "the model reads the same tokens for them, and each takes an equal part",
                "keep one, or say what tells them apart.",
                f"alone, a label has {len(names)} times the probability of each of these",
                {"labels": len(names)},
            )


def unreadable(subject: Subject) -> Iterator[Finding]:
    unknown = traps.unknown_tokens(subject.classifier.model.tokenizer)
    for name, ids in zip(subject.names, subject.ids(subject.names), strict=True):
        count = sum(token in unknown for token in ids)
        if count:
            yield Finding(
                "unreadable",
                ERROR,
                (name,),
                f"{count} of its tokens are unknown to the model",
                "write it in a language and script of the model, or take a multilingual one: "
                "unseen models --multilingual.",
                figures={"unknown_tokens": count},
            )


def other_language(subject: Subject) -> Iterator[Finding]:
    model = subject.classifier.model
    words = [label.name for label in subject.labels.labels if not label.prompts]
    reported = {name for finding in unreadable(subject) for name in finding.labels}
    names = [name for name in traps.foreign_labels(words, model) if name not in reported]
    if names:
        yield Finding(
            "other-language",
            WARNING,
            tuple(names),
            f"{model.name} was not trained on this language: answers mean little",
            "translate them, or take a multilingual model: unseen models --multilingual.",
        )


def counting(subject: Subject) -> Iterator[Finding]:
    words = [label.name for label in subject.labels.labels if not label.prompts]
    names = traps.counts(words)
    if names:
        yield Finding(
            "counting",
            WARNING,
            tuple(names),
            f"models like this one tell the thing, and hardly how many ({COUNTING_SOURCE})",
            "make them one label, and count with a detector.",
        )


# pairs that differ in spelling only


def spelled_alike(subject: Subject) -> Iterator[Finding]:
    """One label in two spellings, or in the singular and the plural."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for label in subject.labels.labels:
        if not label.prompts:
            groups[spelling.singular_form(label.name)].append(label.name)
    reported = [{*finding.labels} for finding in same_tokens(subject)]
    for names in groups.values():
        if len(names) < 2 or {*names} in reported:
            continue
        forms = {spelling.normal(name): name for name in reversed(names)}
        first, second = ([*forms.values()] if len(forms) > 1 else names)[:2]
        cosine = float(subject.cosines[subject.names.index(first), subject.names.index(second)])
        share = subject.share(cosine)
        yield Finding(
            "plural" if len(forms) > 1 else "duplicate",
            WARNING,
            tuple(names),
            "the singular and the plural of one label"
            if len(forms) > 1
            else "the same label in two spellings",
            "keep one.",
            f"the cosine of {first!r} and {second!r} is {cosine:.2f}: of a picture of one, about "
            f"{share:.0%} goes to the other",
            {"cosine": cosine, "share": share},
        )


# words that mean something else to the model


def negation(subject: Subject) -> Iterator[Finding]:
    for label, prompts in zip(subject.labels.labels, subject.prompts, strict=True):
        if spelling.normal(label.name) in spelling.CATCH_ALL:
            continue
        text = next((text for text in (label.name, *label.prompts) if spelling.negations(text)), "")
        if not text:
            continue
        prompt = text if text in label.prompts else prompts[0]
        positive = spelling.positive(text)
        effect, figures = "", {}
        if positive:
            positive_prompt = prompt.replace(text, positive)
            cosine = subject.cosine(fill(prompt, label.name), fill(positive_prompt, label.name))
            part = subject.usual_part(cosine)
            figures = {"cosine": cosine, "usual_part": part}
            effect = (
                f"the model has it at cosine {cosine:.2f} to {positive!r}, nearer than "
                f"{percent(part)} of pairs of everyday words"
            )
        yield Finding(
            "negation",
            WARNING,
            (label.name,),
            f"{', '.join(spelling.negations(text))!r}: models like this one hardly understand "
            f"negation ({NEGATION_SOURCE})",
            "say what is there instead (an empty street), or give what should be absent a label "
            "of its own.",
            effect,
            figures,
        )


def catch_all(subject: Subject) -> Iterator[Finding]:
    for i in subject.foreground:
        label = subject.labels.labels[i]
        if spelling.normal(label.name) not in spelling.CATCH_ALL:
            continue
        effect, figures = "", {}
        if len(subject.names) > 1:
            nearest = (subject.neutral @ subject.vectors.T).argmax(1)
            wins = int((nearest == i).sum())
            figures = {"words": len(nearest), "won": wins}
            effect = (
                f"of {len(nearest)} everyday words that are not labels here, {wins} are nearer to "
                "it than to another label"
            )
        yield Finding(
            "catch-all",
            WARNING,
            (label.name,),
            "it does not mean what the other labels leave over: to the model it is a word as "
            "any other",
            f"make it a background label that says what may be there: --unknown "
            f"{label.name!r}, several if you can name them.",
            effect,
            figures,
        )


def template_inside(subject: Subject) -> Iterator[Finding]:
    """ "a photo of a photo of a cat", "a photo of a a cat"."""
    article = traps.ends_in_article(subject.template)
    doubled = []
    for label in subject.labels.labels:
        if label.prompts:
            continue
        inner = traps.without_prompt(label.name, subject.template)
        if inner is None:
            if article and spelling.without_article(label.name) is not None:
                doubled.append(label.name)
            continue
        filled, shorter = fill(subject.template, label.name), fill(subject.template, inner)
        cosine = subject.cosine(filled, shorter)
        yield Finding(
            "template-inside",
            WARNING,
            (label.name,),
            f"the template makes {filled!r} of it",
            f"write {inner!r}, or give it as the label's own prompt.",
            f"{subject.tokens(filled)} tokens become {subject.tokens(shorter)}; cosine "
            f"{cosine:.2f} between the two",
            {"tokens": subject.tokens(filled), "cosine": cosine},
        )
    if doubled:
        first = doubled[0]
        inner = spelling.without_article(first) or first
        cosine = subject.cosine(fill(subject.template, first), fill(subject.template, inner))
        yield Finding(
            "doubled-article",
            NOTE,
            tuple(doubled),
            f"the template makes {fill(subject.template, first)!r} of the first",
            f"write {inner!r}, or give a template without an article.",
            f"cosine {cosine:.2f} between the two",
            {"cosine": cosine},
        )


# labels that look like something else


def unusual(subject: Subject) -> Iterator[Finding]:
    for label in subject.labels.labels:
        if label.prompts:
            continue  # its name is shown, and not read by the model
        name = label.name
        if spelling.FILE.search(name):
            yield Finding(
                "file-name", WARNING, (name,), "it looks like the name of a file",
                "was the right file given? A label is a word or a few.",
            )  # fmt: skip
        elif spelling.NUMBER.fullmatch(name):
            yield Finding(
                "number", WARNING, (name,), "it is a number, a letter or an id, and no word",
                "give the word, or the word as the prompt of this label.",
            )  # fmt: skip
        elif spelling.spelled_out(name) != name:
            yield _respelled(subject, name, spelling.spelled_out(name), "joined", WARNING,
                             "its words are joined")  # fmt: skip
        elif len(name.split()) >= spelling.SENTENCE_WORDS or name.endswith((".", "!", "?")):
            cosine = subject.cosine(fill(subject.template, name), name)
            yield Finding(
                "sentence",
                NOTE,
                (name,),
                "it is a sentence, and goes through the template: "
                f"{fill(subject.template, name)!r}",
                "give a short label with the sentence as its own prompt.",
                f"cosine {cosine:.2f} between the two",
                {"cosine": cosine},
            )
        elif name != name.lower() and subject.ids([name]) != subject.ids([name.lower()]):
            yield _respelled(subject, name, name.lower(), "capitals", NOTE,
                             "this model tells capitals from small letters")  # fmt: skip


def _respelled(
    subject: Subject, name: str, other: str, kind: str, severity: str, problem: str
) -> Finding:
    prompts = [fill(subject.template, text) for text in (name, other)]
    before, after = map(subject.tokens, prompts)
    cosine = subject.cosine(*prompts)
    return Finding(
        kind,
        severity,
        (name,),
        problem,
        f"write {other!r}{', unless it is a name' if kind == 'capitals' else ''}.",
        f"{before} tokens become {after}; cosine {cosine:.2f} between the two",
        {"tokens": before, "tokens_after": after, "cosine": cosine},
    )


CHECKS: tuple[Check, ...] = (
    too_long,
    same_tokens,
    unreadable,
    other_language,
    spelled_alike,
    negation,
    counting,
    catch_all,
    template_inside,
    unusual,
)
