# SPDX-License-Identifier: MIT
"""The corpora that the network is trained on, by how often a voice of each is drawn. Voices of the train split that are of
other corpora (terms that weights should not be under, say) are strangers to the network: the tracker's numbers are tuned on
them too, as they tell best how the network takes a recording that is like none it knows."""

SHARE = {"speechocean": 0.33, "librispeech": 0.31, "arabicsc": 0.12, "vctk": 0.08, "spcommands": 0.16, "kokoro": 0.25}
