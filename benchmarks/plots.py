"""The pictures: latency by payload, and start-up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.findings import Bar, Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_latency", "draw_startup"]

_INK, _GREY, _FAINT = "#1b1f24", "#6a737d", "#e6e8eb"
_OURS, _LIMIT = "#d1341f", "#1b1f24"
# A colour for each peer, the same in all pictures; those of Okabe and Ito, which also people who see fewer colours tell apart.
_COLOURS = {
    "appose": "#0072b2",
    "isolate": "#e69f00",
    "multiprocessing": "#009e73",
    "pyisolate": "#cc79a7",
    "ray": "#56b4e9",
    "rpyc": "#8c6d31",
}
_SIZES = {
    3: "8 B",
    6: "64 B",
    9: "512 B",
    12: "4 KiB",
    15: "32 KiB",
    18: "256 KiB",
    21: "2 MiB",
    24: "16 MiB",
    28: "256 MiB",
}
_TIMES = {
    1e-5: "10 µs",
    1e-4: "100 µs",
    1e-3: "1 ms",
    1e-2: "10 ms",
    1e-1: "100 ms",
    1.0: "1 s",
    10.0: "10 s",
}


def draw_latency(path: Path, series: Sequence[Series]) -> None:
    """Latency by payload, both on logarithmic scales."""
    axes = _axes(8.6, 5.4)
    ends = []
    for item in series:
        sizes, seconds = zip(*item.points, strict=True)
        axes.plot(sizes, seconds, **_stroke(item.name))
        ends.append((seconds[-1], sizes[-1], item.name))
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks([2**power for power in _SIZES], [*_SIZES.values()])
    low, high = axes.get_ylim()
    ticks = [tick for tick in _TIMES if low <= tick <= high]
    axes.set_yticks(ticks, [_TIMES[tick] for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("payload: a float32 array, which goes there and comes back with 1 added")
    axes.set_ylabel("time for the round trip, median")
    axes.grid(color=_FAINT)
    _name_ends(axes, ends)
    _finish(axes, path, "Latency by payload")


def draw_startup(path: Path, bars: Sequence[Bar]) -> None:
    """Start-up, a group of bars for each thing that is waited for."""
    groups = [*dict.fromkeys(bar.what for bar in bars)]
    axes = _axes(8.6, 0.9 + 0.3 * (len(bars) + 1.2 * len(groups)))
    place, ticks = 0.0, []
    for group in groups:
        axes.text(0, place, group, color=_INK, fontsize=10, weight="bold", va="center")
        place += 1
        for bar in sorted((bar for bar in bars if bar.what == group), key=lambda bar: bar.seconds):
            axes.barh(place, bar.seconds, height=0.72, color=_colour(bar.name))
            axes.text(bar.seconds, place, f" {_duration(bar.seconds)}", color=_GREY, va="center", fontsize=9)
            ticks.append((place, bar.name))
            place += 1
        place += 0.4
    axes.set_yticks([place for place, _ in ticks], [name for _, name in ticks])
    axes.set_ylim(place - 0.3, -0.7)
    axes.set_xlim(0, max(bar.seconds for bar in bars) * 1.12)
    axes.set_xlabel("seconds until the first result of torch, median")
    axes.grid(axis="x", color=_FAINT)
    _finish(axes, path, "Start-up")


def _axes(width: float, height: float) -> Axes:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    mpl.rcParams.update({"font.family": "DejaVu Sans", "font.size": 9.5, "text.color": _INK})
    _, axes = pyplot.subplots(figsize=(width, height))
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(_GREY)
    axes.tick_params(colors=_GREY, labelcolor=_INK)
    return axes


def _finish(axes: Axes, path: Path, title: str) -> None:
    from matplotlib import pyplot

    axes.set_title(title, loc="left", weight="bold", fontsize=12, pad=12)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without metadata, so that equal figures make equal files.
    axes.figure.savefig(path, dpi=130, bbox_inches="tight", metadata={"Software": None})
    pyplot.close()


def _colour(name: str) -> str:
    if name.startswith("limit"):
        return _GREY
    return _OURS if name.startswith("isohub") else _COLOURS.get(name, _GREY)


def _stroke(name: str) -> dict[str, Any]:
    if name.startswith("limit"):
        style = ":" if "copies" in name else "--"
        return {"color": _LIMIT, "linestyle": style, "linewidth": 1.4, "zorder": 4}
    if name.startswith("isohub"):
        return {"color": _OURS, "linewidth": 2.6, "marker": "o", "markersize": 4, "zorder": 5}
    return {"color": _colour(name), "linewidth": 1.5, "marker": "o", "markersize": 2.5, "zorder": 3}


def _name_ends(axes: Axes, ends: list[tuple[float, float, str]]) -> None:
    """Write each line's name at its end, apart from each other: nobody has to look it up in a legend."""
    import math

    low, high = (math.log10(value) for value in axes.get_ylim())
    least = (high - low) * 0.042
    place = -math.inf
    for seconds, size, name in sorted(ends):
        place = max(math.log10(seconds), place + least)
        axes.annotate(
            name,
            (size, seconds),
            xytext=(axes.get_xlim()[1], 10**place),
            textcoords="data",
            color=_stroke(name)["color"],
            va="center",
            fontsize=9.5,
            weight="bold" if name == "isohub" else "normal",
            annotation_clip=False,
        )


def _duration(seconds: float) -> str:
    return f"{seconds * 1e3:.0f} ms" if seconds < 1 else f"{seconds:.2f} s"
