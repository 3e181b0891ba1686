"""The calls of the zoo: each loads a repository as its users do, computes something, checks it, and says what it was.

Weights are random, so what is checked is what holds for any: shapes, finite numbers, and the same answer twice.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import isohub
from isohub.config import torch_home
from isohub.default import default_hub
from tests.real.translation import ENTRY_POINT, PAIRS, hub_of_then

__all__ = ["CALLS", "Call"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Call:
    """A repository and what is done with it.

    Attributes:
        name: for the command line.
        repository: as `isohub.load` takes it.
        compute: loads and computes; it is given the repository and a folder for files, and says what was computed.
    """

    name: str
    repository: str
    compute: Callable[[str, Path], str]


def _silero_vad(repository: str, folder: Path) -> str:
    """As its README has it, and with the other ref of it at the same time."""
    path = folder / "vowels.wav"
    _write_vowels(path)
    found = []
    for ref in ("snakers4/silero-vad:v4.0", "snakers4/silero-vad"):
        model, utils = isohub.load(ref, "silero_vad", trust_repo=True)
        get_speech_timestamps, _, read_audio, _, _ = utils
        wav = isohub.as_tensor(read_audio(str(path), sampling_rate=16000))
        spans = get_speech_timestamps(wav, model, sampling_rate=16000)
        assert spans == get_speech_timestamps(wav, model, sampling_rate=16000)
        assert all(0 <= span["start"] < span["end"] <= 64000 for span in spans)
        if ref == repository:
            found = spans
    spoken = ", ".join(f"{span['start'] / 16000:.1f} to {span['end'] / 16000:.1f} s" for span in found)
    return f"`get_speech_timestamps`, both refs side by side: speech at {spoken}" if found else "no speech"


def _fairseq(repository: str, folder: Path) -> str:
    """As its README has it, with a model where it keeps what it has downloaded."""
    cache = torch_home() / "pytorch_fairseq"
    url = "https://dl.fbaipublicfiles.com/fairseq/models/wmt19.en-de.joined-dict.single_model.tar.gz"
    archive = cache / hashlib.sha256(url.encode()).hexdigest()
    if not archive.exists():
        with hub_of_then(folder / "archives"):
            _for_fastbpe(folder / "archives" / ENTRY_POINT / "bpecodes")
        cache.mkdir(parents=True)
        shutil.move(folder / "archives" / ENTRY_POINT, archive)
    en2de = isohub.load(repository, ENTRY_POINT, tokenizer="moses", bpe="fastbpe", trust_repo=True)
    assert [en2de.translate(english, beam=5) for english, _ in PAIRS] == [german for _, german in PAIRS]
    names = isohub.list(repository)
    listed = f"{len(names)} entry points, {sum('.' in name for name in names)} with dots"
    return f"`translate` of {len(PAIRS)} sentences: Hello, {en2de.translate('Hello', beam=5)}; {listed}"


def _yolov5(repository: str, folder: Path) -> str:
    model = isohub.load(repository, "yolov5n", pretrained=False, trust_repo=True)
    answer = _steady(model, 1, 3, 320, 320)
    assert answer[0].shape == (1, 6300, 85)
    return f"`yolov5n`, predictions {_shape(answer[0])}"


def _detr(repository: str, folder: Path) -> str:
    """Whether pretrained or not, it wants the weights of its backbone."""
    python = default_hub().environment(repository, trust_repo=True).python
    weights = Path(isohub.get_dir(), "checkpoints")
    weights.mkdir(parents=True, exist_ok=True)
    subprocess.run([python, "-I", "-c", _RANDOM_RESNET50, weights], timeout=300, check=True)
    model = isohub.load(repository, "detr_resnet50", pretrained=False, trust_repo=True)
    logits, boxes = _steady(model, 1, 3, 256, 320)
    assert (logits.shape, boxes.shape) == ((1, 100, 92), (1, 100, 4))
    assert ((boxes >= 0) & (boxes <= 1)).all()
    return f"`detr_resnet50`, logits {_shape(logits)}, boxes {_shape(boxes)}"


_RANDOM_RESNET50 = """
import sys, torch, torchvision
# Under the names that releases of torchvision have had for it.
for name in ("resnet50-0676ba61.pth", "resnet50-19c8e357.pth"):
    torch.save(torchvision.models.resnet50().state_dict(), sys.argv[1] + "/" + name)
