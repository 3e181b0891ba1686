import torch
from torch import nn


class Sine(nn.Module):
    """An activation that repeats itself, which is what makes the rings."""

    def forward(self, values):
        return torch.sin(values)


class Painter(nn.Module):
    """Points (N, 2) to colours (N, 3): a layer more than before, and sine in place of tanh."""

    def __init__(self, seed, width=24):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(3, width),
            Sine(),
            nn.Linear(width, width),
            Sine(),
            nn.Linear(width, width),
            Sine(),
            nn.Linear(width, 3),
            nn.Sigmoid(),
        )
        generator = torch.Generator().manual_seed(seed)
        for parameter in self.parameters():
            fan_in = parameter.shape[-1]
            nn.init.normal_(parameter, std=2.0 / fan_in**0.5, generator=generator)

    def forward(self, points):
        radius = points.norm(dim=1, keepdim=True)
        return self.layers(torch.cat([points, radius], dim=1))
