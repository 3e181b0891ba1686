"""Trains a tiny transformer and lays it out as the archives of wmt19 are: model.pt, dict.en.txt, dict.de.txt, bpecodes."""

import io

import torch
from fairseq import options, tasks
from fairseq.data import Dictionary, LanguagePairDataset
from sacremoses import MosesTokenizer
from subword_nmt.apply_bpe import BPE
from subword_nmt.learn_bpe import learn_bpe

MERGES, STEPS, RATE = 60, 400, 2e-3

OPTIONS = """
    --task translation --source-lang en --target-lang de --arch transformer_iwslt_de_en --cpu
    --encoder-layers 2 --encoder-attention-heads 4 --encoder-embed-dim 64 --encoder-ffn-embed-dim 128
    --decoder-layers 2 --decoder-attention-heads 4 --decoder-embed-dim 64 --decoder-ffn-embed-dim 128
    --share-all-embeddings --dropout 0.1 --optimizer adam --lr 0.002 --max-tokens 4096
"""


def train_archive(folder, pairs):
    folder.mkdir(parents=True)
    english = tokenize("en", [source for source, _ in pairs])
    german = tokenize("de", [target for _, target in pairs])
    bpe = learn_codes(english + german, folder / "bpecodes")
    english, german = [[bpe.process_line(line) for line in lines] for lines in (english, german)]
    save_dictionaries(folder, english + german)

    torch.manual_seed(1)
    args = options.parse_args_and_arch(options.get_training_parser(), [str(folder), *OPTIONS.split()])
    task = tasks.setup_task(args)
    model = task.build_model(args)
    loss = train(model, one_batch(task, english, german), task.target_dictionary.pad())
    torch.save(checkpoint(args, model), folder / "model.pt")
    return loss


def tokenize(language, lines):
    # As fairseq's own tokenizer="moses" does it.
    moses = MosesTokenizer(language)
    return [moses.tokenize(line, aggressive_dash_splits=True, return_str=True) for line in lines]


def learn_codes(lines, path):
    with path.open("w", encoding="utf-8") as codes:
        learn_bpe(io.StringIO("\n".join(lines)), codes, MERGES)
    with path.open(encoding="utf-8") as codes:
        return BPE(codes)


def save_dictionaries(folder, lines):
    joined = Dictionary()
    for line in lines:
        for word in line.split():
            joined.add_symbol(word)
    joined.finalize(padding_factor=1)
    for language in ("en", "de"):
        joined.save(str(folder / f"dict.{language}.txt"))


def one_batch(task, english, german):
    parts = []
    for lines, dictionary in ((english, task.source_dictionary), (german, task.target_dictionary)):
        encoded = [dictionary.encode_line(line, add_if_not_exist=False).long() for line in lines]
        parts += [encoded, [len(line) for line in encoded], dictionary]
    pairs = LanguagePairDataset(*parts)
    return pairs.collater([pairs[index] for index in range(len(pairs))])


def train(model, batch, padding):
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE, betas=(0.9, 0.98))
    for _ in range(STEPS):
        answer = model.get_normalized_probs(model(**batch["net_input"]), log_probs=True)
        loss = torch.nn.functional.nll_loss(
            answer.flatten(0, 1), batch["target"].flatten(), ignore_index=padding
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


def checkpoint(args, model):
    # Archives that others have made, and other releases of fairseq, know nothing of its copies for a faster encoder.
    weights = {
        name: value for name, value in model.state_dict().items() if not name.endswith(("_weight", "_bias"))
    }
    history = {
        "criterion_name": "CrossEntropyCriterion",
        "optimizer_name": "FairseqAdam",
        "lr_scheduler_state": {},
        "num_updates": STEPS,
    }
    return {
        "args": args,
        "model": weights,
        "optimizer_history": [history],
        "extra_state": {"epoch": 1, "train_iterator": {"epoch": 1}},
        "last_optimizer_state": None,
    }
