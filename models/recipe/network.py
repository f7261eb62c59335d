# SPDX-License-Identifier: MIT
"""The encoder of docs/model-format.md in torch, in parallel form: a whole crop at once, as training wants it."""
import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

EPSILON = 1e-6  # of the attention's normalizer
SHAPE = ("model_dim", "layers", "heads", "feed_forward_dim", "convolution_kernel", "embedding_dim", "speech_layers", "shared_layers")


class Dense(nn.Linear):
    """In training the product is bfloat16 under autocast; all between the products stays float32."""

    def forward(self, x):
        y = super().forward(x)
        return y.float() if y.dtype == torch.bfloat16 else y


class Silu(torch.autograd.Function):
    """x sigmoid(x) in few passes: torch's own backward is slow on a CPU."""

    @staticmethod
    def forward(ctx, x):
        s = torch.sigmoid(x)
        ctx.save_for_backward(x, s)
        return x * s

    @staticmethod
    def backward(ctx, grad):
        x, s = ctx.saved_tensors
        return grad * torch.addcmul(s, x * s, 1 - s)


class Depthwise(torch.autograd.Function):
    """y_t = Σ_j w_j x_{t+j}, x [batch][steps + taps − 1][dim], w [taps][dim]: a causal convolution over padded steps"""

    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        steps = x.shape[1] - len(w) + 1
        y = x[:, :steps] * w[0]
        for j in range(1, len(w)):
            y.addcmul_(x[:, j : j + steps], w[j])
        return y

    @staticmethod
    def backward(ctx, grad):
        x, w = ctx.saved_tensors
        steps, to_x, to_w = grad.shape[1], torch.zeros_like(x), torch.empty_like(w)
        for j in range(len(w)):
            to_x[:, j : j + steps].addcmul_(grad, w[j])
            to_w[j] = (grad * x[:, j : j + steps]).sum((0, 1))
        return to_x, to_w


class Phi(torch.autograd.Function):
    """elu + 1; its derivative is min(φ, 1)"""

    @staticmethod
    def forward(ctx, x):
        y = torch.exp(x.clamp(max=0)).add_(x.clamp(min=0))
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, grad):
        return grad * ctx.saved_tensors[0].clamp(max=1)


