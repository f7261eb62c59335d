# SPDX-License-Identifier: MIT
"""train.py DATA WORK [--steps N] [OPTION...]: trains the encoder on what prepare.py has made.

Checkpoints go to WORK/checkpoint.pt, about every two minutes; started again, training goes on from there, also with
another --steps. WORK/log.tsv gets the losses and the equal error rates on trials_dev.tsv. WORK/network.safetensors is a
mean of the latest weights, as the program reads it: where those rates, in the mean of three, were lowest, since a network
that has learned the voices of train by heart tells others worse than it did before; with --begin the latest, since the
first ones always look best then. --device cuda trains, and mixes, there.

The loss tells every turn's voice from all others, three ways:
  contrast   each step at least 0.3 s into its turn, and each turn's mean (of every other turn, the first seconds' mean),
             against the means of all other turns of the batch
  teacher    both against the teacher's vectors of all voices, as fixed class vectors: cross entropy with
             the teacher's own likenesses, and cosine. The network's space becomes the teacher's, less its mean voice
  speech     cross entropy of somebody speaking, and of two at once

With --begin MODEL --speech-layers K only that last one is trained, by a branch of the last K layers that begins as theirs (or
as MODEL's branch); all else stays as it is, and so does every embedding. With --begin MODEL --keep-speech it is the other way round:
of a MODEL with a branch the layers beside it are trained, of which the embedding alone is made, and --more-layers N behind them."""
import argparse
import csv
import math
import os
import time

import numpy as np
import torch
from torch.nn import functional as F

from batches import GROUP, Batches, Voices, mix
from conversations import Corpus
from export import read_model, write_model
from front_end import HOP, RATE, high_pass, log_mel, normalised
from network import Network
from prepare import training_rows

PEAK, WARM = 2.0e-3, 200
SCALE, TEACHER_SCALE, OTHERS = 15.0, 20.0, 2048
ALIKE = 0.65  # cosine of the teacher's vectors above which two voices, warps of one most often, are not told apart


class Losses(torch.nn.Module):
    def __init__(self, teacher, trust):
        super().__init__()
        centred = teacher - teacher.mean(0)
        self.register_buffer("classes", F.normalize(torch.from_numpy(centred), dim=1), persistent=False)
        self.register_buffer("trust", torch.from_numpy(trust), persistent=False)
        self.of_speech = SpeechLosses()
        self.scale = torch.nn.Parameter(torch.tensor(float(np.log(SCALE))))

    def contrast(self, x, own, means, voice, crop):
        """−log share of the voice's turns in other crops in the softmax over all turns but its own in this crop: a voice
        must be told by what it keeps in another room, never by the room. Voices all but alike are left out. 0 when no
        voice is in two crops"""
        logits = (x @ means.T).float() * self.scale.exp()
        same, here = voice[own][:, None] == voice, crop[own][:, None] == crop
        alike = self.classes[voice[own]] @ self.classes[voice].T > ALIKE
        logits = logits.masked_fill((same & here) | (alike & ~same), -1e9)
        same = same & ~here
        has = same.any(1)
        positive = torch.logsumexp(logits.masked_fill(~same, -1e9), 1)
        return (torch.logsumexp(logits, 1) - positive)[has].sum() / has.sum().clamp(min=1)

    def taught(self, x, voice):
        """cross entropy with the teacher's own guess among the batch's voices and others, and 1 − cosine"""
        some = torch.randint(len(self.classes), (OTHERS,), device=x.device)
        others = self.classes[torch.unique(torch.cat([voice, some]))]
        own, trust = self.classes[voice], self.trust[voice]
        with torch.no_grad():
            wanted = F.softmax((own @ others.T).float() * TEACHER_SCALE, dim=1)
        guess = F.cross_entropy((x @ others.T).float() * TEACHER_SCALE, wanted, reduction="none")
        near = 1 - (x * own).sum(1)
        return (trust * guess).sum() / trust.sum(), (trust * near).sum() / trust.sum()

    def forward(self, embedding, speech_logit, overlap_logit, who, age, speech, overlap, voice, crop):
        crops = len(embedding)
        good = (who >= 0) & (age >= 0.3)
        e, turn = embedding[good], who[good]
        # half of the turns are judged by their beginning alone: who speaks now must be told soon
        device = e.device
        until = torch.where(torch.rand(len(voice), device=device) < 0.5, 0.6 + 1.4 * torch.rand(len(voice), device=device), torch.inf)
        counted = (age[good] < until[turn]).float()
        sums = torch.zeros(len(voice), e.shape[1], device=device).index_add(0, turn, e * counted[:, None])
        counts = torch.zeros(len(voice), device=device).index_add(0, turn, counted)
        kept = torch.nonzero(counts >= 4)[:, 0]
        order = torch.arange(len(kept), device=device)
        number = torch.full((len(voice),), -1, device=device).index_put((kept,), order)
        means, voice, crop = F.normalize(sums[kept], dim=1), voice[kept], crop[kept]
        some = torch.randperm(len(e), device=device)[: 32 * crops]
        some = some[number[turn[some]] >= 0]
        steps, own = e[some], number[turn[some]]
        parts = {"contrast": self.contrast(steps, own, means, voice, crop),
                 "turns": self.contrast(means, order, means, voice, crop)}
        parts["taught"], parts["near"] = self.taught(means, voice)
        few = slice(0, 12 * crops)
        parts["step_taught"], parts["step_near"] = self.taught(steps[few], voice[own[few]])
        return parts | self.of_speech(speech_logit, overlap_logit, who, age, speech, overlap, voice, crop)


