# SPDX-License-Identifier: MIT
"""branch.py MODEL NETWORK OUT: MODEL with the branch for speech and overlap of NETWORK, which train.py --begin MODEL
--speech-layers K has trained. The branch's dense weights are stored as those of MODEL are; all else is MODEL's, byte by byte."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import quantise  # noqa: E402
import stamp  # noqa: E402

PARTS = ("speech.", "output.speech.", "output.overlap.")


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    model, network, out = sys.argv[1:]
    metadata, tensors = stamp.read(model)
    of_network, branch = stamp.read(network)
    if not int(of_network.get("speech_layers", 0)):
        sys.exit(f"branch: {network} has no branch: train.py --speech-layers makes one")
    differ = [k for k in ("layers", "model_dim", "heads", "feed_forward_dim", "convolution_kernel") if metadata.get(k) != of_network.get(k)]
    if differ:
        sys.exit(f"branch: {network} is another network than {model}: {', '.join(differ)}")
    branch = {name: tensor for name, tensor in branch.items() if name.startswith(PARTS)}
    kind = {"BF16": "bf16", "I8": "i8"}.get(tensors["input.projection.weight"][0])
    tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith(PARTS)}
    stamp.write(out, {**metadata, **{k: of_network[k] for k in ("speech_layers", "shared_layers") if k in of_network}},
                tensors | (dict(quantise.quantise(branch, kind)) if kind else branch))


if __name__ == "__main__":
    main()
