"""A sparse autoencoder that keeps the k largest latents (TopK; Gao et al. 2024, arXiv:2406.04093), and its training.

    z = TopK(W_enc (x - b_pre)),  x^ = W_dec z + b_pre

A latent is one direction of the activations; few of them are on at a time. Trained on mean squared error, with their
remedies for latents that die: the encoder begins as the decoder's transpose, and the error that is left is modelled by
dead latents (AuxK, weight 1/32). Activations are scaled to a mean square of 1 beforehand.

Shapes: n activations, D their width, L latents.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

AUX_WEIGHT = 1 / 32
"""Of the dead latents' loss (Gao et al. 2024, appendix A.2)."""


class TopKAutoencoder(nn.Module):
    """Encoder [L, D], decoder [D, L] with columns of length 1, and the offset b_pre [D]."""

    def __init__(self, width: int, latents: int, k: int, *, seed: int = 0) -> None:
        super().__init__()
        self.k = k
        generator = torch.Generator().manual_seed(seed)
        directions = F.normalize(torch.randn(latents, width, generator=generator), dim=1)
        self.encoder = nn.Parameter(directions.clone())
        self.decoder = nn.Parameter(directions.T.contiguous().clone())
        self.offset = nn.Parameter(torch.zeros(width))
        self.scale = nn.Buffer(torch.ones(()))
        """What activations are divided by."""
        self.mean = nn.Buffer(torch.zeros(width))
        """Of the activations that it was trained on, [D]."""

    @property
    def latents(self) -> int:
        """L."""
        return self.encoder.shape[0]

    @torch.no_grad()
    def begin_at(self, x: Tensor) -> None:
        """Take scale and offset from activations x [n, D]: mean square 1 around their mean."""
        mean = x.mean(dim=0)
        self.mean.copy_(mean)
        self.scale.copy_((x - mean).square().mean().sqrt().clamp_min(1e-12))
        self.offset.copy_(mean / self.scale)

    def before(self, x: Tensor) -> Tensor:
        """Return the latents [..., L] of activations x [..., D] before the choice of the largest."""
        return F.linear(x / self.scale - self.offset, self.encoder)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the k largest latents of x [..., D], not below 0, and their numbers: both [..., k]."""
        values, places = self.before(x).topk(self.k, dim=-1)
        return F.relu(values), places

    def decode(self, values: Tensor, places: Tensor) -> Tensor:
        """Return the activations [..., D] that latents `places` with `values` [..., k] stand for."""
        return (self._sum(values, places) + self.offset) * self.scale

    def forward(self, x: Tensor) -> Tensor:
        """Return the reconstruction of x [..., D]."""
        return self.decode(*self.encode(x))

    def _sum(self, values: Tensor, places: Tensor) -> Tensor:
        dense = values.new_zeros(*values.shape[:-1], self.latents).scatter(-1, places, values)
        return F.linear(dense, self.decoder)

    def loss(self, x: Tensor, dead: Tensor, aux_k: int) -> tuple[Tensor, Tensor]:
        """Return the loss over x [n, D], and the numbers of latents that were on; `dead` bool [L] are to be revived."""
        z = x / self.scale
        before = self.before(x)
        values, places = before.topk(self.k, dim=-1)
        values = F.relu(values)
        error = z - self._sum(values, places) - self.offset  # what is left, [n, D]
        loss = error.square().mean()
        n_dead = int(dead.sum())
        if n_dead:
            others = before.masked_fill(~dead, -torch.inf)
            again, where = others.topk(min(aux_k, n_dead), dim=-1)
            missing = error.detach()
            aux = (missing - self._sum(F.relu(again), where)).square().mean()
            loss = loss + AUX_WEIGHT * aux
        return loss, places[values > 0]

    @torch.no_grad()
    def keep_length(self) -> None:
        """Make each column of the decoder of length 1 again."""
        self.decoder.copy_(F.normalize(self.decoder, dim=0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconstruction:
    """How well activations are rebuilt."""

    unexplained: float
    """Fraction of variance unexplained: sum of squared errors / sum of squares around the mean."""
    active: float
    """L0: latents above 0 for each activation, in the mean."""
    dead: float
    """Share of latents that none of these activations turns on."""


def train_autoencoder(
    x: Tensor, *, latents: int, k: int, steps: int, batch_size: int, lr: float, seed: int, dead_after: int = 100_000
) -> TopKAutoencoder:
    """Return an autoencoder trained for `steps` steps on batches drawn from x [n, D] by `seed`.

    A latent is dead that was off for `dead_after` activations. The rate falls to 0 over the last fifth (Adam,
    betas 0.9 and 0.999, eps 6.25e-10 as in the paper).
    """
    with torch.inference_mode(False), torch.enable_grad():
        x = x.detach().clone().float()
        model = TopKAutoencoder(x.shape[1], latents, k, seed=seed).to(x.device)
        model.begin_at(x)
        optimizer = torch.optim.Adam(model.parameters(), lr=lr, eps=6.25e-10)
        generator = torch.Generator().manual_seed(seed)
        off_for = torch.zeros(latents, dtype=torch.long, device=x.device)
        aux_k = max(1, x.shape[1] // 2)
        for step in range(steps):
            rows = torch.randint(len(x), (min(batch_size, len(x)),), generator=generator)
            loss, on = model.loss(x[rows.to(x.device)], off_for > dead_after, aux_k)
            optimizer.zero_grad()
            loss.backward()
            for group in optimizer.param_groups:
                group["lr"] = lr * min(1.0, (steps - step) / max(1, steps / 5))
            optimizer.step()
            model.keep_length()
            off_for += len(rows)
            off_for[on.unique()] = 0
    return model.requires_grad_(False).eval()


@torch.no_grad()
def reconstruction(model: TopKAutoencoder, x: Tensor, rows: int = 4096) -> Reconstruction:
    """Return how well x [n, D] is rebuilt, `rows` activations at a time."""
    around, error, on = float((x - x.mean(dim=0)).double().square().sum()), 0.0, 0
    seen = torch.zeros(model.latents, dtype=torch.bool, device=x.device)
    for start in range(0, len(x), rows):
        some = x[start : start + rows]
        values, places = model.encode(some)
        error += float((some - model.decode(values, places)).double().square().sum())
        on += int((values > 0).sum())
        seen[places[values > 0]] = True
    return Reconstruction(
        unexplained=error / around if around else float("nan"),
        active=on / len(x),
        dead=1 - float(seen.float().mean()),
    )
