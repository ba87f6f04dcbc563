"""`Array` beside torch: the methods that tutorials call give what a tensor gives."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import unseen
from unseen.transformers.arrays import Array, as_array

NUMBERS = np.random.default_rng(1).normal(size=(3, 5)).astype(np.float32)

CALLS: dict[str, Callable[[Any], Any]] = {
    "softmax of rows": lambda x: x.softmax(dim=1),
    "softmax of columns": lambda x: x.softmax(0),
    "softmax of one row": lambda x: x[0].softmax(dim=-1),
    "sigmoid": lambda x: x.sigmoid(),
    "exp": lambda x: x.exp(),
    "argmax of all": lambda x: x.argmax(),
    "argmax": lambda x: x.argmax(dim=-1),
    "argmax kept": lambda x: x.argmax(dim=1, keepdim=True),
    "argmin": lambda x: x.argmin(1),
    "max of all": lambda x: x.max(),
    "max, values": lambda x: x.max(dim=1).values,
    "max, indices": lambda x: x.max(1)[1],
    "min, values": lambda x: x.min(dim=0, keepdim=True)[0],
    "sum": lambda x: x.sum(dim=1, keepdim=True),
    "mean": lambda x: x.mean(0),
    "mean of all": lambda x: x.mean(),
    "norm": lambda x: x.norm(dim=-1, keepdim=True),
    "norm of all": lambda x: x.norm(),
    "norm of the first order": lambda x: x.norm(p=1, dim=0),
    "division": lambda x: x / x.norm(p=2, dim=-1, keepdim=True),
    "product": lambda x: 100 * x @ x.T,
    "product with t": lambda x: x @ x.t(),
    "topk, values": lambda x: x.topk(2).values,
    "topk, indices": lambda x: x.topk(3, dim=0)[1],
    "topk, smallest": lambda x: x.topk(2, largest=False)[0],
    "one element": lambda x: x[1, 2],
    "a mask": lambda x: x[x > 0],
    "unsqueeze": lambda x: x.unsqueeze(0),
    "squeeze": lambda x: x.unsqueeze(0).squeeze(0),
    "squeeze of nothing": lambda x: x.squeeze(1),
    "squeeze of all": lambda x: x[:1].squeeze(),
    "moved": lambda x: x.to("cpu").detach().cpu().float(),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_call_gives_what_torch_gives(call: Callable[[Any], Any]) -> None:
    mine, theirs = call(as_array(NUMBERS)), call(torch.from_numpy(NUMBERS))
    assert type(mine) is Array
    assert mine.shape == tuple(theirs.shape) and mine.dim() == theirs.dim()
    np.testing.assert_allclose(mine.numpy(), theirs.numpy(), rtol=1e-5, atol=1e-6)
    assert type(mine.numpy()) is np.ndarray


def test_one_element_is_a_number_where_one_is_wanted() -> None:
    array = as_array(NUMBERS)
    best = array[0].argmax()
    assert ["a", "b", "c", "d", "e"][best] == "abcde"[NUMBERS[0].argmax()]
    assert best.item() == NUMBERS[0].argmax() and type(best.item()) is int
    assert f"{array[0, 1]:.3f}" == f"{NUMBERS[0, 1]:.3f}"
    assert float(array[0, 1].detach().cpu()) == NUMBERS[0, 1]
    assert array.tolist() == NUMBERS.tolist()
    assert [row.argmax().item() for row in array] == NUMBERS.argmax(1).tolist()


def test_functions_of_numpy_still_work() -> None:
    array = as_array(NUMBERS)
    for function in (np.sum, np.mean, np.max, np.min, np.argmax, np.argmin):
        for axis in (None, 0, 1):
            np.testing.assert_array_equal(function(array, axis), function(NUMBERS, axis))
    np.testing.assert_array_equal(np.squeeze(array[:1]), NUMBERS[0])
    np.testing.assert_array_equal(np.sort(array), np.sort(NUMBERS))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(array)), NUMBERS)
    assert np.allclose(np.linalg.norm(array, axis=1), np.linalg.norm(NUMBERS, axis=1))


def test_what_is_not_covered_names_what_to_use() -> None:
    array = as_array(NUMBERS)
    with pytest.raises(AttributeError, match=r"'backward'.*\.numpy\(\).*torch"):
        array.backward()
    assert not hasattr(array, "cumprod_")
    with pytest.raises(unseen.UnseenError, match=r"topk\(9\) of 5"):
        array.topk(9)
