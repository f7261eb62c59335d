# SPDX-License-Identifier: MIT
"""average.py OUT WEIGHT NETWORK WEIGHT NETWORK ...: OUT is the weighed mean of networks, each as train.py writes it. What training began
from and what it led to are often worse, each, than a network between them. A network with fewer layers beside its branch counts
as one whose missing layers add nothing."""
import sys

from export import read_model, write_model
from network import Network


def main():
    out, *rest = sys.argv[1:] or [""]
    if len(rest) < 4 or len(rest) % 2:
        sys.exit(__doc__)
    paths = rest[1::2]
    networks = [Network.from_model(*read_model(path)) for path in paths]
    deepest = max(networks, key=lambda n: n.shape["layers"])
    most = deepest.shape["layers"]
    for path, n in zip(paths, networks):
        if {**n.shape, "layers": most} != deepest.shape:
            sys.exit(f"average: {path} is of another shape, {n.shape}, than the deepest, {deepest.shape}")
    try:
        weights = [float(w) for w in rest[::2]]
        networks = [n.deeper(most - n.shape["layers"], deepest) for n in networks]
    except ValueError as why:
        sys.exit(f"average: {why}")
    states = [n.state_dict() for n in networks]
    networks[0].load_state_dict({k: sum(w * s[k] for w, s in zip(weights, states)) / sum(weights) for k in states[0]})
    write_model(networks[0], out)


if __name__ == "__main__":
    main()