"""


def _pytorchvideo(repository: str, folder: Path) -> str:
    model = isohub.load(repository, "x3d_xs", pretrained=False, trust_repo=True)
    (answer,) = _steady(model, 1, 3, 4, 182, 182)
    assert answer.shape == (1, 400)
    return f"`x3d_xs`, {_shape(answer)}"


def _midas(repository: str, folder: Path) -> str:
    model = isohub.load(repository, "DPT_Hybrid", pretrained=False, trust_repo=True)
    transforms = isohub.load(repository, "transforms", trust_repo=True)
    image = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)
    batch = np.asarray(transforms.dpt_transform(image))
    assert batch.shape == (1, 3, 384, 512)
    (depth,) = _steady(model, 1, 3, 384, 512)
    assert depth.shape == (1, 384, 512)
    return f"`transforms` {_shape(batch)}, `DPT_Hybrid` {_shape(depth)}"


def _gan_zoo(repository: str, folder: Path) -> str:
    model = isohub.load(repository, "DCGAN", pretrained=False, useGPU=False, trust_repo=True)
    noise, _ = model.buildNoiseData(4)
    images = np.asarray(model.test(isohub.as_tensor(noise)))
    again = np.asarray(model.test(isohub.as_tensor(noise)))
    assert images.shape[:2] == (4, 3)
    assert np.isfinite(images).all()
    assert (images == again).all()
    return f"`DCGAN`, `buildNoiseData` {_shape(np.asarray(noise))}, `test` {_shape(images)}"


def _unet(repository: str, folder: Path) -> str:
    model = isohub.load(
        repository, "unet", in_channels=3, out_channels=1, init_features=32, pretrained=False, trust_repo=True
    )
    (mask,) = _steady(model, 1, 3, 256, 256)
    assert mask.shape == (1, 1, 256, 256)
    assert ((mask >= 0) & (mask <= 1)).all()
    return f"`unet`, a mask {_shape(mask)}"


def _resnest(repository: str, folder: Path) -> str:
    model = isohub.load(repository, "resnest50", pretrained=False, trust_repo=True)
    (answer,) = _steady(model, 1, 3, 224, 224)
    assert answer.shape == (1, 1000)
    return f"`resnest50`, {_shape(answer)}"


def _vggish(repository: str, folder: Path) -> str:
    """Without what comes after the network, which is made of weights alone."""
    path = folder / "vowels.wav"
    _write_vowels(path)
    model = isohub.load(repository, "vggish", pretrained=False, postprocess=False, trust_repo=True)
    model.eval()
    embeddings = np.asarray(model.forward(str(path)))
    assert embeddings.shape == (4, 128)
    assert np.isfinite(embeddings).all()
    assert (embeddings == np.asarray(model.forward(str(path)))).all()
    return f"`vggish` of a file of 4 s, embeddings {_shape(embeddings)}"


CALLS = (
    Call("silero-vad", "snakers4/silero-vad", _silero_vad),
    Call("silero-vad-v4", "snakers4/silero-vad:v4.0", _silero_vad),
    Call("fairseq-v0.10.2", "pytorch/fairseq:v0.10.2", _fairseq),
    Call("fairseq", "pytorch/fairseq", _fairseq),
    Call("yolov5", "ultralytics/yolov5", _yolov5),
    Call("detr", "facebookresearch/detr", _detr),
    Call("pytorchvideo", "facebookresearch/pytorchvideo", _pytorchvideo),
    Call("midas", "isl-org/MiDaS", _midas),
    Call("gan-zoo", "facebookresearch/pytorch_GAN_zoo:hub", _gan_zoo),
    Call("brain-segmentation", "mateuszbuda/brain-segmentation-pytorch", _unet),
    Call("resnest", "zhanghang1989/ResNeSt", _resnest),
    Call("vggish", "harritaylor/torchvggish", _vggish),
)


def _steady(model: Any, *shape: int) -> list[Array]:
    """What a model says of an input of this shape, after it said the same twice."""
    model.eval()
    given = isohub.as_tensor(np.random.default_rng(0).random(shape, np.float32))
    first, second = [*_arrays(model(given))], [*_arrays(model(given))]
    assert len(first) == len(second) > 0
    for one, other in zip(first, second, strict=True):
        assert np.isfinite(one).all()
        assert (one == other).all()
    return first


def _arrays(value: Any) -> Iterator[Array]:
    """The tensors in an answer, from left to right."""
    if isinstance(value, dict):
        value = [*value.values()]
    if isinstance(value, list | tuple):
        for item in value:
            yield from _arrays(item)
    elif value is not None:
        yield np.asarray(value)


def _shape(array: Array) -> str:
    return " x ".join(map(str, array.shape))


def _write_vowels(path: Path) -> None:
    """Four seconds at 16 kHz: silence, then something like a voice that says "a", then silence."""
    time = np.arange(64000) / 16000
    pitch = 120 + 15 * np.sin(2 * np.pi * 3 * time)
    phase = 2 * np.pi * np.cumsum(pitch) / 16000
    voice = np.zeros_like(time)
    for harmonic in range(1, 30):
        frequency = 120.0 * harmonic
        formants = sum(1 / (1 + ((frequency - peak) / 90) ** 2) for peak in (730, 1090, 2440))
        voice += (formants + 0.05) / harmonic**0.5 * np.sin(harmonic * phase)
    syllables = np.clip(np.sin(2 * np.pi * 3.5 * time), 0, None) ** 0.5
    spoken = (time > 1) & (time < 3)
    signal = np.where(spoken, 0.4 * voice / np.abs(voice).max() * syllables, 0)
    signal += 0.002 * np.random.default_rng(0).standard_normal(len(time))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes((signal * 32767).astype("<i2").tobytes())


def _for_fastbpe(codes: Path) -> None:
    """fastBPE wants no line about a version, and how often each pair was seen."""
    _, *pairs = codes.read_text(encoding="utf-8").splitlines()
    codes.write_text("".join(f"{pair} 1\n" for pair in pairs), encoding="utf-8")
