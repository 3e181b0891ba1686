import torch
from torch import nn


class Painter(nn.Module):
    """Points (N, 2) to colours (N, 3), in broad strokes: three layers, tanh between them."""

    def __init__(self, seed, width=24):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(3, width),
            nn.Tanh(),
            nn.Linear(width, width),
            nn.Tanh(),
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