class SpeechLosses(torch.nn.Module):
    """of speech alone, by the same truth"""

    def forward(self, speech_logit, overlap_logit, who, age, speech, overlap, voice, crop):
        return {"speech": F.binary_cross_entropy_with_logits(speech_logit, speech),
                "overlap": F.binary_cross_entropy_with_logits(overlap_logit, overlap)}


def weighed(parts):
    """the loss, and its parts to be told"""
    weights = {"contrast": 1, "turns": 1, "taught": 0.6, "near": 2, "step_taught": 0.3, "step_near": 1, "speech": 1, "overlap": 0.5}
    return sum(weights[k] * v for k, v in parts.items()), {k: v.detach() for k, v in parts.items()}


def train_alone(network, parts):
    """nothing but the parts learns, or leaves blocks out"""
    network.requires_grad_(False).eval()
    for mine in parts:
        mine.requires_grad_(True).train()


class Branch(torch.nn.Module):
    """of a network, that for speech and overlap"""

    def __init__(self, network):
        super().__init__()
        self.network = network
        train_alone(network, (network.speech_layers, network.speech_norm, network.speech, network.overlap))

    def forward(self, x):
        return self.network.logits(self.network.parting(x))


class BesideBranch(torch.nn.Module):
    """of a network with a branch, what only the embedding is made of"""

    def __init__(self, network):
        super().__init__()
        self.network = network
        train_alone(network, (network.layers[network.shared :], network.output_norm, network.embedding))

    def forward(self, x):
        with torch.no_grad():
            parting = self.network.parting(x)
            logits = self.network.logits(parting)
        return self.network.unit(self.network.output(parting)), *logits


def with_hidden_bands(x, share, most=16):
    """x [crops][steps][GROUP · bands], in so many of the crops up to `most` bands side by side hold the crop's mean"""
    crops, device, bands = len(x), x.device, x.shape[2] // GROUP
    band, first = torch.arange(bands, device=device), torch.rand(crops, 1, device=device) * bands
    count = torch.rand(crops, 1, device=device) * most * (torch.rand(crops, 1, device=device) < share)
    hidden = ((band >= first) & (band < first + count)).repeat(1, GROUP)[:, None]
    return torch.where(hidden, x.mean((1, 2), keepdim=True), x)


