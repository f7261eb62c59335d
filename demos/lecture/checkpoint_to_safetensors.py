#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# checkpoint_to_safetensors.py CHECKPOINT OUT [KEY...]: a PyTorch state_dict, or what lies in the checkpoint under the
# keys, as safetensors: names unchanged, float32. For transformer_is_an_rnn and <rill/weights.h>.
import json, struct, sys, torch
state = torch.load(sys.argv[1], map_location="cpu", weights_only=True)
for key in sys.argv[3:]: state = state[key]
header, data = {}, bytearray()
for name, tensor in state.items():
    raw = tensor.detach().float().contiguous().numpy().tobytes()
    header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(raw)]}
    data += raw
text = json.dumps(header).encode()
open(sys.argv[2], "wb").write(struct.pack("<Q", len(text)) + text + data)
