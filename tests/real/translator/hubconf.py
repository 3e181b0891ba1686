"""fairseq's own loop over its models, but for archives that lie in a folder: nothing has to be downloaded."""

dependencies = ["fairseq", "requests", "sacremoses", "subword_nmt", "torch"]

import functools as _functools
import os as _os
from pathlib import Path as _Path

from fairseq.models import MODEL_REGISTRY as _MODEL_REGISTRY
from training import train_archive as _train_archive


def _folder(name):
    return _Path(_os.environ["ARCHIVES"], name)


def _from_archive(model, name, **options):
    return model.from_pretrained(str(_folder(name)), **options)


for _model in _MODEL_REGISTRY.values():
    for _name in _model.hub_models():
        globals()[_name] = _functools.partial(_from_archive, _model, _name)


def train(name, pairs):
    """Make the archive of an entry point: a model that knows these pairs of sentences, English and German, by heart.

    Returns its last loss.
    """
    return _train_archive(_folder(name), pairs)
