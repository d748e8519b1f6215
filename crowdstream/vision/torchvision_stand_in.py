"""Lets torchvision be imported where its compiled part does not fit torch.

A torchvision for graphics cards beside a torch for processors fails at import, for want of its
operators. Of these ultralytics needs one, non-maximum suppression, and has one of its own in torch:
that stands in. Everybody who uses ultralytics calls `let_torchvision_load` first. It needs the
standard library only, for it is also run by its path (`runpy`) in a Python that has no crowdstream.
"""

from __future__ import annotations

import functools
import importlib
import sys
from typing import Any


@functools.cache
def let_torchvision_load() -> str:
    """Import torchvision, with a stand-in if need be. Returns whose non-maximum suppression it is.

    "" where torchvision is not installed: ultralytics says itself what it needs. Raises
    ImportError without torch.
    """
    torch: Any = importlib.import_module("torch")
    try:
        importlib.import_module("torchvision")
    except ImportError:
        return ""
    except (RuntimeError, OSError):  # "operator torchvision::nms does not exist"
        pass
    else:
        return "torchvision's compiled nms"
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    for operator in ("nms", "qnms"):
        torch.library.define(
            f"torchvision::{operator}",
            "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
        )
    torch.library.impl("torchvision::nms", ("CPU", "CUDA"), _nms_in_torch)
    torchvision: Any = importlib.import_module("torchvision")
    # Asked before each call, and true now of the one operator that is called.
    torchvision.extension._has_ops = lambda: True
    return "ultralytics' nms in torch, standing in for torchvision's, which cannot load here"


def _nms_in_torch(boxes: Any, scores: Any, iou_threshold: float) -> Any:
    ours: Any = importlib.import_module("ultralytics.utils.nms")
    return ours.TorchNMS.nms(boxes, scores, iou_threshold)