class Trials:
    """trials_dev.tsv at 3 s and at its first second"""

    def __init__(self, data):
        with open(os.path.join(data, "trials_dev.tsv")) as file:
            rows = [r for r in csv.DictReader(file, delimiter="\t") if r["cond"] == "3s"]
        corpus, number, self.features = Corpus(data), {}, []
        for row in rows:
            for side in "12":
                key = row["path" + side], float(row["start" + side]), float(row["dur" + side])
                if key not in number:
                    number[key] = len(self.features)
                    x = high_pass(corpus.audio(key[0]))[int(key[1] * RATE) : int((key[1] + key[2]) * RATE)]
                    mel = normalised(log_mel(x))[: 300 // GROUP * GROUP]
                    self.features.append(torch.from_numpy(mel[: len(mel) // GROUP * GROUP].reshape(-1, GROUP * mel.shape[1])))
        self.pairs = np.array([[number[r["path" + s], float(r["start" + s]), float(r["dur" + s])] for s in "12"] for r in rows])
        self.labels = np.array([int(r["label"]) for r in rows])

    @torch.no_grad()
    def rates(self, network, device):
        steps = max(len(f) for f in self.features)
        x = torch.stack([F.pad(f, (0, 0, 0, steps - len(f)), value=-1.45) for f in self.features])
        valid = torch.stack([torch.arange(steps) < len(f) for f in self.features])
        out = []
        for begin in range(0, len(x), 64):
            with torch.autocast(device, torch.bfloat16):
                e, speech, _ = (y.float().cpu() for y in network(x[begin : begin + 64].to(device)))
            weight = torch.sigmoid(speech) * valid[begin : begin + 64]
            weight[:, :7] = 0
            out.append(torch.stack([F.normalize((e * weight[..., None])[:, :n].sum(1), dim=1) for n in (steps, 25)], 1))
        e = torch.cat(out).numpy()
        return [equal_error_rate(self.labels, (e[self.pairs[:, 0], i] * e[self.pairs[:, 1], i]).sum(1)) for i in range(2)]


def equal_error_rate(labels, scores):
    labels = labels[np.argsort(-scores, kind="stable")]
    false_alarms = np.cumsum(1 - labels) / (1 - labels).sum()
    misses = 1 - np.cumsum(labels) / labels.sum()
    at = np.argmin(abs(false_alarms - misses))
    return float(false_alarms[at] + misses[at]) / 2


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("work")
    parser.add_argument("--steps", type=int, default=20000)
    parser.add_argument("--minutes", type=float, default=math.inf, help="of training at most: the rate falls, and it ends, by then or by --steps")
    parser.add_argument("--crops", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=5, help="of a crop (%(default)s)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, ...")
    parser.add_argument("--begin", help="a model file whose network is trained on, whatever its shape; with a lower --peak")
    parser.add_argument("--speech-layers", type=int, default=0, help="with --begin: trains a branch of so many layers for speech and overlap alone")
    parser.add_argument("--keep-speech", action="store_true", help="with --begin, whose model has a branch: trains the layers beside it alone")
    parser.add_argument("--more-layers", type=int, default=0, help="with --keep-speech: so many layers more beside the branch")
    parser.add_argument("--drop", type=float, default=0, help="in how many of the crops a block is left out, each by chance (%(default)s)")
    parser.add_argument("--hide", type=float, default=0, help="in how many of the crops some bands are hidden (%(default)s)")
    parser.add_argument("--peak", type=float, default=PEAK, help="highest rate of learning (%(default)s)")
    parser.add_argument("--dim", type=int, default=192, help="of the network, a multiple of 32, the dimension of its heads")
    parser.add_argument("--layers", type=int, default=5)
    parser.add_argument("--wide", type=int, default=448, help="units of a feed-forward layer")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--frames", help="where prepare.py has written, if not to WORK")
    parser.add_argument("--compile", action="store_true", help="with torch.compile: a fifth faster, wants a C++ compiler")
    parser.add_argument("--without", nargs="*", default=[], help="corpora left out, to be tested on")
    arguments = parser.parse_args()
    for name in ("steps", "minutes", "crops", "seconds", "peak", "dim", "layers", "wide", "threads", "workers"):
        if not getattr(arguments, name) > 0:
            parser.error(f"--{name} is above 0")
    if not (0 <= arguments.drop < 1 and 0 <= arguments.hide <= 1):
        parser.error("--drop and --hide are shares of the crops")
    if (arguments.speech_layers or arguments.keep_speech) and not arguments.begin:
        parser.error("--speech-layers and --keep-speech are of the network of --begin")
    if arguments.more_layers and not arguments.keep_speech:
        parser.error("--more-layers are of --keep-speech")
    if arguments.speech_layers and arguments.keep_speech:
        parser.error("--speech-layers trains what --keep-speech keeps")
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    rows = training_rows(Corpus(arguments.data))
    device, trials, crop_steps = arguments.device, Trials(arguments.data), round(arguments.seconds * RATE / HOP / GROUP)
    voices = Voices(arguments.frames or arguments.work, rows, arguments.without, device)
    if arguments.begin:
        network = Network.from_model(*read_model(arguments.begin))
        if not 0 <= arguments.speech_layers <= network.shape["layers"]:
            parser.error(f"--speech-layers is 0 to {network.shape['layers']}: {arguments.begin} has no more")
        if arguments.speech_layers not in (0, network.shape["speech_layers"]):
            network = network.branched(arguments.speech_layers)
        if arguments.keep_speech and not network.shape["speech_layers"]:
            parser.error(f"--keep-speech: {arguments.begin} has no branch")
        try:
            network = network.deeper(arguments.more_layers).to(device)
        except ValueError as why:
            parser.error(f"--more-layers: {arguments.begin}: {why}")
    else:
        network = Network(dim=arguments.dim, layers=arguments.layers, wide=arguments.wide).to(device)
    network.drop = arguments.drop
    trained = Branch(network) if arguments.speech_layers else BesideBranch(network) if arguments.keep_speech else network
    losses = SpeechLosses() if arguments.speech_layers else Losses(voices.teacher, voices.trust).to(device)
    parameters = [p for p in (*network.parameters(), *losses.parameters()) if p.requires_grad]
    decayed = [p for p in parameters if p.dim() > 1]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.03},
                                   {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0}], betas=(0.9, 0.98))
    mean = torch.optim.swa_utils.AveragedModel(network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.99)).eval()
    os.makedirs(arguments.work, exist_ok=True)
    path, step, told, best = os.path.join(arguments.work, "checkpoint.pt"), 0, [], math.inf
    if os.path.exists(path):
        saved = torch.load(path, weights_only=True, map_location=device)
        step, told, best = saved["step"], saved["told"], saved["best"]
        network.load_state_dict(saved["network"])
        mean.load_state_dict(saved["mean"])
        losses.load_state_dict(saved["losses"])
        optimizer.load_state_dict(saved["optimizer"])
    batches = Batches(voices, arguments.crops, crop_steps, arguments.seed + step)
    loader = iter(torch.utils.data.DataLoader(batches, batch_size=None, num_workers=arguments.workers, prefetch_factor=8))

    def keep():
        torch.save({"step": step, "told": told, "best": best, "network": network.state_dict(), "mean": mean.state_dict(), "losses": losses.state_dict(),
                    "optimizer": optimizer.state_dict()}, path + ".new")
        os.replace(path + ".new", path)

    running = torch.compile(trained) if arguments.compile else trained
    begin, sums, count, kept, waited = time.time(), {}, 0, time.time(), 0.0

    def share_done():
        return max(step / arguments.steps, (time.time() - begin) / 60 / arguments.minutes)

    done = share_done()
    while done < 1:
        before = time.time()
        heard, truth = next(loader)
        waited += time.time() - before
        heard, truth = ([t.to(device) for t in some] for some in (heard, truth))
        x = heard[0] if len(heard) == 1 else mix(voices.frames, crop_steps, *heard)
        x = with_hidden_bands(x, arguments.hide) if arguments.hide else x
        rate = arguments.peak * min(1, (step + 1) / WARM) * (0.5 + 0.5 * math.cos(math.pi * done)) + 1e-6
        for group in optimizer.param_groups:
            group["lr"] = rate
        with torch.autocast(device, torch.bfloat16):
            out = [y.float() for y in running(x)]
            loss, parts = weighed(losses(*out, *truth))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 5.0)
        optimizer.step()
        mean.update_parameters(network)
        step, count = step + 1, count + 1
        done = share_done()
        for name, value in parts.items():
            sums[name] = sums.get(name, 0) + value
        every = 100 if step < 1000 else 250
        if step % every == 0 or step == 20 or done >= 1:
            rates = trials.rates(mean.module, device)
            line = "\t".join([str(step), f"{(time.time() - begin) / 60:.1f}", f"{waited:.0f}", f"{rate:.2g}"]
                             + [f"{k} {float(v) / count:.3f}" for k, v in sums.items()] + [f"{100 * r:.2f}" for r in rates])
            print(line, flush=True)
            with open(os.path.join(arguments.work, "log.tsv"), "a") as file:
                file.write(line + "\n")
            sums, count, told = {}, 0, (told + [sum(rates)])[-3:]
            if arguments.begin or sum(told) / len(told) <= best:
                best = sum(told) / len(told)
                write_model(mean.module, os.path.join(arguments.work, "network.safetensors"))
        if time.time() - kept > 120:
            keep()
            kept = time.time()
    keep()


if __name__ == "__main__":
    main()
