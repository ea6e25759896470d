"""From a fine-tuned model to one 4-bit file, as the paper does it: merge, GGUF, Q4_K_M, llama.cpp.

Needs the optional part ``[gguf]`` (llama-cpp-python, which compiles llama.cpp, and sentencepiece);
`merge_adapter` does not.
"""

from helpers.export.gguf import export_gguf, quantise
from helpers.export.inference import gbnf, predict_gguf
from helpers.export.merge import merge_adapter
from helpers.export.optional import ExportError, is_available

__all__ = [
    "ExportError",
    "export_gguf",
    "gbnf",
    "is_available",
    "merge_adapter",
    "predict_gguf",
    "quantise",
]
