"""Sentence embeddings: those of the encoder, whatever the batches."""

import numpy as np
import torch

from helpers.embeddings import sentence_embeddings
from helpers.offline_model import source_folder


def test_embeddings_shape_order_and_length_one():
    long, short = "tariffs on imported steel " * 20, "whales"
    both = sentence_embeddings([short, long, short], batch_size=2)
    assert both.shape == (3, 384) and both.dtype == np.float32
    assert np.allclose(np.linalg.norm(both, axis=1), 1, atol=1e-5)
    assert np.allclose(both[0], both[2], atol=1e-5)
    assert np.allclose(both[1], sentence_embeddings([long])[0], atol=1e-5)


def test_embedding_is_the_mean_of_the_last_layer():
    from transformers import AutoModel, AutoTokenizer

    source = source_folder()
    batch = AutoTokenizer.from_pretrained(source)("wind farms", return_tensors="pt")
    with torch.no_grad():
        states = AutoModel.from_pretrained(source).eval()(**batch).last_hidden_state[0].numpy()
    mean = states.mean(0) / np.linalg.norm(states.mean(0))
    assert np.allclose(sentence_embeddings(["wind farms"])[0], mean, atol=1e-5)