class Attention(nn.Module):
    """o_t = Σ_{s≤t} γ^{t−s} φ(q_t)·φ(k_s) v_s / (Σ_{s≤t} γ^{t−s} φ(q_t)·φ(k_s) + ε), φ = elu + 1 (2006.16236, eq. 8)"""

    def __init__(self, dim, half_lives):
        super().__init__()
        self.heads = len(half_lives)
        self.norm = nn.LayerNorm(dim)
        self.query, self.key, self.value, self.output = (Dense(dim, dim) for _ in range(4))
        # half-lives in steps; learned through a softplus, so that no decay grows above 0
        self.raw_decay = nn.Parameter(torch.log(torch.expm1(math.log(2) / torch.tensor(half_lives, dtype=torch.float32))))

    @property
    def log_decay(self):
        return -F.softplus(self.raw_decay)

    @staticmethod
    def mixed(q, k, decay, v):
        """under autocast the products are bfloat16, what is between them is not"""
        scores = q @ k.transpose(2, 3)
        out = (scores.float() if scores.dtype == torch.bfloat16 else scores) * decay @ v
        return out.float() if out.dtype == torch.bfloat16 else out

    def forward(self, h):
        batch, steps, dim = h.shape
        a = self.norm(h)

        def split(x):
            return x.view(batch, steps, self.heads, dim // self.heads).transpose(1, 2)

        q, k, v = split(Phi.apply(self.query(a))), split(Phi.apply(self.key(a))), F.pad(split(self.value(a)), (0, 1), value=1.0)
        age = torch.arange(steps, device=h.device)[:, None] - torch.arange(steps, device=h.device)
        decay = torch.where(age >= 0, torch.exp(self.log_decay[:, None, None] * age.clamp(min=0)), 0.0)
        out = self.mixed(q, k, decay, v)  # the column of ones gives the normalizer
        out = out[..., :-1] / (out[..., -1:] + EPSILON)
        return h + self.output(out.transpose(1, 2).reshape(batch, steps, dim))


class Convolution(nn.Module):
    def __init__(self, dim, taps):
        super().__init__()
        self.norm, self.expand, self.project = nn.LayerNorm(dim), Dense(dim, 2 * dim), Dense(dim, dim)
        self.depthwise = nn.Conv1d(dim, dim, taps, groups=dim)  # holds the weights

    def forward(self, h):
        weight = self.depthwise.weight[:, 0].T.contiguous()
        u = F.pad(F.glu(self.expand(self.norm(h)), dim=2), (0, 0, len(weight) - 1, 0))
        return h + self.project(Silu.apply(Depthwise.apply(u, weight) + self.depthwise.bias))


class FeedForward(nn.Module):
    def __init__(self, dim, wide):
        super().__init__()
        self.norm, self.expand, self.project = nn.LayerNorm(dim), Dense(dim, wide), Dense(wide, dim)

    def forward(self, h):
        return h + self.project(Silu.apply(self.expand(self.norm(h))))


class Network(nn.Module):
    def __init__(self, inputs=320, dim=192, layers=5, heads=None, wide=448, taps=9, embedding=192, speech_layers=0, shared_layers=None):
        """heads of 32 dimensions unless said; their memories, of 8 to 320 steps, are where learning begins. With speech_layers,
        a stack of so many behind the first shared_layers is of speech and overlap; unless said, as many are left to the embedding"""
        super().__init__()
        half_lives = np.geomspace(8, 320, heads or dim // 32)
        self.shared = max(0, layers - speech_layers) if shared_layers is None else shared_layers  # of which both are made
        self.shape = dict(zip(SHAPE, (dim, layers, len(half_lives), wide, taps, embedding, speech_layers, self.shared)))

        def stack(count):
            return nn.ModuleList(nn.ModuleList([Attention(dim, half_lives), Convolution(dim, taps), FeedForward(dim, wide)])
                                 for _ in range(count))

        self.projection, self.norm, self.layers = Dense(inputs, dim), nn.LayerNorm(dim), stack(layers)
        self.output_norm, self.embedding = nn.LayerNorm(dim), Dense(dim, embedding)
        self.speech_layers, self.speech_norm = stack(speech_layers), nn.LayerNorm(dim) if speech_layers else None
        self.speech, self.overlap = Dense(dim, 1), Dense(dim, 1)
        self.drop = 0.0  # in training, of how many crops a block is left out; the others get as much more of it

    def through(self, layers, h):
        for block in (block for blocks in layers for block in blocks):
            if self.drop and block.training:
                kept = (torch.rand(len(h), 1, 1, device=h.device) >= self.drop) / (1 - self.drop)
                h = h + kept * (block(h) - h)
            else:
                h = block(h)
        return h

    def parting(self, x):
        """the hidden steps that embedding and speech are both made of"""
        return self.through(self.layers[: self.shared], self.norm(self.projection(x)))

    def output(self, parting):
        """what the embedding is made of"""
        return self.output_norm(self.through(self.layers[self.shared :], parting))

    def unit(self, output):
        return F.normalize(self.embedding(output), dim=2)

    def logits(self, parting, output=None):
        """of speech, of overlap; output: what the embedding is made of, which they are made of too where they have no branch"""
        s = self.speech_norm(self.through(self.speech_layers, parting)) if self.speech_norm else output
        return self.speech(s)[..., 0], self.overlap(s)[..., 0]

    def forward(self, x):
        """x [batch][steps][320], normalised log-mel → unit embeddings, speech logits, overlap logits"""
        parting = self.parting(x)
        o = self.output(parting)
        return self.unit(o), *self.logits(parting, o)

    def branched(self, layers):
        """a network that gives the same, with a branch of so many layers for speech and overlap"""
        shape = {key: value for key, value in self.shape.items() if key != "shared_layers"}
        old, network = self.state_dict(), self.of_shape(self.projection.in_features, {**shape, "speech_layers": layers})

        def begins_as(name):
            part, _, rest = name.partition(".")
            if part == "speech_layers":
                number, _, inner = rest.partition(".")
                return f"layers.{network.shared + int(number)}.{inner}"
            return f"output_norm.{rest}" if part == "speech_norm" else name

        network.load_state_dict({name: old[begins_as(name)] for name in network.state_dict()})
        return network

    def deeper(self, more, like=None):
        """a network that gives the same, with so many layers more that are of the embedding alone, one behind each of the
        first there are of them: what they add is 0 until they are trained; all else in them is as in like, a network as
        deep, or by chance"""
        own = self.shape["layers"] - self.shared
        if not 0 <= more <= own:
            raise ValueError(f"{more} more layers, where 0 to {own} can be: one behind each that is of the embedding alone")
        old, network = self.state_dict(), self.of_shape(self.projection.in_features, {**self.shape, "layers": self.shape["layers"] + more})
        begins_as = like.state_dict() if like else {}
        place = [k if k < self.shared else k + min(k - self.shared, more) for k in range(self.shape["layers"])]
        state = network.state_dict()
        for name in state:
            part, _, rest = name.partition(".")
            number, _, inner = rest.partition(".")
            if part != "layers":
                state[name] = old[name]
            elif int(number) in place:
                state[name] = old[f"layers.{place.index(int(number))}.{inner}"]
            elif inner.split(".")[1] in ("output", "project"):
                state[name] = torch.zeros_like(state[name])
            elif like:
                state[name] = begins_as[name]
        network.load_state_dict(state)
        return network

    @staticmethod
    def file_name(name):
        """the name in docs/model-format.md of a parameter, and how it is written there"""
        parts = name.split(".")
        outer = {"projection": "input.projection", "norm": "input.norm", "output_norm": "output.norm",
                 "embedding": "output.embedding", "speech": "output.speech", "overlap": "output.overlap", "speech_norm": "speech.norm"}
        if parts[0] in outer:
            return f"{outer[parts[0]]}.{parts[1]}"
        room = ("attention", "convolution", "feed_forward")[int(parts[2])]
        return f"{parts[0].replace('_', '.')}.{parts[1]}.{room}." + ".".join(parts[3:]).replace("raw_decay", "log_decay")

    def tensors(self):
        """arrays by their names in a model file"""
        out = {}
        for name, value in self.state_dict().items():
            value = -F.softplus(value) if name.endswith("raw_decay") else value
            value = value[:, 0] if name.endswith("depthwise.weight") else value
            out[self.file_name(name)] = value.detach().cpu().contiguous().numpy()
        return out

    @classmethod
    def of_shape(cls, inputs, shape):
        return cls(inputs, *(int(shape[key]) for key in SHAPE if key in shape))  # shared_layers may lack: the last

    @classmethod
    def from_model(cls, metadata, tensors):
        """the network of a model file, in the arrays' own precision"""
        metadata = {"speech_layers": 0, **metadata}
        network = cls.of_shape(int(metadata["frames_per_step"]) * int(metadata["mel_bands"]), metadata)
        state = {}
        for name, old in network.state_dict().items():
            file_name = cls.file_name(name)
            value = torch.from_numpy(tensors[file_name]) if file_name in tensors else torch.zeros_like(old)
            value = torch.log(torch.expm1(-value.double())) if name.endswith("raw_decay") else value
            state[name] = value.reshape(old.shape)
        network = network.to(next(iter(state.values())).dtype)
        network.load_state_dict(state)
        return network
