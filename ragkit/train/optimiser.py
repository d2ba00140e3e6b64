"""AdamW with a moving average of the weights, as every training here uses it."""

from __future__ import annotations

from typing import Any


def trained_weights(network: Any) -> list[Any]:
    """The weights that training moves, in the order of the network's parameters."""
    return [one for one in network.parameters() if one.requires_grad]


class Optimiser:
    """AdamW over float32 copies of the weights, which a network in bfloat16 could not move by small steps, and their
    moving average."""

    def __init__(self, network: Any, average: float) -> None:
        import torch

        self.live: list[Any] = trained_weights(network)
        self.master: list[Any] = [one.detach().clone().float() for one in self.live]
        self.mean: list[Any] = [one.clone() for one in self.master]
        self.average = average
        flat = [one for one in self.master if one.ndim < 2]
        other = [one for one in self.master if one.ndim >= 2]
        groups = [{"params": other, "weight_decay": 0.01}, {"params": flat, "weight_decay": 0.0}]
        self.adam: Any = torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.98), foreach=True)

    def step(self, rate: float, number: int) -> None:
        import torch

        for one, master in zip(self.live, self.master, strict=True):
            master.grad = one.grad.float() if one.grad is not None else None
            one.grad = None
        torch.nn.utils.clip_grad_norm_(self.master, 1.0)
        for group in self.adam.param_groups:
            group["lr"] = rate
        self.adam.step()
        # Early on the average is over the few steps there were.
        kept = min(self.average, (number + 1) / (number + 10))
        with torch.no_grad():
            for one, master, mean in zip(self.live, self.master, self.mean, strict=True):
                one.copy_(master)
                mean.lerp_(master, 1 - kept)

    def state(self) -> dict[str, Any]:
        return {"master": self.master, "mean": self.mean, "adam": self.adam.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        import torch

        with torch.no_grad():
            for ours, theirs in ((self.master, state["master"]), (self.mean, state["mean"])):
                for one, other in zip(ours, theirs, strict=True):
                    one.copy_(other)
            for one, master in zip(self.live, self.master, strict=True):
                one.copy_(master)
        self.adam.load_state_dict(state["adam"])
