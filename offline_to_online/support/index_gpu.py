"""Candidates of an exact search by PyTorch, in blocks that fit a GPU.

Not faiss' own GPU index: the wheel that pip installs has none, while PyTorch's usually can. What is run by the tests
is this same code on the CPU; no GPU was at hand when it was written, so no speed is claimed.
"""

from __future__ import annotations

import functools
import shutil
from typing import Any

from offline_to_online.dataset.spec import Array

QUERIES, POINTS = 1024, 65_536  # a block of squared distances: 256 MiB


@functools.cache
def gpu_found() -> str | None:
    """``cuda`` where PyTorch can use a GPU; looks for the driver first, since importing PyTorch takes a second."""
    if shutil.which("nvidia-smi") is None:
        return None
    import torch

    return "cuda" if torch.cuda.is_available() else None


class OnGpu:
    """A copy of points (N, D) on a torch device."""

    def __init__(self, points: Array, device: str) -> None:
        import torch

        self._torch: Any = torch
        self._points = torch.from_numpy(points).to(device)
        self._norms = self._points.square().sum(dim=1)

    def search(self, queries: Array, k: int) -> tuple[Array, Array]:
        """Rounded squared distances (Q, k), ascending, and rows int64 (Q, k), of queries float32 (Q, D)."""
        torch = self._torch
        before = torch.get_float32_matmul_precision()
        # TF32 would round a thousand times more coarsely than the bound in index_exact allows for.
        torch.set_float32_matmul_precision("highest")
        try:
            parts = [self._block(part, k) for part in torch.from_numpy(queries).split(QUERIES)]
        finally:
            torch.set_float32_matmul_precision(before)
        return tuple(torch.cat(column).cpu().numpy() for column in zip(*parts, strict=True))

    def _block(self, queries: Any, k: int) -> tuple[Any, Any]:
        torch = self._torch
        asked = queries.to(self._points.device)
        near, rows = asked.new_empty((len(asked), 0)), asked.new_empty((len(asked), 0), dtype=torch.int64)
        for start in range(0, len(self._points), POINTS):
            block = slice(start, start + POINTS)
            squared = self._norms[block] - 2 * asked @ self._points[block].T
            few, where = squared.topk(min(k, squared.shape[1]), largest=False)
            near, rows = torch.cat([near, few], dim=1), torch.cat([rows, where + start], dim=1)
            near, order = near.topk(min(k, near.shape[1]), largest=False)
            rows = rows.gather(1, order)
        return near + asked.square().sum(dim=1, keepdim=True), rows
